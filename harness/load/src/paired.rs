//! Compares two ways to the same endpoints block by block: the figure of both in each block, and the difference with its interval.

use hdrhistogram::Histogram;

use super::recorder::Cell;
use poolproof_records::load::overhead::{Compared, Figure};
use poolproof_records::load::percentile::at_rank;
use poolproof_stats::interval;

/// The value of a figure in one block; infinite if it is that of a failure, `None` if the block has none, or too few requests for one to lie
/// beyond the percentile.
pub fn value(figure: Figure, cell: &Cell) -> Option<f64> {
    match figure {
        Figure::Goodput => {
            (cell.requests > 0).then(|| 100.0 * cell.good as f64 / cell.requests as f64)
        }
        Figure::Time(series, percentile) => {
            let failed = cell.failures();
            let times = cell.series(series);
            let answered = times.map_or(0, Histogram::len);
            let n = answered + failed;
            let rank = interval::rank(n, f64::from(percentile) / 100.0);
            let ms = times.and_then(|times| at_rank(times, rank));
            (rank < n).then(|| ms.unwrap_or(f64::INFINITY))
        }
    }
}

/// Compares the blocks of two ways; `None` where fewer than [`BLOCKS_MIN`] have the figure.
pub fn compare(figure: Figure, blocks: &[[Cell; 2]]) -> Option<Compared> {
    let pairs: Vec<(f64, f64)> = blocks
        .iter()
        .filter_map(|[first, second]| Some((value(figure, first)?, value(figure, second)?)))
        .collect();
    let median = |values: Vec<f64>| interval::quantile(&values, 0.5);
    let difference = |(first, second): &(f64, f64)| match first == second {
        // Two failures differ by nothing.
        true => 0.0,
        false => first - second,
    };
    // 0 / 0 has no value.
    let ratio = |(first, second): &(f64, f64)| Some(first / second).filter(|it| !it.is_nan());
    let ratios = pairs.iter().map(ratio).collect::<Option<Vec<f64>>>();
    let ratios = ratios
        .and_then(median)
        .filter(|it| it.interval.1.is_finite());
    let differences = median(pairs.iter().map(difference).collect())?;
    Some(Compared {
        figure: figure.name(),
        first: median(pairs.iter().map(|pair| pair.0).collect())?.value,
        second: median(pairs.iter().map(|pair| pair.1).collect())?.value,
        difference: differences.value,
        interval: differences.interval,
        ratio: ratios.map(|it| (it.value, it.interval)),
        blocks: pairs.len(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use poolproof_model::workload::Series;
    use std::time::Duration;

    fn cell(ms: u64, failed: u64) -> Cell {
        let mut cell = Cell::default();
        for number in 0..100 {
            cell.record(Series::Ttft, Duration::from_millis(ms + number / 50));
        }
        cell.requests = 100 + failed;
        cell.good = 100;
        if failed > 0 {
            cell.failed.insert(Failure::Cut, failed);
        }
        cell
    }

    #[test]
    fn a_shift_of_every_block_is_found_whatever_the_blocks_differ_by() {
        let blocks: Vec<[Cell; 2]> = (0..40)
            .map(|block| [cell(block * 7 + 13, 0), cell(block * 7 + 10, 0)])
            .collect();
        let found = compare(Figure::Time(Series::Ttft, 50), &blocks).unwrap();
        assert!((found.difference - 3.0).abs() < 0.3, "{found:?}");
        let (low, high) = found.interval;
        assert!(low > 2.0 && high < 4.0, "{found:?}");
    }

    #[test]
    fn failures_count_as_later_than_any_answer() {
        let blocks: Vec<[Cell; 2]> = (0..20).map(|_| [cell(10, 100), cell(10, 0)]).collect();
        let p95 = compare(Figure::Time(Series::Ttft, 95), &blocks).unwrap();
        assert_eq!(p95.difference, f64::INFINITY);
        let goodput = compare(Figure::Goodput, &blocks).unwrap();
        assert_eq!((goodput.first, goodput.second), (50.0, 100.0));
        assert!(compare(Figure::Goodput, &blocks[..19]).is_none());
    }

    #[test]
    fn where_nothing_is_good_goodput_has_no_ratio() {
        let mut none_good = cell(10, 0);
        none_good.good = 0;
        let blocks: Vec<[Cell; 2]> = (0..20)
            .map(|_| [none_good.clone(), none_good.clone()])
            .collect();
        let goodput = compare(Figure::Goodput, &blocks).unwrap();
        assert_eq!((goodput.difference, goodput.ratio), (0.0, None));
    }

    #[test]
    fn a_few_requests_have_a_median_and_no_p95() {
        let mut few = Cell::default();
        for ms in [10, 20, 30] {
            few.record(Series::Ttft, Duration::from_millis(ms));
        }
        assert!(value(Figure::Time(Series::Ttft, 50), &few).is_some());
        assert_eq!(value(Figure::Time(Series::Ttft, 95), &few), None);
    }
}
