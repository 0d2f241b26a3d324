//! Requests past the gateway: what an endpoint itself answers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt, stream};
use poolproof_cases::context::Context;
use poolproof_cases::need::{Find, Straight};
use poolproof_client::{Client, Connections, Exchange, Request};
use serde_json::Value;

/// A client of an endpoint of each model.
pub(super) struct Endpoints(BTreeMap<String, Client>);

impl Endpoints {
    /// The first endpoint of each model that has a url.
    pub(super) fn of(ctx: &Context) -> Result<Self> {
        let found = Straight::find(&ctx.target)?;
        let clients = found.into_iter().map(|(model, url)| {
            let client = ctx.client_of(url, Connections::KeepAlive)?;
            Ok((model.name.clone(), client))
        });
        Ok(Self(clients.collect::<Result<_>>()?))
    }

    /// The answers of a model's endpoint to each request, in their order.
    pub(super) async fn answers(
        &self,
        in_flight: usize,
        requests: impl Iterator<Item = (&str, Request)>,
    ) -> Result<Vec<Exchange>> {
        let sent = requests.map(|(model, request)| {
            let client = self.0.get(model).context("an endpoint of the model")?;
            Ok(client.send(request))
        });
        let sent: Vec<_> = sent.collect::<Result<_>>()?;
        Ok(stream::iter(sent).buffered(in_flight).collect().await)
    }
}

/// The text of an answer, whole or streamed, by either API.
pub(super) fn text(exchange: &Exchange) -> String {
    let piece = |json: &[u8]| -> String {
        let json: Value = serde_json::from_slice(json).unwrap_or_default();
        let choice = &json["choices"][0];
        let texts = [
            &choice["text"],
            &choice["message"]["content"],
            &choice["delta"]["content"],
        ];
        let text = texts.into_iter().find_map(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    if exchange.is_event_stream() {
        let frames = exchange.frames.iter();
        frames.map(|frame| piece(frame.data.as_bytes())).collect()
    } else {
        piece(&exchange.body)
    }
}

#[cfg(test)]
mod tests {
    use crate::streams::prompt_tokens;
    use poolproof_client::Ending;

    use super::*;
    use crate::made;

    #[test]
    fn text_and_tokens_come_from_whole_answers_and_from_streams() {
        let mut whole = made::exchange("a", Some(200), Ending::Complete);
        whole.body =
            br#"{"choices":[{"message":{"content":"Hi all"}}],"usage":{"prompt_tokens":3}}"#
                .to_vec();
        let frames = [
            r#"{"choices":[{"delta":{"content":"Hi "}}],"usage":null}"#,
            r#"{"choices":[{"delta":{"content":"all"}}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3}}"#,
            "[DONE]",
        ];
        let streamed = made::stream(frames.map(str::to_owned));
        for exchange in [whole, streamed] {
            assert_eq!(text(&exchange), "Hi all");
            assert_eq!(prompt_tokens(&exchange), Some(3));
        }
    }
}
