//! The gate: named rules that a run must keep, one line each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Comparison;
use super::drift::Drift;
use super::records::Records;
use super::verdicts::VerdictChange;
use poolproof_model::verdict::Level;
use poolproof_model::verdict::Verdict;
use poolproof_records::judged::Judged;

/// A gate, read from TOML: `[rules]`, then one line per rule. Unknown fields are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    rules: BTreeMap<String, Rule>,
}

/// One rule, with exactly one of `verdicts`, `figure` and `drift`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Cases of this level or a stricter one must not get worse, and no case of any level may pass that is listed as an expected
    /// failure. A failure that is listed is not worse.
    verdicts: Option<Level>,
    /// This figure must not be shown to be worse by more than `worse_percent`.
    figure: Option<String>,
    /// The level of this figure must not have shifted by more than `worse_percent` since the baseline.
    drift: Option<String>,
    /// The limit for `figure` and `drift`, in percent.
    worse_percent: Option<f64>,
}

/// The result of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruled {
    /// The name of the rule.
    pub rule: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub why: String,
}

impl Gate {
    /// The gate where none is given. Its only rule is that no Must case gets worse; two results without cases have no rule. Figures from
    /// shared machines are reported but gate nothing.
    pub fn by_default(baseline: &Records, run: &Records) -> Self {
        let rule = Rule {
            verdicts: Some(Level::Must),
            ..Rule::default()
        };
        let has_cases = baseline.run.is_some() || run.run.is_some();
        let rules = has_cases.then(|| ("no-must-case-worse".to_owned(), rule));
        Self {
            rules: rules.into_iter().collect(),
        }
    }

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
            "`rules` is empty: a gate without rules passes everything"
        );
        for (name, rule) in &self.rules {
            let kinds = [
                rule.verdicts.is_some(),
                rule.figure.is_some(),
                rule.drift.is_some(),
            ];
            ensure!(
                kinds.iter().filter(|present| **present).count() == 1,
                "rule {name:?}: must have one of `verdicts`, `figure` and `drift`"
            );
            let percent = rule.worse_percent;
            ensure!(
                percent.is_some() != rule.verdicts.is_some(),
                "rule {name:?}: `worse_percent` is required with `figure` and `drift`, and allowed only there"
            );
            ensure!(
                percent.is_none_or(|percent| (0.0..=1000.0).contains(&percent)),
                "rule {name:?}: `worse_percent` is {}: must be 0 to 1,000",
                percent.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Judges each rule. `drifts` is `None` without a history.
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
                _ => (Verdict::Error, "the rule is empty".to_owned()),
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
    let is_outdated = |change: &VerdictChange| change.now == Some(Judged::UnexpectedPass);
    let worse = changes.filter(|change| {
        change.worse && (change.level as u8 <= level as u8 || is_outdated(change))
    });
    let worse: Vec<String> = worse
        .map(|change| {
            let now = change.now.map_or("not run".to_owned(), |it| it.to_string());
            if is_outdated(change) {
                format!("{} {now} ({})", change.id, change.summary)
            } else {
                format!("{} {now}", change.id)
            }
        })
        .collect();
    if worse.is_empty() {
        (Verdict::Pass, "no case got worse".to_owned())
    } else {
        (Verdict::Fail, worse.join(", "))
    }
}

fn by_figure(comparison: &Comparison, figure: &str, limit: f64) -> (Verdict, String) {
    let Some(compared) = comparison
        .figures
        .iter()
        .find(|other| other.figure == figure)
    else {
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
            "no history given: pass --history DIR".to_owned(),
        );
    };
    if !comparison
        .figures
        .iter()
        .any(|other| other.figure == figure)
    {
        return (Verdict::Inconclusive, unknown(comparison, figure));
    }
    let since = drifts
        .iter()
        .filter(|drift| drift.figure == figure && Some(drift.since) > baseline);
    // Several shifts since the baseline count together.
    let worse_by: f64 = since.clone().map(|drift| drift.worse_by).product();
    match since.max_by_key(|drift| drift.since) {
        Some(last) if worse_by > limit => (
            Verdict::Fail,
            format!(
                "level {:+.1} % worse than at the baseline, last shift {} (p={:.1e}), allowed {:+.1} %",
                (worse_by - 1.0) * 100.0,
                last.since.strftime("%Y-%m-%d %H:%M"),
                last.p_value,
                (limit - 1.0) * 100.0
            ),
        ),
        _ => (Verdict::Pass, "no shift beyond the limit".to_owned()),
    }
}

fn unknown(comparison: &Comparison, figure: &str) -> String {
    let known: Vec<&str> = comparison
        .figures
        .iter()
        .map(|compared| compared.figure.as_str())
        .collect();
    if known.is_empty() {
        format!("no figure {figure:?}: no figures could be compared")
    } else {
        format!("no figure {figure:?}; available: {}", known.join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::figure::{Compared, Says};
    use super::*;
    use poolproof_records::samples::record;

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
        judged.into_iter().map(|ruling| ruling.verdict).collect()
    }

    #[test]
    fn a_known_failure_breaks_no_rule_and_an_unexpected_pass_breaks_it_at_every_level() {
        let rule = "[rules]\nv = { verdicts = 'must' }";
        let with = |level, now, worse| {
            let mut found = comparison(1.0);
            found.verdicts = vec![VerdictChange {
                id: "suite/case".into(),
                level,
                before: Some(Judged::Pass),
                now: Some(now),
                worse,
                summary: "remove this line".into(),
            }];
            found
        };
        for (level, now, worse, verdict) in [
            (Level::Must, Judged::KnownFailure, false, Verdict::Pass),
            (Level::Must, Judged::Fail, true, Verdict::Fail),
            (Level::Should, Judged::Fail, true, Verdict::Pass),
            (Level::May, Judged::UnexpectedPass, true, Verdict::Fail),
        ] {
            assert_eq!(
                judge(rule, &with(level, now, worse), None),
                [verdict],
                "{now}"
            );
        }
        let with_cases = Records {
            run: Some(record(&[])),
            ..Records::default()
        };
        let none = Records::default();
        let gate = Gate::by_default(&none, &with_cases);
        let broken = gate.judge(&with(Level::May, Judged::UnexpectedPass, true), None, None);
        assert!(broken[0].why.contains("remove this line"), "{broken:?}");
        let ruled = Gate::by_default(&none, &none).judge(&comparison(2.0), None, None);
        assert_eq!(ruled, []);
    }

    #[test]
    fn a_figure_fails_only_if_shown_to_exceed_its_limit() {
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
    fn a_drift_counts_from_the_baseline() {
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
    fn the_error_of_a_wrong_rule_names_it() {
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
