//! Needs for the limits of a gateway: the time of a request and the length of its body.

use std::time::Duration;

use poolproof_model::target::{Model, Target};

use super::Find;

/// The first model whose route has a timeout, with that timeout.
#[derive(Debug)]
pub struct RouteTimeout;

impl Find for RouteTimeout {
    const WHAT: &'static str = "a model with request_timeout_ms";
    const ADD: &'static [&'static str] = &["`request_timeout_ms` of a model"];
    type Found<'a> = (&'a Model, Duration);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.models.iter().find_map(|model| {
            let timeout = model.request_timeout_ms?;
            Some((model, Duration::from_millis(timeout)))
        })
    }
}

/// The longest request body that the gateway accepts, in bytes.
#[derive(Debug)]
pub struct BodyLimit;

impl Find for BodyLimit {
    const WHAT: &'static str = "body_limit_bytes";
    const ADD: &'static [&'static str] = &["`body_limit_bytes`"];
    type Found<'a> = usize;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.body_limit_bytes
    }
}
