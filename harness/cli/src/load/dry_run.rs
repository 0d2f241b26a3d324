//! `poolproof load WORKLOAD --dry-run`: exact counts of requests and tokens, from the schedule and seed that a run would use.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::session::SessionArgs;
use poolproof_load::requests::Requests;
use poolproof_load::schedule::Schedule;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{Http, Workload};
use poolproof_records::limits;
use poolproof_records::load::calibration::Calibration;
use poolproof_report::terminal::table;
use poolproof_stack::workers::planned_job;

/// What would be sent.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    /// When the last request is due, in seconds.
    duration_s: f64,
    /// Users of a closed loop, where the number of requests depends on how fast the server answers.
    users: Option<usize>,
    /// Requests in the busiest second.
    busiest_s_requests: u64,
    /// The most connections that this machine can open. Each request in flight uses one.
    connections_max: Option<u64>,
    /// Processors needed to send it, estimated from the last calibration of this machine, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    processors: Option<f64>,
    classes: Vec<Class>,
    /// Number of worker processes, if this process does not send itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u16>,
    /// The Job that runs the workers, if they are pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Value>,
}

#[derive(Debug, Default, Serialize)]
struct Class {
    name: String,
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    body_and_head_bytes: u64,
}

/// Walks through the schedule as a run would.
pub(super) fn plan(
    args: &SessionArgs,
    workload: &Workload,
    trace: Option<Trace>,
    workers: Option<u16>,
) -> Result<Planned> {
    let options = args.stack.options()?;
    let target = options.planned_target()?;
    let end_s = workload.end_s(trace.as_ref());
    let url: Url = target.url.clone();
    let vocabulary = args.vocabulary()?;
    let vocabulary = vocabulary.as_ref();
    let requests = Requests::new(
        workload,
        trace,
        &target,
        &url,
        &[],
        vocabulary,
        options.seed,
    )?;
    let classes = workload.mix.iter().map(|class| Class {
        name: class.class.clone(),
        ..Class::default()
    });
    let mut planned = Planned {
        duration_s: end_s,
        users: workload.arrival.users(),
        busiest_s_requests: 0,
        connections_max: match workload.http {
            Http::One => limits::connections_max(args.source_count()),
            Http::Two => None,
        },
        processors: None,
        classes: classes.collect(),
        workers,
        job: match workers {
            Some(count) => planned_job(&options, usize::from(count))?,
            None => None,
        },
    };
    let (mut wire, mut second, mut in_second) = (Vec::new(), 0, 0);
    for due in Schedule::new(&workload.arrival, requests.trace(), options.seed, end_s) {
        let built = requests.build(due, &mut wire);
        let class = planned.classes.get_mut(built.class).context("a class")?;
        class.requests += 1;
        class.input_tokens += u64::from(built.input_tokens);
        class.output_tokens += u64::from(built.output_tokens);
        class.body_and_head_bytes += wire.len() as u64;
        let now = due.at_ns / 1_000_000_000;
        in_second = if now == second { in_second + 1 } else { 1 };
        second = now;
        planned.busiest_s_requests = planned.busiest_s_requests.max(in_second);
    }
    planned.processors = processors(&planned);
    Ok(planned)
}

/// The highest average utilization of a sending thread. Above it, answers would be read late.
const BUSY: f64 = 0.5;

/// Processors needed to send this, from the cost of a token at the highest number of open streams.
fn processors(planned: &Planned) -> Option<f64> {
    let calibration = Calibration::last()?;
    let us_per_token = calibration.levels.last()?.cpu_us_per_token;
    let tokens: u64 = planned.classes.iter().map(|it| it.output_tokens).sum();
    let per_s = tokens as f64 / planned.duration_s;
    (planned.users.is_none()).then_some(per_s * us_per_token / 1e6 / BUSY)
}

/// Renders the plan for people. With a Job, the text is also valid input for `kubectl`.
pub(super) fn render(planned: &Planned) -> Result<String> {
    let mut text = what(planned);
    if let Some(processors) = planned.processors {
        let cores = limits::cores();
        text += &format!(
            "\nestimate from the last calibration of this machine: {processors:.2} processors at half load, of {cores} here; use --workers {:.0} on machines like this one",
            (processors / cores as f64).ceil().max(1.0)
        );
    }
    if let Some(job) = &planned.job {
        let text = text.lines().map(|line| format!("# {line}\n"));
        let yaml = serde_saphyr::to_string(job).context("writing the Job")?;
        return Ok(text.collect::<String>() + yaml.trim_end());
    }
    if let Some(workers) = planned.workers {
        text += &format!("\nsent from {workers} processes of this machine");
    }
    Ok(text)
}

fn what(planned: &Planned) -> String {
    if let Some(users) = planned.users {
        return format!(
            "{users} users for {:.0} s, each with one request at a time: the number of requests depends on how fast the server answers",
            planned.duration_s
        );
    }
    let rows = planned.classes.iter().map(|it| {
        vec![
            it.name.clone(),
            it.requests.to_string(),
            it.input_tokens.to_string(),
            it.output_tokens.to_string(),
            format!("{:.1}", it.body_and_head_bytes as f64 / 1e6),
        ]
    });
    let requests: u64 = planned.classes.iter().map(|it| it.requests).sum();
    let headings = [
        "class",
        "requests",
        "prompt tokens",
        "answer tokens",
        "MB to send",
    ];
    let busiest = planned.busiest_s_requests;
    let mut text = format!(
        "{}\n{requests} requests in {:.1} s, {busiest} in the busiest second; nothing was sent",
        table(&headings, rows),
        planned.duration_s,
    );
    if let Some(connections) = planned.connections_max {
        text += &format!(
            "\nthis machine can open {connections} connections, enough for answers of up to {:.0} s at that rate",
            connections as f64 / busiest.max(1) as f64
        );
    }
    text
}
