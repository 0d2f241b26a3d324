//! Reads the status of an object. Everything in it is untrusted: a field that is missing or odd is read as absent.

use serde_json::Value;

use crate::kubernetes::{list, text};
use poolproof_model::status::{Condition, Parent, Reported};

/// The status of an object; an empty one if the object does not exist.
pub(super) fn status(object: Option<&Value>) -> Reported {
    let Some(object) = object else {
        return Reported::default();
    };
    let status = &object["status"];
    // A pool that no controller has seen may have a parent of the kind `Status`, which its definition sets.
    let of_gateways = list(&status["parents"]).filter(
        |parent| !matches!(parent["parentRef"]["kind"].as_str(), Some(kind) if kind != "Gateway"),
    );
    Reported {
        generation: object["metadata"]["generation"].as_i64().unwrap_or(0),
        conditions: conditions(&status["conditions"]),
        parents: of_gateways.map(parent).collect(),
    }
}

fn parent(parent: &Value) -> Parent {
    Parent {
        gateway: text(parent, "/parentRef/name").to_owned(),
        controller: parent["controllerName"].as_str().map(str::to_owned),
        conditions: conditions(&parent["conditions"]),
    }
}

fn conditions(conditions: &Value) -> Vec<Condition> {
    list(conditions).map(condition).collect()
}

fn condition(condition: &Value) -> Condition {
    Condition {
        kind: text(condition, "/type").to_owned(),
        status: text(condition, "/status").to_owned(),
        reason: text(condition, "/reason").to_owned(),
        observed_generation: condition["observedGeneration"].as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parents_that_are_no_gateways_and_odd_fields_are_absent() {
        let object = json!({
            "metadata": {"generation": 3},
            "status": {"parents": [
                {"parentRef": {"kind": "Status", "name": "default"}, "conditions": []},
                {"parentRef": {"name": "g"}, "controllerName": 7, "conditions": [{"type": "Accepted", "status": true}, 1]},
            ]},
        });
        let status = status(Some(&object));
        assert_eq!(status.generation, 3);
        assert_eq!(status.parents.len(), 1);
        let parent = &status.parents[0];
        assert_eq!(
            (parent.gateway.as_str(), parent.controller.as_deref()),
            ("g", None)
        );
        assert_eq!(parent.conditions[0].kind, "Accepted");
        assert_eq!(parent.conditions[0].status, "");
    }
}
