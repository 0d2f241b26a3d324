//! The record of a sweep: a table with a row per step, and a chart of latency over answers per second.

use super::super::clipped;
use super::super::markdown::{escaped, fenced};
use super::{TableStyle, table};
use poolproof_model::workload::Series;
use poolproof_records::load::sweep::{Kind, RateSweep, Step};

/// The rows of the chart.
const CHART_ROWS: usize = 10;
/// The widest chart, in columns.
const CHART_COLUMNS: usize = 60;

/// Renders the table, the chart and the knee.
pub fn render(record: &RateSweep, style: TableStyle) -> String {
    let rows = table(
        &[
            "load",
            "answers/s",
            "tokens/s",
            "failed",
            "TTFT p50",
            "p95",
            "p99",
            "TPOT p50",
            "p95",
            "E2E p50",
            "p95",
            "p99",
            "in flight",
        ],
        record.curve().into_iter().map(row),
    );
    format!("{rows}\n{}{}", chart(record, style.width), text(record))
}

/// Renders the table, the chart and the knee as Markdown.
pub fn markdown(record: &RateSweep) -> String {
    let mut lines = vec![
        format!("### {} on {}", escaped(&record.name), escaped(&record.stack)),
        String::new(),
        escaped(&record.conclusion()),
        String::new(),
        "| load | answers/s | tokens/s | failed | TTFT p50 | p95 | p99 | TPOT p50 | p95 | E2E p50 | p95 | p99 | in flight |".to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    let rows = record.curve().into_iter().map(row);
    lines.extend(rows.map(|row| format!("| {} |", row.join(" | "))));
    lines.push(String::new());
    lines.push(fenced(&(chart(record, CHART_COLUMNS) + &text(record))));
    lines.join("\n")
}

/// The line of a step, when it has ended.
pub fn line(step: &Step) -> String {
    format!(
        "{:9} {:>14}  {:9.2} answers/s  {:>6.0} tokens/s  E2E p50 {:>9} ms  p95 {:>9} ms  {}",
        step.kind,
        step.load_in_words(),
        step.answered_per_s,
        step.output_tokens_per_s,
        step.percentile_in_words(Series::E2e, 50.0),
        step.percentile_in_words(Series::E2e, 95.0),
        clipped(&remarks(step)),
    )
}

fn remarks(step: &Step) -> String {
    let mut remarks = Vec::new();
    if step.requests.failures() > 0 {
        let kinds = step.requests.failed.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        remarks.push(kinds.join(", "));
    }
    if step.falls_behind() {
        remarks.push("falls behind".to_owned());
    }
    remarks.extend(step.doubts.iter().cloned());
    remarks.join("; ")
}

fn row(step: &Step) -> Vec<String> {
    let time = |series, percentile| step.percentile_in_words(series, percentile);
    vec![
        match step.kind {
            Kind::Idle => "idle, 1 user".to_owned(),
            _ => step.load_in_words(),
        },
        format!("{:.2}", step.answered_per_s),
        format!("{:.0}", step.output_tokens_per_s),
        format!("{:.1} %", 100.0 * step.failed_share()),
        time(Series::Ttft, 50.0),
        time(Series::Ttft, 95.0),
        time(Series::Ttft, 99.0),
        time(Series::Tpot, 50.0),
        time(Series::Tpot, 95.0),
        time(Series::E2e, 50.0),
        time(Series::E2e, 95.0),
        time(Series::E2e, 99.0),
        format!("{:.1}", step.in_flight),
    ]
}

/// The result, how it was found, and what makes it doubtful.
fn text(record: &RateSweep) -> String {
    let mut lines = vec![
        "times in ms; failures count as infinitely late; -: too few requests for the percentile"
            .to_owned(),
        format!(
            "{} on {} (seed {}): {}",
            clipped(&record.name),
            clipped(&record.stack),
            record.seed,
            clipped(&record.conclusion())
        ),
    ];
    if record.knee.is_some() {
        lines.push(format!("method: {}", clipped(&record.method)));
    }
    if let Some(reason) = &record.ended_early {
        lines.push(format!("ended early: {}", clipped(reason)));
    }
    let doubts = record.curve().into_iter().flat_map(|step| {
        let of = step.load_in_words();
        step.doubts
            .iter()
            .map(move |doubt| format!("doubt at {of}: {}", clipped(doubt)))
    });
    lines.extend(doubts);
    lines.join("\n")
}

/// A chart of E2E on a logarithmic scale over the offered rate: `o` is p50, `*` is p95, `^` at the top is a failure. A bar of `|` marks the
/// knee. Empty if fewer than two rates have a time.
fn chart(record: &RateSweep, width: usize) -> String {
    let columns = CHART_COLUMNS.min(width.saturating_sub(14)).max(20);
    let steps = record.curve().into_iter();
    let steps: Vec<(f64, &Step)> = steps
        .filter_map(|step| Some((step.offered_per_s?, step)))
        .collect();
    let ms = |step: &Step, p: f64| step.percentile_ms(Series::E2e, p);
    let known = steps
        .iter()
        .flat_map(|(_, step)| [ms(step, 50.0), ms(step, 95.0)]);
    let known: Vec<f64> = known
        .filter_map(|ms| ms.flatten())
        .filter(|ms| *ms > 0.0)
        .collect();
    let (Some(low), Some(high)) = (
        known.iter().copied().reduce(f64::min),
        known.iter().copied().reduce(f64::max),
    ) else {
        return String::new();
    };
    let most = steps.iter().map(|(rate, _)| *rate).fold(0.0, f64::max);
    if steps.len() < 2 || most <= 0.0 {
        return String::new();
    }
    let mut cells = vec![vec![' '; columns]; CHART_ROWS];
    // The knee of an edited record may be beyond all steps.
    let column = |rate: f64| {
        let column = ((rate / most) * (columns - 1) as f64).round() as usize;
        column.min(columns - 1)
    };
    let row = |ms: f64| {
        let share = if high > low {
            (ms / low).ln() / (high / low).ln()
        } else {
            0.0
        };
        // The top row is for failures.
        CHART_ROWS - 1 - (share * (CHART_ROWS - 2) as f64).round() as usize
    };
    if let Some(knee) = &record.knee {
        for cells in &mut cells {
            cells[column(knee.rate_per_s)] = '|';
        }
    }
    for (rate, step) in &steps {
        for (p, mark) in [(50.0, 'o'), (95.0, '*')] {
            match ms(step, p) {
                Some(Some(ms)) if ms > 0.0 => cells[row(ms)][column(*rate)] = mark,
                Some(None) => cells[0][column(*rate)] = '^',
                _ => {}
            }
        }
    }
    let mut lines = vec!["E2E, ms (o p50, * p95, ^ failed, | knee)".to_owned()];
    for (place, cells) in cells.iter().enumerate() {
        let label = match place {
            0 => "failed".to_owned(),
            1 => format!("{high:.1}"),
            _ if place == CHART_ROWS - 1 => format!("{low:.1}"),
            _ => String::new(),
        };
        let cells: String = cells.iter().collect();
        lines.push(format!("{label:>10} ┤{}", cells.trim_end()));
    }
    lines.push(format!("{:>10} └{}", "", "─".repeat(columns)));
    let end = format!("{most:.1} req/s");
    lines.push(format!("{:>12}0{end:>width$}", "", width = columns - 1));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::rate_sweep;

    const WIDE: TableStyle = TableStyle {
        width: 160,
        colour: false,
    };

    #[test]
    fn names_are_no_markup_of_the_heading() {
        let mut record = rate_sweep();
        record.name = "<script>\n# [x](y)".to_owned();
        let text = markdown(&record);
        let wanted = "### &lt;script> \\# \\[x\\](y) on ";
        assert!(text.starts_with(wanted), "{text}");
    }

    #[test]
    fn a_knee_beyond_all_steps_is_shown_at_the_edge() {
        let mut record = rate_sweep();
        for rate in [1e308, -1.0, 1e9] {
            if let Some(knee) = &mut record.knee {
                knee.rate_per_s = rate;
            }
            let text = render(&record, WIDE);
            assert!(text.contains('┤'), "{text}");
        }
    }

    #[test]
    fn each_step_of_the_curve_has_a_row_and_the_chart_shows_the_knee() {
        let mut record = rate_sweep();
        record.name = "w\u{1b}[2J".to_owned();
        let text = render(&record, WIDE);
        assert!(!text.contains('\u{1b}'), "{text}");
        for row in ["idle, 1 user", "10.00 req/s", "130.00 req/s"] {
            assert!(text.contains(row), "{text}");
        }
        assert!(!text.contains("16 users"), "{text}");
        assert!(text.contains("knee: 80.00 req/s"), "{text}");
        let of = |mark: char| {
            text.lines()
                .filter(|line| line.contains('┤') && line.contains(mark))
                .count()
        };
        // The time at the knee covers the bar in one row.
        assert_eq!((of('^'), of('|')), (1, CHART_ROWS - 1), "{text}");
        // Where p50 and p95 are the same, p95 is what is shown.
        assert!(of('o') == 1 && of('*') > 1, "{text}");
        let failed = text.lines().find(|line| line.contains("130.00 req/s"));
        assert!(
            failed.is_some_and(|row| row.contains("40.0 %") && row.contains("never")),
            "{text}"
        );
    }

    #[test]
    fn the_markdown_has_the_same_rows() {
        let text = markdown(&rate_sweep());
        assert_eq!(
            text.lines().filter(|line| line.starts_with("| ")).count(),
            9,
            "{text}"
        );
    }

    #[test]
    fn a_sweep_without_answers_has_no_chart_but_a_reason() {
        let mut record = rate_sweep();
        record.knee = None;
        for step in &mut record.steps {
            step.answered_per_s = 0.0;
            step.requests.answered = 0;
            step.requests.times.clear();
            step.requests.failed = [("refused".to_owned(), 7)].into();
        }
        let text = render(&record, WIDE);
        assert!(!text.contains("E2E, ms"), "{text}");
        assert!(
            text.contains("no request was answered: 63 refused"),
            "{text}"
        );
    }
}
