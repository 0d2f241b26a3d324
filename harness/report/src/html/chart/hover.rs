//! The values of all lines at one x, shown while the pointer is over it.

use maud::{Markup, html};

use super::super::number::figure;
use super::scale::Scale;
use super::{BOTTOM, Chart, LEFT, Line, RIGHT, TOP, at, name};

/// Most positions with values, and most lines that each shows.
const SLOTS_MAX: usize = 48;
const LINES_MAX: usize = 8;

/// Longest name beside a value, in characters.
const NAME_SHOWN: usize = 22;

/// Height of a line of text and mean width of a character, in user units.
const LINE_HEIGHT: f64 = 14.0;
const CHARACTER: f64 = 6.3;

/// One area per position, with the values that it shows.
pub(super) fn slots(chart: &Chart, x: &Scale, y: &Scale) -> Markup {
    let positions = positions(chart);
    let edges: Vec<f64> = positions.iter().map(|value| x.at(*value)).collect();
    html! {
        @for (number, value) in positions.iter().enumerate() {
            @let here = edges[number];
            @let from = number.checked_sub(1).map_or(LEFT, |before| f64::midpoint(edges[before], here));
            @let to = edges.get(number + 1).map_or(RIGHT, |after| f64::midpoint(*after, here));
            g.slot {
                rect.hit x=(at(from)) y=(TOP) width=(at((to - from).max(0.1))) height=(BOTTOM - TOP) {}
                (tip(chart, *value, here, y))
            }
        }
    }
}

/// The positions: the x of all points of lines, thinned evenly.
fn positions(chart: &Chart) -> Vec<f64> {
    let points = chart.lines.iter().flat_map(|line| &line.points);
    let mut all: Vec<f64> = points.map(|(x, _)| *x).filter(|x| x.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let every = all.len().div_ceil(SLOTS_MAX).max(1);
    all.into_iter().step_by(every).collect()
}

/// The value of a line at `x`: that of its last point up to there. `None` before its first point.
fn value_at(line: &Line, x: f64) -> Option<f64> {
    let up_to = line.points.partition_point(|(point, _)| *point <= x);
    Some(line.points.get(up_to.checked_sub(1)?)?.1)
}

/// The end of a long name, which tells servers of one pool apart.
fn end_of(name: &str) -> String {
    let more = name.chars().count().saturating_sub(NAME_SHOWN);
    if more == 0 {
        return name.to_owned();
    }
    let end = name.chars().skip(more + 1);
    std::iter::once('…').chain(end).collect()
}

fn tip(chart: &Chart, value: f64, here: f64, y: &Scale) -> Markup {
    let drawn = chart.lines.iter().filter_map(|line| {
        let value = value_at(line, value)?;
        (!value.is_nan()).then_some((line, value))
    });
    let drawn: Vec<(&Line, f64)> = drawn.collect();
    let mut texts = vec![format!("{} {}", figure(value), name(&chart.x))];
    texts.extend(drawn.iter().take(LINES_MAX).map(|(line, value)| {
        let name = end_of(&name(&line.name));
        let value = match *value {
            f64::INFINITY => "never".to_owned(),
            value => figure(value),
        };
        format!("{name} {value}")
    }));
    if let Some(more @ 1..) = drawn.len().checked_sub(LINES_MAX) {
        texts.push(format!("and {more} more"));
    }
    let longest = texts.iter().map(|text| text.chars().count()).max();
    let width = longest.unwrap_or(0) as f64 * CHARACTER + 10.0;
    let height = texts.len() as f64 * LINE_HEIGHT + 6.0;
    // Beside the position, on the side with more room.
    let left = if here > f64::midpoint(LEFT, RIGHT) {
        (here - width - 8.0).max(0.0)
    } else {
        here + 8.0
    };
    html! {
        g.tip {
            path.cross d={ "M" (at(here)) " " (TOP) "V" (BOTTOM) } {}
            @for (line, value) in drawn.iter().filter(|(_, value)| value.is_finite()) {
                circle class={ "dot " (line.ink.class()) } cx=(at(here)) cy=(at(y.at(*value))) r="3" {}
            }
            rect.box x=(at(left)) y=(TOP) width=(at(width)) height=(height) rx="3" {}
            text x=(at(left + 5.0)) y=(TOP) {
                @for text in &texts { tspan x=(at(left + 5.0)) dy=(LINE_HEIGHT) { (text) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, n: usize) -> Line {
        Line::new(
            name,
            0,
            (0..n).map(|x| (x as f64, 10.0 * x as f64)).collect(),
        )
    }

    #[test]
    fn a_position_shows_the_last_value_up_to_it() {
        let line = line("a", 3);
        assert_eq!(value_at(&line, -1.0), None);
        assert_eq!(value_at(&line, 1.0), Some(10.0));
        assert_eq!(value_at(&line, 1.9), Some(10.0));
        assert_eq!(value_at(&line, 9.0), Some(20.0));
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(end_of("short"), "short");
        let long = end_of("model-b-stable/model-b-stable-17");
        assert_eq!(long, "…ble/model-b-stable-17");
        assert!(long.chars().count() <= NAME_SHOWN);
    }

    #[test]
    fn long_lines_and_many_lines_have_few_positions_and_few_values_each() {
        let lines = (0..20).map(|number| line(&format!("line {number}"), 1000));
        let chart = Chart::lines("t", ("s", "ms"), lines.collect());
        let positions = positions(&chart);
        assert!(positions.len() <= SLOTS_MAX && positions.len() > SLOTS_MAX / 2);
        let page = chart.draw().map(Markup::into_string).unwrap_or_default();
        assert_eq!(page.matches("class=\"slot\"").count(), positions.len());
        assert!(
            page.contains("and 12 more") && page.contains("line 7 "),
            "{page}"
        );
        assert!(!page.contains("line 8 "), "{page}");
    }
}
