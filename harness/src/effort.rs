//! Effort: what a case sends, known before it sends anything.

use serde::Serialize;

use crate::stats::binomial::Plan;
use crate::stats::sequential::Sequential;

/// Tokens of a request where a case says nothing else, at most: a prompt of 64 characters, and an answer of one token.
const TOKENS_PER_REQUEST: f64 = 65.0;

/// What a case sends through the gateway. Ballast is not in it: it keeps endpoints busy for as long as `waits_s` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effort {
    /// Requests, at most.
    pub requests_max: u64,
    /// Requests on a correct stack, on average.
    pub requests_mean: f64,
    /// Tokens of prompts and answers on a correct stack, on average.
    pub tokens_mean: f64,
    /// Requests that are open at once.
    pub in_flight: f64,
    /// Time that passes whatever the latency of a request is, in seconds: endpoints are filled, pickers look, queues drain.
    pub waits_s: f64,
    /// The chance with which it fails a correct stack.
    pub alpha: f64,
    /// The chance with which it catches the smallest deviation that matters; a case that judges every answer has none.
    pub power: Option<f64>,
}

impl Effort {
    /// So many requests, one at a time, each of which is judged.
    pub fn requests(n: usize) -> Self {
        Self {
            requests_max: n as u64,
            requests_mean: n as f64,
            tokens_mean: n as f64 * TOKENS_PER_REQUEST,
            in_flight: 1.0,
            waits_s: 0.0,
            alpha: 0.0,
            power: None,
        }
    }

    /// A sample of fixed size.
    pub fn fixed(plan: &Plan) -> Self {
        Self {
            alpha: plan.alpha,
            power: Some(plan.power),
            ..Self::requests(plan.n as usize)
        }
    }

    /// One sample for several tests at once, each with the share of the requests that it can use.
    pub fn sequential<'a>(tests: impl IntoIterator<Item = (&'a Sequential, f64)>) -> Self {
        let mut all = Self::requests(0);
        for (test, share) in tests {
            let most = (test.n_max() as f64 / share).ceil() as u64;
            all.requests_max = all.requests_max.max(most);
            all.requests_mean = all.requests_mean.max(test.at_null.mean_n / share);
            all.alpha += test.alpha;
            let power = test.at_deviation.fails;
            all.power = Some(all.power.map_or(power, |least: f64| least.min(power)));
        }
        all.tokens_mean = all.requests_mean * TOKENS_PER_REQUEST;
        all
    }

    /// The same, so often.
    pub fn times(mut self, n: usize) -> Self {
        self.requests_max *= n as u64;
        for figure in [
            &mut self.requests_mean,
            &mut self.tokens_mean,
            &mut self.waits_s,
            &mut self.alpha,
        ] {
            *figure *= n as f64;
        }
        self
    }

    /// The same, with so many more requests, each of which is judged or measures something.
    pub fn and(mut self, n: usize) -> Self {
        self.requests_max += n as u64;
        self.requests_mean += n as f64;
        self.tokens_mean += n as f64 * TOKENS_PER_REQUEST;
        self
    }

    /// The same, with so many requests open at once.
    pub fn in_flight(self, in_flight: usize) -> Self {
        Self {
            in_flight: in_flight as f64,
            ..self
        }
    }

    /// The same, with waits of so many seconds.
    pub fn waits(self, waits_s: f64) -> Self {
        Self { waits_s, ..self }
    }

    /// The same, with so many tokens.
    pub fn tokens(self, tokens: usize) -> Self {
        Self {
            tokens_mean: tokens as f64,
            ..self
        }
    }

    /// The same, but with so many requests where things take as long as they may.
    pub fn at_most(self, requests_max: u64) -> Self {
        Self {
            requests_max,
            ..self
        }
    }

    /// The same, for a decision at these error rates.
    pub fn decides(self, alpha: f64, power: f64) -> Self {
        Self {
            alpha,
            power: Some(power),
            ..self
        }
    }

    /// How long it takes on a correct stack, in seconds, if a request takes `latency_s`.
    pub fn seconds(&self, latency_s: f64) -> f64 {
        self.waits_s + self.requests_mean * latency_s / self.in_flight
    }
}
