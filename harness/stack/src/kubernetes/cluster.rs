//! A client of a Kubernetes cluster: applies objects by server-side apply, reads and deletes them.
//!
//! All requests use one type, `DynamicObject`, so that the client's code exists once and not per kind. Kinds of
//! Kubernetes get their types of `k8s-openapi` afterwards; those of the Gateway API and of its extensions have none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams,
    PropagationPolicy,
};
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiCapabilities, Scope};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

const FIELD_MANAGER: &str = "poolproof";

/// The text at a JSON pointer of an object, or an empty text.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    let text = object.pointer(path).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// The elements of a JSON array; none if the value is not an array.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Labels in the form of list requests: `KEY=VALUE,...`.
pub(crate) fn selector(labels: &BTreeMap<String, String>) -> String {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

/// A cluster. Clones share the cache of discovered kinds.
#[derive(Clone)]
pub struct Cluster {
    /// Its client.
    pub(crate) client: Client,
    /// Kinds discovered so far.
    kinds: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>>>,
}

impl Cluster {
    /// The cluster that a client reaches.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Arc::default(),
        }
    }

    /// The version of its API server.
    pub async fn version(&self) -> Result<String> {
        let info = self.client.apiserver_version().await;
        Ok(info
            .context("asking the cluster for its version")?
            .git_version)
    }

    /// Whether its API server serves a kind.
    pub async fn serves(&self, api_version: &str, kind: &str) -> bool {
        self.kind(&gvk(api_version, kind)).await.is_ok()
    }

    /// Applies an object.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let what = || format!("applying {kind} {name}");
        let api = self.api_of(object).await.with_context(what)?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(name, &parameters, &Patch::Apply(object))
            .await
            .with_context(what)?;
        Ok(())
    }

    /// Applies objects in order.
    pub async fn apply_all(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            self.apply(object).await?;
        }
        Ok(())
    }

    /// Reads an object; `None` if it does not exist.
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        let api = self.api(api_version, kind, namespace).await?;
        let object = api.get_opt(name).await;
        let object = object.with_context(|| format!("reading {kind} {namespace}/{name}"))?;
        Ok(object.map(serde_json::to_value).transpose()?)
    }

    /// Lists the objects of a kind with these labels, in one namespace, or in all if the namespace is empty.
    pub async fn list(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>> {
        let api = self.api(api_version, kind, namespace).await?;
        let listed = api.list(&ListParams::default().labels(labels)).await;
        let listed =
            listed.with_context(|| format!("listing {kind} of namespace {namespace:?}"))?;
        let objects = listed.items.into_iter().map(serde_json::to_value);
        Ok(objects.collect::<Result<_, _>>()?)
    }

    /// Reads an object of a kind that Kubernetes defines; `None` if it does not exist.
    pub(crate) async fn read<K: Resource + DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>> {
        let found = self.get(K::API_VERSION, K::KIND, namespace, name).await?;
        found.map(typed).transpose()
    }

    /// Lists the objects of a kind that Kubernetes defines, as [`Cluster::list`] does.
    pub(crate) async fn read_all<K: Resource + DeserializeOwned>(
        &self,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<K>> {
        let found = self.list(K::API_VERSION, K::KIND, namespace, labels);
        found.await?.into_iter().map(typed).collect()
    }

    /// Writes the status of an object, as a controller would.
    pub async fn write_status(&self, object: &Value, status: &Value) -> Result<()> {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let what = || format!("status of {kind} {name}");
        let api = self.api_of(object).await.with_context(what)?;
        let status = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &status)
            .await
            .with_context(what)?;
        Ok(())
    }

    /// Deletes an object if it exists; dependent objects are deleted in the background.
    pub async fn delete(
        &self,
        (api_version, kind): (&str, &str),
        namespace: &str,
        name: &str,
    ) -> Result<()> {
        let api = self.api(api_version, kind, namespace).await?;
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match api.delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("removing {kind} {namespace}/{name}")),
        }
    }

    /// Deletes a Pod without a grace period.
    pub async fn kill_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let api = self.api("v1", "Pod", namespace).await?;
        let parameters = DeleteParams::default().grace_period(0);
        let killed = api.delete(name, &parameters).await;
        killed.with_context(|| format!("killing Pod {namespace}/{name}"))?;
        Ok(())
    }

    /// Merges fields into an object.
    pub async fn merge(
        &self,
        (api_version, kind): (&str, &str),
        namespace: &str,
        name: &str,
        fields: &Value,
    ) -> Result<()> {
        let api = self.api(api_version, kind, namespace).await?;
        let merged = api
            .patch(name, &PatchParams::default(), &Patch::Merge(fields))
            .await;
        merged.with_context(|| format!("changing {kind} {namespace}/{name}"))?;
        Ok(())
    }

    /// The names of all namespaces with these labels.
    pub async fn namespaces(&self, labels: &str) -> Result<Vec<String>> {
        let namespaces = self.read_all::<Namespace>("", labels).await?;
        let names = namespaces.iter().map(ResourceExt::name_any);
        Ok(names.collect())
    }

    async fn api_of(&self, object: &Value) -> Result<Api<DynamicObject>> {
        self.api(
            text(object, "/apiVersion"),
            text(object, "/kind"),
            text(object, "/metadata/namespace"),
        )
        .await
    }

    async fn api(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> Result<Api<DynamicObject>> {
        let (resource, capabilities) = self.kind(&gvk(api_version, kind)).await?;
        let client = self.client.clone();
        Ok(match capabilities.scope {
            Scope::Namespaced if !namespace.is_empty() => {
                Api::namespaced_with(client, namespace, &resource)
            }
            Scope::Namespaced | Scope::Cluster => Api::all_with(client, &resource),
        })
    }

    async fn kind(&self, gvk: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
        let mut kinds = self.kinds.lock().await;
        if let Some(known) = kinds.get(gvk) {
            return Ok(known.clone());
        }
        let found = discovery::pinned_kind(&self.client, gvk).await;
        let found = found.with_context(|| {
            format!(
                "the cluster does not serve {}, kind {}",
                gvk.api_version(),
                gvk.kind
            )
        })?;
        kinds.insert(gvk.clone(), found.clone());
        Ok(found)
    }
}

/// An object with the type of its kind.
fn typed<K: Resource + DeserializeOwned>(object: Value) -> Result<K> {
    let typed = serde_json::from_value(object);
    typed.with_context(|| format!("reading the fields of a {}", K::KIND))
}

fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}
