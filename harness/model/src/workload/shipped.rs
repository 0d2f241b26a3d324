//! The workloads that ship with poolproof.

/// Their names and texts.
pub const SHIPPED: &[(&str, &str)] = &[
    ("steady-chat", include_str!("steady-chat.toml")),
    (
        "shared-prefix-chat",
        include_str!("shared-prefix-chat.toml"),
    ),
    ("long-context", include_str!("long-context.toml")),
    (
        "mixed-priority-overload",
        include_str!("mixed-priority-overload.toml"),
    ),
    ("canary-under-load", include_str!("canary-under-load.toml")),
    ("agentic-sessions", include_str!("agentic-sessions.toml")),
    ("lora-mix", include_str!("lora-mix.toml")),
];
