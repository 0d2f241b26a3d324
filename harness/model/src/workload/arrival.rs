//! When requests are due: fixed by the workload and the seed before the run, independent of the server.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Seconds};

/// The arrival process of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "process", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arrival {
    /// One request every `1 / rate_per_s`.
    Constant {
        /// Requests per second.
        rate_per_s: f64,
    },
    /// Independent arrivals: exponential gaps.
    Poisson {
        /// Requests per second.
        rate_per_s: f64,
    },
    /// Gaps from a gamma distribution, as `vllm bench serve --burstiness` draws them.
    Gamma {
        /// Requests per second.
        rate_per_s: f64,
        /// The shape: 1 is `poisson`, below is burstier, above is smoother.
        burstiness: f64,
    },
    /// A rate that changes linearly over the whole run.
    Ramp {
        /// Requests per second at the start.
        from_per_s: f64,
        /// Requests per second at the end.
        to_per_s: f64,
    },
    /// One `poisson` process after the other. Each stage is reported separately.
    Stages {
        /// The stages, in order.
        stages: Vec<Stage>,
    },
    /// A recorded trace: its arrival times and token counts.
    Trace {
        /// Azure's or BurstGPT's CSV, Mooncake's JSON lines, or GenAI spans of OpenTelemetry as OTLP JSON; the path is relative to the
        /// workload file.
        file: PathBuf,
    },
    /// Users who each send their next request when the previous one has ended.
    Closed {
        /// The number of users.
        users: usize,
        /// The pause of a user between a response and the next request, in milliseconds.
        #[serde(default)]
        think_ms: u64,
    },
    /// Users who each hold one conversation after the other. Every request carries the whole conversation so far,
    /// including the actual responses. A conversation ends when a response fails, because its history is then
    /// incomplete.
    Sessions {
        /// The number of users.
        users: usize,
        /// The number of requests of a session.
        turns: Count,
        /// The pause of a user before each request, including the first one of a session, in seconds.
        #[serde(default)]
        think_time_s: Seconds,
    },
}

/// A stage of [`Arrival::Stages`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Requests per second.
    pub rate_per_s: f64,
    /// The duration in seconds.
    pub duration_s: f64,
}

/// The number of turns that are reported separately. Later turns count with the last one.
const TURNS_REPORTED_MAX: u32 = 20;
/// The largest number of turns of a session.
const TURNS_MAX: u32 = 10_000;

/// The highest rate of a workload, per second.
const RATE_MAX: f64 = 10e6;

impl Arrival {
    /// Fails on values from which no schedule can be made, with their names.
    pub fn check(&self) -> Result<()> {
        let rate = |name: &str, rate: f64| {
            ensure!(
                rate > 0.0 && rate <= RATE_MAX,
                "arrival: `{name}` is {rate}: must be above 0, and 10,000,000 per second at most"
            );
            Ok(())
        };
        match self {
            Self::Constant { rate_per_s } | Self::Poisson { rate_per_s } => {
                rate("rate_per_s", *rate_per_s)
            }
            Self::Gamma {
                rate_per_s,
                burstiness,
            } => {
                ensure!(
                    (0.001..=1000.0).contains(burstiness),
                    "arrival: `burstiness` is {burstiness}: must be 0.001 to 1,000"
                );
                rate("rate_per_s", *rate_per_s)
            }
            Self::Ramp {
                from_per_s,
                to_per_s,
            } => {
                ensure!(
                    *from_per_s >= 0.0 && *to_per_s >= 0.0,
                    "arrival: `from_per_s` and `to_per_s` must not be below 0"
                );
                rate("from_per_s` or `to_per_s", from_per_s.max(*to_per_s))
            }
            Self::Stages { stages } => {
                ensure!(
                    !stages.is_empty(),
                    "arrival: `stages` is empty: at least one is needed"
                );
                for stage in stages {
                    rate("stages.rate_per_s", stage.rate_per_s)?;
                    ensure!(
                        stage.duration_s > 0.0 && stage.duration_s.is_finite(),
                        "arrival: `stages.duration_s` is {}: must be above 0",
                        stage.duration_s
                    );
                }
                Ok(())
            }
            Self::Trace { .. } => Ok(()),
            Self::Closed { users, .. } => some_users(*users),
            Self::Sessions {
                users,
                turns,
                think_time_s,
            } => {
                some_users(*users)?;
                turns.check("turns").context("arrival")?;
                ensure!(
                    matches!(turns, Count::Normal { .. } | Count::LogNormal { .. })
                        || turns.most() <= TURNS_MAX,
                    "arrival: `turns` is up to {}: must be {TURNS_MAX} at most",
                    turns.most()
                );
                think_time_s.check("think_time_s").context("arrival")
            }
        }
    }

