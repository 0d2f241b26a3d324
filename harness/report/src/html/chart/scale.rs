//! The scale of an axis: values to positions, and the values that get a label.

/// An axis counts in decades if its largest value is this many times its smallest.
const DECADES_FROM: f64 = 30.0;

/// Values beyond are at the end of a scale, and those below are 0: steps between them would be infinite, or none at all.
const LARGEST: f64 = 1e100;
const SMALLEST: f64 = 1e-100;

/// A scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

/// How the range of a scale follows from its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Range {
    /// From the smallest to the largest value, up to a round number; from 0 if the values begin near it.
    Round,
    /// From 0, or from the smallest value below it, up to a round number.
    FromZero,
    /// Exactly from the smallest to the largest value.
    Exact,
    /// In decades if the values are positive and far apart, else like `Round`.
    Decades,
    /// In decades if the values are positive and far apart, else like `FromZero`.
    DecadesFromZero,
}

impl Scale {
    /// A scale for these values, between two positions. `None` without values.
    pub(super) fn new(
        values: impl Iterator<Item = f64>,
        range: Range,
        (from, to): (f64, f64),
    ) -> Option<Self> {
        let small = |value: f64| if value.abs() < SMALLEST { 0.0 } else { value };
        let values = values.filter(|value| value.abs() <= LARGEST).map(small);
        let values: Vec<f64> = values.collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        let log = matches!(range, Range::Decades | Range::DecadesFromZero)
            && low > 0.0
            && high / low >= DECADES_FROM;
        let (low, high) = match range {
            _ if log => (round_down(low), round_up(high)),
            Range::Exact if high > low => (low, high),
            Range::FromZero | Range::DecadesFromZero => round_range(low.min(0.0), high),
            _ => round_range(low, high),
        };
        Some(Self {
            low,
            high,
            log,
            from,
            to,
        })
    }

    /// The position of a value. Values beyond the range are at its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // Positive infinity is at the end; not a number, such as the logarithm of a negative one, at the start.
        let share = if share.is_nan() { 0.0 } else { share };
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// The values with a label.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.log {
            return decades(self.low, self.high);
        }
        let step = step(self.high - self.low, TICKS);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }
}

/// About this many labels per axis.
const TICKS: f64 = 5.0;

/// The round step that divides a range into about this many parts.
fn step(range: f64, parts: f64) -> f64 {
    let raw = range / parts;
    let decade = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0];
    let fits = factor
        .into_iter()
        .find(|factor| factor * decade >= raw * 0.999);
    fits.unwrap_or(10.0) * decade
}

fn round_range(low: f64, high: f64) -> (f64, f64) {
    let low = if low > 0.0 && low < high / 2.0 {
        0.0
    } else {
        low
    };
    if high <= low {
        // One value only.
        return match low {
            0.0 => (0.0, 1.0),
            low if low > 0.0 => (0.0, 2.0 * low),
            low => (2.0 * low, 0.0),
        };
    }
    let step = step(high - low, TICKS);
    let floor = (low / step + 1e-9).floor() * step;
    let ceiling = (high / step - 1e-9).ceil() * step;
    (floor, ceiling)
}

/// The marks of a decade.
const MARKS: [f64; 3] = [1.0, 2.0, 5.0];

fn round_down(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let mut marks = MARKS.into_iter().rev();
    let mark = marks.find(|mark| mark * decade <= value * 1.000_001);
    mark.unwrap_or(1.0) * decade
}

fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let mark = MARKS
        .into_iter()
        .find(|mark| mark * decade >= value * 0.999_999);
    mark.unwrap_or(10.0) * decade
}

/// Whole decades, and with fewer than three of them also their 2 and 5.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let with = |marks: &'static [f64]| {
        let powers = first..=last;
        let all = powers.flat_map(|power| marks.iter().map(move |mark| mark * 10f64.powi(power)));
        let within = all.filter(|value| *value >= low * 0.999 && *value <= high * 1.001);
        within.collect::<Vec<f64>>()
    };
    let whole = with(&MARKS[..1]);
    if whole.len() < 3 { with(&MARKS) } else { whole }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scale(values: &[f64], range: Range) -> Scale {
        Scale::new(values.iter().copied(), range, (0.0, 100.0)).unwrap()
    }

    #[test]
    fn values_of_any_size_give_few_labels() {
        let extremes = [
            0.0,
            5e-324,
            1e-300,
            1.0,
            1e300,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
            1e18,
            1e18 + 128.0,
        ];
        let extremes = extremes.iter().flat_map(|value| [*value, -value]);
        let extremes: Vec<f64> = extremes.collect();
        for range in [
            Range::Round,
            Range::FromZero,
            Range::Exact,
            Range::Decades,
            Range::DecadesFromZero,
        ] {
            for one in &extremes {
                for other in &extremes {
                    let values = [*one, *other].into_iter();
                    let Some(scale) = Scale::new(values, range, (0.0, 100.0)) else {
                        continue;
                    };
                    let ticks = scale.ticks();
                    assert!(
                        ticks.len() <= 20,
                        "{range:?} of {one} and {other}: {}",
                        ticks.len()
                    );
                    for value in ticks.iter().chain([one, other]) {
                        assert!(
                            (0.0..=100.0).contains(&scale.at(*value)),
                            "{range:?}: {value}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn labels_are_round_and_cover_every_value() {
        let near_zero = scale(&[3.0, 47.0], Range::Round);
        assert_eq!(near_zero.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!((near_zero.at(0.0), near_zero.at(25.0)), (0.0, 50.0));
        let far = scale(&[95.0, 99.0], Range::Round);
        assert_eq!(far.ticks().first(), Some(&95.0));
        assert_eq!(
            scale(&[95.0, 99.0], Range::FromZero).ticks().first(),
            Some(&0.0)
        );
        for values in [[0.0, 0.0], [5.0, 5.0], [-2.0, -2.0], [-3.0, 7.0]] {
            let scale = scale(&values, Range::Round);
            for value in values {
                let at = scale.at(value);
                assert!(
                    (0.0..=100.0).contains(&at) && scale.ticks().len() > 1,
                    "{values:?}"
                );
            }
        }
    }

    #[test]
    fn values_far_apart_get_decades_and_close_ones_do_not() {
        let wide = scale(&[0.3, 4_000.0], Range::Decades);
        assert_eq!(wide.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!(wide.at(4_000.0) < 100.0 && wide.at(-1.0) == 0.0);
        let two = scale(&[2.0, 70.0], Range::Decades);
        assert_eq!(two.ticks(), [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let close = scale(&[10.0, 20.0], Range::Decades);
        assert_eq!(close.ticks().len(), 6);
    }

    #[test]
    fn an_infinite_value_is_at_the_end_and_is_no_part_of_the_range() {
        let scale = scale(&[1.0, 2.0, f64::INFINITY, f64::NAN], Range::Exact);
        assert_eq!((scale.at(f64::INFINITY), scale.at(2.0)), (100.0, 100.0));
        assert!(Scale::new([f64::NAN].into_iter(), Range::Round, (0.0, 1.0)).is_none());
    }
}
