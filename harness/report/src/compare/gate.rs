//! The gate: rules by which a run is let through, one line each, by name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Comparison;
use super::drift::Drift;
use poolproof_model::verdict::Level;
use poolproof_model::verdict::Verdict;

/// A gate, read from TOML: `[rules]`, then a line for each. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    rules: BTreeMap<String, Rule>,
}

/// One rule; exactly one of `verdicts`, `figure` and `drift`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Cases of this level, or of one that binds more, must not get worse.
    verdicts: Option<Level>,
    /// This figure must not be shown to be worse by more.
    figure: Option<String>,
    /// The level of this figure must not have moved by more since the baseline.
    drift: Option<String>,
    /// By how much, in percent; of `figure` and `drift`.
    worse_percent: Option<f64>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruled {
    /// The name of the rule.
    pub rule: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
}

impl Default for Gate {
    /// No Must case gets worse. Figures of shared machines are looked at, and gate nothing.
    fn default() -> Self {
        let rule = Rule {
            verdicts: Some(Level::Must),
            ..Rule::default()
        };
        Self {
            rules: BTreeMap::from([("no-must-case-worse".to_owned(), rule)]),
        }
    }
}

impl Gate {
    /// Reads a gate and checks it.
    pub fn load(path: &Path) -> Result<Self> {
        let what = || format!("gate file {}", path.display());
        let text = std::fs::read_to_string(path).with_context(what)?;
        let gate: Self = toml::from_str(&text).with_context(what)?;
        gate.check().with_context(what)?;
        Ok(gate)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !self.rules.is_empty(),
            "`rules` is empty: a gate without a rule lets all through"
        );
        for (name, rule) in &self.rules {
            let kinds = [
                rule.verdicts.is_some(),
                rule.figure.is_some(),
                rule.drift.is_some(),
            ];
            ensure!(
                kinds.iter().filter(|it| **it).count() == 1,
                "rule {name:?}: must have one of `verdicts`, `figure` and `drift`"
            );
            let percent = rule.worse_percent;
            ensure!(
                percent.is_some() != rule.verdicts.is_some(),
                "rule {name:?}: `worse_percent` belongs to `figure` and `drift`, and they need it"
            );
            ensure!(
                percent.is_none_or(|it| (0.0..=1000.0).contains(&it)),
                "rule {name:?}: `worse_percent` is {}: must be 0 to 1,000",
                percent.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// What each rule says. `drifts` is `None` where there is no history.
    pub fn judge(
        &self,
        comparison: &Comparison,
        drifts: Option<&[Drift]>,
        baseline: Option<Timestamp>,
    ) -> Vec<Ruled> {
        let judged = self.rules.iter().map(|(name, rule)| {
            let limit = 1.0 + rule.worse_percent.unwrap_or_default() / 100.0;
            let (verdict, why) = match rule {
                Rule {
                    verdicts: Some(level),
                    ..
                } => verdicts(comparison, *level),
                Rule {
                    figure: Some(figure),
                    ..
                } => by_figure(comparison, figure, limit),
                Rule {
                    drift: Some(figure),
                    ..
                } => by_drift(comparison, drifts, baseline, figure, limit),
                _ => (Verdict::Error, "it says nothing".to_owned()),
            };
            Ruled {
                rule: name.clone(),
                verdict,
                why,
            }
        });
        judged.collect()
    }
}

fn verdicts(comparison: &Comparison, level: Level) -> (Verdict, String) {
    if !comparison.verdicts_compared {
        return (
            Verdict::Inconclusive,
            "verdicts could not be compared".to_owned(),
        );
    }
    let changes = comparison.verdicts.iter();
    let worse = changes.filter(|it| it.worse && it.level as u8 <= level as u8);
    let worse: Vec<String> = worse
        .map(|it| {
            let now = it.now.map_or("not run".to_owned(), |it| it.to_string());
            format!("{} {now}", it.id)
        })
        .collect();
    if worse.is_empty() {
        (Verdict::Pass, "no case got worse".to_owned())
    } else {
        (Verdict::Fail, worse.join(", "))
    }
}

fn by_figure(comparison: &Comparison, figure: &str, limit: f64) -> (Verdict, String) {
    let Some(compared) = comparison.figures.iter().find(|it| it.figure == figure) else {
        return (Verdict::Inconclusive, unknown(comparison, figure));
    };
    let (low, high) = compared.interval;
    let verdict = if low > limit {
        Verdict::Fail
    } else {
        Verdict::Pass
    };
    let percent = |it: f64| (it - 1.0) * 100.0;
    let why = format!(
        "worse by {:+.1} % (95 %: {:+.1} to {:+.1} %), allowed {:+.1} %",
        percent(compared.worse_by),
        percent(low),
        percent(high),
        percent(limit)
    );
    (verdict, why)
}

fn by_drift(
    comparison: &Comparison,
    drifts: Option<&[Drift]>,
    baseline: Option<Timestamp>,
    figure: &str,
    limit: f64,
) -> (Verdict, String) {
    let Some(drifts) = drifts else {
        return (
            Verdict::Inconclusive,
            "there is no history: --history DIR names it".to_owned(),
        );
    };
    if !comparison.figures.iter().any(|it| it.figure == figure) {
        return (Verdict::Inconclusive, unknown(comparison, figure));
    }
    let since = drifts
        .iter()
        .filter(|it| it.figure == figure && Some(it.since) > baseline);
    // Several steps since the baseline are one way down.
    let worse_by: f64 = since.clone().map(|it| it.worse_by).product();
    match since.max_by_key(|it| it.since) {
        Some(last) if worse_by > limit => (
            Verdict::Fail,
            format!(
                "its level is {:+.1} % worse than at the baseline, last changed {} (p={:.1e}), allowed {:+.1} %",
                (worse_by - 1.0) * 100.0,
                last.since.strftime("%Y-%m-%d %H:%M"),
                last.p_value,
                (limit - 1.0) * 100.0
            ),
        ),
        _ => (
            Verdict::Pass,
            "its level has not moved by so much".to_owned(),
        ),
    }
}

fn unknown(comparison: &Comparison, figure: &str) -> String {
    let known: Vec<&str> = comparison
        .figures
        .iter()
        .map(|it| it.figure.as_str())
        .collect();
    if known.is_empty() {
        format!("there is no figure {figure:?}: none could be compared")
    } else {
        format!(
            "there is no figure {figure:?}; there are {}",
            known.join(", ")
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::figure::{Compared, Says};
    use super::*;

    fn comparison(worse_by: f64) -> Comparison {
        Comparison {
            refused: vec![],
            notes: vec![],
            verdicts_compared: true,
            verdicts: vec![],
            figures: vec![Compared {
                figure: "load chat ttft p95".into(),
                before: 100.0,
                now: 100.0 * worse_by,
                unit: "ms",
                worse_by,
                interval: (worse_by - 0.02, worse_by + 0.02),
                says: Says::Worse,
            }],
        }
    }

    fn judge(text: &str, comparison: &Comparison, drifts: Option<&[Drift]>) -> Vec<Verdict> {
        let gate: Gate = toml::from_str(text).unwrap();
        gate.check().unwrap();
        let judged = gate.judge(comparison, drifts, Some(Timestamp::UNIX_EPOCH));
        judged.into_iter().map(|it| it.verdict).collect()
    }

    #[test]
    fn a_figure_trips_only_where_more_than_is_allowed_is_shown() {
        let rule = "[rules]\nttft = { figure = 'load chat ttft p95', worse_percent = 5 }";
        assert_eq!(judge(rule, &comparison(1.10), None), [Verdict::Fail]);
        assert_eq!(judge(rule, &comparison(1.06), None), [Verdict::Pass]);
        let other = "[rules]\nx = { figure = 'load chat ttft p77', worse_percent = 5 }";
        assert_eq!(
            judge(other, &comparison(1.0), None),
            [Verdict::Inconclusive]
        );
    }

    #[test]
    fn a_drift_counts_from_the_baseline_on() {
        let rule = "[rules]\nd = { drift = 'load chat ttft p95', worse_percent = 4 }";
        let drift = |second| Drift {
            figure: "load chat ttft p95".into(),
            since: Timestamp::from_second(second).unwrap(),
            runs: 50,
            before: 100.0,
            after: 103.0,
            worse_by: 1.03,
            p_value: 1e-6,
        };
        let fine = comparison(1.0);
        assert_eq!(judge(rule, &fine, None), [Verdict::Inconclusive]);
        assert_eq!(
            judge(rule, &fine, Some(&[drift(-5), drift(5)])),
            [Verdict::Pass]
        );
        assert_eq!(
            judge(rule, &fine, Some(&[drift(5), drift(9)])),
            [Verdict::Fail]
        );
    }

    #[test]
    fn a_wrong_rule_is_named() {
        for (text, named) in [
            ("[rules]", "`rules` is empty"),
            (
                "[rules]\na = { verdicts = 'must', worse_percent = 5 }",
                "\"a\": `worse_percent`",
            ),
            ("[rules]\na = { figure = 'x' }", "\"a\": `worse_percent`"),
            (
                "[rules]\na = { worse_percent = 5 }",
                "\"a\": must have one of",
            ),
            (
                "[rules]\na = { figure = 'x', worse_percent = -5 }",
                "must be 0 to 1,000",
            ),
        ] {
            let gate: Gate = toml::from_str(text).unwrap();
            let error = gate.check().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
        let error = toml::from_str::<Gate>("[rules]\na = { verdict = 'must' }").unwrap_err();
        assert!(error.to_string().contains("unknown field `verdict`"));
    }
}
