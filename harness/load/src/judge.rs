//! Judges objectives by measurements.
//!
//! Every objective is about a share, with its interval at 95 %: it is met if the whole interval is within it, missed if the whole
//! interval is without, and else not decided. A percentile is such a share: p95 is within a limit exactly if at most 5 % are beyond it.
//! A share of requests has the interval of Clopper and Pearson 1934; requests that failed are beyond every limit.
//! Gaps between frames are several per answer and depend on one another, so that answers are what is drawn: the interval is that of
//! [`Clusters`]. A gap does not fail: a failed request counts once, in `failed`, and its gaps do not count. An answer
//! without a token never had a TTFT: it is beyond every limit for one.

use super::recorder::Cell;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_model::workload::slo::{Metric, Share, Slo};
use poolproof_records::load::Judged;
use poolproof_records::load::percentile::{above, percentile};
use poolproof_stats::binomial;
use poolproof_stats::clusters::Clusters;
use poolproof_stats::interval::CONFIDENCE;

/// Judges an objective by the measurements of its classes.
pub fn judge(slo: &Slo, cell: &Cell) -> Judged {
    let limit = match slo.metric {
        Metric::Time(_) => 1.0 - slo.percentile.unwrap_or(50.0) / 100.0,
        Metric::Share(Share::Failed) => slo.at_most.unwrap_or(0.0),
        Metric::Share(Share::Goodput) => slo.at_least.unwrap_or(1.0),
    };
    let judged = match slo.metric {
        Metric::Time(series) if !series.is_per_answer() => of_gaps(slo, series, cell),
        Metric::Time(series) => of_times(slo, series, cell),
        Metric::Share(Share::Failed) => of_requests(slo, cell.requests, cell.failures()),
        Metric::Share(Share::Goodput) => of_requests(slo, cell.requests, cell.good),
    };
    let (low, high) = judged.share_interval;
    let (within, without) = match slo.metric {
        Metric::Share(Share::Goodput) => (low >= limit, high < limit),
        _ => (high <= limit, low > limit),
    };
    Judged {
        verdict: match (within, without) {
            (true, _) => Verdict::Pass,
            (_, true) => Verdict::Fail,
            _ => Verdict::Inconclusive,
        },
        share_limit: limit,
        ..judged
    }
}

/// A share of requests; neither its limit nor its verdict is filled in.
fn of_requests(slo: &Slo, n: u64, hits: u64) -> Judged {
    Judged {
        slo: slo.clone(),
        verdict: Verdict::Inconclusive,
        n,
        gaps: None,
        share: hits as f64 / n.max(1) as f64,
        share_interval: match n {
            0 => (0.0, 1.0),
            _ => binomial::interval(n, hits, CONFIDENCE),
        },
        share_limit: 0.0,
        ms: None,
    }
}

fn of_times(slo: &Slo, series: Series, cell: &Cell) -> Judged {
    let never = cell.never(series);
    let times = cell.series(series);
    let limit_ms = slo.at_most_ms.unwrap_or(0.0);
    let beyond = times.map_or(0, |times| above(times, limit_ms));
    let n = times.map_or(0, |times| times.len()) + never;
    let p = slo.percentile.unwrap_or(50.0);
    Judged {
        ms: times
            .and_then(|times| percentile(times, never, p))
            .map(|found| found.ms),
        ..of_requests(slo, n, beyond + never)
    }
}

