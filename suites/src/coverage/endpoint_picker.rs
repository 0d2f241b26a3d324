//! GIE v1.5.0: the protocol between gateway and endpoint picker, as far as it shows from outside.

use poolproof_model::coverage::{Document, Rule};

/// What only the two ends of ext_proc see.
const INSIDE: &str = "it passes between gateway and picker, where poolproof does not listen";

pub(super) const DOCUMENT: Document = Document {
    name: "GIE v1.5.0, docs/proposals/004-endpoint-picker-protocol",
    scope: "Every MUST of the protocol.",
    cited_as: &["docs/proposals/004"],
    rules: &[
        Rule::partly(
            "Proposal",
            "The picker supports streaming, so that answers arrive token by token.",
            &["routing/stream-unbuffered", "routing/stream-intact"],
            "the mode of ext_proc itself",
        ),
        Rule::open(
            "Endpoint Subset",
            "If the gateway names a subset, the picker selects from it only, or answers 503.",
            INSIDE,
        ),
        Rule::checked(
            "Endpoint Subset",
            "Without a subset, the picker selects from the endpoints of the InferencePool.",
            &["faults/endpoint-removed", "routing/known-model"],
        ),
        Rule::checked(
            "Destination Endpoint",
            "The picker names the endpoint in x-gateway-destination-endpoint, and the request goes there, whatever a client sends.",
            &["routing/spoofed-destination", "protocol/control-headers"],
        ),
        Rule::open(
            "Destination Endpoint",
            "The picker names the same endpoint in the header and in the metadata.",
            INSIDE,
        ),
        Rule::partly(
            "Destination Endpoint",
            "Of several named endpoints the first valid one is used; only if retries are configured, the next ones are tried in order.",
            &["errors/refused-connections", "errors/runs-once"],
            "the order of further endpoints: GIE's pickers name one by default",
        ),
        Rule::checked(
            "Destination Endpoint",
            "Without a ready endpoint, the picker answers 503.",
            &["rollout/empty-pool", "rollout/empty-weighted-pool"],
        ),
        Rule::checked(
            "Destination Endpoint",
            "A request that is dropped under load gets 429.",
            &["priority/shed"],
        ),
        Rule::open(
            "Destination Endpoint Served",
            "The gateway reports the endpoint that served to the picker.",
            INSIDE,
        ),
        Rule::open(
            "Health Checking",
            "The picker serves gRPC health checks for liveness and readiness.",
            "cases send requests through gateways only",
        ),
        Rule::open(
            "Leader Election Support",
            "Of several replicas of a picker, only the leader gets requests.",
            "stacks have one replica of each picker",
        ),
    ],
};
