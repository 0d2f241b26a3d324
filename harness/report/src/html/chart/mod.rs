//! Charts as SVG elements. The style sheet of the page sets colours and strokes. Values are shown while the pointer is over
//! them; that needs no script.

mod hover;
mod picture;
mod scale;

use std::fmt::Write as _;

use maud::{Markup, html};

use super::super::clipped;
use super::number::tick;
pub(super) use picture::pictures;
pub(super) use scale::Range;
use scale::Scale;

/// Size of a chart and its margins, in user units. The page scales it.
const SIZE: (f64, f64) = (440.0, 205.0);
const LEFT: f64 = 48.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 167.0;

/// Longest name in a legend, in characters.
const NAME_SHOWN: usize = 60;

/// The colour of what is drawn. Each has a stroke of its own, for readers who cannot tell the colours apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// One of several equal things.
    Series(usize),
    /// Good.
    Pass,
    /// Bad.
    Fail,
    /// Not decided.
    Open,
}

impl Ink {
    /// The class of its elements.
    pub(super) fn class(self) -> &'static str {
        const SERIES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];
        match self {
            Self::Series(number) => SERIES[number % SERIES.len()],
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Open => "undecided",
        }
    }
}

/// A chart with two numeric axes.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// The title.
    pub(super) title: String,
    /// The meaning or unit of the horizontal axis.
    pub(super) x: String,
    /// The meaning or unit of the vertical axis.
    pub(super) y: String,
    /// How far the axes reach.
    pub(super) ranges: (Range, Range),
    /// Lines. A value that is infinite is drawn as a mark at the upper edge; one that is not a number is a gap.
    pub(super) lines: Vec<Line>,
    /// Groups of dots.
    pub(super) dots: Vec<Line>,
    /// Areas between two values at each x, below everything else.
    pub(super) areas: Vec<Area>,
    /// Marked spans of the horizontal axis.
    pub(super) spans: Vec<(String, f64, f64)>,
    /// Marked values of the horizontal axis.
    pub(super) marks: Vec<(String, f64)>,
    /// Values that the axes include in any case.
    pub(super) reach: (Vec<f64>, Vec<f64>),
    /// Whether the legend names a single line too.
    pub(super) named: bool,
    /// Whether the values of lines are shown on hover. Lines that turn back have no values by x.
    pub(super) hovers: bool,
    /// Whether marked spans and values are explained elsewhere, so that the legend leaves them out.
    pub(super) explained: bool,
}

/// A line, or a group of dots.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its name. Untrusted text.
    pub(super) name: String,
    /// Its colour.
    pub(super) ink: Ink,
    /// Its points, in order of x.
    pub(super) points: Vec<(f64, f64)>,
}

/// An area.
#[derive(Clone, Debug)]
pub(super) struct Area {
    /// Its name; without one it is not in the legend.
    pub(super) name: String,
    /// Its colour.
    pub(super) ink: Ink,
    /// Its edges: x, from, to.
    pub(super) points: Vec<(f64, f64, f64)>,
}

impl Line {
    /// A line of one of several equal things.
    pub(super) fn new(name: impl Into<String>, number: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            ink: Ink::Series(number),
            points,
        }
    }
}

impl Chart {
    /// A chart of lines.
    pub(super) fn lines(title: impl Into<String>, (x, y): (&str, &str), lines: Vec<Line>) -> Self {
        Self {
            title: title.into(),
            x: x.to_owned(),
            y: y.to_owned(),
            ranges: (Range::Round, Range::Round),
            lines,
            dots: Vec::new(),
            areas: Vec::new(),
            spans: Vec::new(),
            marks: Vec::new(),
            reach: (Vec::new(), Vec::new()),
            explained: false,
            named: false,
            hovers: true,
        }
    }

    /// The chart as a figure. `None` if there is nothing to draw.
    pub(super) fn draw(&self) -> Option<Markup> {
        let (x, y) = self.scales()?;
        Some(html! {
            figure {
                figcaption {
                    strong { (clipped(&self.title)) }
                    @if !self.y.is_empty() { span.unit { (clipped(&self.y)) } }
                    (self.legend())
                }
                svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label={ (clipped(&self.title)) ", " (clipped(&self.y)) } {
                    (axes(&x, &y, &self.x))
                    @for (_, from, to) in &self.spans {
                        rect.span x=(at(x.at(*from))) y=(TOP) width=(at(x.at(*to) - x.at(*from))) height=(BOTTOM - TOP) {}
                    }
                    @for area in &self.areas {
                        path class={ "area " (area.ink.class()) } d=(outline(area, &x, &y)) {}
                    }
                    @for (name, value) in &self.marks {
                        path.mark-x d={ "M" (at(x.at(*value))) " " (TOP) "V" (BOTTOM) } { title { (clipped(name)) } }
                    }
                    @for line in &self.lines {
                        path class={ "line " (line.ink.class()) } d=(path(line, &x, &y)) {}
                        @for (never, _) in line.points.iter().filter(|(_, value)| *value == f64::INFINITY) {
                            path.never d={ "M" (at(x.at(*never) - 3.0)) " " (TOP) "h6l-3 5z" } {}
                        }
                    }
                    @for group in &self.dots {
                        @for (dot_x, dot_y) in finite(&group.points) {
                            circle class={ "dot " (group.ink.class()) } cx=(at(x.at(dot_x))) cy=(at(y.at(dot_y))) r="3" {
                                title { (name(&group.name)) ": " (tick(dot_y)) " at " (tick(dot_x)) }
                            }
                        }
                    }
                    @if self.hovers { (hover::slots(self, &x, &y)) }
                }
            }
        })
    }

