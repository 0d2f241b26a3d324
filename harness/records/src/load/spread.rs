//! The spread of times in buckets about 1 % wide. Its memory depends on the range of the values, not on their number.

use serde::{Deserialize, Serialize};

use super::percentile::Ms;
use poolproof_stats::interval;

/// Buckets per power of two. Below as many microseconds, each value has a bucket of its own.
const PER_OCTAVE: u64 = 64;
/// `PER_OCTAVE` is two to the power of this.
const OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
/// The longest time with a bucket of its own, in microseconds: a day.
const LONGEST_US: u64 = 86_400_000_000;

/// How often times of each bucket were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u64)>", into = "Vec<(u16, u64)>")]
pub struct Spread {
    /// The bucket of the first count.
    first: usize,
    counts: Vec<u64>,
    total: u64,
}

impl Spread {
    /// Records a time in microseconds.
    #[inline]
    pub fn record(&mut self, us: u64) {
        self.add(bucket_of(us), 1);
    }

    /// How many times were recorded.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Adds all that another one has.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.recorded() {
            self.add(bucket, count);
        }
    }

    /// What was recorded after `earlier`, an older copy of this one.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::default();
        for (bucket, count) in self.recorded() {
            let before = bucket.checked_sub(earlier.first);
            let before = before.and_then(|place| earlier.counts.get(place));
            since.add(bucket, count.saturating_sub(before.copied().unwrap_or(0)));
        }
        since
    }

    /// A percentile in milliseconds over the recorded times and as many failures, which are infinitely late: `None`. Also `None` if
    /// there is neither.
    pub fn percentile_ms(&self, percentile: f64, failed: u64) -> Ms {
        let rank = interval::rank(self.total + failed, percentile / 100.0);
        let mut seen = 0;
        let mut recorded = self.recorded();
        let (bucket, _) = recorded.find(|(_, count)| {
            seen += count;
            seen >= rank
        })?;
        Some(middle_us(bucket) / 1000.0)
    }

    /// The buckets that have a count.
    fn recorded(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| (self.first + place, *count))
    }

    #[inline]
    fn add(&mut self, bucket: usize, count: u64) {
        if count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.first = bucket;
        } else if bucket < self.first {
            let more = self.first - bucket;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let place = bucket - self.first;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] = self.counts[place].saturating_add(count);
        self.total = self.total.saturating_add(count);
    }
}

impl From<Vec<(u16, u64)>> for Spread {
    fn from(recorded: Vec<(u16, u64)>) -> Self {
        let mut spread = Self::default();
        for (bucket, count) in recorded {
            spread.add(usize::from(bucket).min(bucket_of(LONGEST_US)), count);
        }
        spread
    }
}

impl From<Spread> for Vec<(u16, u64)> {
    fn from(spread: Spread) -> Self {
        // The bucket of a day is far below the limit of the type.
        let recorded = spread.recorded();
        recorded
            .map(|(bucket, count)| (bucket as u16, count))
            .collect()
    }
}

#[inline]
fn bucket_of(us: u64) -> usize {
    let us = us.min(LONGEST_US);
    if us < PER_OCTAVE {
        return us as usize;
    }
    let shift = u64::BITS - 1 - us.leading_zeros() - OCTAVE_BITS;
    (u64::from(shift) * PER_OCTAVE + (us >> shift)) as usize
}

/// The middle of a bucket, in microseconds.
fn middle_us(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_OCTAVE {
        return bucket as f64;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let low = (bucket - shift * PER_OCTAVE) << shift;
    low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod properties {
    use super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Times from nothing to beyond the longest, as many of each magnitude.
    fn time_us() -> impl Strategy<Value = u64> {
        (0_u32..40, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1))
    }

    fn spread(times_us: &[u64]) -> Spread {
        let mut spread = Spread::default();
        times_us.iter().for_each(|us| spread.record(*us));
        spread
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_percentile_is_that_of_the_sorted_times_to_one_percent(
            mut times_us in vec(time_us(), 1..60),
            failed in 0_u64..5,
            percentile in 1.0..99.0,
        ) {
            let found = spread(&times_us).percentile_ms(percentile, failed);
            times_us.sort_unstable();
            let rank = interval::rank(times_us.len() as u64 + failed, percentile / 100.0);
            let wanted = times_us.get(rank as usize - 1).map(|us| *us.min(&LONGEST_US) as f64 / 1000.0);
            prop_assert_eq!(found.is_some(), wanted.is_some());
            if let (Some(found), Some(wanted)) = (found, wanted) {
                prop_assert!((found - wanted).abs() <= 0.01 * wanted, "{} {}", found, wanted);
            }
        }

        #[test]
        fn parts_add_up_and_the_difference_to_an_older_copy_is_what_came_since(
            before in vec(time_us(), 0..40),
            after in vec(time_us(), 0..40),
        ) {
            let (old, new) = (spread(&before), spread(&after));
            let all = spread(&[before, after].concat());
            let mut merged = old.clone();
            merged.merge(&new);
            prop_assert_eq!(Vec::from(merged.clone()), Vec::from(all.clone()));
            prop_assert_eq!(merged.len(), all.len());
            prop_assert_eq!(Vec::from(all.since(&old)), Vec::from(new.clone()));
            let text = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(Vec::from(serde_json::from_str::<Spread>(&text).unwrap()), Vec::from(all));
        }
    }

    #[test]
    fn nothing_has_no_percentile_and_a_hostile_bucket_is_bounded() {
        assert_eq!(Spread::default().percentile_ms(50.0, 0), None);
        assert_eq!(Spread::default().percentile_ms(50.0, 3), None);
        let spread: Spread = serde_json::from_str("[[65535,18446744073709551615],[0,1]]").unwrap();
        assert!(spread.counts.len() <= bucket_of(LONGEST_US) + 1);
        assert!(serde_json::from_str::<Spread>("[[70000,1]]").is_err());
    }
}
