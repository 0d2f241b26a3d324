//! Records in the shapes of other tools, for those who have dashboards for them. What has no place there is told.

pub mod gie;
pub mod inference_perf;
pub mod llm_d;
mod summary;
pub mod vllm;

/// A record in another shape.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The document.
    pub value: serde_json::Value,
    /// What the record has and the shape has no place for.
    pub left_out: Vec<&'static str>,
}

/// What no shape of a load generator has a place for.
const LEFT_OUT: [&str; 6] = [
    "verdicts of objectives, with their intervals",
    "failures inside percentiles: there only what was answered counts",
    "classes: all requests are one sample",
    "who served: shares of pools and endpoints, Jain's index",
    "what the client itself took, its calibration, and doubts in the measurement",
    "intervals of percentiles",
];
