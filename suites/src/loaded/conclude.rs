//! The outcome of probes: the share of the busy endpoints by each test, and what could not be decided.

use poolproof_cases::expect;
use poolproof_client::evidence::served;
use poolproof_model::picture::Picture;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::sequential::Progress;

use super::PoolTest;
use super::probes::{Probe, Probes};

impl Probes<'_> {
    pub(super) fn conclude(self) -> Outcome {
        let mut findings = Findings::default();
        for exchange in &self.failed {
            findings.add(expect::success("every probe", exchange));
        }
        let mut undecided = Vec::new();
        for it in self.tests {
            let PoolTest { pool, kind, test } = it;
            // A picker that is blind to load piles up requests, and so spoils what was arranged by itself: it fails all the same.
            let counted = test.progress(self.picks(it, false));
            let progress = match counted {
                Progress::Ended { .. } => counted,
                Progress::Open { .. } => test.progress(self.picks(it, true)),
            };
            let busy = pool.endpoints.iter().filter(|it| self.is_busy(&it.name));
            let busy: Vec<&str> = busy.map(|it| it.name.as_str()).collect();
            match progress {
                Progress::Ended { look, hits } if progress == counted || test.fails(look, hits) => {
                    let of_kind = kind.map(|kind| format!(", of {}", kind.in_words()));
                    let of = format!(
                        "share of busy {} in {}{}",
                        busy.join(" and "),
                        pool.name,
                        of_kind.unwrap_or_default()
                    );
                    findings.add_statistic(test.decide(of, look, hits));
                }
                _ => undecided.push(pool.name.as_str()),
            }
        }
        undecided.dedup();
        let counts = |probe: &&Probe| probe.reason.is_none();
        let counted = self.answered.iter().filter(counts).map(|it| &it.exchange);
        let (by_endpoint, of) = (served::by_endpoint(counted.clone()), counted.count());
        let total = self.answered.len();
        let endpoints = self.model.weighted_pools().flat_map(|pool| &pool.endpoints);
        let bars = endpoints.map(|it| {
            let busy = if self.is_busy(&it.name) {
                " (busy)"
            } else {
                ""
            };
            let served = by_endpoint.get(&it.name).copied().unwrap_or(0);
            (format!("{}{busy}", it.name), served as f64)
        });
        findings.show(Picture::bars(
            "probes that each endpoint served",
            "probes",
            bars.collect(),
        ));
        findings.note(format!(
            "{of} of {total} probes met the load as arranged, by readings of the endpoints around each"
        ));
        if !undecided.is_empty() && !findings.failed() {
            let first = self
                .answered
                .iter()
                .find_map(|probe| probe.reason.as_deref());
            return Outcome::invalid(format!(
                "{of} of {total} probes met the load as arranged, too few to judge {}; the first that did not: {}",
                undecided.join(" and "),
                first.unwrap_or("none")
            ));
        }
        let served = served::in_words(&by_endpoint);
        let summary = format!("{} busy: {served} of {of}", self.busy.join(" and "));
        findings.outcome_unless(summary, self.starved)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_client::Ending;

    use poolproof_model::verdict::Verdict;
    use poolproof_stats::binomial::Question;
    use poolproof_stats::sequential::Sequential;

    use super::*;
    use crate::loaded::Load;
    use crate::made::{context, exchange};
    use crate::mix::Kind;

    /// More than the longest look of the test.
    const ENOUGH: usize = 1000;

    fn probe(served_by: &str, reason: Option<&str>) -> Probe {
        Probe {
            exchange: exchange(served_by, Some(200), Ending::Complete),
            kind: Kind::ALL[0],
            reason: reason.map(str::to_owned),
        }
    }

    /// Of probes while model-a-0 is busy.
    fn verdict(answered: Vec<Probe>, failed: usize, starved: bool) -> Verdict {
        let ctx = context();
        let model = &ctx.target.models[0];
        let question = Question::AtMost {
            null: 0.05,
            bad: 0.25,
        };
        let tests = [PoolTest {
            pool: &model.pools[0],
            kind: None,
            test: Sequential::new(question, 1e-4, 0.99).unwrap(),
        }];
        let refused = exchange("model-a-1", Some(503), Ending::Complete);
        let probes = Probes {
            ctx: &ctx,
            model,
            busy: &["model-a-0"],
            load: Load::Waiting(3),
            tests: &tests,
            prefixes: &[],
            sent: 0,
            answered,
            failed: vec![refused; failed],
            starved: starved.then(|| "too busy".to_owned()),
        };
        probes.conclude().verdict
    }

    fn probes(n: usize, served_by: &str, reason: Option<&str>) -> Vec<Probe> {
        (0..n).map(|_| probe(served_by, reason)).collect()
    }

    #[test]
    fn probes_at_idle_endpoints_pass_and_at_the_busy_one_fail() {
        let idle = probes(ENOUGH, "model-a-1", None);
        assert_eq!(verdict(idle, 0, false), Verdict::Pass);
        let busy = probes(ENOUGH, "model-a-0", None);
        assert_eq!(verdict(busy, 0, false), Verdict::Fail);
    }

    #[test]
    fn too_few_probes_under_the_load_are_invalid() {
        assert_eq!(
            verdict(probes(3, "model-a-1", None), 0, false),
            Verdict::Invalid
        );
        let drained = probes(ENOUGH, "model-a-1", Some("nothing waited"));
        assert_eq!(verdict(drained, 0, false), Verdict::Invalid);
    }

    #[test]
    fn probes_that_do_not_count_are_right_ones_where_the_rest_fails_all_the_same() {
        let mut mixed = probes(ENOUGH, "model-a-0", None);
        mixed.truncate(10);
        mixed.extend(probes(3, "model-a-1", Some("nothing waited")));
        assert_eq!(verdict(mixed, 0, false), Verdict::Fail);
    }

    #[test]
    fn a_probe_that_is_not_served_is_a_failure_whatever_the_share() {
        assert_eq!(
            verdict(probes(3, "model-a-1", None), 1, false),
            Verdict::Fail
        );
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-1", None), 1, false),
            Verdict::Fail
        );
    }

    #[test]
    fn a_failure_while_scrapes_starved_is_invalid() {
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-0", None), 0, true),
            Verdict::Invalid
        );
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-1", None), 0, true),
            Verdict::Pass
        );
    }
}
