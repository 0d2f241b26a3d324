//! A client with a session token stays at its endpoint, and moves once when that is gone.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::future::join_all;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, Sessions};
use poolproof_client::evidence::served;
use poolproof_client::{Client, Connections, Exchange, poll};
use poolproof_model::change::{Change, Kind as Changed};
use poolproof_model::verdict::{Findings, Outcome};
use rand_chacha::ChaCha8Rng;

use crate::mix::Mix;
use crate::none;

pub(super) const CASE: Case = Case {
    id: "affinity/session",
    requirement: "Every request with the session token of an earlier answer goes to the endpoint of that answer while it is in the pool; \
                  once it is not, the session moves to another one and stays there.",
    level: Level::Should,
    source: "llm-d-router, session-affinity-scorer: x-session-token; llm-d/llm-d-router#600; llm-d/llm-d-router#2238",
    needs: &[
        Sessions::NEED,
        EndpointNames::NEED,
        Need::change(Changed::Member),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        let n = SESSIONS * (2 + 2 * turns(plan.n)) + LEFT_IN_A_ROW;
        let most = n + LEFT_IN_A_ROW * LEFT_POLLS_MAX;
        let effort = Effort::requests(n).in_flight(SESSIONS).at_most(most as u64);
        Ok(effort.decides([Decision::Fixed(plan.clone()), Decision::Fixed(plan)]))
    },
    run: |ctx| Box::pin(session(ctx)),
};

const SESSIONS: usize = 12;
/// Requests without a token that must go elsewhere, one after the other, before an endpoint counts as gone.
const LEFT_IN_A_ROW: usize = 12;
/// How often they are sent at most, as planned: a picker knows of a change within milliseconds.
const LEFT_POLLS_MAX: usize = 20;

/// The requests of each session after its first one.
fn turns(n: u64) -> usize {
    (n as usize).div_ceil(SESSIONS)
}

/// A session: what its client keeps.
struct Session {
    mix: Mix,
    rng: ChaCha8Rng,
    /// The token of the last answer that had one.
    token: Option<String>,
    /// The endpoint of the first answer, or of the first one after it moved.
    home: Option<String>,
    exchanges: Vec<Exchange>,
}

impl Session {
    /// Sends the next request, with the token. Returns the endpoint that served it.
    async fn next(
        &mut self,
        ctx: &Context,
        client: &Client,
        model: &str,
        header: &str,
    ) -> Option<String> {
        let request = self.mix.request(model, 1, &mut self.rng);
        let mut request = request.timeout(ctx.timeouts.request);
        if let Some(token) = &self.token {
            request = request.header(header, token);
        }
        let exchange = client.send(request).await;
        let token = exchange.header(header).map(str::to_owned);
        self.token = token.or(self.token.take());
        let endpoint = served::endpoint_of(&exchange).map(str::to_owned);
        self.exchanges.push(exchange);
        endpoint
    }

    /// Sends more requests. Returns those that were served elsewhere than at home.
    async fn stay(
        &mut self,
        ctx: &Context,
        client: &Client,
        (model, header): (&str, &str),
        turns: usize,
    ) -> u64 {
        let mut elsewhere = 0;
        for _ in 0..turns {
            let endpoint = self.next(ctx, client, model, header).await;
            elsewhere += u64::from(endpoint.is_none() || endpoint != self.home);
        }
        elsewhere
    }
}

async fn session(ctx: &Context) -> Result<Outcome> {
    let (model, pool, header) = Sessions::find(&ctx.target)?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let turns = turns(plan.n);
    let client = ctx.client(Connections::KeepAlive)?;
    let asked = (model.name.as_str(), header);
    let mut sessions: Vec<Session> = (0..SESSIONS)
        .map(|number| Session {
            mix: Mix::default(),
            rng: ctx.rng(&format!("session {number}")),
            token: None,
            home: None,
            exchanges: Vec::new(),
        })
        .collect();
    let mut findings = Findings::default();

    let first = sessions.iter_mut().map(|session| async {
        session.home = session.next(ctx, &client, asked.0, header).await;
        session.stay(ctx, &client, asked, turns).await
    });
    let elsewhere: u64 = join_all(first).await.into_iter().sum();
    let n = (SESSIONS * turns) as u64;
    let without = sessions
        .iter()
        .filter(|session| session.token.is_none())
        .count();
    let what = format!("sessions whose answers have no {header}");
    findings.add(expect::that(without == 0, &what, 0, without));
    let of = "share of requests with a token at another endpoint than that of their session";
    findings.add_statistic(plan.decide(of, elsewhere, n));

    // The endpoint of most sessions goes, so that there are some to move.
    let mut homes: BTreeMap<&str, usize> = BTreeMap::new();
    for home in sessions
        .iter()
        .filter_map(|session| session.home.as_deref())
    {
        *homes.entry(home).or_default() += 1;
    }
    let known = |name: &&str| {
        pool.endpoints
            .iter()
            .any(|endpoint| endpoint.name == **name)
    };
    let homes = homes.into_iter().filter(|(name, _)| known(name));
    let Some((gone, _)) = homes.max_by_key(|(_, count)| *count) else {
        findings.add(expect::that(
            false,
            "the endpoint of a session",
            "one of the pool",
            "none",
        ));
        return Ok(findings.outcome(""));
    };
    let gone = gone.to_owned();
    let change = Change::Member {
        endpoint: gone.clone(),
        member: false,
    };
    ctx.change(change).await?;
    if let Err(error) = left(ctx, &client, asked.0, &gone).await {
        findings.add(expect::that(
            false,
            "requests without a session once an endpoint has left the pool",
            format!("none at {gone}"),
            error.to_string(),
        ));
        return Ok(findings.outcome(""));
    }

    let later = sessions.iter_mut().map(|session| async {
        let has_moved = session.home.as_ref() == Some(&gone);
        if has_moved {
            session.home = session.next(ctx, &client, asked.0, header).await;
        }
        (has_moved, session.stay(ctx, &client, asked, turns).await)
    });
    let later = join_all(later).await;
    let moved = later.iter().filter(|(has_moved, _)| *has_moved).count();
    let elsewhere: u64 = later.iter().map(|(_, elsewhere)| elsewhere).sum();
    for session in &sessions {
        let is_gone = session.home.as_ref() == Some(&gone);
        let what = "the endpoint of a session after its first one has left the pool";
        findings.add(expect::that(!is_gone, what, "another one", gone.as_str()));
        for exchange in &session.exchanges {
            findings.add(expect::success("a request of a session", exchange));
        }
    }
    let of = "share of requests with a token at another endpoint than that of their session, once one is gone";
    findings.add_statistic(plan.decide(of, elsewhere, n));
    Ok(findings.outcome(format!(
        "{SESSIONS} sessions stayed at their endpoints for {turns} requests each; {moved} moved when {gone} left the pool, and stayed again"
    )))
}

/// Waits until requests without a token no longer go to an endpoint: the picker knows that it has left.
async fn left(ctx: &Context, client: &Client, model: &str, gone: &str) -> Result<()> {
    let what = format!("requests without a session leave {gone}");
    let left = poll::until(what, ctx.timeouts.recovery, poll::INTERVAL, || async {
        let (mut rng, mut mix) = (ctx.rng("without a session"), Mix::default());
        for _ in 0..LEFT_IN_A_ROW {
            let request = mix.request(model, 1, &mut rng);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let is_elsewhere = served::endpoint_of(&exchange).is_some_and(|name| name != gone);
            is_elsewhere.then_some(())?;
        }
        Some(())
    });
    Ok(left.await?)
}
