//! What a run would send: exact counts of requests and tokens, from the schedule and the seed that the run would use.

use anyhow::{Context, Result};
use serde::Serialize;

use super::requests::Requests;
use super::schedule::Schedule;
use super::tokenizer::Vocabulary;
use poolproof_model::target::Target;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{Http, Workload};
use poolproof_records::limits;
use poolproof_records::load::calibration::Calibration;

/// What would be sent.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// When the last request is due, in seconds.
    pub duration_s: f64,
    /// Users of a closed loop, where the number of requests depends on how fast the server answers.
    pub users: Option<usize>,
    /// Requests in the busiest second.
    pub busiest_s_requests: u64,
    /// The most connections that this machine can open. Each request in flight uses one.
    pub connections_max: Option<u64>,
    /// Processors needed to send it, estimated from the last calibration of this machine, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<f64>,
    /// The requests of each class.
    pub classes: Vec<PlannedClass>,
}

/// What would be sent of one class.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PlannedClass {
    /// The name of the class.
    pub name: String,
    /// Its requests.
    pub requests: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
    /// Tokens of their responses.
    pub output_tokens: u64,
    /// Bytes of their bodies and heads.
    pub body_and_head_bytes: u64,
}

/// How the planned run would send.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Number of local addresses to connect from.
    pub sources: usize,
    /// The words of prompts, if they are made for a tokenizer.
    pub vocabulary: Option<&'a Vocabulary>,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
}

/// The highest average utilization of a sending thread. Above it, answers would be read late.
const BUSY: f64 = 0.5;

/// Walks through the schedule as a run would. Fails if the workload cannot be sent to the target.
pub fn plan(
    workload: &Workload,
    trace: Option<Trace>,
    target: &Target,
    settings: Settings<'_>,
) -> Result<Planned> {
    let Settings {
        sources,
        vocabulary,
        seed,
    } = settings;
    let end_s = workload.end_s(trace.as_ref());
    let requests = Requests::new(
        workload,
        trace,
        target,
        std::slice::from_ref(&target.url),
        vocabulary,
        seed,
    )?;
    let classes = workload.mix.iter().map(|class| PlannedClass {
        name: class.class.clone(),
        ..PlannedClass::default()
    });
    let mut planned = Planned {
        duration_s: end_s,
        users: workload.arrival.users(),
        busiest_s_requests: 0,
        connections_max: match workload.http {
            Http::One => limits::connections_max(sources),
            Http::Two => None,
        },
        processors: None,
        classes: classes.collect(),
    };
    let (mut wire, mut second, mut in_second) = (Vec::new(), 0, 0);
    for due in Schedule::new(&workload.arrival, requests.trace(), seed, end_s) {
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
    planned.processors = Calibration::last().and_then(|last| planned.processors(&last));
    Ok(planned)
}

impl Planned {
    /// The requests of all classes.
    pub fn requests(&self) -> u64 {
        self.classes.iter().map(|class| class.requests).sum()
    }

    /// The longest answers, in seconds, for which the connections of this machine suffice in the busiest second; `None` if nothing limits
    /// them.
    pub fn answer_max_s(&self) -> Option<f64> {
        let connections = self.connections_max? as f64;
        Some(connections / self.busiest_s_requests.max(1) as f64)
    }

    /// Machines of `cores` processors needed to send it; `None` without an estimate of the processors.
    pub fn machines(&self, cores: usize) -> Option<usize> {
        let machines = (self.processors? / cores as f64).ceil();
        Some(machines.max(1.0) as usize)
    }

    /// Processors needed to send this, from the cost of a token at the highest number of open streams.
    fn processors(&self, calibration: &Calibration) -> Option<f64> {
        let us_per_token = calibration.levels.last()?.cpu_us_per_token;
        let tokens: u64 = self.classes.iter().map(|class| class.output_tokens).sum();
        let per_s = tokens as f64 / self.duration_s;
        (self.users.is_none()).then_some(per_s * us_per_token / 1e6 / BUSY)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::topology::Topology;

    fn planned(arrival: &str) -> Planned {
        let workload: Workload = toml::from_str(&format!(
            "shows = 'x'\nduration_s = 10\narrival = {arrival}\n\
             [[mix]]\nclass = 'c'\ninput_tokens = 20\noutput_tokens = 5\n"
        ))
        .unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        let settings = Settings {
            sources: 1,
            vocabulary: None,
            seed: 1,
        };
        plan(&workload, None, &target, settings).unwrap()
    }

    #[test]
    fn every_request_of_the_schedule_is_counted_once() {
        let mut planned = planned("{ process = 'constant', rate_per_s = 50 }");
        assert_eq!((planned.requests(), planned.busiest_s_requests), (500, 50));
        let class = &planned.classes[0];
        assert_eq!((class.name.as_str(), class.output_tokens), ("c", 2500));
        assert!(class.body_and_head_bytes > 500 * 100, "{class:?}");
        planned.connections_max = Some(1000);
        assert_eq!(planned.answer_max_s(), Some(20.0));
        planned.processors = Some(4.5);
        assert_eq!(planned.machines(2), Some(3));
        planned.processors = None;
        assert_eq!(planned.machines(2), None);
    }

    #[test]
    fn a_closed_loop_has_users_instead_of_an_estimate() {
        let planned = planned("{ process = 'closed', users = 7 }");
        assert_eq!((planned.users, planned.processors), (Some(7), None));
    }
}
