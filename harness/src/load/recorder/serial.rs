//! A recorder as one process hands it to another: nothing is lost on the way, so that merging what several processes measured is the
//! same as having measured it in one.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Cell, Example, Key, Recorder, Series, Times, histogram};
use crate::load::failure::Failure;

/// How often each value of a histogram was seen. A value stands for all that the histogram does not tell apart, so that recording it
/// again gives the same histogram.
type Counts = Vec<(u64, u64)>;

/// [`Recorder`].
#[derive(Serialize, Deserialize)]
pub(super) struct Form {
    endpoints: Vec<String>,
    cells: Vec<(Key, CellForm)>,
    examples: Vec<Example>,
    lag: Counts,
    connect: Counts,
}

/// [`Cell`].
#[derive(Serialize, Deserialize)]
struct CellForm {
    requests: u64,
    answered: u64,
    good: u64,
    failed: Vec<(Failure, u64)>,
    input_tokens: u64,
    output_tokens: u64,
    chunks: u64,
    together: u64,
    without_usage: u64,
    series: [Option<Counts>; Series::ALL.len()],
}

impl From<Recorder> for Form {
    fn from(recorder: Recorder) -> Self {
        Self {
            cells: recorder
                .cells
                .iter()
                .map(|(key, cell)| (*key, CellForm::new(cell)))
                .collect(),
            endpoints: recorder.endpoints,
            examples: recorder.examples,
            lag: counts(&recorder.lag.0),
            connect: counts(&recorder.connect.0),
        }
    }
}

impl TryFrom<Form> for Recorder {
    type Error = anyhow::Error;

    fn try_from(form: Form) -> Result<Self> {
        let mut recorder = Self {
            endpoints: form.endpoints,
            examples: form.examples,
            lag: Times(recorded(&form.lag)?),
            connect: Times(recorded(&form.connect)?),
            ..Self::default()
        };
        for (key, cell) in form.cells {
            ensure!(
                key.endpoint.is_none_or(|it| it < recorder.endpoints.len()),
                "a cell is of endpoint {:?}, and there are {}",
                key.endpoint,
                recorder.endpoints.len()
            );
            let place = recorder.place(key);
            *recorder.at(place) = cell.recorded()?;
        }
        Ok(recorder)
    }
}

impl CellForm {
    fn new(cell: &Cell) -> Self {
        Self {
            requests: cell.requests,
            answered: cell.answered,
            good: cell.good,
            failed: cell.failed.iter().map(|(kind, n)| (*kind, *n)).collect(),
            input_tokens: cell.input_tokens,
            output_tokens: cell.output_tokens,
            chunks: cell.chunks,
            together: cell.together,
            without_usage: cell.without_usage,
            series: cell.series.each_ref().map(|it| it.as_deref().map(counts)),
        }
    }

    fn recorded(self) -> Result<Cell> {
        let mut cell = Cell {
            requests: self.requests,
            answered: self.answered,
            good: self.good,
            failed: self.failed.into_iter().collect(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            chunks: self.chunks,
            together: self.together,
            without_usage: self.without_usage,
            series: Default::default(),
        };
        for (place, counts) in cell.series.iter_mut().zip(self.series) {
            *place = match counts {
                Some(counts) => Some(Box::new(recorded(&counts)?)),
                None => None,
            };
        }
        Ok(cell)
    }
}

fn counts(histogram: &Histogram<u64>) -> Counts {
    let values = histogram.iter_recorded();
    values
        .map(|it| (it.value_iterated_to(), it.count_at_value()))
        .collect()
}

fn recorded(counts: &Counts) -> Result<Histogram<u64>> {
    let mut histogram = histogram();
    for (value, count) in counts {
        histogram.record_n(*value, *count)?;
    }
    Ok(histogram)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::failure::Failed;

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
