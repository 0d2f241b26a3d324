//! Charts as SVG. The page's style sheet sets the colours, light or dark.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::clipped;
use poolproof_model::picture::{Drawing, Picture};

/// Size in user units; the page scales it.
const SIZE: (u32, u32) = (520, 270);
/// Font size of all text, in user units. It stays legible when a phone shows the chart at half size.
const FONT_SIZE: u32 = 15;

/// Placeholder colours. Each is replaced by the page's CSS variable of that name.
const PAPER: RGBColor = RGBColor(25, 26, 27);
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
const BAND: RGBColor = RGBColor(7, 8, 9);
const SPAN: RGBColor = RGBColor(22, 23, 24);
const SERIES: [RGBColor; 4] = [
    RGBColor(10, 11, 12),
    RGBColor(13, 14, 15),
    RGBColor(16, 17, 18),
    RGBColor(19, 20, 21),
];
const VARIABLES: [(RGBColor, &str); 9] = [
    (PAPER, "var(--paper)"),
    (INK, "var(--ink)"),
    (GRID, "var(--grid)"),
    (BAND, "var(--band)"),
    (SPAN, "var(--span)"),
    (SERIES[0], "var(--one)"),
    (SERIES[1], "var(--two)"),
    (SERIES[2], "var(--three)"),
    (SERIES[3], "var(--four)"),
];

/// Margin around a chart, height of the labels below it, and height of a legend, in user units.
const MARGIN: u32 = 8;
const LABELS_HEIGHT: u32 = 46;
const LEGEND_LINE: u32 = 21;
const LEGEND_MARGINS: u32 = 20;

/// Radius of a dot, in user units.
const DOT_RADIUS: i32 = 3;

/// Longest drawn label, in characters.
const LABEL_SHOWN: usize = 24;

/// Renders the chart as an SVG element. Returns `None` if there is nothing to draw.
pub(super) fn draw(picture: &Picture) -> Option<String> {
    let mut svg = String::new();
    let drawn = match &picture.drawing {
        Drawing::Lines { x, lines, accepted } => {
            let points = lines.iter().flat_map(|(_, points)| finite(points));
            let band = accepted
                .iter()
                .flat_map(|(x, low, high)| [(*x, *low), (*x, *high)]);
            let ranges = ranges(points.chain(band), std::iter::empty())?;
            draw_lines(&mut svg, ranges, (x, &picture.y), lines, accepted)
        }
        Drawing::Dots { x, groups, spans } => {
            let dots = groups.iter().flat_map(|(_, dots)| finite(dots));
            let ends = spans.iter().flat_map(|(_, from, to)| [*from, *to]);
            let ranges = ranges(dots, ends)?;
            draw_dots(&mut svg, ranges, (x, &picture.y), groups, spans)
        }
        Drawing::Bars { bars } => draw_bars(&mut svg, &picture.y, bars),
    };
    drawn.ok()?;
    for (colour, variable) in VARIABLES {
        let hex = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
        svg = svg.replace(&hex, variable);
    }
    Some(svg)
}

/// The range of each axis.
type Ranges = (Range<f64>, Range<f64>);

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let finite = points
        .iter()
        .filter(|point| point.0.is_finite() && point.1.is_finite());
    finite.copied()
}

/// Ranges that contain all points and the extra positions on the horizontal axis. `None` without points.
fn ranges(
    points: impl Iterator<Item = (f64, f64)>,
    more_x: impl Iterator<Item = f64> + Clone,
) -> Option<Ranges> {
    let all: Vec<(f64, f64)> = points.collect();
    let x = all.iter().map(|point| point.0).chain(more_x);
    (!all.is_empty()).then(|| (range(x), range(all.iter().map(|point| point.1))))
}

/// The range from the least to the largest value, never empty. It includes 0 if the values start near 0.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let low = if low > 0.0 && low < high / 2.0 {
        0.0
    } else {
        low
    };
    if high > low {
        low..high + (high - low) * 0.02
    } else {
        low..low + 1.0
    }
}

