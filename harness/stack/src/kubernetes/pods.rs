//! Our own pods beside a gateway.

use url::Url;

use super::cluster::Cluster;

/// What our own pods beside a gateway need.
#[derive(Clone)]
pub(crate) struct Pods {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    /// The image with the poolproof program.
    pub(crate) image: String,
    /// The URL of the gateway for a pod, if known.
    pub(crate) gateway: Option<Url>,
}
