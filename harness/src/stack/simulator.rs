//! llm-d-inference-sim v0.8.2: how it is started, on every stack that has it.

/// Its arguments, but for what is a process's own.
pub(super) fn args(model: &str, port: u16) -> Vec<String> {
    let port = port.to_string();
    [
        "--port",
        &port,
        // A name that no model hub knows: it asks one for the tokenizer of this name.
        "--model",
        "poolproof-simulated",
        "--max-num-seqs",
        "8",
        "--max-waiting-queue-length",
        "1000",
        "--max-model-len",
        "8192",
        "--time-to-first-token",
        "10ms",
        "--inter-token-latency",
        "5ms",
        "--enable-kvcache",
        "--kv-cache-size",
        "4096",
        "--zmq-endpoint=",
        "--served-model-name",
        model,
    ]
    .map(str::to_owned)
    .into()
}
