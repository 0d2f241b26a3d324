//! How long things took that should take a known time.

use std::ops::RangeInclusive;
use std::time::Duration;

use poolproof_cases::expect;
use poolproof_model::verdict::Findings;

/// Adds whether times are in a range: each in that up to `latest`, and the median in the narrower one. On a busy machine a few answers
/// are late by a second or two, most are not.
pub(crate) fn expect_within(
    what: &str,
    times: &[Duration],
    wanted: RangeInclusive<Duration>,
    latest: Duration,
    findings: &mut Findings,
) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return;
    };
    let median = times[times.len() / 2];
    let in_words =
        |from: Duration, to: Duration| format!("{} to {} ms", from.as_millis(), to.as_millis());
    findings.add(expect::that(
        wanted.contains(&median),
        &format!("the median time of {what}"),
        in_words(*wanted.start(), *wanted.end()),
        format!("{} ms", median.as_millis()),
    ));
    findings.add(expect::that(
        first >= wanted.start() && *last <= latest,
        &format!("the times of {what}"),
        in_words(*wanted.start(), latest),
        in_words(*first, *last),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_one_is_borne_and_a_late_median_or_an_early_one_is_not() {
        let fails = |times_ms: &[u64]| {
            let times: Vec<_> = times_ms
                .iter()
                .map(|ms| Duration::from_millis(*ms))
                .collect();
            let ms = Duration::from_millis;
            let mut findings = Findings::default();
            expect_within("x", &times, ms(100)..=ms(200), ms(400), &mut findings);
            findings.failed()
        };
        assert!(!fails(&[100, 150, 390]));
        assert!(fails(&[100, 150, 410]) && fails(&[90, 150, 160]) && fails(&[150, 210, 220]));
    }
}
