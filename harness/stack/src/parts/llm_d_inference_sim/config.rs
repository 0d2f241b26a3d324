//! llm-d-inference-sim v0.8.2: its arguments, the same on every stack.
//!
//! Source: llm-d-inference-sim v0.8.2, pkg/common/config.go.

use serde_json::json;

use crate::parts::lora;
use poolproof_model::topology::Model;

/// It asks a hub for the tokenizer of this model, and does not start without it if the hub has the name.
const MODEL: &str = "poolproof-none";
/// The same number of slots as poolproof's own model server. The simulator sleeps once per token of each request: with
/// tokens of 1 ms, a loaded stack keeps two cores busy and misses its deadlines. It keeps 8 bytes per token of
/// `max-model-len` for each request that may wait.
const SETTINGS: [&str; 18] = [
    "--max-num-seqs",
    "8",
    "--max-waiting-queue-length",
    "1000",
    "--max-model-len",
    "8192",
    "--time-to-first-token",
    "1ms",
    "--inter-token-latency",
    "10ms",
    "--enable-kvcache",
    "--kv-cache-size",
    "2048",
    "--block-size",
    "16",
    // Without a subscriber to its KV events it would dial forever.
    "--zmq-endpoint=",
    "--v",
    "1",
];

/// Its arguments, except those of a local process.
pub(super) fn args(model: &Model, port: u16) -> Vec<String> {
    let port = port.to_string();
    // The served names are a list, which ends at the next argument that starts with two dashes.
    let own = [
        "--port",
        &port,
        "--served-model-name",
        &model.name,
        "--model",
        MODEL,
    ];
    let adapters = lora::args(model, |name| {
        json!({"name": name, "path": "none"}).to_string()
    });
    let own = own.iter().map(|argument| (*argument).to_owned());
    let settings = SETTINGS.iter().map(|argument| (*argument).to_owned());
    own.chain(adapters).chain(settings).collect()
}