    /// The duration of the arrivals in seconds, if the process determines it, as stages do.
    pub fn duration_s(&self) -> Option<f64> {
        match self {
            Self::Stages { stages } => Some(stages.iter().map(|stage| stage.duration_s).sum()),
            _ => None,
        }
    }

    /// The rate per second, if it is constant.
    pub fn rate_mut(&mut self) -> Option<&mut f64> {
        match self {
            Self::Constant { rate_per_s }
            | Self::Poisson { rate_per_s }
            | Self::Gamma { rate_per_s, .. } => Some(rate_per_s),
            _ => None,
        }
    }

    /// The number of stages that are reported separately.
    pub fn stage_count(&self) -> usize {
        match self {
            Self::Stages { stages } => stages.len(),
            Self::Sessions { turns, .. } => turns.most().min(TURNS_REPORTED_MAX) as usize,
            _ => 1,
        }
    }

    /// The name of a stage in the report.
    pub fn stage_name(&self, stage: usize) -> String {
        let number = stage + 1;
        match self {
            Self::Sessions { turns, .. }
                if number == self.stage_count() && turns.most() > TURNS_REPORTED_MAX =>
            {
                format!("turn {number} on")
            }
            Self::Sessions { .. } => format!("turn {number}"),
            _ => format!("stage {number}"),
        }
    }

    /// The number of users, if the server determines how many requests they send.
    pub fn users(&self) -> Option<usize> {
        match self {
            Self::Closed { users, .. } | Self::Sessions { users, .. } => Some(*users),
            _ => None,
        }
    }

    /// Whether requests are turns of conversations.
    pub fn holds_sessions(&self) -> bool {
        matches!(self, Self::Sessions { .. })
    }

    /// The highest rate per second; `None` where the server or a trace determines it.
    pub fn rate_max_per_s(&self) -> Option<f64> {
        match self {
            Self::Constant { rate_per_s }
            | Self::Poisson { rate_per_s }
            | Self::Gamma { rate_per_s, .. } => Some(*rate_per_s),
            Self::Ramp {
                from_per_s,
                to_per_s,
            } => Some(from_per_s.max(*to_per_s)),
            Self::Stages { stages } => stages.iter().map(|stage| stage.rate_per_s).reduce(f64::max),
            Self::Trace { .. } | Self::Closed { .. } | Self::Sessions { .. } => None,
        }
    }
}

fn some_users(users: usize) -> Result<()> {
    ensure!(users > 0, "arrival: `users` is 0: at least 1 is needed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_refused_by_name() {
        for (arrival, named) in [
            (Arrival::Constant { rate_per_s: 0.0 }, "rate_per_s"),
            (
                Arrival::Poisson {
                    rate_per_s: f64::NAN,
                },
                "rate_per_s",
            ),
            (
                Arrival::Gamma {
                    rate_per_s: 1.0,
                    burstiness: 0.0,
                },
                "burstiness",
            ),
            (Arrival::Stages { stages: vec![] }, "stages"),
            (
                Arrival::Closed {
                    users: 0,
                    think_ms: 0,
                },
                "users",
            ),
            (sessions(0, 1, 0.0), "users"),
            (sessions(1, 0, 0.0), "turns"),
            (sessions(1, TURNS_MAX + 1, 0.0), "turns"),
            (sessions(1, 1, -1.0), "think_time_s"),
        ] {
            let message = arrival.check().map_err(|error| format!("{error:#}"));
            assert!(message.is_err_and(|text| text.contains(named)), "{named}");
        }
    }

    fn sessions(users: usize, turns: u32, think_time_s: f64) -> Arrival {
        Arrival::Sessions {
            users,
            turns: Count::Fixed(turns),
            think_time_s: Seconds::Fixed(think_time_s),
        }
    }

    #[test]
    fn turns_are_reported_separately_up_to_a_bound() {
        let short = sessions(1, 3, 0.0);
        assert_eq!(
            (short.stage_count(), short.stage_name(2).as_str()),
            (3, "turn 3")
        );
        let long = sessions(1, 100, 0.0);
        assert_eq!(
            (long.stage_count(), long.stage_name(19).as_str()),
            (20, "turn 20 on")
        );
    }
}
