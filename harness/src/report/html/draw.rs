//! Pictures as SVG, in the colours of the page: light and dark are for its style to say.

use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::clipped;
use crate::picture::{Drawing, Picture};

/// In user units; the page scales it.
const SIZE: (u32, u32) = (520, 270);
/// Of all text in a picture, in user units: still to be read where a phone shows it at half its size.
const FONT_SIZE: u32 = 15;

/// Colours that stand for those of the page. Each is replaced by the variable of its name.
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
const BAND: RGBColor = RGBColor(7, 8, 9);
const SERIES: [RGBColor; 4] = [
    RGBColor(10, 11, 12),
    RGBColor(13, 14, 15),
    RGBColor(16, 17, 18),
    RGBColor(19, 20, 21),
];
const VARIABLES: [(RGBColor, &str); 7] = [
    (INK, "var(--ink)"),
    (GRID, "var(--grid)"),
    (BAND, "var(--band)"),
    (SERIES[0], "var(--one)"),
    (SERIES[1], "var(--two)"),
    (SERIES[2], "var(--three)"),
    (SERIES[3], "var(--four)"),
];

/// Characters of a label that are drawn.
const LABEL_SHOWN: usize = 24;

/// The picture as an SVG element; `None` if there is nothing that could be drawn.
pub(super) fn draw(picture: &Picture) -> Option<String> {
    let mut svg = String::new();
    let drawn = match &picture.drawing {
        Drawing::Lines { x, lines, accepted } => {
            let finite = |it: &&(f64, f64)| it.0.is_finite() && it.1.is_finite();
            let points = lines
                .iter()
                .flat_map(|(_, points)| points.iter().filter(finite));
            let band = accepted
                .iter()
                .flat_map(|(x, low, high)| [(*x, *low), (*x, *high)]);
            let all: Vec<(f64, f64)> = points.copied().chain(band).collect();
            if all.is_empty() {
                return None;
            }
            let axes = (
                range(all.iter().map(|it| it.0)),
                range(all.iter().map(|it| it.1)),
            );
            draw_lines(&mut svg, axes, (x, &picture.y), lines, accepted)
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

/// From the least to the largest value, never empty; 0 is in it where values begin near it.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let low = if low > 0.0 && low < high / 2.0 {
        0.0
    } else {
        low
    };
    match high > low {
        true => low..high + (high - low) * 0.02,
        false => low..low + 1.0,
    }
}

fn draw_lines(
    svg: &mut String,
    (x_range, y_range): (Range<f64>, Range<f64>),
    (x, y): (&str, &str),
    lines: &[(String, Vec<(f64, f64)>)],
    accepted: &[(f64, f64, f64)],
) -> Result<()> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .x_label_area_size(46)
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
        .axis_desc_style(text.clone())
        .draw()?;
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
        let finite = points
            .iter()
            .filter(|it| it.0.is_finite() && it.1.is_finite());
        let line = LineSeries::new(finite.copied(), style);
        let drawn = chart.draw_series(line)?;
        drawn
            .label(label(name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    if lines.len() + usize::from(!accepted.is_empty()) > 1 {
        chart
            .configure_series_labels()
            .label_font(text)
            .border_style(TRANSPARENT)
            .draw()?;
    }
    root.present()?;
    Ok(())
}

fn draw_bars(svg: &mut String, y: &str, bars: &[(String, f64)]) -> Result<()> {
    let highest = bars.iter().map(|it| it.1).fold(0.0, f64::max);
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
        // What stands in brackets has a line of its own.
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

/// As few digits as say it.
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
    fn a_picture_has_the_colours_of_the_page_and_no_markup_of_its_labels() {
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
    fn nothing_and_what_is_not_finite_is_not_drawn() {
        assert!(draw(&Picture::lines("t", ("x", "y"), vec![])).is_none());
        assert!(draw(&Picture::bars("t", "y", vec![])).is_none());
        let odd = vec![("a".to_owned(), vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)])];
        assert!(draw(&Picture::lines("t", ("x", "y"), odd)).is_none());
        let flat = vec![("a".to_owned(), vec![(1.0, 3.0)])];
        assert!(draw(&Picture::lines("t", ("x", "y"), flat)).is_some());
    }
}
