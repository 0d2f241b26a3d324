//! The objects of cases in a cluster: applied, read and deleted.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{manifests, read};
use crate::kubernetes::api::{GATEWAY_API, INFERENCE_POOL};
use crate::kubernetes::{Cluster, text};
use poolproof_client::poll;
use poolproof_model::status::{Arrangement, Place, Report};

/// Until an object is gone after its deletion: finalizers run first.
const GONE_TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster with a controller of Gateways, and the objects that exist in two namespaces of it.
pub(crate) struct Objects {
    cluster: Cluster,
    names: Names,
    now: Mutex<Now>,
}

/// The names that manifests need.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The GatewayClass of Gateways.
    pub(crate) class: String,
    /// The stack, as the label of its namespaces has it.
    pub(crate) stack: String,
}

impl Names {
    /// The namespace of a place.
    pub(crate) fn namespace(&self, place: Place) -> String {
        match place {
            Place::Own => format!("{}-status", self.stack),
            Place::Other => format!("{}-status-other", self.stack),
        }
    }
}

#[derive(Default)]
struct Now {
    wanted: Arrangement,
    manifests: Vec<Value>,
    has_namespaces: bool,
}

impl Objects {
    /// Objects with Gateways of a GatewayClass. The namespaces have the label of the stack, by which they are removed with it.
    pub(crate) fn new(cluster: Cluster, class: &str, stack: &str) -> Self {
        Self {
            cluster,
            names: Names {
                class: class.to_owned(),
                stack: stack.to_owned(),
            },
            now: Mutex::default(),
        }
    }

    /// Makes exactly these objects exist.
    pub(super) async fn arrange(&self, wanted: Arrangement) -> Result<()> {
        let mut now = self.now.lock().await;
        if !now.has_namespaces {
            let namespaces = manifests::namespaces(&self.names);
            self.cluster.apply_all(&namespaces).await?;
            now.has_namespaces = true;
        }
        let manifests = manifests::of(&self.names, &wanted);
        let is_kept = |old: &Value| manifests.iter().any(|new| key(new) == key(old));
        let gone: Vec<Value> = now
            .manifests
            .iter()
            .filter(|old| !is_kept(old))
            .cloned()
            .collect();
        // Both lists are known before the first request, so that a failed one leaves nothing unknown.
        now.manifests.extend(manifests.iter().cloned());
        for old in gone.iter().rev() {
            self.delete(old).await?;
        }
        for new in &manifests {
            self.cluster.apply(new).await?;
        }
        now.manifests = manifests;
        now.wanted = wanted;
        Ok(())
    }

    async fn delete(&self, object: &Value) -> Result<()> {
        let (kind, namespace, name) = key(object);
        let api = text(object, "/apiVersion");
        self.cluster.delete((api, kind), namespace, name).await?;
        let what = format!("{kind} {namespace}/{name} is gone");
        let gone = poll::until(what, GONE_TIMEOUT, poll::INTERVAL, || async {
            let left = self.cluster.get(api, kind, namespace, name).await;
            left.is_ok_and(|left| left.is_none()).then_some(())
        });
        Ok(gone.await?)
    }

    /// The status of the objects that exist.
    pub(super) async fn report(&self) -> Result<Report> {
        let now = self.now.lock().await;
        let class = self
            .cluster
            .get(GATEWAY_API, "GatewayClass", "", &self.names.class)
            .await?;
        let class = class.unwrap_or_default();
        let controller = text(&class, "/spec/controllerName");
        let mut report = Report {
            controller: (!controller.is_empty()).then(|| controller.to_owned()),
            ..Report::default()
        };
        let own = self.names.namespace(Place::Own);
        for gateway in &now.wanted.gateways {
            let name = &gateway.name;
            let found = self.cluster.get(GATEWAY_API, "Gateway", &own, name).await?;
            report
                .gateways
                .insert(name.clone(), read::status(found.as_ref()));
        }
        for route in &now.wanted.routes {
            let name = &route.name;
            let found = self.cluster.get(GATEWAY_API, "HTTPRoute", &own, name);
            let found = read::status(found.await?.as_ref());
            report.routes.insert(name.clone(), found);
        }
        let (api, kind) = INFERENCE_POOL;
        for pool in &now.wanted.pools {
            let namespace = self.names.namespace(pool.place);
            let found = self.cluster.get(api, kind, &namespace, &pool.name).await?;
            let name = match pool.place {
                Place::Own => pool.name.clone(),
                Place::Other => format!("other/{}", pool.name),
            };
            report.pools.insert(name, read::status(found.as_ref()));
        }
        Ok(report)
    }
}

/// Kind, namespace and name.
fn key(object: &Value) -> (&str, &str, &str) {
    let of = |path| text(object, path);
    (of("/kind"), of("/metadata/namespace"), of("/metadata/name"))
}
