//! All paths of a sample at once: the probabilities of the counts at which the test has not ended.

use std::ops::RangeInclusive;

use statrs::distribution::{Binomial, Discrete};

use super::super::binomial::Question;
use super::{Behaviour, Look};

/// The probabilities of all counts at which the test has not ended.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    n: u64,
    /// The count of the first probability.
    from: u64,
    chances: Vec<f64>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            n: 0,
            from: 0,
            chances: vec![1.0],
        }
    }
}

impl Paths {
    /// Walks through all looks, and then on to `n` without further looks.
    pub(super) fn walk(&mut self, looks: &[Look], n: u64, share: f64) -> Behaviour {
        let mut behaviour = Behaviour {
            fails: 0.0,
            mean_n: 0.0,
        };
        for look in looks {
            self.advance(look.n, share);
            self.end(look, |count, chance| {
                behaviour.mean_n += chance * look.n as f64;
                if !look.bearable.contains(&count) {
                    behaviour.fails += chance;
                }
            });
        }
        self.advance(n, share);
        behaviour
    }

    /// Adds observations up to a total of `n`.
    pub(super) fn advance(&mut self, n: u64, share: f64) {
        let more = n - self.n;
        if more == 0 {
            return;
        }
        // A share lies within 0 to 1, so `Binomial` always accepts it.
        let law = Binomial::new(share.clamp(0.0, 1.0), more)
            .unwrap_or_else(|_| unreachable!("share {share} of {more}"));
        let steps: Vec<f64> = (0..=more).map(|hits| law.pmf(hits)).collect();
        let mut chances = vec![0.0; self.chances.len() + more as usize];
        for (count, chance) in self.chances.iter().enumerate() {
            if *chance > 0.0 {
                for (sum, step) in chances[count..].iter_mut().zip(&steps) {
                    *sum += chance * step;
                }
            }
        }
        (self.n, self.chances) = (n, chances);
    }

    /// Removes the counts that end the test at a look, and passes each with its probability to `ended`.
    pub(super) fn end(&mut self, look: &Look, mut ended: impl FnMut(u64, f64)) {
        for (count, chance) in (self.from..).zip(&mut self.chances) {
            if look.decides(count) {
                ended(count, std::mem::take(chance));
            }
        }
        let open = |chance: &f64| *chance > 0.0;
        let first = self.chances.iter().position(open).unwrap_or(0);
        let end = self
            .chances
            .iter()
            .rposition(open)
            .map_or(first, |at| at + 1);
        self.chances.truncate(end);
        self.chances.drain(..first);
        self.from += first as u64;
    }

    /// The tightest bounds outside of which at most `alpha` lies. A two-sided question spends half of it on either
    /// side.
    pub(super) fn bounds(&self, alpha: f64, question: Question) -> RangeInclusive<u64> {
        let tail = alpha / question.deviations().len() as f64;
        let (mut low, mut high) = (0, self.n);
        let within = |chances: &mut dyn Iterator<Item = &f64>| {
            let mut sum = 0.0;
            let fits = |chance: &&f64| {
                sum += **chance;
                sum <= tail
            };
            chances.take_while(fits).count() as u64
        };
        for share in question.deviations() {
            if share > question.null() {
                let above = within(&mut self.chances.iter().rev());
                high = (self.from + self.chances.len() as u64).saturating_sub(above + 1);
            } else {
                low = self.from + within(&mut self.chances.iter());
            }
        }
        low..=high
    }
}
