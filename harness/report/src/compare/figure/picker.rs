//! Figures of load on a picker by itself.

use super::{Figure, Spread};
use poolproof_records::load::picker::{PickerLoad, Row};

/// Why two runs cannot be compared. All figures depend on the machine, which does all the work.
pub(super) fn incomparable(before: &PickerLoad, now: &PickerLoad) -> Option<String> {
    for (whose, record) in [("the baseline", before), ("the run", now)] {
        if record.interrupted {
            return Some(format!("{whose} was interrupted"));
        }
    }
    let (cores_before, cores) = (before.environment.cores, now.environment.cores);
    if cores_before != cores {
        return Some(format!(
            "the machines differ: {cores_before} processors, now {cores}"
        ));
    }
    if before.load != now.load {
        return Some(format!(
            "the loads differ: {}, now {}",
            before.load.in_words(),
            now.load.in_words()
        ));
    }
    let shared = |row: &Row| now.rows.iter().any(|other| is_like(row, other));
    if before.model != now.model || !before.rows.iter().any(shared) {
        return Some("no measurement has the same requests and number of endpoints".to_owned());
    }
    None
}

/// Whether two measurements were made with the same number of endpoints and length of prompts.
fn is_like(row: &Row, other: &Row) -> bool {
    (row.endpoints, row.input_tokens) == (other.endpoints, other.input_tokens)
}

/// The figures of all measurements.
pub(super) fn figures(record: &PickerLoad) -> Vec<Figure<'_>> {
    record.rows.iter().flat_map(of_row).collect()
}

fn of_row(row: &Row) -> Vec<Figure<'_>> {
    let picks = &row.picks;
    let name = |what: &str| format!("picker, {}: {what}", row.in_words());
    let of_parts = |value: f64, interval: Option<(f64, f64)>| match interval {
        Some(interval) => Spread::Interval(value, interval),
        None => Spread::Drawn(Vec::new()),
    };
    let failed = picks.failures();
    let asked = picks.picks + failed;
    let mut figures = Vec::new();
    let shown = picks.latency.iter().flat_map(|times| {
        let percentiles = times.percentiles.iter();
        let shown = percentiles.filter(|it| [50.0, 95.0, 99.0].contains(&it.percentile));
        shown.map(move |percentile| (times, percentile))
    });
    for (times, percentile) in shown {
        figures.push(Figure {
            name: name(&format!("latency p{}", percentile.percentile)),
            value: percentile.ms.unwrap_or(f64::INFINITY),
            unit: "ms",
            more_is_better: false,
            spread: Spread::Quantile {
                times,
                failed,
                q: percentile.percentile / 100.0,
            },
        });
    }
    figures.push(Figure {
        name: name("picks/s"),
        value: picks.picks_per_s,
        unit: "/s",
        more_is_better: true,
        spread: of_parts(picks.picks_per_s, picks.picks_per_s_interval),
    });
    if let Some(us) = picks.picker_cpu_us_per_pick {
        figures.push(Figure {
            name: name("CPU per pick"),
            value: us,
            unit: "us",
            more_is_better: false,
            spread: of_parts(us, picks.picker_cpu_us_interval),
        });
    }
    if asked > 0 {
        let share = picks.picks as f64 / asked as f64;
        figures.push(Figure {
            name: name("picked"),
            value: share,
            unit: "",
            more_is_better: true,
            spread: Spread::Share(share, asked),
        });
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::super::super::records::Records;
    use super::super::super::{Comparison, compare};
    use super::super::Says;
    use super::*;
    use poolproof_records::samples::picker_load;

    fn compared(change: impl FnOnce(&mut PickerLoad)) -> Comparison {
        let mut now = picker_load();
        change(&mut now);
        let of = |picker: PickerLoad| Records {
            picker: Some(picker),
            ..Records::default()
        };
        compare(&of(picker_load()), &of(now), 0.05)
    }

    #[test]
    fn a_slower_picker_is_worse_with_the_endpoints_and_prompts_where_it_is() {
        let same = compared(|_| {});
        assert_eq!(same.figures.len(), 6 * 6, "{same:?}");
        let all_same = same.figures.iter().all(|it| it.says == Says::Same);
        assert!(all_same, "{same:?}");
        let slower = compared(|now| {
            let picks = &mut now.rows[2].picks;
            picks.picks_per_s /= 2.0;
            picks.picks_per_s_interval = picks
                .picks_per_s_interval
                .map(|(low, high)| (low / 2.0, high / 2.0));
            picks.picker_cpu_us_per_pick = picks.picker_cpu_us_per_pick.map(|us| 0.5 * us);
            picks.picker_cpu_us_interval = picks
                .picker_cpu_us_interval
                .map(|(low, high)| (0.5 * low, 0.5 * high));
        });
        let says = |wanted: Says| -> Vec<&str> {
            let figures = slower.figures.iter().filter(|it| it.says == wanted);
            figures.map(|it| it.figure.as_str()).collect()
        };
        assert_eq!(
            says(Says::Worse),
            ["picker, 10 endpoints, 200 tokens: picks/s"]
        );
        assert_eq!(
            says(Says::Better),
            ["picker, 10 endpoints, 200 tokens: CPU per pick"]
        );
    }

    #[test]
    fn failures_are_worse_and_a_figure_without_a_spread_is_not_decided() {
        let failing = compared(|now| {
            let picks = &mut now.rows[0].picks;
            picks.failed = [("timeout".to_owned(), picks.picks)].into();
            picks.picks_per_s_interval = None;
        });
        let says = |what: &str| {
            let name = format!("picker, 1 endpoint, 200 tokens: {what}");
            let found = failing.figures.iter().find(|it| it.figure == name);
            found.map(|it| it.says)
        };
        assert_eq!(says("picked"), Some(Says::Worse));
        assert_eq!(says("picks/s"), Some(Says::NotDecided));
    }

    #[test]
    fn runs_that_measured_other_things_are_refused_with_the_reason() {
        let refused = |change: fn(&mut PickerLoad)| compared(change).refused.join("; ");
        for (change, reason) in [
            (
                (|now| now.environment.cores += 1) as fn(&mut PickerLoad),
                "the machines differ",
            ),
            (
                |now| now.load = poolproof_records::load::picker::Load::Rate(5.0),
                "the loads differ: 32 streams",
            ),
            (|now| now.interrupted = true, "the run was interrupted"),
            (|now| now.rows.clear(), "no measurement has the same"),
        ] {
            let text = refused(change);
            assert!(
                text.starts_with("picker: ") && text.contains(reason),
                "{text}"
            );
        }
    }
}