    fn scales(&self) -> Option<(Scale, Scale)> {
        let drawn = || {
            self.lines
                .iter()
                .chain(&self.dots)
                .flat_map(|line| finite(&line.points))
        };
        let edges = || self.areas.iter().flat_map(|area| &area.points);
        drawn().next()?;
        let xs = drawn().map(|(x, _)| x).chain(edges().map(|(x, ..)| *x));
        let ends = self.spans.iter().flat_map(|(_, from, to)| [*from, *to]);
        let marks = self.marks.iter().map(|(_, x)| *x);
        let xs = xs
            .chain(ends)
            .chain(marks)
            .chain(self.reach.0.iter().copied());
        let ys = drawn().map(|(_, y)| y);
        let ys = ys.chain(edges().flat_map(|(_, low, high)| [*low, *high]));
        let ys = ys.chain(self.reach.1.iter().copied());
        Some((
            Scale::new(xs, self.ranges.0, (LEFT, RIGHT))?,
            Scale::new(ys, self.ranges.1, (BOTTOM, TOP))?,
        ))
    }

    /// The names of all that is drawn, if there is more than one.
    fn legend(&self) -> Markup {
        let lines = self.lines.iter().filter(|line| !line.points.is_empty());
        // Dots on a line have its name.
        let is_line = |dots: &&Line| self.lines.iter().any(|line| line.name == dots.name);
        let dots = self
            .dots
            .iter()
            .filter(|dots| !dots.points.is_empty() && !is_line(dots));
        let areas = self.areas.iter().filter(|area| !area.name.is_empty());
        let entries = lines.clone().count() + dots.clone().count();
        let (spans, marks): (&[_], &[_]) = if self.explained {
            (&[], &[])
        } else {
            (&self.spans, &self.marks)
        };
        let others = areas.clone().count() + spans.len() + marks.len();
        html! {
            @if entries + others > usize::from(!self.named) {
                ul.legend {
                    @for line in lines {
                        li { svg.key viewBox="0 0 20 8" aria-hidden="true" { path class={ "line " (line.ink.class()) } d="M0 4H20" {} } bdi { (name(&line.name)) } }
                    }
                    @for group in dots {
                        li { svg.key viewBox="0 0 20 8" aria-hidden="true" { circle class={ "dot " (group.ink.class()) } cx="10" cy="4" r="3" {} } bdi { (name(&group.name)) } }
                    }
                    @for area in areas {
                        li { svg.key viewBox="0 0 20 8" aria-hidden="true" { path class={ "area " (area.ink.class()) } d="M0 0H20V8H0z" {} } bdi { (name(&area.name)) } }
                    }
                    @for (span, ..) in spans {
                        li { svg.key viewBox="0 0 20 8" aria-hidden="true" { rect.span width="20" height="8" {} } bdi { (name(span)) } }
                    }
                    @for (mark, _) in marks {
                        li { svg.key viewBox="0 0 20 8" aria-hidden="true" { path.mark-x d="M10 0V8" {} } bdi { (name(mark)) } }
                    }
                }
            }
        }
    }
}

/// Lines of a grid with their labels, and the label of the horizontal axis.
fn axes(x: &Scale, y: &Scale, label: &str) -> Markup {
    html! {
        g.grid {
            @for value in y.ticks() {
                path d={ "M" (LEFT) " " (at(y.at(value))) "H" (RIGHT) } {}
                text x=(LEFT - 5.0) y=(at(y.at(value) + 4.0)) text-anchor="end" { (tick(value)) }
            }
            @for value in x.ticks() {
                path d={ "M" (at(x.at(value))) " " (BOTTOM) "v4" } {}
                text x=(at(x.at(value))) y=(BOTTOM + 16.0) text-anchor="middle" { (tick(value)) }
            }
            path.axis d={ "M" (LEFT) " " (BOTTOM) "H" (RIGHT) } {}
            text x=((LEFT + RIGHT) / 2.0) y=(SIZE.1 - 5.0) text-anchor="middle" { (name(label)) }
        }
    }
}

