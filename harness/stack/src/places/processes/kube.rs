//! The Kubernetes API that endpoint pickers watch: the stand-in, or kube-apiserver and etcd without a kubelet.

mod real;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use poolproof_fixtures::kube_api;
use serde_json::Value;

use crate::ports::Ports;
use crate::process::{ProcessGroup, write};
use crate::programs::{Program, Programs};
use poolproof_model::parts::KubeApi;

/// The programs of a real Kubernetes API.
pub(super) const PROGRAMS: &[Program] = real::PROGRAMS;

/// A running Kubernetes API.
pub(super) struct Kube {
    api: Api,
    /// The kubeconfig for its clients.
    pub(super) kubeconfig: PathBuf,
    /// Its name and version.
    pub(super) version: String,
}

enum Api {
    StandIn(kube_api::KubeApi),
    Real(Box<real::Server>),
}

/// Starts it, and waits until it serves the kinds of the Gateway API Inference Extension.
pub(super) async fn start(
    which: KubeApi,
    programs: &Programs,
    group: &ProcessGroup,
    ports: &mut Ports,
) -> Result<Kube> {
    let (api, kubeconfig, version) = match which {
        KubeApi::StandIn => {
            let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let api = kube_api::KubeApi::start(any_port, Vec::new()).await?;
            let kubeconfig = api.kubeconfig();
            let version = format!("poolproof fixture {}", env!("CARGO_PKG_VERSION"));
            (Api::StandIn(api), kubeconfig, version)
        }
        KubeApi::Real => {
            let server = real::start(programs, group, ports).await?;
            let kubeconfig = server.kubeconfig();
            let version = server.version.clone();
            (Api::Real(Box::new(server)), kubeconfig, version)
        }
    };
    let path = group.logs.join("kubeconfig");
    write(&path, &kubeconfig)?;
    Ok(Kube {
        api,
        kubeconfig: path,
        version,
    })
}

impl Kube {
    /// Creates objects.
    pub(super) async fn apply(&self, objects: Vec<Value>) -> Result<()> {
        for object in objects {
            match &self.api {
                Api::StandIn(api) => api.apply(object)?,
                Api::Real(server) => server.apply(object).await?,
            }
        }
        Ok(())
    }

    /// Whether it shows pods that are about to be deleted. A real one deletes a pod without a kubelet at once.
    pub(super) fn has_terminating_pods(&self) -> bool {
        matches!(self.api, Api::StandIn(_))
    }

    /// Deletes a Pod of the stand-in, if it exists.
    pub(super) fn delete_pod(&self, namespace: &str, name: &str) {
        if let Api::StandIn(api) = &self.api {
            api.delete("Pod", namespace, name);
        }
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        match self.api {
            Api::StandIn(api) => api.stop().await,
            Api::Real(server) => server.stop().await,
        }
    }
}
