//! Gateway API v1.5.1: matching and weights of an HTTPRoute, its timeouts, and its conditions.

use poolproof_model::coverage::{Document, Rule};

/// What one route for each model does not show.
const PATHS: &str = "routes to pools match every path, and one header that names the model; Gateway API's own conformance tests (HTTPRouteMatching and others) check it";
/// What only experimental fields have.
const EXPERIMENTAL: &str =
    "the field is experimental in v1.5.1; errors/runs-once checks that nothing is retried unasked";

pub(super) const DOCUMENT: Document = Document {
    name: "Gateway API v1.5.1, HTTPRoute",
    scope: "Rules on matching, weights, backends and timeouts, and on the conditions of routes to InferencePools; hosts, filters and TLS are left out.",
    cited_as: &["Gateway API v1.5"],
    rules: &[
        Rule::open(
            "HTTPRouteRule.matches",
            "A rule matches a request if any one of its matches does.",
            "routes to pools have one match each; Gateway API's HTTPRouteMatching checks it",
        ),
        Rule::open(
            "HTTPRouteRule.matches",
            "A rule without matches matches every request.",
            PATHS,
        ),
        Rule::open(
            "HTTPRouteRule.matches",
            "Among matches, an exact path goes before the longest prefix, then a method, then the most headers, then the most query parameters.",
            PATHS,
        ),
        Rule::open(
            "HTTPRouteRule.matches",
            "Among routes that tie, the oldest goes first, then the first by namespace and name; in a route, the first rule.",
            PATHS,
        ),
        Rule::checked(
            "HTTPRouteRule.matches",
            "A request that no attached rule matches gets 404.",
            &["routing/unknown-model", "routing/exact-name"],
        ),
        Rule::open(
            "HTTPRouteMatch",
            "All conditions of a match must hold.",
            "routes to pools have one condition each; Gateway API's HTTPRouteMatching checks it",
        ),
        Rule::open(
            "HTTPPathMatch",
            "Exact and PathPrefix compare paths with their case, a prefix by whole elements.",
            PATHS,
        ),
        Rule::partly(
            "HeaderMatchType",
            "A header match of type Exact compares the whole value.",
            &["routing/exact-name", "routing/blanks"],
            "values that no model name can have",
        ),
        Rule::open(
            "HTTPHeaderMatch.name",
            "Names of headers are compared without their case.",
            "the header is set by the gateway itself from the body, in one spelling; Gateway API's HTTPRouteHeaderMatching checks it",
        ),
        Rule::open(
            "HTTPHeaderMatch.name",
            "Of several entries with one name, only the first counts.",
            "routes to pools match one header",
        ),
        Rule::partly(
            "HTTPHeaderMatch.name",
            "How a repeated header is matched is up to the implementation, which should follow the HTTP rules.",
            &["routing/spoofed-model-header", "protocol/repeated-headers"],
            "which of two values a match takes: the rule leaves that open",
        ),
        Rule::checked(
            "BackendRef.weight",
            "A backend gets the proportion weight / sum of weights of the requests.",
            &[
                "canary/split-keep-alive",
                "canary/split-new-connections",
                "canary/windows",
            ],
        ),
        Rule::partly(
            "BackendRef.weight",
            "The sum of the weights need not be 100.",
            &["canary/split-keep-alive", "canary/split-new-connections"],
            "weights with another sum, unless the target has such: the default topology has 90 and 10",
        ),
        Rule::checked(
            "BackendRef.weight",
            "A single backend with a weight above 0 gets all requests.",
            &["routing/known-model"],
        ),
        Rule::checked(
            "BackendRef.weight",
            "A backend of weight 0 gets no requests.",
            &["canary/weight-zero"],
        ),
        Rule::open(
            "BackendRef.weight",
            "A backend without a weight has weight 1.",
            "a target names the weights that its routes have, after defaults; the API server sets this one",
        ),
        Rule::checked(
            "guides, HTTP traffic splitting",
            "Changed weights take effect, step by step, without a loss of requests.",
            &["canary/live-shift"],
        ),
        Rule::partly(
            "HTTPRouteRule.backendRefs",
            "If all backends of a rule are invalid, its requests get 500.",
            &["status/missing-pool"],
            "what requests get: `status` cases read conditions and send no request",
        ),
        Rule::partly(
            "HTTPRouteRule.backendRefs",
            "If some backends are invalid, the proportion of requests that they would have got receives 500.",
            &["rollout/empty-weighted-pool"],
            "an invalid backend: the case empties a valid pool",
        ),
        Rule::checked(
            "HTTPRouteRule.backendRefs",
            "Requests to a backend without ready endpoints should get 503, in its proportion.",
            &["rollout/empty-weighted-pool", "rollout/empty-pool"],
        ),
        Rule::checked(
            "HTTPRouteTimeouts.request",
            "If the gateway has not answered within the timeout, it returns a timeout error.",
            &["errors/route-timeout"],
        ),
        Rule::partly(
            "HTTPRouteTimeouts.request",
            "A timeout of zero switches the timeout off.",
            &["errors/slow-answers"],
            "a target does not tell zero from absent: slow answers must arrive with both",
        ),
        Rule::open(
            "HTTPRouteTimeouts.backendRequest",
            "A request to a backend is given up after this time.",
            "no stack sets it: without retries it does what the timeout of the request does",
        ),
        Rule::open(
            "HTTPRouteRule.retry",
            "A request is retried after the given codes and connection errors, at most so often.",
            EXPERIMENTAL,
        ),
        Rule::open(
            "HTTPRouteRule.sessionPersistence",
            "Requests of a session go to one backend.",
            "the field is experimental in v1.5.1; affinity/session checks sessions of an endpoint picker",
        ),
        Rule::checked(
            "RouteConditionAccepted, NoMatchingParent",
            "A route whose parent reference names no listener of the Gateway is not accepted.",
            &["status/listener"],
        ),
        Rule::checked(
            "RouteConditionAccepted, Accepted",
            "A route that a Gateway accepts has Accepted True, for its current generation.",
            &["status/accepted"],
        ),
        Rule::checked(
            "RouteConditionResolvedRefs, BackendNotFound",
            "A route to a backend that does not exist has ResolvedRefs False with this reason.",
            &["status/missing-pool"],
        ),
        Rule::checked(
            "RouteConditionResolvedRefs, InvalidKind",
            "A route to a backend of an unknown kind has ResolvedRefs False with this reason.",
            &["status/missing-pool"],
        ),
        Rule::checked(
            "RouteConditionResolvedRefs, RefNotPermitted",
            "A route to a backend of another namespace without a ReferenceGrant has ResolvedRefs False with this reason.",
            &["status/cross-namespace"],
        ),
        Rule::checked(
            "implementers' guide, Gateway status",
            "Conditions carry the generation that they are about.",
            &["status/accepted", "status/pool-generation"],
        ),
    ],
};
