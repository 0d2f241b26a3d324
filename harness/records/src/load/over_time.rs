//! A load run over time: windows of what the client saw, and what the servers reported meanwhile. All offsets are seconds
//! by the clock of the harness, from the moment when the first request could be due. The warm-up is included.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::percentile::Ms;
pub use poolproof_model::server_metric::{ServerMetric, Unit};

/// A load run over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverTime {
    /// The length of every window, in seconds. The last one may end earlier.
    pub window_s: f64,
    /// The windows, in order and without gaps, until the last request ended.
    pub windows: Vec<Window>,
    /// What the servers reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<ServerSeries>,
    /// Servers whose metrics could not be read, or not always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// What the client saw in one window. Requests of the warm-up are included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Its start, in seconds.
    pub at_s: f64,
    /// Its length, in seconds.
    pub length_s: f64,
    /// Requests that were started in it.
    pub started: u64,
    /// Requests that ended in it with a complete response.
    pub answered: u64,
    /// Requests that failed in it, by kind of failure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, u64>,
    /// Response tokens of answered requests. Those of one response are spread evenly between its first and its last
    /// token.
    pub output_tokens: u64,
    /// The mean number of requests that had started and not ended.
    pub in_flight: f64,
    /// Times by the name of their series: `ttft` in the window of the first token, `ttfa`, `tpot` and `e2e` in that of the
    /// end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, WindowTimes>,
}

/// The times of one series in a window. Failures of the window count as infinitely late: `None`. The values are those of the
/// sample, however small it is, to about 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowTimes {
    /// The number of times, without failures.
    pub n: u64,
    /// The median, in milliseconds.
    pub p50_ms: Ms,
    /// The 90th percentile, in milliseconds.
    pub p90_ms: Ms,
    /// The 95th percentile, in milliseconds.
    pub p95_ms: Ms,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: Ms,
}

/// One figure of one server over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSeries {
    /// The server that reported it.
    pub server: Server,
    /// The device of the server that it is about, such as a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The figure.
    pub metric: ServerMetric,
    /// Its unit.
    pub unit: Unit,
    /// Pairs of an offset in seconds and the value. Rates and shares of counters are those since the point before.
    pub points: Vec<(f64, f64)>,
}

/// A server whose metrics were read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Server {
    /// A model server.
    Endpoint {
        /// Its pool.
        pool: String,
        /// Its name.
        endpoint: String,
    },
    /// The endpoint picker of a pool.
    Picker {
        /// The pool.
        pool: String,
    },
    /// Another address that the target file or the command line names.
    Other {
        /// Its name.
        name: String,
    },
}

/// A server whose metrics could not be read, or not always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unread {
    /// The server.
    pub server: Server,
    /// How many readings failed.
    pub failed: u64,
    /// Of how many.
    pub of: u64,
    /// Why the first of them failed. Untrusted text.
    pub reason: String,
}

impl Window {
    /// Requests that failed in it, of all kinds.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// A count of the window per second.
    pub fn per_s(&self, count: u64) -> f64 {
        if self.length_s > 0.0 {
            count as f64 / self.length_s
        } else {
            0.0
        }
    }

    /// Response tokens per second.
    pub fn output_tokens_per_s(&self) -> f64 {
        self.per_s(self.output_tokens)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { pool, endpoint } => write!(f, "{pool}/{endpoint}"),
            Self::Picker { pool } => write!(f, "picker of {pool}"),
            Self::Other { name } => f.write_str(name),
        }
    }
}

impl fmt::Display for ServerSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.server)?;
        match &self.device {
            Some(device) => write!(f, " {device}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_series_are_read_back_as_they_were_written() {
        let over_time = OverTime {
            window_s: 1.0,
            windows: vec![Window {
                at_s: 0.0,
                length_s: 0.5,
                started: 3,
                answered: 2,
                failed: BTreeMap::from([("cut".to_owned(), 1)]),
                output_tokens: 40,
                in_flight: 1.25,
                times: BTreeMap::from([(
                    "ttft".to_owned(),
                    WindowTimes {
                        n: 2,
                        p50_ms: Some(20.5),
                        ..WindowTimes::default()
                    },
                )]),
            }],
            series: vec![ServerSeries {
                server: Server::Other {
                    name: "dcgm".to_owned(),
                },
                device: Some("gpu 0".to_owned()),
                metric: ServerMetric::GpuPower,
                unit: ServerMetric::GpuPower.unit(),
                points: vec![(0.25, 310.5), (1.25, 402.0)],
            }],
            unread: vec![Unread {
                server: Server::Picker {
                    pool: "p".to_owned(),
                },
                failed: 1,
                of: 9,
                reason: "refused".to_owned(),
            }],
        };
        let text = serde_json::to_string(&over_time).unwrap();
        assert_eq!(serde_json::from_str::<OverTime>(&text).unwrap(), over_time);
        let window = &over_time.windows[0];
        assert_eq!((window.failures(), window.output_tokens_per_s()), (1, 80.0));
        let names = (
            over_time.series[0].to_string(),
            over_time.unread[0].server.to_string(),
        );
        assert_eq!(names, ("dcgm gpu 0".to_owned(), "picker of p".to_owned()));
    }
}
