//! The arguments of `poolproof serve model-server`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use poolproof_fixtures::model_server::{CompletionFault, Config, MetricsFault, Settings};

/// How long a model server finishes its requests after SIGTERM; the default `terminationGracePeriodSeconds` of Kubernetes.
pub(super) const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// Flags of a model server.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof serve model-server --model model-a --name model-a-0
  poolproof serve model-server --listen 127.0.0.1:8001 --model model-a --max-num-seqs 2 --decode-seq-us 5000

It prints `listening on ADDRESS` once it listens. While it runs:
  curl -s ADDRESS/poolproof/state
  curl -s -X PATCH ADDRESS/poolproof/settings -d '{\"metrics_fault\": \"status-404\"}'
  curl -s ADDRESS/poolproof/requests?since=0")]
pub(crate) struct Args {
    /// Listen address; port 0 takes a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Server name, sent in the response header `x-inference-pod`
    #[arg(long, default_value = "model-server")]
    name: String,
    /// Namespace, sent in the response header `x-inference-namespace`
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Model to serve; repeatable
    #[arg(long = "model", value_name = "NAME", required = true)]
    models: Vec<String>,
    /// LoRA adapters of the first model
    #[arg(long = "lora-modules", value_name = "NAME", num_args = 1..)]
    adapters: Vec<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Flags of the settings, by the names of the fields of [`Settings`].
#[derive(Clone, Debug, clap::Args)]
struct SettingsArgs {
    /// Requests processed at the same time
    #[arg(long, default_value_t = Settings::default().max_num_seqs)]
    max_num_seqs: usize,
    /// Tokens per step, prefill and decode together
    #[arg(long, default_value_t = Settings::default().max_num_batched_tokens)]
    max_num_batched_tokens: usize,
    /// Context length: tokens of prompt and answer together
    #[arg(long, default_value_t = Settings::default().max_model_len)]
    max_model_len: usize,
    /// Longest queue; further requests are refused with 429 [default: no limit]
    #[arg(long)]
    max_waiting: Option<usize>,
    /// Tokens per KV block
    #[arg(long, default_value_t = Settings::default().block_size)]
    block_size: usize,
    /// Number of KV blocks
    #[arg(long, default_value_t = Settings::default().num_gpu_blocks)]
    num_gpu_blocks: usize,
    /// LoRA adapters in use at the same time; requests for others wait
    #[arg(long, default_value_t = Settings::default().max_loras)]
    max_loras: usize,
    /// Time added to a step for each adapter it has to load, in milliseconds
    #[arg(long, default_value_t = Settings::default().lora_load_ms)]
    lora_load_ms: f64,
    /// Disable reuse of KV blocks by requests with the same prefix
    #[arg(long)]
    no_prefix_caching: bool,
    /// Time of an empty step, in microseconds
    #[arg(long, default_value_t = Settings::default().step_base_us)]
    step_base_us: f64,
    /// Time added to a step by a prompt token, in microseconds
    #[arg(long, default_value_t = Settings::default().prefill_token_us)]
    prefill_token_us: f64,
    /// Time added to a step by a decoding request, in microseconds
    #[arg(long, default_value_t = Settings::default().decode_seq_us)]
    decode_seq_us: f64,
    /// Send response headers with the first token, as llm-d-inference-sim does, instead of on admission, as vLLM does
    #[arg(long)]
    headers_with_first_token: bool,
    /// Longest request body, in bytes
    #[arg(long, default_value_t = Settings::default().body_limit_bytes)]
    body_limit_bytes: usize,
    /// Engines in /metrics
    #[arg(long, default_value_t = Settings::default().engines)]
    engines: usize,
    /// The engine, from 0, that has all requests in /metrics; the others are idle
    #[arg(long, default_value_t = Settings::default().busy_engine)]
    busy_engine: usize,
    /// Fault of /metrics: none, status-CODE, hang, garbage, empty, reset, frozen, untyped, no-waiting
    #[arg(long, default_value_t)]
    metrics_fault: MetricsFault,
    /// Fault of completions: none, status-CODE, reset, stall, slow-headers-MS, cut-after-TOKENS
    #[arg(long, default_value_t)]
    completion_fault: CompletionFault,
}

impl Args {
    /// Builds the configuration.
    pub(super) fn into_config(self) -> Result<Config> {
        let settings = Settings::from(self.settings);
        settings.check()?;
        ensure!(
            http::HeaderValue::from_str(&self.name).is_ok(),
            "--name {:?} cannot be sent in a header",
            self.name
        );
        Ok(Config {
            listen: self.listen,
            name: self.name,
            namespace: self.namespace,
            models: self.models,
            adapters: self.adapters,
            settings,
        })
    }
}

impl From<SettingsArgs> for Settings {
    fn from(args: SettingsArgs) -> Self {
        Self {
            max_num_seqs: args.max_num_seqs,
            max_num_batched_tokens: args.max_num_batched_tokens,
            max_model_len: args.max_model_len,
            max_waiting: args.max_waiting,
            block_size: args.block_size,
            num_gpu_blocks: args.num_gpu_blocks,
            max_loras: args.max_loras,
            lora_load_ms: args.lora_load_ms,
            no_prefix_caching: args.no_prefix_caching,
            step_base_us: args.step_base_us,
            prefill_token_us: args.prefill_token_us,
            decode_seq_us: args.decode_seq_us,
            headers_with_first_token: args.headers_with_first_token,
            body_limit_bytes: args.body_limit_bytes,
            engines: args.engines,
            busy_engine: args.busy_engine,
            metrics_fault: args.metrics_fault,
            completion_fault: args.completion_fault,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &str) -> Result<Config> {
        let program = ["model-server", "--model", "m"];
        Cli::try_parse_from(program.into_iter().chain(flags.split_whitespace()))?
            .args
            .into_config()
    }

    #[test]
    fn default_flags_give_the_default_settings() {
        assert_eq!(config("").unwrap().settings, Settings::default());
    }

    #[test]
    fn each_flag_sets_the_field_of_its_name() {
        let flags = "--max-num-seqs 2 --max-num-batched-tokens 3 --max-model-len 4 --max-waiting 5 --block-size 6 \
             --num-gpu-blocks 7 --max-loras 8 --lora-load-ms 9 --no-prefix-caching --step-base-us 10 \
             --prefill-token-us 11 --decode-seq-us 12 --headers-with-first-token --body-limit-bytes 13 \
             --engines 15 --busy-engine 14 --metrics-fault hang --completion-fault stall";
        let expected = Settings {
            max_num_seqs: 2,
            max_num_batched_tokens: 3,
            max_model_len: 4,
            max_waiting: Some(5),
            block_size: 6,
            num_gpu_blocks: 7,
            max_loras: 8,
            lora_load_ms: 9.0,
            no_prefix_caching: true,
            step_base_us: 10.0,
            prefill_token_us: 11.0,
            decode_seq_us: 12.0,
            headers_with_first_token: true,
            body_limit_bytes: 13,
            engines: 15,
            busy_engine: 14,
            metrics_fault: MetricsFault::Hang,
            completion_fault: CompletionFault::Stall,
        };
        assert_eq!(config(flags).unwrap().settings, expected);
    }

    #[test]
    fn a_zero_limit_is_an_error_that_names_the_setting() {
        let error = config("--max-num-seqs 0").unwrap_err().to_string();
        assert!(error.contains("max_num_seqs is 0"), "{error}");
    }
}
