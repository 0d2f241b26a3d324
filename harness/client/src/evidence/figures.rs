//! The figures of a server's `/metrics` that a load run follows, whatever the server calls them: the names of model servers, endpoint
//! pickers and GPU exporters stand here in one table.
//!
//! Sources: vLLM, vllm/v1/metrics/loggers.py (names before v0.8 beside); SGLang, docs/references/production_metrics.md; TGI,
//! docs/source/reference/metrics.md; Triton, docs/user_guide/metrics.md, and its TensorRT-LLM backend, "Triton Metrics"; llama.cpp,
//! tools/server/README.md; GIE v1.5.0 and llm-d-router, pkg/epp/metrics; NVIDIA dcgm-exporter, etc/default-counters.csv.
//! llm-d-inference-sim and poolproof's own model server export the names of vLLM.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::prometheus::{self, Sample};
use poolproof_model::server_metric::ServerMetric as Metric;

/// One reading of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// The value now.
    Gauge(f64),
    /// What was counted since the start of the server.
    Counter(f64),
    /// What was counted since the start of the server, and of how much.
    Share(f64, f64),
}

/// The figure of a server, or of one of its devices.
pub type Key = (Metric, Option<String>);

/// The figures of one reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading(pub BTreeMap<Key, Value>);

/// The most devices of a server that are kept.
const DEVICES_MAX: usize = 64;
/// The longest name of a device that is kept, in characters.
const DEVICE_CHARS_MAX: usize = 64;

/// Samples of a name, with this value of a label if it is given.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
}

const fn of(name: &'static str) -> Named {
    Named { name, label: None }
}

const fn with(name: &'static str, label: &'static str, value: &'static str) -> Named {
    Named {
        name,
        label: Some((label, value)),
    }
}

/// How a figure follows from samples. A server has several samples of a name where it runs several engines or models.
#[derive(Clone, Copy, Debug)]
enum How {
    /// The sum of gauges.
    Sum(Named),
    /// The mean of gauges.
    Mean(Named),
    /// The mean of gauges in percent.
    Percent(Named),
    /// The largest of gauges.
    Max(Named),
    /// The sum of counters.
    Count(Named),
    /// One counter as a share of another.
    ShareOf(Named, Named),
    /// One gauge as a share of another.
    Of(Named, Named),
    /// One gauge as a share of its sum with another.
    Beside(Named, Named),
}

use How::{Beside, Count, Max, Mean, Of, Percent, ShareOf, Sum};

