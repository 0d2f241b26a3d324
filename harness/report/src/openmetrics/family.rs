//! Metric families built from existing figures. The library writes them.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

/// The labels of a sample, in output order.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Metrics with one name.
#[derive(Debug)]
pub(super) struct Family {
    /// The name without its unit and without the suffix of its kind.
    name: String,
    help: String,
    unit: Option<Unit>,
    samples: Samples,
}

/// The samples of a family by their labels, which makes each metric unique.
#[derive(Debug)]
enum Samples {
    Counters(BTreeMap<Labels, u64>),
    Gauges(BTreeMap<Labels, f64>),
    Histograms(BTreeMap<Labels, Histogram>),
    Info(Labels),
}

/// A histogram of values.
#[derive(Debug)]
pub(super) struct Histogram {
    /// The sum of the values.
    pub(super) sum: f64,
    /// Upper bounds, the last one infinite, and the number of values between each bound and the previous one.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// Families, in output order.
#[derive(Debug)]
pub(super) struct Families(pub(super) Vec<Family>);

impl Family {
    /// Adds counters; `unit` is appended to the name.
    pub(super) fn counters(
        (name, unit): (&str, &str),
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> Self {
        Self::new(
            (name, unit),
            help,
            Samples::Counters(samples.into_iter().collect()),
        )
    }

    /// Adds gauges; `unit` is appended to the name if not empty.
    pub(super) fn gauges(
        (name, unit): (&str, &str),
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Self {
        Self::new(
            (name, unit),
            help,
            Samples::Gauges(samples.into_iter().collect()),
        )
    }

    /// Adds histograms of times in seconds.
    pub(super) fn histograms(
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> Self {
        let samples = Samples::Histograms(samples.into_iter().collect());
        Self::new((name, "seconds"), help, samples)
    }

    /// Adds facts that are not figures.
    pub(super) fn info(name: &str, help: &str, labels: Labels) -> Self {
        Self::new((name, ""), help, Samples::Info(labels))
    }

    fn new((name, unit): (&str, &str), help: &str, samples: Samples) -> Self {
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            unit: (!unit.is_empty()).then(|| Unit::Other(unit.to_owned())),
            samples,
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match &self.samples {
            Samples::Counters(_) => MetricType::Counter,
            Samples::Gauges(_) => MetricType::Gauge,
            Samples::Histograms(_) => MetricType::Histogram,
            Samples::Info(_) => MetricType::Info,
        };
        let unit = self.unit.as_ref();
        let mut encoder = encoder.encode_descriptor(&self.name, &self.help, unit, kind)?;
        match &self.samples {
            Samples::Counters(samples) => samples.iter().try_for_each(|(labels, count)| {
                let exemplar: Option<&Exemplar<NoLabelSet, f64>> = None;
                encoder
                    .encode_family(labels)?
                    .encode_counter(count, exemplar)
            }),
            Samples::Gauges(samples) => samples
                .iter()
                .try_for_each(|(labels, value)| encoder.encode_family(labels)?.encode_gauge(value)),
            Samples::Histograms(samples) => samples.iter().try_for_each(|(labels, it)| {
                let count = it.buckets.iter().map(|(_, count)| count).sum();
                encoder
                    .encode_family(labels)?
                    .encode_histogram::<NoLabelSet>(it.sum, count, &it.buckets, None)
            }),
            Samples::Info(labels) => encoder.encode_info(labels),
        }
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|family| family.encode(&mut encoder))
    }
}
