//! How pods of ours are run beside a gateway.

use url::Url;

use super::cluster::Cluster;

/// What pods of ours beside a gateway are made of, and where they reach it.
#[derive(Clone)]
pub(crate) struct Pods {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    /// The image with the poolproof program.
    pub(crate) image: String,
    /// Where a pod reaches the gateway, if that is known.
    pub(crate) gateway: Option<Url>,
}
