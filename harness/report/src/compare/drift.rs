//! Figures over many runs: where their level has shifted permanently. One bad night causes no shift, a slow loss over weeks does.

use jiff::Timestamp;
use serde::Serialize;

use super::figure::comparable;
use super::records::Records;
use poolproof_stats::change_point::{SIGNIFICANT, change_points};

/// A shift in the level of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The figure.
    pub figure: String,
    /// The start of the first run at the new level.
    pub since: Timestamp,
    /// Number of runs that have the figure.
    pub runs: usize,
    /// The geometric mean before the shift, back to the previous one.
    pub before: f64,
    /// The geometric mean after the shift, up to the next one.
    pub after: f64,
    /// The ratio of after to before, inverted if needed so that above 1 is worse.
    pub worse_by: f64,
    /// The probability of such a difference without a shift.
    pub p_value: f64,
}

/// The shifts of all figures of a run over the earlier runs that can be compared with it.
pub fn drifts(history: &[Records], run: &Records) -> Vec<Drift> {
    let earlier = history
        .iter()
        .filter(|records| records.started() < run.started());
    let series: Vec<_> = earlier
        .chain([run])
        .map(|records| (records.started(), comparable(records, run)))
        .collect();
    let mut found = Vec::new();
    for figure in comparable(run, run) {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (started, figures) in &series {
            let value = figures.iter().find(|other| other.name == figure.name);
            if let (Some(started), Some(value)) = (started, value)
                && value.value.ln().is_finite()
            {
                times.push(*started);
                values.push(value.value.ln());
            }
        }
        let sign = if figure.more_is_better { -1.0 } else { 1.0 };
        for point in change_points(&values, SIGNIFICANT) {
            found.push(Drift {
                figure: figure.name.clone(),
                since: times[point.at],
                runs: values.len(),
                before: point.before.exp(),
                after: point.after.exp(),
                worse_by: (sign * (point.after - point.before)).exp(),
                p_value: point.p_value,
            });
        }
    }
    found
}
