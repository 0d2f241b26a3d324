//! Follows the metrics of servers through a run. All times are those of this process: when a page was read, not what its server states.

mod line;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use line::Line;
use poolproof_client as client;
use poolproof_client::evidence::{self, endpoint, figures};
use poolproof_model::target::{Metrics, Model, Target};
use poolproof_model::workload::Workload;
use poolproof_records::load::over_time::{Server, ServerSeries, Unread};

/// How long the last reading may take, after the run has ended.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// A server, and where its metrics are.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    server: Server,
    url: Url,
    /// Whether nobody named it: a server that does not answer there is no news.
    guessed: bool,
}

/// Reads the metrics of all servers of a target until it is ended. Dropping it stops it.
pub(crate) struct Follower {
    lines: JoinSet<(usize, Place, Line)>,
    end: CancellationToken,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Followed {
    /// Their figures.
    pub series: Vec<ServerSeries>,
    /// Those that could not be read, or not always.
    pub unread: Vec<Unread>,
}

impl Follower {
    /// Starts to read each server that the workload may use, now and once per `interval`.
    pub(crate) fn start(target: &Target, workload: &Workload, interval: Duration) -> Result<Self> {
        let (own, others) = clients(target)?;
        let mut follower = Self {
            lines: JoinSet::new(),
            end: CancellationToken::new(),
        };
        for (number, place) in places(target, workload).into_iter().enumerate() {
            let is_own = !matches!(place.server, Server::Other { .. });
            let http = if is_own || is_of(target, &place.url) {
                own.clone()
            } else {
                others.clone()
            };
            let end = follower.end.clone();
            follower.lines.spawn(async move {
                let mut line = Line::new(place.server.clone());
                let mut ticks = tokio::time::interval(interval);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        () = end.cancelled() => break,
                    }
                    tokio::select! {
                        () = read(&http, &place.url, &mut line) => {}
                        () = end.cancelled() => break,
                    }
                    if place.guessed && line.is_empty() {
                        // It is asked once, and left alone.
                        return (number, place, line);
                    }
                }
                let last = read(&http, &place.url, &mut line);
                if tokio::time::timeout(LAST_TIMEOUT, last).await.is_err() {
                    let error =
                        anyhow!("no answer within {LAST_TIMEOUT:?} after the end of the run");
                    line.failed(&error);
                }
                (number, place, line)
            });
        }
        Ok(follower)
    }

    /// Reads each server once more and returns what was read, by offsets from `start`.
    pub(crate) async fn end(mut self, start: Instant) -> Followed {
        self.end.cancel();
        let mut lines = Vec::new();
        while let Some(ended) = self.lines.join_next().await {
            // One that panicked has a bug, whose message is printed; the run is not lost with it.
            lines.extend(ended);
        }
        lines.sort_by_key(|(number, ..)| *number);
        let mut followed = Followed::default();
        for (_, place, line) in lines {
            if place.guessed && !line.is_steady() {
                continue;
            }
            let (series, unread) = line.finish(start);
            let unread = unread.filter(|_| !place.guessed);
            followed.series.extend(series);
            followed.unread.extend(unread);
        }
        followed
    }
}

/// Reads a page, and adds its figures at the middle of the time that this took.
async fn read(http: &reqwest::Client, url: &Url, line: &mut Line) {
    let asked = Instant::now();
    match evidence::metrics(http, url).await {
        Ok(text) => {
            let at = asked + asked.elapsed() / 2;
            line.add(at, &figures::parse(&text));
        }
        Err(error) => line.failed(&error),
    }
}

/// The servers of a target that have an address for metrics, without those of models that the workload does not name.
fn places(target: &Target, workload: &Workload) -> Vec<Place> {
    let first = target.models.first().map(|model| &model.name);
    let named = workload.mix.iter();
    let named: Vec<&String> = named
        .filter_map(|class| class.model.as_ref().or(first))
        .collect();
    let is_used = |model: &&Model| {
        let mut names = std::iter::once(&model.name).chain(&model.adapters);
        names.any(|name| named.contains(&name))
    };
    let models = target.models.iter().filter(is_used);
    let mut places = Vec::new();
    for pool in models.flat_map(|model| &model.pools) {
        let picker = pool.epp_metrics.as_ref().map(|url| Place {
            server: Server::Picker {
                pool: pool.name.clone(),
            },
            url: url.clone(),
            guessed: false,
        });
        let endpoints = pool.endpoints.iter().filter_map(|endpoint| {
            let url = endpoint::metrics_url(endpoint).ok()?;
            let server = Server::Endpoint {
                pool: pool.name.clone(),
                endpoint: endpoint.name.clone(),
            };
            Some(Place {
                server,
                url,
                guessed: false,
            })
        });
        places.extend(endpoints.chain(picker));
    }
    places.extend(target.metrics.iter().map(|metrics| Place {
        server: Server::Other {
            name: metrics.shown(),
        },
        url: metrics.url.clone(),
        guessed: false,
    }));
    if places.is_empty() {
        places.push(of_gateway(target));
    }
    // Pools may share a server.
    let mut seen = Vec::new();
    places.retain(|place| {
        let is_new = !seen.contains(&place.url);
        seen.push(place.url.clone());
        is_new
    });
    places
}

/// The metrics of what may be a model server instead of a gateway.
fn of_gateway(target: &Target) -> Place {
    let mut url = target.url.clone();
    url.set_path("/metrics");
    url.set_query(None);
    let name = Metrics::at(url.clone()).shown();
    Place {
        server: Server::Other { name },
        url,
        guessed: true,
    }
}

/// The client of the target's own parts, and that of others, which gets the certificates and proxies but no headers or keys.
fn clients(target: &Target) -> Result<(reqwest::Client, reqwest::Client)> {
    let mut others = Target::at(String::new(), target.url.clone());
    others.access.certificates = target.access.certificates.clone();
    others.access.proxy = target.access.proxy.clone();
    let own = client::http_of(target, 1).context("metrics")?;
    Ok((own, client::http_of(&others, 1).context("metrics")?))
}

/// Whether a url is at the host and the port of the gateway or of an endpoint.
fn is_of(target: &Target, url: &Url) -> bool {
    target.url.origin() == url.origin() || target.is_endpoint(url)
}

#[cfg(test)]
mod tests;
