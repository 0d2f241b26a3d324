//! A sweep as metrics: one sample per step, labelled by its place in the curve, and the knee.

use anyhow::Result;

use super::family::{Family, Labels};
use super::{about, shown, written};
use poolproof_model::workload::Series;
use poolproof_records::load::sweep::{RateSweep, Step};

/// The series that are exported, each at [`PERCENTILES`].
const SERIES: [Series; 3] = [Series::Ttft, Series::Tpot, Series::E2e];
/// The percentiles that are exported.
const PERCENTILES: [f64; 3] = [50.0, 95.0, 99.0];

/// Renders each step of the curve and the knee. A percentile that is a failure is `+Inf`; one that the sample does not support is absent.
pub fn render(record: &RateSweep) -> Result<String> {
    let mut labels = about(&record.tool_version, &record.stack, record.flaw.as_deref());
    labels.push(("workload", shown(&record.name)));
    let curve = record.curve();
    let gauges = |named, help, of: fn(&Step) -> Option<f64>| {
        let steps = curve.iter().enumerate();
        let samples = steps.filter_map(|(place, step)| Some((step_labels(place), of(step)?)));
        Family::gauges(named, help, samples)
    };
    let mut families = vec![
        Family::info("poolproof_sweep", "Facts about the sweep.", labels),
        Family::gauges(
            ("poolproof_sweep_start_time", "seconds"),
            "Start of the sweep, in Unix time.",
            [(Labels::new(), record.started.as_second() as f64)],
        ),
        gauges(
            ("poolproof_sweep_offered", ""),
            "Requests per second that were due, by step; absent for the idle step.",
            |step| step.offered_per_s,
        ),
        gauges(
            ("poolproof_sweep_answered", ""),
            "Responses per second, by step.",
            |step| Some(step.answered_per_s),
        ),
        gauges(
            ("poolproof_sweep_output_tokens", ""),
            "Response tokens per second, by step.",
            |step| Some(step.output_tokens_per_s),
        ),
        gauges(
            ("poolproof_sweep_failed", "ratio"),
            "Share of requests that failed, by step.",
            |step| Some(step.failed_share()),
        ),
        gauges(
            ("poolproof_sweep_in_flight", "requests"),
            "Requests in flight, the mean of a step.",
            |step| Some(step.in_flight),
        ),
    ];
    families.extend(SERIES.map(|series| times(&curve, series)));
    let knee = |named, help, of: &dyn Fn() -> Option<f64>| {
        Family::gauges(named, help, of().map(|value| (Labels::new(), value)))
    };
    let found = record.knee.as_ref();
    families.push(knee(
        ("poolproof_sweep_knee", ""),
        "Requests per second at the knee.",
        &|| Some(found?.rate_per_s),
    ));
    families.push(knee(
        ("poolproof_sweep_knee_low", ""),
        "Lower end of the interval of the knee, in requests per second.",
        &|| Some(found?.interval_per_s.0),
    ));
    families.push(knee(
        ("poolproof_sweep_knee_high", ""),
        "Upper end of the interval of the knee, in requests per second; +Inf if no measured rate is beyond it.",
        &|| Some(found?.interval_per_s.1.unwrap_or(f64::INFINITY)),
    ));
    written(families)
}

fn step_labels(place: usize) -> Labels {
    vec![("step", place.to_string())]
}

fn times(curve: &[&Step], series: Series) -> Family {
    let samples = curve.iter().enumerate().flat_map(|(place, step)| {
        PERCENTILES.into_iter().filter_map(move |percentile| {
            let ms = step.percentile_ms(series, percentile)?;
            let mut labels = step_labels(place);
            labels.push(("percentile", percentile.to_string()));
            Some((labels, ms.map_or(f64::INFINITY, |ms| ms / 1000.0)))
        })
    });
    let name = format!("poolproof_sweep_{}", series.name());
    Family::gauges((&name, "seconds"), series.formula(), samples)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_records::samples::rate_sweep;

    #[test]
    fn steps_and_the_knee_are_samples_and_failures_are_infinite() {
        let text = render(&rate_sweep()).unwrap();
        for line in [
            "poolproof_sweep_knee 80.0",
            "poolproof_sweep_knee_low 50.0",
            "poolproof_sweep_answered{step=\"0\"} 10.0",
            "poolproof_sweep_offered{step=\"1\"} 10.0",
            "poolproof_sweep_e2e_seconds{step=\"7\",percentile=\"95\"} inf",
            "poolproof_sweep_failed_ratio{step=\"7\"} 0.4",
        ] {
            assert!(
                text.lines().any(|found| found.eq_ignore_ascii_case(line)),
                "{line}\n{text}"
            );
        }
        assert!(
            !text.contains("poolproof_sweep_offered{step=\"0\"}"),
            "{text}"
        );
    }
}
