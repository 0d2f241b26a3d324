//! The responses of a sample, counted.

use std::collections::BTreeMap;

use crate::Exchange;
use crate::evidence::served;

/// The responses of a sample, counted.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Responses by the endpoint that they identify.
    pub(super) named: BTreeMap<String, u64>,
    /// How many of them are successes.
    pub(super) served: BTreeMap<String, u64>,
    /// Successes that identify no endpoint.
    pub(super) unnamed: u64,
    /// All others. Any part of the stack may have seen their requests.
    pub(super) lost: u64,
}

impl Answers {
    /// Counts these exchanges.
    pub fn of<'a>(exchanges: impl Iterator<Item = &'a Exchange>) -> Self {
        let mut answers = Self::default();
        for exchange in exchanges {
            match (served::endpoint_of(exchange), exchange.is_success()) {
                (Some(endpoint), success) => {
                    *answers.named.entry(endpoint.to_owned()).or_default() += 1;
                    if success {
                        *answers.served.entry(endpoint.to_owned()).or_default() += 1;
                    }
                }
                (None, true) => answers.unnamed += 1,
                (None, false) => answers.lost += 1,
            }
        }
        answers
    }

    pub(super) fn unserved(&self) -> u64 {
        self.named.values().sum::<u64>() - self.served.values().sum::<u64>()
    }
}
