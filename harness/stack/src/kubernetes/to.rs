//! Which pod a way leads to.

/// Which pod.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// The one of this name, of a StatefulSet.
    Pod(String),
    /// Any ready one with these labels, `KEY=VALUE,...`.
    Labelled(String),
}