fn of_gaps(slo: &Slo, series: Series, cell: &Cell) -> Judged {
    let answers = slo.at_most().map_or(Clusters::default(), |limit| {
        cell.gaps.get(&limit).copied().unwrap_or_default()
    });
    let p = slo.percentile.unwrap_or(50.0);
    Judged {
        n: answers.count,
        gaps: Some(answers.observations),
        share: answers.share(),
        share_interval: answers.interval(CONFIDENCE),
        ms: cell
            .series(series)
            .and_then(|times| percentile(times, 0, p))
            .map(|found| found.ms),
        ..of_requests(slo, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Failure;

    const TTFT: Metric = Metric::Time(Series::Ttft);

    fn slo(metric: Metric) -> Slo {
        Slo {
            class: None,
            metric,
            percentile: metric.series().map(|_| 95.0),
            at_most_ms: metric.series().map(|_| 100.0),
            at_most: (metric == Metric::FAILED).then_some(0.01),
            at_least: (metric == Metric::GOODPUT).then_some(0.9),
        }
    }

    /// A cell with these numbers of fast, slow and failed requests.
    fn cell(fast: u64, slow: u64, failed: u64) -> Cell {
        let mut cell = Cell::default();
        cell.requests = fast + slow + failed;
        cell.answered = fast + slow;
        cell.good = fast;
        for number in 0..fast + slow {
            let ms = if number < fast { 50 } else { 500 };
            cell.record(Series::Ttft, Duration::from_millis(ms));
        }
        if failed > 0 {
            cell.failed.insert(Failure::Cut, failed);
        }
        cell
    }

    #[test]
    fn a_percentile_is_met_missed_or_not_decided() {
        let verdict = |cell: Cell| judge(&slo(TTFT), &cell).verdict;
        assert_eq!(verdict(cell(990, 10, 0)), Verdict::Pass);
        assert_eq!(verdict(cell(900, 100, 0)), Verdict::Fail);
        assert_eq!(verdict(cell(950, 50, 0)), Verdict::Inconclusive);
        // Fifty fast answers, and nothing else, do not show a p95.
        assert_eq!(verdict(cell(50, 0, 0)), Verdict::Inconclusive);
        assert_eq!(verdict(cell(0, 0, 0)), Verdict::Inconclusive);
    }

    #[test]
    fn the_smallest_sample_that_shows_it_is_exact() {
        for metric in [TTFT, Metric::FAILED, Metric::GOODPUT] {
            let slo = slo(metric);
            let n = slo.observations_min();
            assert_eq!(judge(&slo, &cell(n, 0, 0)).verdict, Verdict::Pass, "{n}");
            assert_eq!(
                judge(&slo, &cell(n - 1, 0, 0)).verdict,
                Verdict::Inconclusive,
                "{n}"
            );
        }
    }

    #[test]
    fn failures_miss_every_limit() {
        let judged = judge(&slo(TTFT), &cell(900, 0, 100));
        assert_eq!(judged.verdict, Verdict::Fail);
        assert_eq!(judged.ms, Some(None));
        // Goodput is a share of all requests, not of those that succeeded.
        assert_eq!(judge(&slo(Metric::GOODPUT), &cell(500, 0, 500)).share, 0.5);
        assert_eq!(
            judge(&slo(Metric::FAILED), &cell(900, 0, 100)).verdict,
            Verdict::Fail
        );
        assert_eq!(
            judge(&slo(Metric::FAILED), &cell(1000, 0, 0)).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn answers_that_never_had_a_first_token_meet_no_limit_for_it() {
        let mut cell = cell(1000, 0, 0);
        cell.textless = 200;
        assert_eq!(judge(&slo(TTFT), &cell).verdict, Verdict::Fail);
        let mut none = Cell::default();
        (none.requests, none.answered, none.textless) = (1000, 1000, 1000);
        assert_eq!(judge(&slo(TTFT), &none).verdict, Verdict::Fail);
    }

    /// Answers of 100 gaps each, of which all of a slow one are beyond 100 ms.
    fn streams(fast: u64, slow: u64, failed: u64) -> Cell {
        let mut cell = cell(fast, slow, failed);
        let limit = Duration::from_millis(100);
        for number in 0..fast + slow {
            let ms = if number < fast { 50 } else { 500 };
            for _ in 0..100 {
                cell.record(Series::ItlChunk, Duration::from_millis(ms));
            }
            let beyond = if number < fast { 0 } else { 100 };
            cell.gaps.entry(limit).or_default().add(100, beyond);
        }
        cell
    }

    #[test]
    fn gaps_of_one_answer_are_no_independent_draws() {
        let itl = slo(Metric::Time(Series::ItlChunk));
        // 2 of 60 answers: 3.3 % of 6,000 gaps, whose interval as independent draws (2.9 to 3.8 %) would decide.
        let judged = judge(&itl, &streams(58, 2, 0));
        assert_eq!(judged.verdict, Verdict::Inconclusive, "{judged:?}");
        assert_eq!((judged.n, judged.gaps), (60, Some(6000)));
        assert_eq!(
            judge(&itl, &streams(10, 0, 0)).verdict,
            Verdict::Inconclusive
        );
        assert_eq!(judge(&itl, &streams(1000, 10, 0)).verdict, Verdict::Pass);
        assert_eq!(judge(&itl, &streams(800, 200, 0)).verdict, Verdict::Fail);
    }

    #[test]
    fn a_failed_request_counts_once_and_not_as_a_gap() {
        let cell = streams(900, 0, 100);
        let itl = judge(&slo(Metric::Time(Series::ItlChunk)), &cell);
        assert_eq!((itl.n, itl.share, itl.verdict), (900, 0.0, Verdict::Pass));
        assert_eq!(itl.ms, Some(Some(50.015)));
        assert_eq!(judge(&slo(Metric::FAILED), &cell).verdict, Verdict::Fail);
    }
}
