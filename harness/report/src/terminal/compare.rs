//! The comparison of two runs: verdicts, figures, shifts over many runs, and the gate.

use super::super::clipped;
use super::super::compare::Comparison;
use super::super::compare::beside::Beside;
use super::super::compare::drift::Drift;
use super::super::compare::figure::Says;
use super::super::compare::gate::Ruled;
use super::super::markdown::{escaped, fenced};
use super::table;
use poolproof_model::verdict::Verdict;
use poolproof_records::judged::Judged;

/// Renders a comparison below its record.
pub fn beside(beside: &Beside) -> String {
    format!(
        "\n{}\n{}\n",
        heading(beside),
        differences(&beside.comparison)
    )
}

/// Renders a comparison below its record, as Markdown.
pub fn markdown(beside: &Beside) -> String {
    format!(
        "\n\n### {}\n\n{}",
        escaped(&heading(beside)),
        fenced(&differences(&beside.comparison))
    )
}

/// What is compared, and the result in words.
fn heading(beside: &Beside) -> String {
    let mut text = beside.title().to_owned();
    let date = beside.date();
    if !date.is_empty() {
        text += &format!(", of {date}");
    }
    if let Some(words) = beside.comparison.in_words() {
        text += &format!(": {words}");
    }
    text
}

fn differences(comparison: &Comparison) -> String {
    render(comparison, &[], &[])
}

/// Renders the differences, then the results of the gate.
pub fn render(found: &Comparison, moved: &[Drift], ruled: &[Ruled]) -> String {
    let mut text = String::new();
    for (kind, lines) in [("not compared", &found.refused), ("note", &found.notes)] {
        for line in lines {
            text += &format!("{kind}: {}\n", clipped(line));
        }
    }
    if !found.verdicts.is_empty() {
        let rows = found.verdicts.iter().map(|it| {
            let verdict = |it: Option<Judged>| it.map_or("not run".to_owned(), |it| it.to_string());
            vec![
                if it.worse { "worse" } else { "" }.to_owned(),
                clipped(&it.id).into_owned(),
                it.level.to_string(),
                verdict(it.before),
                verdict(it.now),
                clipped(&it.summary).chars().take(80).collect(),
            ]
        });
        text += &table(
            &["", "case", "level", "before", "now", "what was found"],
            rows,
        );
        text.push('\n');
    } else if found.verdicts_compared {
        text += "every case has the verdict that it had\n";
    }
    if !found.figures.is_empty() {
        let percent = |it: f64| match it {
            f64::INFINITY => "without end".to_owned(),
            it => format!("{:+.1} %", (it - 1.0) * 100.0),
        };
        let rows = found.figures.iter().map(|it| {
            vec![
                clipped(&it.figure).into_owned(),
                format!("{:.3} {}", it.before, it.unit),
                format!("{:.3} {}", it.now, it.unit),
                percent(it.worse_by),
                format!("{} to {}", percent(it.interval.0), percent(it.interval.1)),
                match it.says {
                    Says::Worse => "worse",
                    Says::Better => "better",
                    Says::Same => "the same",
                    Says::NotDecided => "not decided",
                }
                .to_owned(),
            ]
        });
        text += &table(&["figure", "before", "now", "worse by", "95 %", ""], rows);
        text.push('\n');
    }
    for it in moved {
        text += &format!(
            "moved: {} from {:.3} to {:.3}, {:+.1} % {}, from {} on (p={:.1e}, {} runs)\n",
            clipped(&it.figure),
            it.before,
            it.after,
            (it.worse_by.max(1.0 / it.worse_by) - 1.0) * 100.0,
            if it.worse_by > 1.0 { "worse" } else { "better" },
            it.since.strftime("%Y-%m-%d %H:%M"),
            it.p_value,
            it.runs
        );
    }
    for it in ruled {
        let says = match it.verdict {
            Verdict::Pass => "holds",
            Verdict::Fail => "MISSED",
            _ => "cannot be judged",
        };
        text += &format!("gate: {} {says}: {}\n", clipped(&it.rule), clipped(&it.why));
    }
    text.truncate(text.trim_end().len());
    text
}
