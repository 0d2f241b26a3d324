//! A cluster, and how programs on this machine reach it.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use url::Url;

use super::cluster::Cluster;
use super::helm::Helm;
use crate::artifacts::Artifacts;
use crate::process::ProcessGroup;

/// A cluster, and how programs on this machine reach it.
pub(crate) struct Site<'a> {
    /// The cluster.
    pub(crate) cluster: &'a Cluster,
    /// Its kubeconfig.
    pub(crate) kubeconfig: &'a Path,
    /// Its context; `None`: the current one.
    pub(crate) context: Option<&'a str>,
    /// Starts programs.
    pub(crate) group: &'a ProcessGroup,
    /// The source of charts and definitions.
    pub(crate) artifacts: &'a Artifacts,
    /// The gateway's local URL; `None`: through the cluster's API, like everything else.
    pub(crate) gateway: Option<Url>,
    /// The address of a node that may be reachable from here.
    pub(crate) node: Option<IpAddr>,
}

impl Site<'_> {
    /// Installs a chart of `kind/versions.toml`, or upgrades it to these values.
    pub(crate) async fn install(
        &self,
        release: (&str, &str),
        chart: &str,
        values: &Value,
    ) -> Result<()> {
        let packed = self.artifacts.chart(self.group, chart).await?;
        let helm = Helm {
            group: self.group,
            kubeconfig: self.kubeconfig,
            context: self.context,
        };
        helm.install(release, &packed, values).await
    }
}
