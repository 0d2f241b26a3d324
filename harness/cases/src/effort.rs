//! Effort: what a case sends, known before it sends anything.

use serde::Serialize;

use poolproof_stats::binomial::Plan;
use poolproof_stats::rank::Order;
use poolproof_stats::sequential::Sequential;

/// The default tokens of a request, at most: a prompt of 64 characters, and a response of one token.
const TOKENS_PER_REQUEST: f64 = 65.0;

/// What a case sends through the gateway. Ballast is not included: it keeps endpoints busy for the duration of
/// `waits_s`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effort {
    /// The largest number of requests.
    pub requests_max: u64,
    /// The mean number of requests on a correct stack.
    pub requests_mean: f64,
    /// The mean number of tokens of prompts and responses on a correct stack.
    pub tokens_mean: f64,
    /// The number of requests open at once.
    pub in_flight: f64,
    /// Time that does not depend on the latency of requests, in seconds: endpoints fill, pickers scrape, queues drain.
    pub waits_s: f64,
    /// The statistical decisions. Empty for a case that judges every answer.
    pub decisions: Vec<Decision>,
}

/// A planned statistical decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "test", rename_all = "kebab-case")]
pub enum Decision {
    /// About a share, with a sample of fixed size.
    Fixed(Plan),
    /// About a share, with a sample that ends as soon as it is settled.
    Sequential(Sequential),
    /// That two samples show no order.
    NoOrder {
        /// The size of each sample.
        sizes: [usize; 2],
        /// The chance of finding an order where there is none.
        alpha: f64,
        /// The order that must be found: the chance that a value of the first sample is below one of the second.
        deviating: f64,
    },
    /// That values of the first sample are below values of the second.
    FirstBelow {
        /// The size of each sample.
        sizes: [usize; 2],
        /// The chance of missing that order where it exists.
        alpha: f64,
        /// The smallest chance, in a correct system, that a value of the first sample is below one of the second.
        null: f64,
    },
}

impl Decision {
    /// The chance that it fails a correct stack.
    pub fn alpha(&self) -> f64 {
        match self {
            // A correct stack never does what is counted.
            Self::Fixed(plan) if plan.question.null() == 0.0 => 0.0,
            Self::Fixed(plan) => plan.alpha,
            Self::Sequential(test) => test.alpha,
            Self::NoOrder { alpha, .. } | Self::FirstBelow { alpha, .. } => *alpha,
        }
    }

    /// The chance that it catches the smallest deviation that matters.
    pub fn power(&self) -> f64 {
        match self {
            Self::Fixed(plan) => plan.power,
            Self::Sequential(test) => test.at_deviation.fails,
            Self::NoOrder {
                sizes,
                alpha,
                deviating,
            } => {
                Order::of_sizes(*sizes)
                    .decide_none("", 0, *alpha, *deviating)
                    .power
            }
            Self::FirstBelow { sizes, alpha, null } => {
                Order::of_sizes(*sizes)
                    .decide_first("", 0, *alpha, *null)
                    .power
            }
        }
    }
}

impl Effort {
    /// An effort of `n` requests, one at a time, each of which is judged.
    pub fn requests(n: usize) -> Self {
        Self {
            requests_max: n as u64,
            requests_mean: n as f64,
            tokens_mean: n as f64 * TOKENS_PER_REQUEST,
            in_flight: 1.0,
            waits_s: 0.0,
            decisions: Vec::new(),
        }
    }

    /// A sample of fixed size.
    pub fn fixed(plan: &Plan) -> Self {
        Self::requests(plan.n as usize).decides([Decision::Fixed(plan.clone())])
    }

    /// One sample for several tests at once, each with the share of the requests that it can use.
    pub fn sequential<'a>(tests: impl IntoIterator<Item = (&'a Sequential, f64)>) -> Self {
        let mut all = Self::requests(0);
        for (test, share) in tests {
            let most = (test.n_max() as f64 / share).ceil() as u64;
            all.requests_max = all.requests_max.max(most);
            all.requests_mean = all.requests_mean.max(test.at_null.mean_n / share);
            all.decisions.push(Decision::Sequential(test.clone()));
        }
        all.tokens_mean = all.requests_mean * TOKENS_PER_REQUEST;
        all
    }

    /// Repeats the effort `n` times.
    pub fn times(mut self, n: usize) -> Self {
        self.requests_max *= n as u64;
        for figure in [
            &mut self.requests_mean,
            &mut self.tokens_mean,
            &mut self.waits_s,
        ] {
            *figure *= n as f64;
        }
        let all = std::iter::repeat_n(self.decisions, n);
        self.decisions = all.flatten().collect();
        self
    }

    /// Adds `n` requests, each of which is judged or measures something.
    pub fn and(mut self, n: usize) -> Self {
        self.requests_max += n as u64;
        self.requests_mean += n as f64;
        self.tokens_mean += n as f64 * TOKENS_PER_REQUEST;
        self
    }

    /// Sets the number of requests open at once.
    pub fn in_flight(self, in_flight: usize) -> Self {
        Self {
            in_flight: in_flight as f64,
            ..self
        }
    }

    /// Adds waits of `waits_s` seconds.
    pub fn waits(self, waits_s: f64) -> Self {
        Self { waits_s, ..self }
    }

    /// Sets the tokens.
    pub fn tokens(self, tokens: usize) -> Self {
        Self {
            tokens_mean: tokens as f64,
            ..self
        }
    }

    /// Sets the largest number of requests, for the case that everything takes as long as allowed.
    pub fn at_most(self, requests_max: u64) -> Self {
        Self {
            requests_max,
            ..self
        }
    }

    /// Sets the statistical decisions.
    pub fn decides(self, decisions: impl Into<Vec<Decision>>) -> Self {
        Self {
            decisions: decisions.into(),
            ..self
        }
    }

    /// The chance that it fails a correct stack.
    pub fn alpha(&self) -> f64 {
        self.decisions.iter().map(Decision::alpha).sum()
    }

    /// The chance that its weakest decision catches the smallest deviation that matters.
    pub fn power(&self) -> Option<f64> {
        let powers = self.decisions.iter().map(Decision::power);
        powers.min_by(f64::total_cmp)
    }

    /// The duration on a correct stack in seconds, if a request takes `latency_s`.
    pub fn seconds(&self, latency_s: f64) -> f64 {
        self.waits_s + self.requests_mean * latency_s / self.in_flight
    }
}
