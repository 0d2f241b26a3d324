//! llm-d-inference-sim v0.8.2: how it is started, on every stack that has it.
//!
//! Source: llm-d-inference-sim v0.8.2, pkg/common/config.go.

use serde_json::json;

use crate::parts::lora;
use poolproof_model::topology::Model;

/// It asks a hub for the tokenizer of this model and refuses to start without it if the hub knows the name.
const MODEL: &str = "poolproof-none";
/// As many places as poolproof's own model server. The simulator sleeps once for each token of each request: tokens of 1 ms keep
/// two cores busy with a loaded stack, and nothing comes in time then. It keeps 8 bytes for each token of `max-model-len`
/// for each request that may wait.
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
    // Nobody listens to its KV events; else it would dial for ever.
    "--zmq-endpoint=",
    "--v",
    "1",
];

/// Its arguments, but for what is a process's own.
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
    let own = own.iter().map(|it| (*it).to_owned());
    let settings = SETTINGS.iter().map(|it| (*it).to_owned());
    own.chain(adapters).chain(settings).collect()
}
