//! Thousands of streams are open at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, Need, PoolToLoad};
use poolproof_client::drive;
use poolproof_client::{Connections, Exchange};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_records::limits;

use crate::ways::{STREAMS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/many-streams",
    requirement: "Of 2,000 streams to one pool that are open at once, each is answered with 200 and comes to its end.",
    level: Level::Should,
    source: "llm-d/llm-d#1582: beyond about 1,000 open streams, half of the new requests got 500",
    needs: &[Need::time(), PoolToLoad::NEED, EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, _| {
        Ok(Effort::requests(WANTED)
            .in_flight(WANTED)
            .waits(OPEN_FOR.as_secs_f64()))
    },
    run: |ctx| Box::pin(many_streams(ctx)),
};

/// Streams, if this process may have as many connections.
const WANTED: usize = 2000;
/// Sockets of a stream in this process, if the stack is embedded: of the client, both sides of the gateway, and the endpoint.
const SOCKETS_PER_STREAM: u64 = 4;
/// Open files for everything else.
const OTHER_FILES: u64 = 400;
/// From one stream to the next.
const INTERVAL: Duration = Duration::from_millis(3);
/// How long a stream is silent in its middle: longer than it takes to open all of them.
const OPEN_FOR: Duration = Duration::from_secs(20);
const TOKENS: u32 = 16;
const MIDDLE: u32 = TOKENS / 2;
/// The share of the streams that must have been open at once.
const AT_ONCE: f64 = 0.95;

async fn many_streams(ctx: &Context) -> Result<Outcome> {
    // Of one pool, so that its endpoint picker and the gateway's connections to it have all of them.
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let wanted = affordable();
    let mut requests = Vec::new();
    for number in 0..wanted {
        let kind = STREAMS[number % STREAMS.len()];
        let request = kind.request(&model.name, TOKENS, &mut rng);
        let request = request.timeout(OPEN_FOR + ctx.timeouts.request);
        let directive = format!("silence-{}-after-{MIDDLE}", OPEN_FOR.as_millis());
        requests.push(directed(request, &directive));
    }
    let mut exchanges = Vec::new();
    for stream in drive::open_loop(&client, INTERVAL, requests.into_iter()).await {
        exchanges.push(stream.await?);
    }
    let at_once = most_at_once(&exchanges);
    let mut findings = Findings::default();
    let failed: Vec<&Exchange> = exchanges.iter().filter(|it| !it.is_success()).collect();
    findings.add(expect::that(
        failed.is_empty(),
        &format!("streams that did not end whole, of {wanted}"),
        0,
        failed.len(),
    ));
    if let Some(first) = failed.first() {
        let before = exchanges
            .iter()
            .filter(|it| it.is_success() && it.sent_at < first.sent_at);
        let first = format!("after {} streams: {}", before.count(), first.describe());
        findings.add(expect::that(
            false,
            "the first of them",
            "200, whole",
            first,
        ));
    }
    if wanted < WANTED {
        findings.note(format!(
            "{wanted} streams instead of {WANTED}: this process may have no more open files"
        ));
    }
    let all_at_once = at_once as f64 >= wanted as f64 * AT_ONCE;
    if !findings.failed() && !all_at_once {
        return Ok(Outcome::invalid(format!(
            "only {at_once} of {wanted} streams were open at once: this machine is too slow, or the header that asks for a silence does not \
             arrive at the endpoint"
        )));
    }
    let summary = format!(
        "{wanted} streams of both APIs to one pool, {at_once} of them open at once, each whole"
    );
    Ok(findings.outcome(summary))
}

/// As many streams as this process can have open.
fn affordable() -> usize {
    let files = limits::open_files().map_or(u64::MAX, |(soft, _)| soft);
    let streams = files.saturating_sub(OTHER_FILES) / SOCKETS_PER_STREAM;
    usize::try_from(streams).map_or(WANTED, |streams| streams.min(WANTED))
}

/// The most streams that were open at the same time: from their heads to their ends.
fn most_at_once(exchanges: &[Exchange]) -> usize {
    let mut changes: Vec<(Instant, i32)> = Vec::new();
    for exchange in exchanges {
        if let Some(begun) = exchange.head_at {
            changes.extend([(begun, 1), (exchange.ended_at, -1)]);
        }
    }
    // Of changes at one time, ends come first.
    changes.sort_unstable();
    let (mut open, mut most) = (0, 0);
    for (_, change) in changes {
        open += change;
        most = most.max(open);
    }
    usize::try_from(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::exchange;
    use poolproof_client::Ending;

    #[test]
    fn only_streams_that_overlap_are_open_at_once() {
        let begun = Instant::now();
        let streams = [(0, 20), (10, 30), (20, 40), (50, 60)].map(|(from, to)| {
            let mut exchange = exchange("a", Some(200), Ending::Complete);
            exchange.head_at = Some(begun + Duration::from_millis(from));
            exchange.ended_at = begun + Duration::from_millis(to);
            exchange
        });
        assert_eq!(most_at_once(&streams), 2);
        assert_eq!(most_at_once(&[]), 0);
    }
}
