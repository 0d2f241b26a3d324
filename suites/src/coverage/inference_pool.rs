//! GIE v1.5.0: the InferencePool and the InferenceObjective.

use poolproof_model::coverage::{Document, Rule};

/// What the API server refuses by itself.
const SCHEMA: &str = "the schema of the definition refuses it; no gateway or picker takes part";

pub(super) const DOCUMENT: Document = Document {
    name: "GIE v1.5.0, InferencePool (api/v1) and InferenceObjective (apix/v1alpha2)",
    scope: "Every sentence of the fields and of their conditions that asks something of a gateway, a controller or a picker.",
    cited_as: &["api/v1, ", "InferencePoolCondition", "InferencePoolStatus"],
    rules: &[
        Rule::checked(
            "InferencePool.spec.selector",
            "The pods that the labels select are the members of the pool.",
            &[
                "faults/endpoint-removed",
                "rollout/not-ready",
                "rollout/terminate",
                "routing/known-model",
            ],
        ),
        Rule::open(
            "InferencePool.spec.selector",
            "Pods of other namespaces are no members.",
            "no stack has pods with equal labels in two namespaces",
        ),
        Rule::checked(
            "InferencePool.spec.targetPorts",
            "Each port of each pod is an endpoint of its own.",
            &["distribution/ports"],
        ),
        Rule::open(
            "InferencePool.spec.targetPorts",
            "There are 1 to 8 ports, each once.",
            SCHEMA,
        ),
        Rule::open(
            "InferencePool.spec.appProtocol",
            "Endpoints are reached by HTTP/1.1, or by HTTP/2 without TLS if the field asks for it.",
            "model servers of all stacks speak HTTP/1.1; GIE's own conformance test (InferencePoolAppProtocol) checks the other one",
        ),
        Rule::checked(
            "InferencePool.spec.endpointPickerRef",
            "The endpoint picker of the pool chooses the endpoint of each of its requests.",
            &["routing/known-model", "canary/less-loaded"],
        ),
        Rule::open(
            "EndpointPickerRef.kind",
            "Services of type ExternalName are not supported.",
            "no stack can be asked for a Service of that type",
        ),
        Rule::checked(
            "EndpointPickerRef.name",
            "The reference names a Service that exists; otherwise it cannot be resolved.",
            &["status/missing-picker"],
        ),
        Rule::open(
            "EndpointPickerRef.port",
            "A reference to a Service has a port, which is that of the Service, not of its pods.",
            "GIE's chart gives both ports one number",
        ),
        Rule::checked(
            "EndpointPickerRef.failureMode, FailClose",
            "While the picker fails, requests are dropped; this is the default.",
            &["faults/picker-down"],
        ),
        Rule::checked(
            "EndpointPickerRef.failureMode, FailOpen",
            "While the picker fails, the gateway forwards requests to an endpoint of its own choice.",
            &["faults/picker-down-open"],
        ),
        Rule::checked(
            "InferencePool.status.parents",
            "A controller adds an entry for each parent that it manages.",
            &["status/parents"],
        ),
        Rule::checked(
            "InferencePool.status.parents",
            "A controller removes the entry of a parent that no longer uses the pool.",
            &["status/parents"],
        ),
        Rule::open(
            "InferencePool.status.parents",
            "There are at most 32 entries.",
            SCHEMA,
        ),
        Rule::checked(
            "ParentStatus.parentRef",
            "An entry names its parent, such as a Gateway.",
            &["status/parents"],
        ),
        Rule::open(
            "ParentStatus.controllerName",
            "A controller may write its name into an entry.",
            "it is optional: no status is wrong without it",
        ),
        Rule::checked(
            "InferencePoolConditionAccepted",
            "A pool that its parent supports has Accepted True.",
            &["status/accepted"],
        ),
        Rule::open(
            "InferencePoolConditionAccepted, NotSupportedByParent",
            "A pool that its parent does not support has Accepted False.",
            "every gateway that poolproof tests supports InferencePools",
        ),
        Rule::open(
            "InferencePoolConditionAccepted, HTTPRouteNotAccepted",
            "A pool whose route was rejected may have Accepted False.",
            "the reason is optional",
        ),
        Rule::checked(
            "InferencePoolConditionResolvedRefs",
            "A pool whose references are resolved has ResolvedRefs True.",
            &["status/accepted", "status/missing-picker"],
        ),
        Rule::partly(
            "InferencePoolConditionResolvedRefs, InvalidExtensionRef",
            "A pool whose endpoint picker has an unknown kind or does not exist has ResolvedRefs False.",
            &["status/missing-picker"],
            "an unknown kind of picker: gateways may support others than Services",
        ),
        Rule::checked(
            "conditions, observedGeneration",
            "Conditions follow each generation of the pool.",
            &["status/pool-generation"],
        ),
        Rule::checked(
            "conformance, InferencePoolHTTPRoutePortValidation",
            "The port of a route's reference to a pool is optional and ignored.",
            &["status/port"],
        ),
        Rule::checked(
            "InferenceObjectiveSpec.priority",
            "Requests of higher priority are served first while there is not enough for all.",
            &["priority/held-order", "priority/interactive-admitted"],
        ),
        Rule::partly(
            "InferenceObjectiveSpec.priority",
            "Negative priorities are allowed, and go after 0.",
            &["priority/held-order", "priority/shed"],
            "priority 0 itself: cases compare the highest and the lowest class of a target",
        ),
        Rule::open(
            "InferenceObjectiveSpec.priority",
            "A request without an objective has priority 0.",
            "cases send two classes, each with an objective",
        ),
        Rule::checked(
            "InferenceObjectiveSpec.priority",
            "Fairness holds among requests of one priority only.",
            &["priority/fairness", "priority/held-order"],
        ),
        Rule::checked(
            "InferenceObjectiveSpec.priority",
            "An edited priority takes effect.",
            &["priority/objective-edited"],
        ),
        Rule::open(
            "InferenceObjectiveSpec.poolRef",
            "An objective belongs to one pool, in its own namespace.",
            "no stack has objectives of one name in two pools of a namespace",
        ),
    ],
};
