//! The workloads that ship with poolproof.

/// The workload of a run that names none: small enough for any server.
pub const QUICK: &str = "quick-chat";

/// Their names and texts.
pub const SHIPPED: &[(&str, &str)] = &[
    (QUICK, include_str!("quick-chat.toml")),
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
