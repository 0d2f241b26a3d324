//! The figures of servers that a load run follows over time: of model servers, of endpoint pickers and of GPUs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure of a server, whatever the server calls it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ServerMetric {
    /// Requests that wait: in a model server, or held by a picker.
    Queue,
    /// Requests in progress.
    Running,
    /// The share of the KV cache in use.
    KvUse,
    /// The share of looked-up prompt tokens or blocks that a prefix cache had.
    PrefixHits,
    /// Requests that lost their place in the KV cache and start over, per second.
    Preemptions,
    /// Prompt tokens per second.
    PromptTokens,
    /// Response tokens per second.
    OutputTokens,
    /// Completed requests per second.
    Served,
    /// Failed or refused requests per second.
    Refused,
    /// Requests per second for which a picker chose an endpoint.
    Picks,
    /// The saturation of a pool by its picker: from 1 on it holds or refuses requests.
    Saturation,
    /// The endpoints of a pool that its picker knows as ready.
    ReadyEndpoints,
    /// The mean number of waiting requests of the endpoints of a pool, by its picker.
    MeanQueue,
    /// The mean share of the KV cache in use of the endpoints of a pool, by its picker.
    MeanKvUse,
    /// The share of time in which a GPU was busy.
    GpuUse,
    /// The share of a GPU's memory in use.
    GpuMemoryUse,
    /// The power of a GPU.
    GpuPower,
    /// The temperature of a GPU.
    GpuTemperature,
}

/// The unit of a [`ServerMetric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A number of requests.
    Requests,
    /// A number of endpoints.
    Endpoints,
    /// A share, 0 to 1. Saturation may exceed 1.
    Ratio,
    /// Requests per second.
    RequestsPerSecond,
    /// Tokens per second.
    TokensPerSecond,
    /// Watts.
    Watts,
    /// Degrees Celsius.
    Celsius,
}

impl ServerMetric {
    /// All figures, in the order in which they are shown.
    pub const ALL: [Self; 18] = [
        Self::Queue,
        Self::Running,
        Self::KvUse,
        Self::PrefixHits,
        Self::Preemptions,
        Self::PromptTokens,
        Self::OutputTokens,
        Self::Served,
        Self::Refused,
        Self::Picks,
        Self::Saturation,
        Self::ReadyEndpoints,
        Self::MeanQueue,
        Self::MeanKvUse,
        Self::GpuUse,
        Self::GpuMemoryUse,
        Self::GpuPower,
        Self::GpuTemperature,
    ];

    /// The name in records and exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Running => "running",
            Self::KvUse => "kv-use",
            Self::PrefixHits => "prefix-hits",
            Self::Preemptions => "preemptions",
            Self::PromptTokens => "prompt-tokens",
            Self::OutputTokens => "output-tokens",
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Picks => "picks",
            Self::Saturation => "saturation",
            Self::ReadyEndpoints => "ready-endpoints",
            Self::MeanQueue => "mean-queue",
            Self::MeanKvUse => "mean-kv-use",
            Self::GpuUse => "gpu-use",
            Self::GpuMemoryUse => "gpu-memory-use",
            Self::GpuPower => "gpu-power",
            Self::GpuTemperature => "gpu-temperature",
        }
    }

    /// The name for people, as a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Queue => "waiting requests",
            Self::Running => "running requests",
            Self::KvUse => "KV cache in use",
            Self::PrefixHits => "prefix cache hits",
            Self::Preemptions => "preemptions",
            Self::PromptTokens => "prompt tokens",
            Self::OutputTokens => "response tokens",
            Self::Served => "completed requests",
            Self::Refused => "refused or failed requests",
            Self::Picks => "picks",
            Self::Saturation => "saturation of the pool",
            Self::ReadyEndpoints => "ready endpoints",
            Self::MeanQueue => "waiting requests per endpoint",
            Self::MeanKvUse => "KV cache in use per endpoint",
            Self::GpuUse => "GPU in use",
            Self::GpuMemoryUse => "GPU memory in use",
            Self::GpuPower => "GPU power",
            Self::GpuTemperature => "GPU temperature",
        }
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::Queue | Self::Running | Self::MeanQueue => Unit::Requests,
            Self::ReadyEndpoints => Unit::Endpoints,
            Self::KvUse
            | Self::PrefixHits
            | Self::Saturation
            | Self::MeanKvUse
            | Self::GpuUse
            | Self::GpuMemoryUse => Unit::Ratio,
            Self::Preemptions | Self::Served | Self::Refused | Self::Picks => {
                Unit::RequestsPerSecond
            }
            Self::PromptTokens | Self::OutputTokens => Unit::TokensPerSecond,
            Self::GpuPower => Unit::Watts,
            Self::GpuTemperature => Unit::Celsius,
        }
    }
}

impl Unit {
    /// The unit for people, behind a number.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Requests | Self::Endpoints | Self::Ratio => "",
            Self::RequestsPerSecond | Self::TokensPerSecond => "/s",
            Self::Watts => "W",
            Self::Celsius => "°C",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_each_figure_is_that_of_its_serialized_form() {
        for metric in ServerMetric::ALL {
            let written = serde_json::to_value(metric).unwrap();
            assert_eq!(written, metric.name());
        }
    }
}
