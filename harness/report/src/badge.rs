//! A badge: the conclusion of a run as a small SVG image, for a README.

use maud::html;

use super::clipped;
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::{Conclusion, Record};

const GREEN: &str = "#1a7f37";
const YELLOW: &str = "#9a6700";
const RED: &str = "#c6232f";
const GREY: &str = "#5b6472";

/// The text on the left.
const LABEL: &str = "poolproof";
/// The width of a character of the font, in pixels, and the space around a text.
const CHARACTER: usize = 7;
const SPACE: usize = 12;

/// Renders the conclusion, with the number of Must cases behind it. A run with a flaw is marked as such, never as passed.
pub fn render(record: &Record) -> String {
    let (text, colour) = conclusion(record);
    let text = clipped(&text);
    let left = width(LABEL);
    let right = width(&text);
    let title = format!(
        "{LABEL} {} on {}: {text}",
        record.tool_version, record.stack
    );
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(clipped(&title)) {
            title { (clipped(&title)) }
            rect width=(left) height="20" fill="#333a44" {}
            rect x=(left) width=(right) height="20" fill=(colour) {}
            g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                text x=(left / 2) y="14" { (LABEL) }
                text x=(left + right / 2) y="14" { (text) }
            }
        }
    }
    .into_string()
}

fn conclusion(record: &Record) -> (String, &'static str) {
    if let Some(flaw) = &record.flaw {
        return (format!("flaw {flaw} enabled"), GREY);
    }
    let count = |wanted: Judged| {
        let cases = record.cases.iter();
        cases
            .filter(|case| case.level == Level::Must && case.judged() == wanted)
            .count()
    };
    let passed = count(Judged::Pass);
    let skipped = match count(Judged::Skip) {
        0 => String::new(),
        skipped => format!(", {skipped} skipped"),
    };
    match record.conclusion() {
        Conclusion::Passed => (format!("{passed} Must pass{skipped}"), GREEN),
        Conclusion::KnownFailures => {
            let known = count(Judged::KnownFailure);
            (
                format!("{passed} Must pass, {known} known failures{skipped}"),
                YELLOW,
            )
        }
        Conclusion::Failed => {
            let failed = count(Judged::Fail);
            (format!("{failed} Must fail, {passed} pass{skipped}"), RED)
        }
        Conclusion::Outdated => ("expected failures outdated".to_owned(), YELLOW),
        Conclusion::Undecided => ("not decided".to_owned(), GREY),
        Conclusion::Interrupted => ("interrupted".to_owned(), GREY),
    }
}

fn width(text: &str) -> usize {
    text.chars().count() * CHARACTER + SPACE
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::samples::{fail, record};

    #[test]
    fn only_a_run_that_passed_without_a_flaw_is_green() {
        let pass = || (Level::Must, Outcome::pass(""));
        let green = |record: &Record| render(record).contains(GREEN);
        let mut passed = record(&[pass(), (Level::Should, fail())]);
        assert!(green(&passed) && render(&passed).contains("1 Must pass"));
        passed.flaw = Some("<b>".to_owned());
        assert!(!green(&passed) && !render(&passed).contains("<b>"));
        assert!(render(&record(&[pass(), (Level::Must, fail())])).contains("1 Must fail, 1 pass"));
        for (level, outcome) in [
            (Level::Must, fail()),
            (Level::Must, Outcome::invalid("")),
            (Level::Must, Outcome::skip("")),
        ] {
            assert!(!green(&record(&[(level, outcome)])));
        }
        let mut interrupted = record(&[pass()]);
        interrupted.interrupted = true;
        assert!(!green(&interrupted));
    }
}
