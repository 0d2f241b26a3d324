//! A stack in a cluster, as its own pods see it.

use std::fmt;

use anyhow::{Context, Result};
use url::Url;

use super::kubernetes::{Cluster, Opened};
use super::running::Stack;
use poolproof_model::target::Target;

/// Maps local addresses of forwards to addresses for pods.
#[derive(Clone)]
pub struct ClusterView {
    /// The gateway.
    pub gateway: Url,
    cluster: Cluster,
    opened: Vec<Opened>,
}

impl Stack {
    /// The stack as pods see it, if it is in a cluster and its gateway's address there is known.
    pub fn cluster_view(&self) -> Option<ClusterView> {
        let (pods, forwards) = self.running.in_cluster()?;
        Some(ClusterView {
            gateway: pods.gateway.clone()?,
            cluster: pods.cluster.clone(),
            opened: forwards.opened.clone(),
        })
    }
}

impl ClusterView {
    /// The target with the current addresses of pods. It takes no changes from inside the cluster.
    pub async fn seen_inside(&self, target: &Target) -> Result<Target> {
        let mut seen = target.clone();
        seen.url = self.gateway.clone();
        seen.changes = None;
        let pools = seen.models.iter_mut().flat_map(|model| &mut model.pools);
        let urls = pools.flat_map(|pool| {
            let endpoints = pool.endpoints.iter_mut();
            let urls = endpoints.flat_map(|endpoint| [&mut endpoint.url, &mut endpoint.control]);
            urls.chain([&mut pool.epp_metrics])
        });
        let urls: Vec<&mut Url> = urls.flatten().collect();
        for url in urls {
            *url = self.inside(url).await?;
        }
        Ok(seen)
    }

    async fn inside(&self, url: &Url) -> Result<Url> {
        let mut opened = self.opened.iter();
        let opened = opened.find(|forward| forward.leads_to(url));
        let opened = opened.with_context(|| format!("no way into the cluster has {url}"))?;
        opened.inside(&self.cluster, url).await
    }
}

impl fmt::Debug for ClusterView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterView")
            .field("gateway", &self.gateway.as_str())
            .finish_non_exhaustive()
    }
}
