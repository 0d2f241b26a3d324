//! Claimed error rates against measured ones: outcomes are drawn from models of correct and of flawed systems, and the decisions
//! of all cases are taken on them, 100,000 times each.
//!
//! `cargo bench --bench error_rates [-- --runs N]`. Exit code 1: a claim is contradicted at 99.9 %.

use std::process::ExitCode;

use clap::Parser;
use poolproof::SUITES;
use poolproof_cases::budget::Budget;
use poolproof_cases::context::Settings;
use poolproof_cases::effort::Decision;
use poolproof_cases::run::missing;
use poolproof_model::target::Target;
use poolproof_model::topology::Topology;
use poolproof_stats::Statistic;
use poolproof_stats::binomial::{Question, interval};
use poolproof_stats::rank;
use poolproof_stats::sequential::{Progress, Sequential};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tabled::builder::Builder;
use tabled::settings::Style;

#[derive(Parser)]
struct Arguments {
    /// How often each decision is taken
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What became of one decision on drawn outcomes.
struct Outcome {
    failed: bool,
    n: u64,
}

/// What became of all of them.
struct Measured {
    fails: f64,
    /// Ends of the interval of `fails`, at 99.9 %.
    interval: (f64, f64),
    mean_n: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let target = Target::planned(&Topology::default()).expect("the default topology is a target");
    let budget = Budget::new(SUITES, Settings::default());
    let mut builder = Builder::default();
    builder.push_record([
        "case",
        "share or order",
        "claimed",
        "fails",
        "99.9 % interval",
        "mean n",
        "claimed n",
    ]);
    let mut contradicted = 0;
    for case in SUITES.iter().flat_map(|suite| suite.cases) {
        if missing(case, &target).is_some() {
            continue;
        }
        let effort = case
            .effort(&target, &budget.rates(case))
            .expect("every case has a plan");
        let mut decisions = effort.decisions;
        decisions.dedup();
        for decision in decisions {
            for (system, claim, claimed_n) in systems(&decision) {
                let measured = measure(&decision, system, arguments.runs);
                let (low, high) = measured.interval;
                let (holds, claim) = match claim {
                    Claim::AtMost(rate) => (low <= rate, format!("<= {rate:.2e}")),
                    Claim::AtLeast(rate) => (high >= rate, format!(">= {rate:.4}")),
                };
                contradicted += u32::from(!holds);
                builder.push_record([
                    case.id.to_owned(),
                    format!("{system:.4}"),
                    claim + if holds { "" } else { " CONTRADICTED" },
                    format!("{:.6}", measured.fails),
                    format!("{low:.6} to {high:.6}"),
                    format!("{:.0}", measured.mean_n),
                    claimed_n.map_or("fixed".to_owned(), |n| format!("{n:.0}")),
                ]);
            }
        }
    }
    println!("{}", builder.build().with(Style::sharp()));
    println!(
        "{} runs each; {contradicted} claims contradicted",
        arguments.runs
    );
    ExitCode::from(u8::from(contradicted > 0))
}

enum Claim {
    AtMost(f64),
    AtLeast(f64),
}

/// The correct system and the smallest deviations, each by its share or order, with what is claimed of it.
fn systems(decision: &Decision) -> Vec<(f64, Claim, Option<f64>)> {
    let of_shares = |question: Question, power: f64| {
        let deviations = question.deviations().into_iter();
        let caught = deviations.map(|share| (share, Claim::AtLeast(power), None));
        let null = (question.null(), Claim::AtMost(decision.alpha()), None);
        std::iter::once(null).chain(caught).collect::<Vec<_>>()
    };
    match decision {
        Decision::Fixed(plan) => of_shares(plan.question, plan.power),
        Decision::Sequential(test) => {
            let mut systems = of_shares(test.question, test.at_deviation.fails);
            for (share, _, claimed_n) in &mut systems {
                *claimed_n = Some(test.at(*share).mean_n);
            }
            systems
        }
        Decision::NoOrder { deviating, .. } => vec![
            (0.5, Claim::AtMost(decision.alpha()), None),
            (*deviating, Claim::AtLeast(decision.power()), None),
        ],
        Decision::FirstBelow { null, .. } => vec![
            (*null, Claim::AtMost(decision.alpha()), None),
            (0.5, Claim::AtLeast(decision.power()), None),
        ],
    }
}

fn measure(decision: &Decision, system: f64, runs: u64) -> Measured {
    let mut rng = SmallRng::seed_from_u64(11);
    let (mut failed, mut total) = (0, 0);
    for _ in 0..runs {
        let outcome = decide(decision, system, &mut rng);
        failed += u64::from(outcome.failed);
        total += outcome.n;
    }
    Measured {
        fails: failed as f64 / runs as f64,
        interval: interval(runs, failed, 0.999),
        mean_n: total as f64 / runs as f64,
    }
}

/// Takes the decision once, by the code that the cases use.
fn decide(decision: &Decision, system: f64, rng: &mut SmallRng) -> Outcome {
    match decision {
        Decision::Fixed(plan) => {
            let hits = (0..plan.n).filter(|_| rng.random_bool(system)).count() as u64;
            Outcome {
                failed: !plan.accepted.contains(&hits),
                n: plan.n,
            }
        }
        Decision::Sequential(test) => sequential(test, system, rng),
        Decision::NoOrder {
            sizes,
            alpha,
            deviating,
        } => {
            let samples = shifted(*sizes, system, rng);
            judged(sizes, &samples, |order| {
                order.decide_none("", 0, *alpha, *deviating)
            })
        }
        Decision::FirstBelow { sizes, alpha, null } => {
            let samples = match system > 0.5 {
                true => late(*sizes, system, rng),
                false => shifted(*sizes, system, rng),
            };
            judged(sizes, &samples, |order| {
                order.decide_first("", 0, *alpha, *null)
            })
        }
    }
}

fn sequential(test: &Sequential, share: f64, rng: &mut SmallRng) -> Outcome {
    let sample = std::iter::repeat_with(|| rng.random_bool(share));
    match test.progress(sample.take(test.n_max() as usize)) {
        Progress::Ended { look, hits } => Outcome {
            failed: test.fails(look, hits),
            n: test.looks[look].n,
        },
        Progress::Open { .. } => unreachable!("the last look decides"),
    }
}

fn judged(
    sizes: &[usize; 2],
    samples: &[Vec<f64>; 2],
    decide: impl Fn(rank::Order) -> Statistic,
) -> Outcome {
    let statistic = rank::order(&samples[0], &samples[1]).map(decide);
    let failed = statistic.is_none_or(|statistic| {
        let (low, high) = statistic.accepted;
        statistic.observed < low || statistic.observed > high
    });
    Outcome {
        failed,
        n: (sizes[0] + sizes[1]) as u64,
    }
}

/// Two exponential samples, as service times are, of which the first is below the second with the chance `order`.
fn shifted([m, n]: [usize; 2], order: f64, rng: &mut SmallRng) -> [Vec<f64>; 2] {
    // For exponential laws of rates a and b that chance is a / (a + b).
    let slower = order / (1.0 - order);
    let mut draw = |mean: f64| -mean * (1.0 - rng.random::<f64>()).ln();
    let first = (0..m).map(|_| draw(1.0)).collect();
    let second = (0..n).map(|_| draw(slower)).collect();
    [first, second]
}

/// Samples whose order varies as much as any laws allow: each value of the smaller one is on the right side of all of the other, or
/// on the wrong side of all.
fn late([m, n]: [usize; 2], order: f64, rng: &mut SmallRng) -> [Vec<f64>; 2] {
    let middle = |count: usize| {
        (0..count)
            .map(|i| 0.5 + i as f64 * 1e-6)
            .collect::<Vec<f64>>()
    };
    let mut side = |count: usize, right: f64, wrong: f64| {
        let values = (0..count).map(|i| {
            let side = if rng.random_bool(order) { right } else { wrong };
            side + i as f64 * 1e-6
        });
        values.collect::<Vec<f64>>()
    };
    match m < n {
        true => [side(m, 0.0, 1.0), middle(n)],
        false => [middle(m), side(n, 1.0, 0.0)],
    }
}
