//! LoRA adapters on the command line of a model server: vLLM's arguments, which stand-ins for it have too.

use poolproof_model::topology::Model;

/// The arguments by which the adapters of a model are served; none if it has none. `module` is how the server wants one written. They
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
