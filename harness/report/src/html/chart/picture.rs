//! The charts that cases record, drawn.

use maud::{Markup, html};
use poolproof_model::picture::{Drawing, Picture};

use super::super::super::clipped;
use super::super::number::figure;
use super::super::part::bar;
use super::{Area, Chart, Ink, Line, finite};

/// Draws all charts that have something to show, side by side where there is room.
pub(in super::super) fn pictures(pictures: &[Picture]) -> Markup {
    let drawn: Vec<Markup> = pictures.iter().filter_map(draw).collect();
    html! {
        @if !drawn.is_empty() {
            div.charts { @for picture in &drawn { (picture) } }
        }
    }
}

/// A line or a group of dots of a picture, with its name.
type Named = (String, Vec<(f64, f64)>);

fn draw(picture: &Picture) -> Option<Markup> {
    let group = |(number, (name, points)): (usize, &Named)| {
        Line::new(name, number, finite(points).collect())
    };
    match &picture.drawing {
        Drawing::Lines { x, lines, accepted } => {
            let lines = lines.iter().enumerate().map(group).collect();
            let mut chart = Chart::lines(&picture.title, (x, &picture.y), lines);
            if !accepted.is_empty() {
                chart.areas.push(Area {
                    name: "accepted".to_owned(),
                    ink: Ink::Pass,
                    points: accepted.clone(),
                });
            }
            chart.draw()
        }
        Drawing::Dots { x, groups, spans } => {
            let mut chart = Chart::lines(&picture.title, (x, &picture.y), Vec::new());
            chart.dots = groups.iter().enumerate().map(group).collect();
            chart.spans.clone_from(spans);
            chart.draw()
        }
        Drawing::Bars { bars } => bars_of(picture, bars),
    }
}

/// Bars beside their names, which may be long.
fn bars_of(picture: &Picture, bars: &[(String, f64)]) -> Option<Markup> {
    let highest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    if bars.is_empty() || !highest.is_finite() {
        return None;
    }
    Some(html! {
        figure {
            figcaption {
                strong { (clipped(&picture.title)) }
                span.unit { (clipped(&picture.y)) }
            }
            table.bars {
                @for (name, value) in bars {
                    tr {
                        th scope="row" { bdi { (clipped(name)) } }
                        td { (whole_or_figure(*value)) }
                        td { (bar(value / highest, Ink::Series(0))) }
                    }
                }
            }
        }
    })
}

fn whole_or_figure(value: f64) -> String {
    if value >= 0.0 && value.fract() == 0.0 && value < 1e15 {
        super::super::number::count(value as u64)
    } else {
        figure(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn drawn(picture: Picture) -> String {
        pictures(&[picture]).into_string()
    }

    #[test]
    fn an_accepted_range_is_an_area_with_a_name() {
        let lines = vec![("<b>a</b> & b".to_owned(), vec![(0.0, 1.0), (5.0, 2.0)])];
        let picture = Picture::lines("t", ("x", "y"), lines).accepts(vec![(0.0, 0.5, 1.5)]);
        let svg = drawn(picture);
        assert!(
            svg.contains("area pass") && svg.contains("accepted"),
            "{svg}"
        );
        assert!(!svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn each_group_of_dots_keeps_its_colour_and_empty_groups_are_left_out() {
        let dots = |groups: [usize; 3]| {
            let groups = groups.into_iter().enumerate().map(|(number, n)| {
                let dots = (0..n).map(|x| (x as f64, 1.0)).collect();
                (format!("<i>{number}"), dots)
            });
            let spans = vec![("down".to_owned(), 1.0, 9.0)];
            drawn(Picture::dots("t", ("s", "ms"), groups.collect(), spans))
        };
        let svg = dots([3, 0, 2]);
        // All dots, plus one per group in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 + 1 + 2 + 1, "{svg}");
        assert!(
            svg.contains("class=\"span\"") && svg.contains("dot s2"),
            "{svg}"
        );
        assert!(!svg.contains("dot s1") && !svg.contains("<i>"), "{svg}");
        assert!(dots([0, 0, 0]).is_empty());
    }

    #[test]
    fn empty_and_infinite_values_are_not_drawn() {
        assert!(drawn(Picture::lines("t", ("x", "y"), vec![])).is_empty());
        assert!(drawn(Picture::bars("t", "y", vec![])).is_empty());
        let odd = vec![("a".to_owned(), vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)])];
        assert!(drawn(Picture::lines("t", ("x", "y"), odd)).is_empty());
        let flat = vec![("a".to_owned(), vec![(1.0, 3.0)])];
        assert!(!drawn(Picture::lines("t", ("x", "y"), flat)).is_empty());
        let bars = drawn(Picture::bars("t", "y", vec![("<u>a (b)".into(), 1200.0)]));
        assert!(bars.contains("1,200") && !bars.contains("<u>"), "{bars}");
    }
}