fn draw_lines(
    svg: &mut String,
    ranges: Ranges,
    axes: (&str, &str),
    lines: &[(String, Vec<(f64, f64)>)],
    accepted: &[(f64, f64, f64)],
) -> Result<()> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = chart(&root, ranges, axes)?;
    if !accepted.is_empty() {
        let low = accepted.iter().map(|(x, low, _)| (*x, *low));
        let high = accepted.iter().rev().map(|(x, _, high)| (*x, *high));
        let band: Vec<(f64, f64)> = low.chain(high).collect();
        let band = Polygon::new(band, BAND.filled());
        let drawn = chart.draw_series([band])?;
        drawn
            .label("accepted")
            .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], BAND.filled()));
    }
    for ((name, points), colour) in lines.iter().zip(SERIES.iter().cycle()) {
        let style = ShapeStyle::from(*colour).stroke_width(2);
        let line = LineSeries::new(finite(points), style);
        let drawn = chart.draw_series(line)?;
        drawn
            .label(label(name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    if lines.len() + usize::from(!accepted.is_empty()) > 1 {
        legend(
            &mut chart,
            SeriesLabelPosition::MiddleRight,
            TRANSPARENT.filled(),
        )?;
    }
    root.present()?;
    Ok(())
}

fn draw_dots(
    svg: &mut String,
    (x_range, y_range): Ranges,
    axes: (&str, &str),
    groups: &[(String, Vec<(f64, f64)>)],
    spans: &[(String, f64, f64)],
) -> Result<()> {
    let entries = spans.len() + groups.iter().filter(|(_, dots)| !dots.is_empty()).count();
    // The legend lies above the dots and adds to the height of the chart.
    let legend_height = entries as u32 * LEGEND_LINE + LEGEND_MARGINS;
    let share = f64::from(legend_height) / f64::from(SIZE.1 - LABELS_HEIGHT - 2 * MARGIN);
    let (low, high) = (
        y_range.start,
        y_range.end + (y_range.end - y_range.start) * share,
    );
    let size = (SIZE.0, SIZE.1 + legend_height);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    let mut chart = chart(&root, (x_range, low..high), axes)?;
    for (name, from, to) in spans {
        let span = Rectangle::new([(*from, low), (*to, high)], SPAN.filled());
        let drawn = chart.draw_series([span])?;
        drawn
            .label(label(name))
            .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], SPAN.filled()));
    }
    for ((name, dots), colour) in groups.iter().zip(SERIES.iter().cycle()) {
        if dots.is_empty() {
            continue;
        }
        let circles = finite(dots).map(|at| Circle::new(at, DOT_RADIUS, colour.filled()));
        let drawn = chart.draw_series(circles)?;
        drawn
            .label(label(name))
            .legend(|(x, y)| Circle::new((x + 8, y), DOT_RADIUS, colour.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight, PAPER.filled())?;
    root.present()?;
    Ok(())
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A chart with two numeric axes.
fn chart<'a>(
    canvas: &Canvas<'a>,
    (x_range, y_range): Ranges,
    (x, y): (&str, &str),
) -> Result<Chart<'a>> {
    let mut chart = ChartBuilder::on(canvas)
        .margin(MARGIN)
        .x_label_area_size(LABELS_HEIGHT)
        .y_label_area_size(66)
        .build_cartesian_2d(x_range, y_range)?;
    let text = ("sans-serif", FONT_SIZE).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text.clone())
        .axis_desc_style(text)
        .draw()?;
    Ok(chart)
}

fn legend<'a>(
    chart: &mut Chart<'a>,
    position: SeriesLabelPosition,
    background: ShapeStyle,
) -> Result<()> {
    let text = ("sans-serif", FONT_SIZE).into_font().color(&INK);
    chart
        .configure_series_labels()
        .position(position)
        .label_font(text)
        .border_style(TRANSPARENT)
        .background_style(background)
        .draw()?;
    Ok(())
}

