//! The metrics of a model server, from its `/metrics`.
//!
//! Source: vLLM V1 metric names, as required by the model server protocol of the Gateway API Inference Extension
//! (proposal 003).

use anyhow::{Context, Result, ensure};
use url::Url;

use super::{metrics, prometheus};
use poolproof_model::target::{Endpoint, Paths};

/// One reading of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Waiting requests.
    pub waiting: f64,
    /// Running requests.
    pub running: f64,
    /// The share of the KV cache in use, 0 to 1.
    pub kv_usage: f64,
    /// Requests completed since its start.
    pub served_total: f64,
    /// Whether it exports that counter. Some servers do so only after the first request.
    pub counts_served: bool,
    /// Prompt tokens processed since its start; `None` if it does not export them.
    pub prompt_tokens_total: Option<f64>,
    /// The size of its KV cache in tokens, if it exports it.
    pub kv_capacity_tokens: Option<f64>,
}

/// Reads the metrics of an endpoint. Fails if it has no url, or lacks the gauges that a picker needs.
pub async fn read(http: &reqwest::Client, endpoint: &Endpoint) -> Result<Reading> {
    parse(&metrics(http, &metrics_url(endpoint)?).await?)
        .with_context(|| format!("metrics of endpoint {}", endpoint.name))
}

/// The address of the metrics of an endpoint. Fails if it has no url.
pub fn metrics_url(endpoint: &Endpoint) -> Result<Url> {
    let url = endpoint
        .url
        .as_ref()
        .with_context(|| format!("endpoint {} has no url", endpoint.name))?;
    let mut metrics = Paths::default().url(url, "/metrics")?;
    // Its login goes along, unlike in what is shown.
    let _ = metrics.set_username(url.username());
    let _ = metrics.set_password(url.password());
    Ok(metrics)
}

fn parse(text: &str) -> Result<Reading> {
    let mut reading = Reading::default();
    let mut seen = 0;
    for sample in prometheus::parse(text) {
        match sample.name {
            "vllm:num_requests_waiting" => {
                reading.waiting += sample.value;
                seen |= 1;
            }
            "vllm:num_requests_running" => {
                reading.running += sample.value;
                seen |= 2;
            }
            "vllm:kv_cache_usage_perc" => reading.kv_usage = reading.kv_usage.max(sample.value),
            "vllm:request_success_total" => {
                reading.served_total += sample.value;
                reading.counts_served = true;
            }
            "vllm:prompt_tokens_total" => {
                *reading.prompt_tokens_total.get_or_insert_default() += sample.value;
            }
            "vllm:cache_config_info" => {
                let figure = |label| sample.label(label).parse::<f64>().ok();
                reading.kv_capacity_tokens = figure("block_size")
                    .zip(figure("num_gpu_blocks"))
                    .map(|(size, blocks)| size * blocks);
            }
            _ => {}
        }
    }
    ensure!(
        seen == 3,
        "vllm:num_requests_waiting and vllm:num_requests_running are not both exported"
    );
    Ok(reading)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_of_vllm_and_one_of_something_else() {
        let text = "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 3\n\
                    vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 8\n\
                    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n\
                    vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1\n\
                    vllm:request_success_total{finished_reason=\"stop\"} 4\n\
                    vllm:prompt_tokens_total{model_name=\"m\"} 70\n\
                    vllm:request_success_total{finished_reason=\"length\"} 5\n";
        let reading = parse(text).unwrap();
        assert_eq!((reading.waiting, reading.running), (3.0, 8.0));
        assert_eq!(reading.served_total, 9.0);
        assert!(reading.counts_served);
        assert_eq!(reading.prompt_tokens_total, Some(70.0));
        assert_eq!(reading.kv_capacity_tokens, Some(1600.0));
        assert!(parse("up 1\n").is_err());
    }
}