/// How each figure follows. Of several rows of one figure, the first counts of which a page has samples: servers export old names beside
/// new ones.
const TABLE: &[(Metric, How)] = &[
    // vLLM
    (Metric::Queue, Sum(of("vllm:num_requests_waiting"))),
    (Metric::Running, Sum(of("vllm:num_requests_running"))),
    (Metric::KvUse, Mean(of("vllm:kv_cache_usage_perc"))),
    (Metric::KvUse, Mean(of("vllm:gpu_cache_usage_perc"))),
    (
        Metric::PrefixHits,
        ShareOf(
            of("vllm:prefix_cache_hits_total"),
            of("vllm:prefix_cache_queries_total"),
        ),
    ),
    (
        Metric::PrefixHits,
        ShareOf(
            of("vllm:gpu_prefix_cache_hits_total"),
            of("vllm:gpu_prefix_cache_queries_total"),
        ),
    ),
    (Metric::Preemptions, Count(of("vllm:num_preemptions_total"))),
    (Metric::PromptTokens, Count(of("vllm:prompt_tokens_total"))),
    (
        Metric::OutputTokens,
        Count(of("vllm:generation_tokens_total")),
    ),
    (Metric::Served, Count(of("vllm:request_success_total"))),
    // SGLang
    (Metric::Queue, Sum(of("sglang:num_queue_reqs"))),
    (Metric::Running, Sum(of("sglang:num_running_reqs"))),
    (Metric::KvUse, Mean(of("sglang:token_usage"))),
    (Metric::PrefixHits, Mean(of("sglang:cache_hit_rate"))),
    (
        Metric::Preemptions,
        Count(of("sglang:num_retracted_requests_total")),
    ),
    (
        Metric::PromptTokens,
        Count(of("sglang:prompt_tokens_total")),
    ),
    (
        Metric::OutputTokens,
        Count(of("sglang:generation_tokens_total")),
    ),
    (Metric::Served, Count(of("sglang:num_requests_total"))),
    // TGI
    (Metric::Queue, Sum(of("tgi_queue_size"))),
    (Metric::Running, Sum(of("tgi_batch_current_size"))),
    (
        Metric::PromptTokens,
        Count(of("tgi_request_input_length_sum")),
    ),
    (
        Metric::OutputTokens,
        Count(of("tgi_request_generated_tokens_sum")),
    ),
    (Metric::Served, Count(of("tgi_request_success"))),
    (Metric::Refused, Count(of("tgi_request_failure"))),
    // Triton, with its TensorRT-LLM backend first
    (
        Metric::Queue,
        Sum(with(
            "nv_trt_llm_request_metrics",
            "request_type",
            "waiting",
        )),
    ),
    (
        Metric::Running,
        Sum(with(
            "nv_trt_llm_request_metrics",
            "request_type",
            "scheduled",
        )),
    ),
    (
        Metric::KvUse,
        Mean(with(
            "nv_trt_llm_kv_cache_block_metrics",
            "kv_cache_block_type",
            "fraction",
        )),
    ),
    (Metric::Queue, Sum(of("nv_inference_pending_request_count"))),
    (Metric::Served, Count(of("nv_inference_request_success"))),
    (Metric::Refused, Count(of("nv_inference_request_failure"))),
    (Metric::GpuUse, Mean(of("nv_gpu_utilization"))),
    (
        Metric::GpuMemoryUse,
        Of(
            of("nv_gpu_memory_used_bytes"),
            of("nv_gpu_memory_total_bytes"),
        ),
    ),
    (Metric::GpuPower, Mean(of("nv_gpu_power_usage"))),
    // llama.cpp
    (Metric::Queue, Sum(of("llamacpp:requests_deferred"))),
    (Metric::Running, Sum(of("llamacpp:requests_processing"))),
    (Metric::KvUse, Mean(of("llamacpp:kv_cache_usage_ratio"))),
    (
        Metric::PromptTokens,
        Count(of("llamacpp:prompt_tokens_total")),
    ),
    (
        Metric::OutputTokens,
        Count(of("llamacpp:tokens_predicted_total")),
    ),
    // The pickers of llm-d-router and GIE
    (Metric::Queue, Sum(of("llm_d_epp_flow_control_queue_size"))),
    (
        Metric::Queue,
        Sum(of("inference_extension_flow_control_queue_size")),
    ),
    (Metric::Running, Sum(of("llm_d_epp_request_running"))),
    (
        Metric::Running,
        Sum(of("inference_objective_running_requests")),
    ),
    (
        Metric::Picks,
        Count(with(
            "llm_d_epp_scheduler_attempts_total",
            "status",
            "success",
        )),
    ),
    (
        Metric::Picks,
        Count(with(
            "inference_extension_scheduler_attempts_total",
            "status",
            "success",
        )),
    ),
    (Metric::Refused, Count(of("llm_d_epp_request_error_total"))),
    (
        Metric::Refused,
        Count(of("inference_objective_request_error_total")),
    ),
    (
        Metric::Saturation,
        Max(of("llm_d_epp_flow_control_pool_saturation")),
    ),
    (
        Metric::Saturation,
        Max(of("inference_extension_flow_control_pool_saturation")),
    ),
    (Metric::ReadyEndpoints, Sum(of("llm_d_epp_ready_endpoints"))),
    (Metric::ReadyEndpoints, Sum(of("inference_pool_ready_pods"))),
    (Metric::MeanQueue, Mean(of("llm_d_epp_average_queue_size"))),
    (
        Metric::MeanQueue,
        Mean(of("inference_pool_average_queue_size")),
    ),
    (
        Metric::MeanKvUse,
        Mean(of("llm_d_epp_average_kv_cache_utilization")),
    ),
    (
        Metric::MeanKvUse,
        Mean(of("inference_pool_average_kv_cache_utilization")),
    ),
    // DCGM
    (Metric::GpuUse, Percent(of("DCGM_FI_DEV_GPU_UTIL"))),
    (
        Metric::GpuMemoryUse,
        Beside(of("DCGM_FI_DEV_FB_USED"), of("DCGM_FI_DEV_FB_FREE")),
    ),
    (Metric::GpuPower, Mean(of("DCGM_FI_DEV_POWER_USAGE"))),
    (Metric::GpuTemperature, Mean(of("DCGM_FI_DEV_GPU_TEMP"))),
];

