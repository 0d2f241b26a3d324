//! A step of a sweep: one run at one rate, or with a fixed number of users.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::load::Group;
use poolproof_model::workload::Series;

/// A step of a sweep. In its percentiles, failures count as infinitely late.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What the step is for.
    pub kind: Kind,
    /// Requests per second that were due, in an open loop. `None` for users, who wait for the responses.
    pub offered_per_s: Option<f64>,
    /// Users of a closed loop. `None` for a rate.
    pub users: Option<usize>,
    /// The duration in which requests were counted, in seconds, without the warm-up.
    pub window_s: f64,
    /// Responses per second that ended within the window. Responses to requests of the window that ended after it do not count, so a
    /// server that falls behind shows its own pace. For users without failures: users / mean E2E (Little 1961).
    pub answered_per_s: f64,
    /// Response tokens per second: the tokens of a mean response, at this pace.
    pub output_tokens_per_s: f64,
    /// Requests in flight, the mean over the window. Of a step of about a second: responses per second * mean E2E (Little 1961).
    pub in_flight: f64,
    /// Requests in flight, the highest mean of a second, or of a sixtieth of a longer step.
    pub in_flight_max: u64,
    /// The counted requests: failures by kind, tokens and times.
    pub requests: Group,
    /// Why the measurement cannot be trusted; empty if it can.
    pub doubts: Vec<String>,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One request at a time: the times of an idle server.
    Idle,
    /// Many users: how much the server can answer.
    Capacity,
    /// A rate of the curve.
    Rate,
    /// A rate between two others, beside the knee.
    Refined,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Capacity => "capacity",
            Self::Rate => "rate",
            Self::Refined => "refined",
        })
    }
}

/// The server keeps up with a rate while it answers at least this share of it within the window.
const KEPT_UP: f64 = 0.9;

impl Step {
    /// A percentile in milliseconds, if the sample supports it. The inner `None` means later than any response.
    pub fn percentile_ms(&self, series: Series, percentile: f64) -> Option<Option<f64>> {
        self.requests.percentile_ms(series, percentile)
    }

    /// A percentile in words: `never` if it is a failure, `-` if the sample is too small.
    pub fn percentile_in_words(&self, series: Series, percentile: f64) -> String {
        match self.percentile_ms(series, percentile) {
            Some(Some(ms)) => format!("{ms:.1}"),
            Some(None) => "never".to_owned(),
            None if self.requests.requests > 0 && self.requests.answered == 0 => "never".to_owned(),
            None => "-".to_owned(),
        }
    }

    /// The load in words: a rate or users.
    pub fn load_in_words(&self) -> String {
        match (self.offered_per_s, self.users) {
            (Some(rate), _) => format!("{rate:.2} req/s"),
            (None, Some(1)) => "1 user".to_owned(),
            (None, users) => format!("{} users", users.unwrap_or(0)),
        }
    }

    /// Whether the server answered fewer requests than were due: less than nine in ten. False for users.
    pub fn falls_behind(&self) -> bool {
        self.offered_per_s
            .is_some_and(|offered| self.answered_per_s < KEPT_UP * offered)
    }

    /// The share of the counted requests that failed.
    pub fn failed_share(&self) -> f64 {
        self.requests.failures() as f64 / self.requests.requests.max(1) as f64
    }
}
