//! `poolproof load WORKLOAD --dry-run`: exact counts of requests and tokens, from the schedule and seed that a run would use.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::session::SessionArgs;
use poolproof_client::ready;
use poolproof_load::plan::{Planned, plan};
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::limits;
use poolproof_records::load::without_header_values;
use poolproof_report::terminal::table;
use poolproof_stack::workers::planned_job;

/// What would be sent, and from where.
#[derive(Debug, Serialize)]
pub(super) struct DryRun {
    #[serde(flatten)]
    sent: Planned,
    /// The workload, with all changes of the command line.
    workload: Workload,
    /// Requests of one token that are sent at most before these, to learn which endpoint serves.
    first_requests: usize,
    /// Number of worker processes, if this process does not send itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u16>,
    /// The Job that runs the workers, if they are pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Value>,
}

pub(super) fn dry_run(
    args: &SessionArgs,
    workload: &Workload,
    trace: Option<Trace>,
    workers: Option<u16>,
) -> Result<DryRun> {
    let options = args.stack.options()?;
    let target = options.planned_target()?;
    let vocabulary = args.vocabulary()?;
    let settings = args.planned(vocabulary.as_ref());
    Ok(DryRun {
        sent: plan(workload, trace, &target, settings)?,
        workload: without_header_values(workload.clone()),
        first_requests: ready::FIRST_REQUESTS_MAX,
        workers,
        job: match workers {
            Some(count) => planned_job(&options, usize::from(count))?,
            None => None,
        },
    })
}

/// Renders the plan for people. With a Job, the text is also valid input for `kubectl`.
pub(super) fn render(planned: &DryRun) -> Result<String> {
    let mut text = format!("{}\n{}", planned.workload.outline(), what(&planned.sent));
    text += &format!(
        "\nbefore these, up to {} requests of one token show which endpoint serves",
        planned.first_requests
    );
    let cores = limits::cores();
    if let (Some(processors), Some(machines)) =
        (planned.sent.processors, planned.sent.machines(cores))
    {
        text += &format!(
            "\nestimate from the last calibration of this machine: {processors:.2} processors at half load, of {cores} here; use --workers {machines} on machines like this one"
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
    let rows = planned.classes.iter().map(|class| {
        vec![
            class.name.clone(),
            class.requests.to_string(),
            class.input_tokens.to_string(),
            class.output_tokens.to_string(),
            format!("{:.1}", class.body_and_head_bytes as f64 / 1e6),
        ]
    });
    let requests = planned.requests();
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
    if let (Some(connections), Some(answer_max_s)) =
        (planned.connections_max, planned.answer_max_s())
    {
        text += &format!(
            "\nthis machine can open {connections} connections, enough for answers of up to {answer_max_s:.0} s at that rate"
        );
    }
    text
}