/// The points of a line as path data. A point without neighbours becomes a dot.
fn path(line: &Line, x: &Scale, y: &Scale) -> String {
    let mut data = String::new();
    let mut begins = true;
    for (number, (point_x, point_y)) in line.points.iter().enumerate() {
        if !point_x.is_finite() || !point_y.is_finite() {
            begins = true;
            continue;
        }
        let letter = if begins { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(
            data,
            "{letter}{} {}",
            at(x.at(*point_x)),
            at(y.at(*point_y))
        );
        let next = line.points.get(number + 1);
        if begins && next.is_none_or(|(_, next)| !next.is_finite()) {
            data.push_str("h2");
        }
        begins = false;
    }
    data
}

/// The edges of an area as path data. A point without values splits it.
fn outline(area: &Area, x: &Scale, y: &Scale) -> String {
    let is_gap =
        |point: &(f64, f64, f64)| !point.0.is_finite() || point.1.is_nan() || point.2.is_nan();
    let mut data = String::new();
    for part in area.points.split(is_gap).filter(|part| !part.is_empty()) {
        let low = part.iter().map(|(x, low, _)| (*x, *low));
        let high = part.iter().rev().map(|(x, _, high)| (*x, *high));
        for (number, (point_x, point_y)) in low.chain(high).enumerate() {
            let letter = if number == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(data, "{letter}{} {}", at(x.at(point_x)), at(y.at(point_y)));
        }
        data.push('z');
    }
    data
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let finite = points
        .iter()
        .filter(|(x, y)| x.is_finite() && y.is_finite());
    finite.copied()
}

/// A position to a tenth of a unit, which is below what a screen shows.
fn at(position: f64) -> f64 {
    (position * 10.0).round() / 10.0
}

/// A name, cut to what fits.
fn name(text: &str) -> String {
    let text = clipped(text);
    let mut name: String = text.chars().take(NAME_SHOWN).collect();
    if name.len() < text.len() {
        name.push('…');
    }
    name
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_splits_a_line_and_a_failure_is_a_mark_at_the_upper_edge() {
        let points = vec![
            (0.0, 1.0),
            (1.0, 2.0),
            (2.0, f64::NAN),
            (3.0, 3.0),
            (4.0, f64::INFINITY),
        ];
        let chart = Chart::lines("t", ("s", "ms"), vec![Line::new("p95", 0, points)]);
        let svg = chart.draw().unwrap().into_string();
        let (_, line) = svg.split_once("line s0\" d=\"").unwrap();
        let (line, _) = line.split_once('"').unwrap();
        assert_eq!(line.matches('M').count(), 2, "{line}");
        assert!(line.ends_with("h2"), "{line}");
        assert_eq!(svg.matches("class=\"never\"").count(), 1, "{svg}");
    }

    #[test]
    fn a_gap_splits_an_area() {
        let scale = |to| Scale::new([0.0, 10.0].into_iter(), Range::Exact, (0.0, to)).unwrap();
        let area = Area {
            name: String::new(),
            ink: Ink::Pass,
            points: vec![
                (0.0, 1.0, 2.0),
                (1.0, 1.0, 3.0),
                (2.0, f64::NAN, f64::NAN),
                (3.0, 1.0, 2.0),
            ],
        };
        let data = outline(&area, &scale(10.0), &scale(10.0));
        assert_eq!(data, "M0 1L1 1L1 3L0 2zM3 1L3 2z");
    }

    #[test]
    fn names_are_escaped_and_cut_and_one_line_has_no_legend() {
        let line = |name: &str, number| Line::new(name, number, vec![(0.0, 1.0), (5.0, 2.0)]);
        let hostile = format!("<b>\u{1b}{}", "x".repeat(500));
        let mut chart = Chart::lines("<i>t</i>", ("<u>", "ms"), vec![line(&hostile, 0)]);
        let one = chart.draw().unwrap().into_string();
        assert!(!one.contains("legend"), "{one}");
        chart.lines.push(line("other", 1));
        let two = chart.draw().unwrap().into_string();
        assert!(two.contains("legend") && two.contains("s1"), "{two}");
        for markup in ["<b>", "<i>", "<u>", "\u{1b}", &"x".repeat(NAME_SHOWN + 1)] {
            assert!(!two.contains(markup), "{markup:?}: {two}");
        }
    }

    #[test]
    fn a_chart_without_values_is_not_drawn() {
        assert!(Chart::lines("t", ("x", "y"), vec![]).draw().is_none());
        let odd = Line::new("a", 0, vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)]);
        assert!(Chart::lines("t", ("x", "y"), vec![odd]).draw().is_none());
    }
}
