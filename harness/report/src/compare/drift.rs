//! Figures over many runs: where their level has moved for good. One bad night moves nothing, a slow loss over weeks does.

use jiff::Timestamp;
use serde::Serialize;

use super::figure::comparable;
use super::records::Records;
use poolproof_stats::change_point::{SIGNIFICANT, change_points};

/// A change of the level of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The figure.
    pub figure: String,
    /// When the first run of the new level was made.
    pub since: Timestamp,
    /// Runs that the figure is known of.
    pub runs: usize,
    /// The geometric mean before, back to the change before.
    pub before: f64,
    /// The geometric mean since, up to the next change.
    pub after: f64,
    /// After over before, turned so that above 1 is worse.
    pub worse_by: f64,
    /// The chance of such a difference where there is none.
    pub p_value: f64,
}

/// The changes of all figures of a run over the runs before it, as far as those can be compared with it.
pub fn drifts(history: &[Records], run: &Records) -> Vec<Drift> {
    let earlier = history.iter().filter(|it| it.started() < run.started());
    let series: Vec<_> = earlier
        .chain([run])
        .map(|records| (records.started(), comparable(records, run)))
        .collect();
    let mut found = Vec::new();
    for figure in comparable(run, run) {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (started, figures) in &series {
            let value = figures.iter().find(|it| it.name == figure.name);
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
