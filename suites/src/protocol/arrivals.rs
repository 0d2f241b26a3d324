//! The requests as they arrived at the endpoints, where endpoints show them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::Client;
use poolproof_client::evidence::control::{self, Received};

/// What arrived of the requests of some clients.
pub(super) struct Arrivals<'a> {
    /// By the id of the request: the endpoint's name, and the request.
    by_id: BTreeMap<String, Vec<(&'a str, Received)>>,
}

impl<'a> Arrivals<'a> {
    /// Reads what arrived of these clients' requests; `None` if some endpoints do not show it.
    pub(super) async fn read(ctx: &'a Context, clients: &[Client]) -> Result<Option<Self>> {
        let Ok(endpoints) = EndpointLogs::find(&ctx.target) else {
            return Ok(None);
        };
        let pairs = endpoints
            .iter()
            .flat_map(|endpoint| clients.iter().map(move |client| (*endpoint, client)));
        let read = pairs.map(|(endpoint, client)| async move {
            let received = control::received(&ctx.http, endpoint, client.id_prefix()).await?;
            anyhow::Ok((endpoint, received))
        });
        let mut by_id: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (endpoint, received) in try_join_all(read).await? {
            for request in received {
                let id = request.id.clone();
                by_id
                    .entry(id)
                    .or_default()
                    .push((endpoint.name.as_str(), request));
            }
        }
        Ok(Some(Self { by_id }))
    }

    /// The body of one request as it arrived at one endpoint, up to 8 MiB; `None` if it is longer or no text.
    pub(super) async fn body(ctx: &Context, id: &str, endpoint: &str) -> Result<Option<String>> {
        let endpoints = EndpointLogs::find(&ctx.target)?;
        let endpoint = endpoints.into_iter().find(|known| known.name == endpoint);
        let endpoint = endpoint.context("an endpoint that shows what arrived")?;
        let mut received = control::received(&ctx.http, endpoint, id).await?;
        received.retain(|request| request.id == id);
        Ok(received.pop().and_then(|request| request.body))
    }

    /// Each arrival of a request.
    pub(super) fn of(&self, id: &str) -> &[(&'a str, Received)] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }
}
