//! The permissions that a cluster stack needs.

/// The ClusterRole of `--existing`: read access, and port forwards to pods.
pub const READER: &str = include_str!("../../../../../kind/charts/poolproof/reader.yaml");
