//! A recorder as one process sends it to another. It is lossless: merging the recorders of several processes equals measuring in one.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::{Cell, Example, Extra, Key, Recorder, Times, Windows};

/// The fields of a [`Recorder`] that are handed over, not yet checked.
#[derive(Deserialize)]
pub(super) struct Parts {
    endpoints: Vec<String>,
    cells: Vec<(Key, Cell)>,
    examples: Vec<Example>,
    lag: Times,
    connect: Times,
    extra: Extra,
    windows: Windows,
}

impl TryFrom<Parts> for Recorder {
    type Error = anyhow::Error;

    fn try_from(parts: Parts) -> Result<Self> {
        let mut recorder = Self {
            endpoints: parts.endpoints,
            examples: parts.examples,
            lag: parts.lag,
            connect: parts.connect,
            extra: parts.extra,
            windows: parts.windows,
            ..Self::default()
        };
        for (key, cell) in parts.cells {
            ensure!(
                key.endpoint
                    .is_none_or(|endpoint| endpoint < recorder.endpoints.len()),
                "a cell is of endpoint {:?}, and there are {}",
                key.endpoint,
                recorder.endpoints.len()
            );
            let place = recorder.place(key);
            *recorder.at(place) = cell;
        }
        Ok(recorder)
    }
}

/// How often each value of a histogram was recorded. A value represents its bucket, so that recording it again gives the same
/// histogram.
type Counts = Vec<(u64, u64)>;

fn counts_of(histogram: &Histogram<u64>) -> Counts {
    let values = histogram.iter_recorded();
    values
        .map(|value| (value.value_iterated_to(), value.count_at_value()))
        .collect()
}

fn recorded<E: serde::de::Error>(counts: &Counts) -> Result<Histogram<u64>, E> {
    let mut histogram = super::histogram();
    for (value, count) in counts {
        histogram.record_n(*value, *count).map_err(E::custom)?;
    }
    Ok(histogram)
}

/// A histogram as [`Counts`].
pub(super) mod counts {
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Counts, counts_of, recorded};

    pub(in super::super) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        counts_of(histogram).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        recorded(&Counts::deserialize(deserializer)?)
    }
}

/// The histograms of a cell, each as [`Counts`].
pub(super) mod all_counts {
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Counts, counts_of, recorded};
    use poolproof_model::workload::Series;

    type All<T> = [Option<T>; Series::ALL.len()];

    pub(in super::super) fn serialize<S: Serializer>(
        all: &All<Box<Histogram<u64>>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let all = all
            .each_ref()
            .map(|histogram| histogram.as_deref().map(counts_of));
        all.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<All<Box<Histogram<u64>>>, D::Error> {
        let mut all: All<Box<Histogram<u64>>> = Default::default();
        let counts = All::<Counts>::deserialize(deserializer)?;
        for (histogram, counts) in all.iter_mut().zip(counts) {
            *histogram = counts.as_ref().map(recorded).transpose()?.map(Box::new);
        }
        Ok(all)
    }
}

/// A map as a list of pairs: its keys are no strings, as those of JSON's maps are.
pub(super) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in super::super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(in super::super) fn deserialize<'de, K, V, D>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::{Failed, Failure};
    use poolproof_model::workload::Series;

    /// What a process measured that saw every so many of these requests.
    fn measured(numbers: impl Iterator<Item = u64>) -> Recorder {
        let mut recorder = Recorder::default();
        for number in numbers {
            let name = format!("pod-{}", number % 5);
            let endpoint = (number % 11 != 0).then(|| recorder.endpoint(name.as_bytes()));
            let place = recorder.place(Key {
                stage: (number % 2) as usize,
                class: (number % 3) as usize,
                model: 0,
                endpoint: endpoint.flatten(),
            });
            if number % 7 == 0 {
                let kind = match number % 2 {
                    0 => Failure::Status(503),
                    _ => Failure::Cut,
                };
                recorder.failed(place, number, Failed::new(kind, "gone"));
                continue;
            }
            let cell = recorder.at(place);
            cell.requests += 1;
            cell.answered += 1;
            cell.good += number % 2;
            cell.output_tokens += number;
            for series in Series::ALL {
                // From nothing to a minute: through several sizes of buckets.
                cell.record(
                    series,
                    Duration::from_micros(number * number * 37 % 60_000_017),
                );
            }
            let gaps = recorder.at(place).gaps.entry(Duration::from_millis(50));
            gaps.or_default().add(number % 13, number % 3);
            recorder.lag.record(Duration::from_micros(number));
        }
        recorder
    }

    fn handed_over(recorder: Recorder) -> Recorder {
        let text = serde_json::to_string(&recorder).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// All cells, by the name of their endpoint, so that two recorders are compared whatever the order of their cells.
    fn cells(recorder: &Recorder) -> Vec<(String, Cell)> {
        let mut cells: Vec<(String, Cell)> = recorder
            .cells
            .iter()
            .map(|(key, cell)| {
                let endpoint = key.endpoint.map(|it| &recorder.endpoints[it]);
                let key = format!("{} {} {endpoint:?}", key.stage, key.class);
                (key, cell.clone())
            })
            .collect();
        cells.sort_by(|a, b| a.0.cmp(&b.0));
        cells
    }

    #[test]
    fn what_several_measured_is_what_one_would_have_measured() {
        let one = measured(0..3000);
        let mut many = Recorder::default();
        for index in 0..3 {
            many.merge(handed_over(measured((index..3000).step_by(3))));
        }
        let (one_cells, many_cells) = (cells(&one), cells(&many));
        assert_eq!(one_cells.len(), many_cells.len());
        for ((key, a), (other_key, b)) in one_cells.iter().zip(&many_cells) {
            assert_eq!(key, other_key);
            assert_eq!(a.failed, b.failed);
            assert_eq!(a.gaps, b.gaps);
            assert_eq!(
                (a.requests, a.answered, a.good, a.output_tokens),
                (b.requests, b.answered, b.good, b.output_tokens)
            );
            for series in Series::ALL {
                assert_eq!(a.series(series), b.series(series), "{key} {series:?}");
                let mean = |cell: &Cell| cell.series(series).map(Histogram::mean);
                assert_eq!(mean(a), mean(b));
            }
        }
        assert_eq!(one.lag.0, many.lag.0);
        assert_eq!(many.lag.0, one.lag.0);
    }

    #[test]
    fn a_cell_of_an_endpoint_that_is_not_there_is_refused() {
        let text = serde_json::to_string(&measured(1..2)).unwrap();
        let text = text.replace("[\"pod-1\"]", "[]");
        let message = serde_json::from_str::<Recorder>(&text).unwrap_err();
        assert!(message.to_string().contains("endpoint"), "{message}");
    }
}
