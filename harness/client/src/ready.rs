//! Whether a target answers: the first request of a run, and the wait until a model is loaded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::evidence::served::Names;
use crate::{Api, Client, Connections, Ending, Exchange, Request};
use poolproof_model::target::Target;

/// The longest wait for the answer to the first request, which asks for one token.
pub const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a model that is not served is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The APIs by which a model is asked for, in turn: some servers have only one of them.
const APIS: [Api; 4] = Api::ALL;

/// The requests that [`first`] sends at most.
pub const FIRST_REQUESTS_MAX: usize = APIS.len();

/// Sends the first request of a run: one token of the first model, by completions, then by the other APIs if the server does not have
/// that. `None` if the target has no model.
pub async fn first(target: &Target) -> Result<Option<Exchange>> {
    let Some(model) = target.models.first() else {
        return Ok(None);
    };
    let client = client(target)?;
    let mut last = None;
    for api in APIS {
        let exchange = ask(&client, api, &model.name, FIRST_TIMEOUT).await;
        let is_missing = matches!(exchange.status, Some(400 | 404 | 405 | 501));
        last = Some(exchange);
        if !is_missing {
            break;
        }
    }
    Ok(last)
}

/// Waits until the first model of a target is served. `tell` receives what it waits for, each time that this changes. Fails after
/// `limit`, or at once if the key is refused.
pub async fn until_served(
    target: &Target,
    limit: Duration,
    mut tell: impl FnMut(&str),
) -> Result<()> {
    let Some(model) = target.models.first() else {
        return Ok(());
    };
    let client = client(target)?;
    let end = Instant::now() + limit;
    let mut told = String::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut answers = Vec::new();
        for api in APIS {
            // A request that is held until the model is loaded is no failure.
            let exchange = ask(&client, api, &model.name, left.max(FIRST_TIMEOUT)).await;
            if exchange.status == Some(200) && exchange.ending == Ending::Complete {
                return Ok(());
            }
            let is_refused = matches!(exchange.status, Some(401 | 403));
            answers.push(exchange.describe());
            if is_refused {
                bail!(
                    "model {:?} at {}: {}",
                    model.name,
                    target.url,
                    answers.concat()
                );
            }
            // Only a server that knows no such path may have another one.
            if !matches!(exchange.status, Some(400 | 404 | 405 | 501)) {
                break;
            }
        }
        let answers = answers.join("; by another API: ");
        if Instant::now() + AGAIN_AFTER >= end {
            bail!(
                "model {:?} at {} was not served within {limit:?}: {answers}",
                model.name,
                target.url
            );
        }
        let now = format!(
            "waiting up to {limit:?} until {} serves model {:?}: {answers}",
            target.url, model.name
        );
        if now != told {
            tell(&now);
            told = now;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn client(target: &Target) -> Result<Client> {
    let (url, connections) = (&target.url, Connections::NewPerRequest);
    let client = Client::of(target, url, "first", connections, Arc::default())?;
    Ok(client.knowing(Names::of(target)))
}

async fn ask(client: &Client, api: Api, model: &str, timeout: Duration) -> Exchange {
    let request = Request::new(api, model, 1, &mut rand::rng());
    client.send(request.timeout(timeout)).await
}
