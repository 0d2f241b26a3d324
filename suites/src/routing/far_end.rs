//! Requests that must go nowhere: whether anything behind the gateway counted them, and what was compared to know it.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::future::join_all;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::evidence::control;
use poolproof_client::evidence::cross_check::Counters;
use poolproof_client::evidence::watch::Watch;
use poolproof_client::poll;
use poolproof_model::target::Endpoint;
use poolproof_model::verdict::Findings;

/// The far end before requests that must not reach it.
pub(super) struct FarEnd {
    counters: Counters,
    /// Requests that reached an endpoint, by its control API.
    logged: BTreeMap<String, u64>,
    /// Endpoints with metrics that were idle before.
    idle: Vec<Endpoint>,
    watch: Watch,
    /// Endpoints with metrics that were not idle: their counters show nothing.
    busy: Vec<String>,
}

impl FarEnd {
    /// Waits for idle endpoints, and reads all counters.
    pub(super) async fn read(ctx: &Context) -> Result<Self> {
        let with_url = ctx.target.endpoints().filter(|it| it.url.is_some());
        let looks = with_url.map(|endpoint| async move {
            let idle = wait_until_idle(&ctx.http, endpoint, ctx.timeouts.counters).await;
            (endpoint, idle.is_ok())
        });
        let (mut idle, mut busy) = (Vec::new(), Vec::new());
        for (endpoint, is_idle) in join_all(looks).await {
            if is_idle {
                idle.push(endpoint.clone());
            } else {
                busy.push(endpoint.name.clone());
            }
        }
        Ok(Self {
            counters: counters(ctx).await?,
            logged: logged(ctx).await?,
            watch: Watch::start(&ctx.http, &idle),
            idle,
            busy,
        })
    }

    /// Adds to the findings that nothing behind the gateway counted a request since; returns what was compared, in words.
    pub(super) async fn expect_untouched(
        self,
        ctx: &Context,
        findings: &mut Findings,
    ) -> Result<String> {
        // A request may be counted a moment after its answer.
        let mut touched = Vec::new();
        let mut compared = Vec::new();
        let settle = ctx.timeouts.metrics_settle;
        let moved = poll::until("a counter moves", settle, poll::INTERVAL, || async {
            let (seen, _) = self.look(ctx).await.ok()?;
            seen.iter().any(|(_, count)| *count > 0).then_some(())
        });
        // Whether any moved is judged below.
        let _ = moved.await;
        let (seen, words) = self.look(ctx).await?;
        touched.extend(seen);
        compared.extend(words);
        for (what, count) in touched {
            findings.add(expect::that(count == 0, &what, 0, count));
        }
        if !self.busy.is_empty() {
            findings.note(format!(
                "not idle before, so that their counters were not compared: {}",
                self.busy.join(", ")
            ));
        }
        Ok(if compared.is_empty() {
            "no counter behind the gateway was there to compare".to_owned()
        } else {
            format!("not counted by {}", compared.join(", nor by "))
        })
    }

    /// What was counted since, and by how many sources of each kind.
    async fn look(&self, ctx: &Context) -> Result<(Vec<(String, u64)>, Vec<String>)> {
        let (now, logged) = (counters(ctx).await?, logged(ctx).await?);
        let since = now.since(&self.counters).map_err(anyhow::Error::msg)?;
        let (mut seen, mut words) = (Vec::new(), Vec::new());
        let pickers = since.seen_by_pickers();
        for (pool, count) in &pickers {
            let what = format!("requests that the endpoint picker of pool {pool} saw");
            seen.push((what, *count));
        }
        let pools = ctx.target.pools().count();
        words.extend(some_of(pickers.len(), pools, "endpoint pickers"));
        for (endpoint, before) in &self.logged {
            let now = logged.get(endpoint).copied().unwrap_or(0);
            let what = format!("requests that endpoint {endpoint} logged");
            seen.push((what, now.saturating_sub(*before)));
        }
        let endpoints = ctx.target.endpoints().count();
        let logs = some_of(self.logged.len(), endpoints, "endpoints");
        words.extend(logs.map(|who| format!("the logs of {who}")));
        let mut counting = [0; 2];
        for (number, endpoint) in self.idle.iter().enumerate() {
            let name = &endpoint.name;
            let counts = [
                ("requests served", since.served_by(name)),
                ("prompt tokens read", since.prompt_tokens_of(name)),
            ];
            for ((what, count), counting) in counts.into_iter().zip(&mut counting) {
                *counting += usize::from(count.is_some());
                let what = format!("{what} that endpoint {name} counted");
                seen.extend(count.map(|count| (what, count)));
            }
            let points = self.watch.points(number);
            let loads = points
                .iter()
                .map(|it| it.reading.running + it.reading.waiting);
            let most = loads.fold(0.0_f64, f64::max);
            let what = format!("requests running or waiting at endpoint {name}");
            seen.push((what, most as u64));
        }
        let [served, prompts] = counting;
        let mut by_metric: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let load = self.idle.len();
        for (count, metric) in [
            (served, "requests served"),
            (prompts, "prompt tokens"),
            (load, "load"),
        ] {
            by_metric.entry(count).or_default().push(metric);
        }
        for (count, metrics) in by_metric.into_iter().rev() {
            let who = some_of(count, endpoints, "endpoints");
            let metrics = metrics.join(", ");
            words.extend(who.map(|who| format!("the metrics of {who} ({metrics})")));
        }
        Ok((seen, words))
    }
}

async fn counters(ctx: &Context) -> Result<Counters> {
    Counters::read(&ctx.http, ctx.target.pools()).await
}

async fn logged(ctx: &Context) -> Result<BTreeMap<String, u64>> {
    let mut logged = BTreeMap::new();
    for endpoint in ctx.target.endpoints().filter(|it| it.control.is_some()) {
        let state = control::state(&ctx.http, endpoint).await?;
        logged.insert(endpoint.name.clone(), state.requests_total);
    }
    Ok(logged)
}

/// How many of some sources there are, in words; `None` without any.
fn some_of(some: usize, all: usize, what: &str) -> Option<String> {
    match some {
        0 => None,
        some if some == all => Some(format!("all {all} {what}")),
        some => Some(format!("{some} of {all} {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_only_the_sources_that_were_read() {
        assert_eq!(some_of(0, 3, "endpoints"), None);
        assert_eq!(
            some_of(2, 3, "endpoints").as_deref(),
            Some("2 of 3 endpoints")
        );
        assert_eq!(
            some_of(3, 3, "endpoints").as_deref(),
            Some("all 3 endpoints")
        );
    }
}
