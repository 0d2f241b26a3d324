//! Change points of a series: lasting shifts of its level, as opposed to noise and single outliers.
//!
//! Source: Matteson and James, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data", JASA
//! 109, 2014 (E-Divisive): the likeliest split of a segment is the one with the largest energy distance. As in Apache
//! Otava, significance comes from a two-sided Student's t-test instead of permutations: deterministic, and sharp for
//! short series. A point that its neighbours make redundant is removed.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The chance that one split of noise is taken for a change. The test uses the best of several splits, and a gate
/// repeats it every night, so the error rate of a series is higher: see the benchmark `gate`.
pub const SIGNIFICANT: f64 = 1e-4;
/// The least number of values on either side of a change.
const SIDE_MIN: usize = 3;

/// A change of the level of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChangePoint {
    /// The first value of the new level.
    pub at: usize,
    /// The mean before it, back to the previous change or the start.
    pub before: f64,
    /// The mean after it, up to the next change or the end.
    pub after: f64,
    /// The chance of a difference this large without a change.
    pub p_value: f64,
}

/// The change points of a series, in order.
pub fn change_points(series: &[f64], significant: f64) -> Vec<ChangePoint> {
    let mut points = Vec::new();
    divide(series, 0..series.len(), significant, &mut points);
    points.sort_unstable();
    loop {
        let tested = test(series, &points);
        let weakest = tested
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.p_value.total_cmp(&b.1.p_value));
        match weakest {
            Some((number, point)) if point.p_value >= significant => points.remove(number),
            _ => return tested,
        };
    }
}

/// Splits a segment until the two sides no longer differ.
fn divide(series: &[f64], of: std::ops::Range<usize>, significant: f64, points: &mut Vec<usize>) {
    let segment = &series[of.clone()];
    let Some(split) = likeliest(segment) else {
        return;
    };
    let (before, after) = segment.split_at(split);
    if difference(before, after) < significant {
        let at = of.start + split;
        points.push(at);
        divide(series, of.start..at, significant, points);
        divide(series, at..of.end, significant, points);
    }
}

/// The split of a segment with the largest energy distance between its sides, scaled by their sizes (section 2.2,
/// exponent 1).
fn likeliest(segment: &[f64]) -> Option<usize> {
    let distance = |a: &[f64], b: &[f64]| -> f64 {
        let all = a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs()));
        all.sum()
    };
    let energy = |split: usize| {
        let (a, b) = segment.split_at(split);
        let (m, n) = (a.len() as f64, b.len() as f64);
        let within = distance(a, a) / (m * m) + distance(b, b) / (n * n);
        let between = 2.0 * distance(a, b) / (m * n);
        m * n / (m + n) * (between - within)
    };
    let last = segment.len().checked_sub(SIDE_MIN)?;
    (SIDE_MIN..=last).max_by(|a, b| energy(*a).total_cmp(&energy(*b)))
}

/// Tests each point against its neighbours.
fn test(series: &[f64], points: &[usize]) -> Vec<ChangePoint> {
    let tested = points.iter().enumerate().map(|(number, at)| {
        let start = number.checked_sub(1).map_or(0, |previous| points[previous]);
        let end = points.get(number + 1).copied().unwrap_or(series.len());
        let (before, after) = (&series[start..*at], &series[*at..end]);
        ChangePoint {
            at: *at,
            before: mean(before),
            after: mean(after),
            p_value: difference(before, after),
        }
    });
    tested.collect()
}

/// The two-sided p-value of Student's test of two samples with equal variance. Welch's form, with one variance per
/// side, would take three values that happen to lie close together for a change.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let squares = |sample: &[f64]| {
        let mean = mean(sample);
        sample
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
    };
    let (m, n) = (a.len() as f64, b.len() as f64);
    let freedom = m + n - 2.0;
    let variance = (squares(a) + squares(b)) / freedom;
    let apart = (mean(a) - mean(b)).abs();
    if variance == 0.0 {
        return if apart > 0.0 { 0.0 } else { 1.0 };
    }
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(law) => 2.0 * law.sf(apart / (variance * (1.0 / m + 1.0 / n)).sqrt()),
        // No t-distribution exists for so few values, so nothing is shown.
        Err(_) => 1.0,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let law = Normal::new(100.0, 2.0).unwrap();
        (0..n).map(|_| law.sample(&mut rng)).collect()
    }

    #[test]
    fn steps_are_found_at_their_positions() {
        let mut series = noise(60, 3);
        series[25..].iter_mut().for_each(|value| *value += 8.0);
        series[45..].iter_mut().for_each(|value| *value -= 5.0);
        let points = change_points(&series, SIGNIFICANT);
        let at: Vec<usize> = points.iter().map(|point| point.at).collect();
        assert!(
            at.len() == 2 && at[0].abs_diff(25) <= 1 && at[1].abs_diff(45) <= 2,
            "{points:?}"
        );
        assert!((points[0].after - points[0].before - 8.0).abs() < 1.5);
    }

    #[test]
    fn noise_is_seldom_a_change_and_one_bad_night_never_is() {
        let found = (0..200).filter(|seed| {
            let mut series = noise(50, *seed);
            series[30] += 40.0;
            !change_points(&series, SIGNIFICANT).is_empty()
        });
        // The best of about 45 splits is tested at 1 in 10,000, and neighbouring splits are nearly the same.
        let found = found.count();
        assert!(found <= 3, "{found}");
    }

    #[test]
    fn a_short_or_a_constant_series_has_none() {
        assert!(change_points(&[], SIGNIFICANT).is_empty());
        assert!(change_points(&[1.0, 1.0, 9.0, 9.0, 9.0], SIGNIFICANT).is_empty());
        assert!(change_points(&[5.0; 40], SIGNIFICANT).is_empty());
        let step: Vec<f64> = (0..10)
            .map(|number| if number < 5 { 1.0 } else { 2.0 })
            .collect();
        assert_eq!(change_points(&step, SIGNIFICANT)[0].at, 5);
    }
}