/// The rows that a name is about, and whether it is the second name there.
static ROWS: LazyLock<HashMap<&'static str, Vec<(usize, usize)>>> = LazyLock::new(|| {
    let mut rows: HashMap<_, Vec<_>> = HashMap::new();
    for (row, (_, how)) in TABLE.iter().enumerate() {
        for (place, named) in how.names().enumerate() {
            rows.entry(named.name).or_default().push((row, place));
        }
    }
    rows
});

/// The samples of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    sum: f64,
    largest: Option<f64>,
    count: u32,
}

/// Reads the figures of a page. Lines of other metrics, and values that are no numbers, are skipped.
pub fn parse(text: &str) -> Reading {
    let mut gathered: BTreeMap<(usize, Option<String>), [Gathered; 2]> = BTreeMap::new();
    let mut devices = 0;
    for sample in prometheus::parse(text) {
        let rows = ROWS.get(sample.name).map_or(&[][..], Vec::as_slice);
        for (row, place) in rows {
            let (metric, how) = &TABLE[*row];
            if !sample.value.is_finite() || !how.takes(*place, &sample) {
                continue;
            }
            let key = (*row, device_of(*metric, &sample));
            if key.1.is_some() && !gathered.contains_key(&key) {
                devices += 1;
                if devices > DEVICES_MAX * TABLE.len() {
                    continue;
                }
            }
            gathered.entry(key).or_default()[*place].add(sample.value);
        }
    }
    let mut reading = Reading::default();
    // In the order of the table, so that the first row of a figure counts.
    for ((row, device), samples) in gathered {
        let (metric, how) = &TABLE[row];
        let is_new = !reading.0.keys().any(|(known, own)| {
            known == metric && (own == &device || own.is_some() != device.is_some())
        });
        let of_metric = reading.0.keys().filter(|(known, _)| known == metric);
        let has_room = of_metric.count() < DEVICES_MAX;
        if let (Some(value), true, true) = (how.value(samples), is_new, has_room) {
            reading.0.insert((*metric, device), value);
        }
    }
    reading
}

impl How {
    fn names(&self) -> impl Iterator<Item = &Named> {
        let (first, second) = match self {
            Sum(one) | Mean(one) | Percent(one) | Max(one) | Count(one) => (one, None),
            ShareOf(one, other) | Of(one, other) | Beside(one, other) => (one, Some(other)),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether a sample has the label of the name at this place.
    fn takes(&self, place: usize, sample: &Sample<'_>) -> bool {
        let label = self.names().nth(place).and_then(|named| named.label);
        label.is_none_or(|(name, value)| sample.label(name) == value)
    }

    /// The figure of these samples; `None` if there are too few.
    fn value(&self, [first, second]: [Gathered; 2]) -> Option<Value> {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| Value::Gauge(part / whole));
        match self {
            Sum(_) => first.any().map(|it| Value::Gauge(it.sum)),
            Mean(_) => first.mean().map(Value::Gauge),
            Percent(_) => first.mean().map(|percent| Value::Gauge(percent / 100.0)),
            Max(_) => first.largest.map(Value::Gauge),
            Count(_) => first.any().map(|it| Value::Counter(it.sum)),
            ShareOf(..) => {
                let (part, whole) = first.any().zip(second.any())?;
                Some(Value::Share(part.sum, whole.sum))
            }
            Of(..) => share(first.any()?.sum, second.any()?.sum),
            Beside(..) => share(first.any()?.sum, first.sum + second.any()?.sum),
        }
    }
}

impl Gathered {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.largest = Some(self.largest.map_or(value, |largest| largest.max(value)));
        self.count = self.count.saturating_add(1);
    }

    fn any(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }

    fn mean(self) -> Option<f64> {
        self.any().map(|it| it.sum / f64::from(it.count))
    }
}

/// The GPU that a sample is about, and its part if it is divided.
fn device_of(metric: Metric, sample: &Sample<'_>) -> Option<String> {
    let is_of_gpu = matches!(
        metric,
        Metric::GpuUse | Metric::GpuMemoryUse | Metric::GpuPower | Metric::GpuTemperature
    );
    let names = ["gpu", "gpu_uuid", "UUID"].into_iter();
    let name = names.map(|label| sample.label(label));
    let name = name.filter(|_| is_of_gpu).find(|name| !name.is_empty())?;
    let part = match sample.label("GPU_I_ID") {
        "" => String::new(),
        part => format!("/{part}"),
    };
    let host = match sample.label("Hostname") {
        "" => String::new(),
        host => format!("{host} "),
    };
    let name = format!("{host}gpu {name}{part}");
    Some(name.chars().take(DEVICE_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests;
