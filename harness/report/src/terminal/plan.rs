//! The plan of a split, and the plan of a run.

use super::table;
use poolproof_cases::plan::{CasePlan, RunPlan, SampleChance, SplitPlan};

/// Inputs of a split's plan that the plan itself does not hold.
#[derive(Clone, Copy, Debug)]
pub struct SplitAsked {
    /// The weight of the pool that is tested.
    pub weight: u32,
    /// The sum of the weights of all pools.
    pub total_weight: u32,
    /// Requests per second.
    pub rate: f64,
    /// The probability that a whole run fails a correct stack.
    pub run_alpha: f64,
}

/// Renders the samples, and which gateways would pass.
pub fn split(plan: &SplitPlan, asked: SplitAsked) -> String {
    let (fixed, test) = (&plan.without_looks, &plan.with_looks);
    let step = test.looks.first().map_or(0, |look| look.n);
    let percent = |count: u64| 100.0 * count as f64 / fixed.requests as f64;
    let [low, high] = fixed.accepted;
    let mut text = format!(
        "The pool with weight {} of {} must get {:.2} % of the requests; a deviation of {:.2} points must be caught.\n\n\
         fixed sample   {} requests; passes with {low} to {high} ({:.2} % to {:.2} %)\n\
         sequential     a look every {step} requests, {} at most; {:.0} on average if the split is correct\n\
         error rates    fails a correct split with probability {:.1e} (of {:.1e} for the run), catches the deviation with {:.4}\n\
         time           at {} requests per second: {:.0} s on average, {:.0} s at most\n\n",
        asked.weight,
        asked.total_weight,
        plan.null * 100.0,
        plan.deviation * 100.0,
        fixed.requests,
        percent(low),
        percent(high),
        test.n_max(),
        test.at_null.mean_n,
        test.at_null.fails,
        asked.run_alpha,
        test.at_deviation.fails,
        asked.rate,
        test.at_null.mean_n / asked.rate,
        test.n_max() as f64 / asked.rate,
    );
    text.push_str("Probability that a gateway with a wrong split passes\n");
    let headings = [
        "share",
        "points off",
        "fixed sample",
        "sequential",
        "mean requests",
    ];
    let rows = plan.gateways.iter().map(|gateway| {
        vec![
            format!("{:.2} %", gateway.share * 100.0),
            format!("{:+.2}", gateway.points_off),
            format!("{:.4}", gateway.passes_without_looks),
            format!("{:.4}", gateway.passes_with_looks),
            format!("{:.0}", gateway.mean_requests),
        ]
    });
    text.push_str(&table(&headings, rows));
    for sample in &plan.have {
        text.push_str(&sample_line(plan, sample));
    }
    text
}

fn sample_line(plan: &SplitPlan, sample: &SampleChance) -> String {
    format!(
        "\n{} requests: passes with {} to {}; a gateway at {:.2} % passes with probability {:.4}, one at {:.2} % with {:.4}; \
         smallest share caught with probability {}: {}",
        sample.requests,
        sample.accepted[0],
        sample.accepted[1],
        (plan.null - plan.deviation) * 100.0,
        sample.passes_below.unwrap_or(0.0),
        (plan.null + plan.deviation) * 100.0,
        sample.passes_above.unwrap_or(0.0),
        plan.power,
        sample
            .caught_from
            .map_or("none".to_owned(), |share| format!("{:.1} %", share * 100.0)),
    )
}

/// Renders one line per case of a run, and the total.
pub fn run(plan: &RunPlan) -> String {
    let total = &plan.total;
    let total = vec![
        "total".to_owned(),
        format!("{:.0}", total.requests_mean),
        format!("{:.0}", total.requests_max),
        format!("{:.0}", total.tokens_mean),
        format!("{:.1}", total.seconds_mean),
        format!("{:.1e}", total.alpha),
        String::new(),
    ];
    let headings = [
        "case", "requests", "at most", "tokens", "seconds", "alpha", "power",
    ];
    format!(
        "{}\nRequests, tokens and seconds are means on a correct stack at {} ms a request; ballast comes on top: endpoints that are to \
         be busy are kept full for the time of their case. The total of alpha is that of the Must cases: no other fails a run.",
        table(&headings, plan.cases.iter().map(case).chain([total])),
        plan.latency_ms,
    )
}

fn case(plan: &CasePlan) -> Vec<String> {
    match plan {
        CasePlan::Skipped { case, skipped } => {
            vec![(*case).to_owned(), format!("skip: {skipped}")]
        }
        CasePlan::Planned {
            case,
            effort,
            seconds_mean,
            alpha,
            power,
        } => vec![
            (*case).to_owned(),
            format!("{:.0}", effort.requests_mean),
            effort.requests_max.to_string(),
            format!("{:.0}", effort.tokens_mean),
            format!("{seconds_mean:.1}"),
            if *alpha == 0.0 {
                "-".to_owned()
            } else {
                format!("{alpha:.1e}")
            },
            power.map_or("-".to_owned(), |power| format!("{power:.4}")),
        ],
    }
}
