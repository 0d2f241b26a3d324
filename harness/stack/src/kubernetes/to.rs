//! The pod that a forward leads to.

/// The pod that a forward leads to.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// The pod of this name, of a StatefulSet.
    Pod(String),
    /// Any ready pod with these labels, `KEY=VALUE,...`.
    Labelled(String),
}
