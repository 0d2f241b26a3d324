//! Charts of what a case measured, as data. Renderers draw them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The largest number of points kept per line, and of dots kept per group.
const POINTS_MAX: usize = 200;

/// One chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// The title.
    pub title: String,
    /// The unit and meaning of the vertical axis.
    pub y: String,
    /// What is drawn.
    #[serde(flatten)]
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Drawing {
    /// Lines over a common horizontal axis.
    Lines {
        /// The unit and meaning of the horizontal axis.
        x: String,
        /// The lines, each with its label and its points in order.
        lines: Vec<(String, Vec<(f64, f64)>)>,
        /// The accepted range: x, from, to. May be empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        accepted: Vec<(f64, f64, f64)>,
    },
    /// One dot per event, over a common horizontal axis.
    Dots {
        /// The unit and meaning of the horizontal axis.
        x: String,
        /// The dots, by label. An empty group keeps its colour for the next chart.
        groups: Vec<(String, Vec<(f64, f64)>)>,
        /// Marked spans of the horizontal axis: label, from, to. May be empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        spans: Vec<(String, f64, f64)>,
    },
    /// A bar chart.
    Bars {
        /// The label of each bar, and its height.
        bars: Vec<(String, f64)>,
    },
}

impl Picture {
    /// Lines over a common axis. Long lines are thinned to the points that can be seen.
    pub fn lines(
        title: impl Into<String>,
        (x, y): (&str, &str),
        lines: Vec<(String, Vec<(f64, f64)>)>,
    ) -> Self {
        let lines = lines
            .into_iter()
            .map(|(name, points)| (name, thinned(&points)));
        Self {
            title: title.into(),
            y: y.to_owned(),
            drawing: Drawing::Lines {
                x: x.to_owned(),
                lines: lines.collect(),
                accepted: Vec::new(),
            },
        }
    }

    /// Adds the accepted range at each x: from, to.
    pub fn accepts(mut self, band: Vec<(f64, f64, f64)>) -> Self {
        if let Drawing::Lines { accepted, .. } = &mut self.drawing {
            *accepted = band;
        }
        self
    }

    /// One dot per event, with marked spans of the horizontal axis. Large groups are thinned to the dots that can be
    /// seen.
    pub fn dots(
        title: impl Into<String>,
        (x, y): (&str, &str),
        groups: Vec<(String, Vec<(f64, f64)>)>,
        spans: Vec<(String, f64, f64)>,
    ) -> Self {
        let groups = groups
            .into_iter()
            .map(|(name, dots)| (name, thinned(&dots)));
        Self {
            title: title.into(),
            y: y.to_owned(),
            drawing: Drawing::Dots {
                x: x.to_owned(),
                groups: groups.collect(),
                spans,
            },
        }
    }

    /// A bar chart.
    pub fn bars(title: impl Into<String>, y: &str, bars: Vec<(String, f64)>) -> Self {
        Self {
            title: title.into(),
            y: y.to_owned(),
            drawing: Drawing::Bars { bars },
        }
    }

    /// The cumulative distributions of several samples: one line per sample.
    pub fn distributions(title: &str, x: &str, samples: Vec<(String, Vec<f64>)>) -> Self {
        let lines = samples.into_iter().map(|(name, mut values)| {
            values.sort_by(f64::total_cmp);
            let n = values.len() as f64;
            let points = values.iter().enumerate();
            let points = points.map(|(rank, value)| (*value, (rank + 1) as f64 / n));
            (name, points.collect())
        });
        Self::lines(title, (x, "share at or below"), lines.collect())
    }
}

/// At most `POINTS_MAX` points, evenly spaced, including the last one.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.iter().enumerate();
    let kept = kept.filter(|(number, _)| number % every == 0 || *number == last);
    kept.map(|(_, point)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_thinned_and_keep_their_ends() {
        let points: Vec<(f64, f64)> = (0..10_001).map(|number| (f64::from(number), 0.0)).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= POINTS_MAX + 1, "{}", kept.len());
        assert_eq!((kept[0].0, kept[kept.len() - 1].0), (0.0, 10_000.0));
        assert_eq!(thinned(&points[..7]).len(), 7);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn a_small_group_of_dots_is_not_thinned_beside_a_large_one() {
        let many = (0..10_001).map(|number| (f64::from(number), 0.0)).collect();
        let groups = vec![
            ("many".to_owned(), many),
            ("few".to_owned(), vec![(1.0, 2.0), (3.0, 4.0)]),
        ];
        let spans = vec![("down".to_owned(), 1.0, 2.0)];
        let picture = Picture::dots("t", ("s", "ms"), groups, spans);
        let Drawing::Dots { groups, .. } = &picture.drawing else {
            unreachable!("dots are dots")
        };
        assert!(groups[0].1.len() <= POINTS_MAX + 1);
        assert_eq!(groups[1].1, [(1.0, 2.0), (3.0, 4.0)]);
        let text = serde_json::to_string(&picture).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Picture>(&text).ok(), Some(picture));
    }

    #[test]
    fn a_distribution_ends_at_one() {
        let picture = Picture::distributions("t", "ms", vec![("a".into(), vec![3.0, 1.0, 2.0])]);
        let Drawing::Lines { lines, .. } = &picture.drawing else {
            unreachable!("distributions are lines")
        };
        assert_eq!(lines[0].1, [(1.0, 1.0 / 3.0), (2.0, 2.0 / 3.0), (3.0, 1.0)]);
        let text = serde_json::to_string(&picture).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Picture>(&text).ok(), Some(picture));
    }
}
