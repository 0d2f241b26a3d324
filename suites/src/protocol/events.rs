//! Answers without what differs from one answer to the next: what a gateway returns can be compared with what the
//! endpoint itself answers to the same request.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use poolproof_cases::context::Context;
use poolproof_client::{Connections, Ending, Exchange, Request, drive, sse};
use poolproof_model::target::{Model, Pool, Target};
use serde_json::Value;

/// What an answer contains: the JSON of a whole one, or the events of a stream, without `id` and `created`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content(Vec<Value>);

impl Content {
    /// The content of a body. Fails with the reason if it is none of an OpenAI API.
    pub(super) fn of_body(
        is_stream: bool,
        body: &[u8],
        at: std::time::Instant,
    ) -> Result<Self, String> {
        if !is_stream {
            return Self::of_parts([String::from_utf8_lossy(body).into_owned()]);
        }
        let frames = sse::Parser::default().feed(body, at);
        Self::of_parts(frames.into_iter().map(|frame| frame.data))
    }

    fn of_parts(parts: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut content, mut ids) = (Vec::new(), BTreeSet::new());
        for data in parts {
            if data == "[DONE]" {
                content.push(Value::String(data));
                continue;
            }
            let mut part: Value = serde_json::from_str(&data)
                .map_err(|_| format!("no JSON: {:?}", data.chars().take(80).collect::<String>()))?;
            if let Some(fields) = part.as_object_mut() {
                ids.extend(fields.remove("id").map(|id| id.to_string()));
                fields.remove("created");
            }
            content.push(part);
        }
        if ids.len() > 1 {
            return Err(format!("parts of {} answers", ids.len()));
        }
        Ok(Self(content))
    }

    /// How another content differs from this one, if it does.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let (own, other) = (&self.0, &other.0);
        let place = own.iter().zip(other).position(|(own, other)| own != other);
        match place {
            Some(place) => Some(format!(
                "part {} of {} is {}, the endpoint's own is {}",
                place + 1,
                own.len(),
                other[place],
                own[place]
            )),
            None if own.len() != other.len() => Some(format!(
                "{} parts, the endpoint's own has {}",
                other.len(),
                own.len()
            )),
            None => None,
        }
    }
}

/// The content of a complete answer of 200 that is not compressed.
pub(super) fn content(exchange: &Exchange) -> Result<Content, String> {
    if exchange.status != Some(200) || exchange.ending != Ending::Complete {
        return Err(exchange.describe());
    }
    if exchange.is_event_stream() {
        let frames = exchange.frames.iter().map(|frame| frame.data.clone());
        Content::of_parts(frames)
    } else {
        Content::of_body(false, &exchange.body, exchange.ended_at)
    }
}

/// The first model of which an endpoint can be asked past the gateway, with the pool. All endpoints of a model server's kind
/// give the same answer to the same request.
pub(super) fn model_to_ask(target: &Target) -> Result<(&Model, &Pool)> {
    let models = target.models.iter().filter_map(|model| {
        let mut pools = model.weighted_pools();
        let pool =
            pools.find(|pool| pool.endpoints.iter().any(|endpoint| endpoint.url.is_some()))?;
        Some((model, pool))
    });
    models
        .min_by_key(|(model, _)| model.weighted_pools().count())
        .context("an endpoint with a url")
}

/// What an endpoint of a pool itself answers to each request. Fails if it does not answer the same when asked again.
pub(super) async fn own_contents(
    ctx: &Context,
    pool: &Pool,
    in_flight: usize,
    requests: &[Request],
) -> Result<Vec<Content>> {
    let url = pool
        .endpoints
        .iter()
        .find_map(|endpoint| endpoint.url.as_ref());
    let client = ctx.client_of(
        url.context("an endpoint with a url")?,
        Connections::KeepAlive,
    )?;
    let mut twins = Vec::new();
    for _ in 0..2 {
        let exchanges = drive::closed_loop(&client, in_flight, requests.iter().cloned()).await;
        let contents = exchanges.iter().map(|exchange| {
            content(exchange).map_err(|error| anyhow::anyhow!("asked past the gateway: {error}"))
        });
        twins.push(contents.collect::<Result<Vec<_>>>()?);
    }
    ensure!(
        twins[0] == twins[1],
        "the endpoint's own answers to one request vary"
    );
    Ok(twins.swap_remove(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn stream(body: &str) -> Result<Content, String> {
        Content::of_body(true, body.as_bytes(), Instant::now())
    }

    #[test]
    fn ids_do_not_count_and_order_does() {
        let own = stream(
            "data: {\"id\":\"1\",\"a\":1}\n\ndata: {\"id\":\"1\",\"a\":2}\n\ndata: [DONE]\n\n",
        )
        .unwrap();
        let same = stream(
            ": ping\r\ndata:{\"a\":1,\"id\":\"2\"}\r\n\r\ndata: {\"a\":2}\r\n\r\ndata: [DONE]\r\n\r\n",
        );
        assert_eq!(own.difference(&same.unwrap()), None);
        for damaged in [
            "data: {\"a\":2}\n\ndata: {\"a\":1}\n\ndata: [DONE]\n\n",
            "data: {\"a\":1}\n\ndata: {\"a\":2}\n\n",
            "data: {\"a\":1}\n\ndata: {\"a\":2}\n\ndata: [DONE]\n\ndata: [DONE]\n\n",
        ] {
            assert!(
                own.difference(&stream(damaged).unwrap()).is_some(),
                "{damaged}"
            );
        }
        assert!(stream("data: {\"a\"\n\n").is_err());
        assert!(stream("data: {\"id\":1}\n\ndata: {\"id\":2}\n\n").is_err());
    }
}