fn draw_bars(svg: &mut String, y: &str, bars: &[(String, f64)]) -> Result<()> {
    let highest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    anyhow::ensure!(!bars.is_empty() && highest.is_finite(), "nothing to draw");
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(66)
        .build_cartesian_2d(0.0..bars.len() as f64, 0.0..(highest * 1.15).max(1.0))?;
    let text = ("sans-serif", FONT_SIZE).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc(y)
        .y_labels(6)
        .y_label_formatter(&number)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .draw()?;
    let rectangles = bars.iter().enumerate().map(|(place, (_, height))| {
        let (left, right) = (place as f64 + 0.2, place as f64 + 0.8);
        Rectangle::new([(left, 0.0), (right, *height)], SERIES[0].filled())
    });
    chart.draw_series(rectangles)?;
    let size = if bars.len() > 3 {
        FONT_SIZE - 4
    } else {
        FONT_SIZE
    };
    let text = ("sans-serif", size).into_font().color(&INK);
    let centred = |vertical| text.pos(Pos::new(HPos::Center, vertical));
    for (place, (name, height)) in bars.iter().enumerate() {
        let middle = place as f64 + 0.5;
        let (x, top) = chart.backend_coord(&(middle, *height));
        let (_, bottom) = chart.backend_coord(&(middle, 0.0));
        let write = |text: &str, vertical, y| root.draw_text(text, &centred(vertical), (x, y));
        write(&number(height), VPos::Bottom, top - 3)?;
        // Text in brackets goes on its own line.
        let (name, rest) = name.split_once(" (").unwrap_or((name, ""));
        write(&label(name), VPos::Top, bottom + 6)?;
        if !rest.is_empty() {
            write(
                &label(&format!("({rest}")),
                VPos::Top,
                bottom + 6 + size as i32,
            )?;
        }
    }
    root.present()?;
    Ok(())
}

/// Formats a number with as few digits as possible.
fn number(value: &f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn label(text: &str) -> String {
    clipped(text).chars().take(LABEL_SHOWN).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_uses_the_colours_of_the_page_and_escapes_its_labels() {
        let lines = vec![("<b>a</b> & b".to_owned(), vec![(0.0, 1.0), (5.0, 2.0)])];
        let picture = Picture::lines("t", ("x", "y"), lines).accepts(vec![(0.0, 0.5, 1.5)]);
        let svg = draw(&picture).unwrap();
        assert!(
            svg.contains("var(--one)") && svg.contains("var(--band)"),
            "{svg}"
        );
        assert!(!svg.contains("<b>") && !svg.contains("#0"), "{svg}");
    }

    #[test]
    fn each_group_of_dots_has_a_colour_and_empty_groups_are_left_out() {
        let dots = |groups: [usize; 3]| {
            let groups = groups.into_iter().enumerate().map(|(number, n)| {
                let dots = (0..n).map(|x| (x as f64, 1.0)).collect();
                (format!("<i>{number}"), dots)
            });
            let spans = vec![("down".to_owned(), 1.0, 9.0)];
            draw(&Picture::dots("t", ("s", "ms"), groups.collect(), spans))
        };
        let svg = dots([3, 0, 2]).unwrap();
        // All dots, plus one per group in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 + 1 + 2 + 1, "{svg}");
        assert!(
            svg.contains("var(--span)") && svg.contains("var(--three)"),
            "{svg}"
        );
        assert!(!svg.contains("var(--two)") && !svg.contains("<i>"), "{svg}");
        assert!(dots([0, 0, 0]).is_none());
    }

    #[test]
    fn empty_and_infinite_values_are_not_drawn() {
        assert!(draw(&Picture::lines("t", ("x", "y"), vec![])).is_none());
        assert!(draw(&Picture::bars("t", "y", vec![])).is_none());
        let odd = vec![("a".to_owned(), vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)])];
        assert!(draw(&Picture::lines("t", ("x", "y"), odd)).is_none());
        let flat = vec![("a".to_owned(), vec![(1.0, 3.0)])];
        assert!(draw(&Picture::lines("t", ("x", "y"), flat)).is_some());
    }
}
