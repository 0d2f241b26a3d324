//! Objects of a Kubernetes cluster whose conditions a case judges: Gateways, HTTPRoutes and InferencePools of its own. A case
//! requests them over HTTP at the address in the target, and reads their status there.
//!
//! A `PUT` with an [`Arrangement`] as JSON makes exactly these objects exist, in two namespaces that hold nothing else. It is
//! answered with a status of 200 to 299 once the cluster has taken them. A `GET` is answered with a [`Report`] as JSON. When
//! conditions follow is for cases to measure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// Where objects are requested, and their status is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statuses {
    /// The address that takes arrangements and answers with reports.
    pub url: Url,
}

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The namespace of all Gateways and routes.
    #[default]
    Own,
    /// The other namespace. References to it need a ReferenceGrant.
    Other,
}

/// All objects that exist. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrangement {
    /// The Gateways, each with one HTTP listener of the name [`LISTENER`].
    pub gateways: Vec<Gateway>,
    /// The HTTPRoutes.
    pub routes: Vec<Route>,
    /// The InferencePools.
    pub pools: Vec<Pool>,
    /// Whether a ReferenceGrant in [`Place::Other`] allows HTTPRoutes of [`Place::Own`] to refer to InferencePools.
    pub grant: bool,
}

/// The name of the listener of each Gateway.
pub const LISTENER: &str = "http";

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The port of its listener.
    pub port: u16,
}

/// An HTTPRoute with one parent and one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Its Gateway.
    pub gateway: String,
    /// The listener that its parent reference names; `None`: all.
    pub listener: Option<String>,
    /// The path prefix that its rule matches.
    pub path: String,
    /// The backend of its rule.
    pub backend: Backend,
}

/// The backend of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The name of the object that it refers to.
    pub name: String,
    /// The namespace of that object.
    pub place: Place,
    /// Whether the reference has a kind that no gateway knows, instead of InferencePool.
    pub unknown_kind: bool,
    /// The port of the reference.
    pub port: Option<u16>,
}

/// An InferencePool, and the Service of its endpoint picker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub place: Place,
    /// Its target port.
    pub port: u16,
    /// Whether the Service of its endpoint picker exists.
    pub picker: bool,
}

/// The status of the objects that exist, by name. A pool in [`Place::Other`] has the name `other/NAME`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `spec.controllerName` of the GatewayClass; `None` if there is none.
    pub controller: Option<String>,
    /// The Gateways.
    pub gateways: BTreeMap<String, Reported>,
    /// The HTTPRoutes.
    pub routes: BTreeMap<String, Reported>,
    /// The InferencePools.
    pub pools: BTreeMap<String, Reported>,
}

/// The status of one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.conditions`.
    pub conditions: Vec<Condition>,
    /// `status.parents`.
    pub parents: Vec<Parent>,
}

/// The status that a controller has written for one parent of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// `parentRef.name`.
    pub gateway: String,
    /// `controllerName`.
    pub controller: Option<String>,
    /// `conditions`.
    pub conditions: Vec<Condition>,
}

/// A condition (Kubernetes API conventions, typical status properties).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// `reason`.
    pub reason: String,
    /// `observedGeneration`.
    #[serde(rename = "observedGeneration")]
    pub observed_generation: Option<i64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_as_kubernetes_writes_it() {
        let text = r#"{"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 2,
                       "lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}"#;
        let condition: Condition = serde_json::from_str(text).unwrap();
        assert_eq!(condition.kind, "Accepted");
        assert_eq!(condition.observed_generation, Some(2));
    }
}
