//! LoRA adapters on the command line of a model server, with vLLM's arguments, which our stand-ins share.

use poolproof_model::topology::Model;

/// The arguments that serve the adapters of a model; empty without adapters. `module` formats one for the server. They
/// are a list, which ends at the next argument that starts with two dashes.
pub(super) fn args(model: &Model, module: impl Fn(&String) -> String) -> Vec<String> {
    if model.adapters.is_empty() {
        return Vec::new();
    }
    let max_loras = model.max_loras.to_string();
    let mut args = vec!["--max-loras".to_owned(), max_loras];
    args.push("--lora-modules".to_owned());
    args.extend(model.adapters.iter().map(module));
    args
}
