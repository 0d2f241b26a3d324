//! The OpenAI API: what its errors promise to clients.

use poolproof_model::coverage::{Document, Rule};

/// Errors of accounts and keys.
const ACCOUNTS: &str = "keys and quotas are no part of a pool";

pub(super) const DOCUMENT: Document = Document {
    name: "OpenAI API, errors",
    scope: "The codes of the guide to errors that concern a gateway in front of model servers, and the form of an error; errors of accounts in one row each.",
    cited_as: &["OpenAI API, errors", "OpenAI API, completions: model"],
    rules: &[
        Rule::checked(
            "400, invalid_request_error",
            "A malformed request, or one without a required parameter, gets a 4xx.",
            &["routing/invalid-model"],
        ),
        Rule::open("401", "A missing or wrong key gets 401.", ACCOUNTS),
        Rule::open(
            "403",
            "A country or a project without access gets 403.",
            ACCOUNTS,
        ),
        Rule::checked(
            "404, model_not_found",
            "A model that does not exist gets 404.",
            &["routing/unknown-model", "routing/exact-name"],
        ),
        Rule::partly(
            "429, rate limit",
            "Too many requests get 429, and a client waits before it tries again.",
            &[
                "priority/shed",
                "priority/held-limit",
                "errors/passed-through",
            ],
            "limits of a client or a key",
        ),
        Rule::open("429, quota", "A spent quota gets 429.", ACCOUNTS),
        Rule::checked(
            "500",
            "An error of a server gets 500, and is none of the request's.",
            &["errors/passed-through", "errors/refused-connections"],
        ),
        Rule::checked(
            "503",
            "An overloaded or missing server gets 503, with a time to wait if it is known.",
            &[
                "errors/passed-through",
                "rollout/empty-pool",
                "priority/held-expires",
            ],
        ),
        Rule::partly(
            "error object",
            "An error is JSON with an object `error` that has a message, a type, a parameter and a code.",
            &["errors/passed-through", "routing/unknown-model"],
            "of an error that a gateway makes itself, the status is checked and that it is one whole answer, not the object: the Gateway API asks for none",
        ),
        Rule::checked(
            "streaming",
            "An error after the first event ends the stream as a failure, not as a whole answer.",
            &["errors/cut-shows", "faults/endpoint-killed"],
        ),
        Rule::checked(
            "usage",
            "What an answer reports of its tokens reaches the client, right or wrong, and harms no later request.",
            &["errors/odd-answers", "protocol/body-unchanged"],
        ),
    ],
};
