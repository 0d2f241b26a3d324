//! A pool serves each priority after a long silence.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldByPriority, Need};
use poolproof_client::Connections;
use poolproof_model::verdict::{Findings, Outcome};

use crate::mix::Kind;

pub(super) const CASE: Case = Case {
    id: "priority/after-idle",
    requirement: "After 20 seconds without a request, the first requests of each objective, and those without one, are served.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/flowcontrol/registry/config.go: idle flows are collected after 5 minutes and priorities after 10, \
             which only frees memory; llm-d/llm-d-router#1606, #1608",
    needs: &[Need::time(), HeldByPriority::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        Ok(Effort::requests(2 * CLASSES * Kind::ALL.len()).waits(rates.slow_answer.as_secs_f64()))
    },
    run: |ctx| Box::pin(after_idle(ctx)),
};

/// Interactive, batch, and no objective.
const CLASSES: usize = 3;

async fn after_idle(ctx: &Context) -> Result<Outcome> {
    let (model, _, classes) = HeldByPriority::find(&ctx.target)?;
    let classes: [_; CLASSES] = [Some(classes.interactive), Some(classes.batch), None];
    let idle = ctx.rates.slow_answer;
    let client = ctx.client(Connections::NewPerRequest)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    for after_s in [None, Some(idle.as_secs())] {
        if after_s.is_some() {
            tokio::time::sleep(idle).await;
        }
        for kind in Kind::ALL {
            for class in classes {
                let request = super::request(ctx, &model.name, kind, class, &mut rng);
                let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
                let when = after_s.map_or("before the pool is idle".to_owned(), |after_s| {
                    format!("after the pool was idle for {after_s} s")
                });
                let what = format!(
                    "a request with {} {when} ({})",
                    class.unwrap_or("no objective"),
                    kind.in_words()
                );
                findings.add(expect::success(&what, &exchange));
            }
        }
    }
    Ok(findings.outcome(format!(
        "{} requests of {CLASSES} classes served after {} s without one",
        CLASSES * Kind::ALL.len(),
        idle.as_secs()
    )))
}
