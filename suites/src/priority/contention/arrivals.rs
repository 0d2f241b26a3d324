//! When the requests of two classes reached the endpoints, and whether those of the first did before those of the second.

use std::collections::HashMap;

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::Exchange;
use poolproof_client::evidence::{control, scrapes};
use poolproof_model::picture::Picture;
use poolproof_model::target::Endpoint;
use poolproof_model::verdict::Findings;
use poolproof_stats::Statistic;
use poolproof_stats::rank;

use super::Held;
use crate::mix::{Kind, Kinds};

/// How often a class of higher priority goes before another in a picker that does it right, at least: dispatch follows scrapes, so
/// that a few requests of the first burst may overtake each other on their way.
pub(in crate::priority) const EXPECTED: f64 = 0.95;

/// When two classes that were held together reached the endpoints.
pub(in crate::priority) struct Arrivals {
    /// In milliseconds since the ballast was taken away, by class, with the ids of the requests.
    classes_ms: [Vec<(String, f64)>; 2],
    kinds: Kinds,
    /// By what that is known.
    pub(in crate::priority) source: &'static str,
}

impl Held {
    /// When each of some exchanges reached its endpoint, in milliseconds since the ballast was taken away, by the
    /// endpoints' logs; where they keep none, when its answer began. Exchanges that were not held are left out.
    pub(in crate::priority) async fn arrivals(
        &self,
        ctx: &Context,
        endpoints: &[Endpoint],
    ) -> Result<Arrivals> {
        let classes = [&self.first, &self.second];
        if endpoints.iter().any(|endpoint| endpoint.control.is_none()) {
            let began = |exchange: &Exchange| {
                let at = exchange
                    .first_byte_at?
                    .checked_duration_since(self.released_at)?;
                Some(at.as_secs_f64() * 1e3)
            };
            return Ok(Arrivals {
                classes_ms: classes.map(|class| times(class, began)),
                kinds: self.kinds.clone(),
                source: "the beginning of answers",
            });
        }
        let mut arrived_us = HashMap::new();
        for endpoint in endpoints {
            for request in control::requests(&ctx.http, endpoint).await? {
                arrived_us.extend(request.id.map(|id| (id, request.arrived_us)));
            }
        }
        let released_us = scrapes::now_us() as f64 - self.released_at.elapsed().as_secs_f64() * 1e6;
        let arrived = |exchange: &Exchange| {
            let after_us = *arrived_us.get(&exchange.id)? as f64 - released_us;
            (after_us >= 0.0).then_some(after_us / 1e3)
        };
        Ok(Arrivals {
            classes_ms: classes.map(|class| times(class, arrived)),
            kinds: self.kinds.clone(),
            source: "arrival in the endpoints' logs",
        })
    }
}

/// The exchanges of which a time is known, by their ids.
fn times(class: &[Exchange], time: impl Fn(&Exchange) -> Option<f64>) -> Vec<(String, f64)> {
    let known = class
        .iter()
        .filter_map(|it| Some((it.id.clone(), time(it)?)));
    known.collect()
}

impl Arrivals {
    /// The times of the classes, of one kind of request or of all, in the order in which they were sent.
    pub(in crate::priority) fn of(&self, kind: Option<Kind>) -> [Vec<f64>; 2] {
        let own = |class: &Vec<(String, f64)>| {
            let own = class.iter().filter(|(id, _)| self.kinds.has(id, kind));
            own.map(|(_, ms)| *ms).collect()
        };
        self.classes_ms.each_ref().map(own)
    }

    /// Decides whether the first class arrived before the second; `None`: one of them never did.
    pub(in crate::priority) fn in_order(
        &self,
        alpha: f64,
        names: [&str; 2],
        kind: Option<Kind>,
    ) -> Option<Statistic> {
        let [first, second] = self.of(kind);
        let (order, n) = (rank::order(&first, &second)?, first.len() + second.len());
        Some(order.decide_first(in_words(names, kind), n, alpha, EXPECTED))
    }

    /// Adds the same.
    pub(in crate::priority) fn expect_in_order(
        &self,
        alpha: f64,
        names: [&str; 2],
        kind: Option<Kind>,
        findings: &mut Findings,
    ) {
        match self.in_order(alpha, names, kind) {
            Some(order) => findings.add_statistic(order),
            None => {
                let what = in_words(names, kind);
                findings.add(expect::that(false, &what, "both classes served", "one"));
            }
        }
    }

    /// Shows the times.
    pub(in crate::priority) fn show(&self, names: [&str; 2], findings: &mut Findings) {
        let classes = names.map(str::to_owned).into_iter();
        findings.show(Picture::distributions(
            "when held requests reached an endpoint",
            "ms",
            classes.zip(self.of(None)).collect(),
        ));
        findings.note(format!("order by {}", self.source));
    }
}

fn in_words(names: [&str; 2], kind: Option<Kind>) -> String {
    let of_kind = kind.map(|kind| format!(" in {}", kind.in_words()));
    format!("{}{}", names.join(" before "), of_kind.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn arrivals(first_ms: f64, second_ms: f64) -> Arrivals {
        let from = |start: f64| {
            let times = (0..60).map(|n| (String::new(), start + f64::from(n)));
            times.collect()
        };
        Arrivals {
            classes_ms: [from(first_ms), from(second_ms)],
            kinds: Kinds::default(),
            source: "a test",
        }
    }

    #[test]
    fn the_first_class_has_to_arrive_first() {
        let decided = |first_ms, second_ms| {
            let arrivals = arrivals(first_ms, second_ms);
            let order = arrivals.in_order(1e-4, ["interactive", "batch"], None);
            order.unwrap().holds()
        };
        assert!(decided(0.0, 100.0));
        assert!(!decided(100.0, 0.0));
        assert!(!decided(0.0, 0.5));
    }

    #[test]
    fn a_class_that_never_arrives_is_a_failure() {
        let mut one = arrivals(0.0, 0.0);
        one.classes_ms[1].clear();
        let mut findings = Findings::default();
        one.expect_in_order(1e-4, ["interactive", "batch"], None, &mut findings);
        assert!(findings.failed());
    }
}
