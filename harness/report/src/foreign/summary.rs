//! Summary statistics of one time over all classes of a load run.

use poolproof_model::workload::Series;
use poolproof_records::load::Record;
use poolproof_stats::interval::rank;

/// The recorded values of a time, all classes together, in milliseconds.
pub(crate) struct Summary {
    /// Each value with its count, in order.
    values: Vec<(f64, u64)>,
    n: u64,
}

impl Summary {
    /// `None` if there is no value.
    pub(crate) fn of(record: &Record, series: Series) -> Option<Self> {
        let classes = record.classes.iter();
        let times = classes.filter_map(|group| group.times.get(series.name()));
        let mut values: Vec<(f64, u64)> = times
            .flat_map(|times| &times.histogram_us)
            .map(|(us, count)| (*us as f64 / 1000.0, *count))
            .collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let n = values.iter().map(|(_, count)| count).sum();
        (n > 0).then_some(Self { values, n })
    }

    /// Each value with its count, in order.
    pub(crate) fn values(&self) -> &[(f64, u64)] {
        &self.values
    }

    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self
            .values
            .iter()
            .map(|(value, count)| value * *count as f64)
            .sum();
        sum / self.n as f64
    }

    /// The standard deviation of the values.
    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares = self
            .values
            .iter()
            .map(|(value, count)| (value - mean).powi(2) * *count as f64);
        (squares.sum::<f64>() / self.n as f64).sqrt()
    }

    pub(super) fn min(&self) -> f64 {
        self.values.first().map_or(0.0, |first| first.0)
    }

    pub(super) fn max(&self) -> f64 {
        self.values.last().map_or(0.0, |last| last.0)
    }

    /// A percentile, such as 99. As in the tools that define these formats, the sample may be too small for it.
    pub(super) fn percentile(&self, percentile: f64) -> f64 {
        let rank = rank(self.n, percentile / 100.0);
        let mut below = 0;
        let at = self.values.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        at.map_or(0.0, |found| found.0)
    }
}
