//! Reports: all renderings of records, comparison of two records, and the gate of a nightly run.
//!
//! A record is the only input. A renderer turns its typed values into text, and never measures or judges. Words for people are made
//! here and nowhere else, and no text claims more than was compared.
//!
//! This crate must not know clap, or how stacks are started.
//!
//! Start with [`mod@format`], the list of all formats and of the records that each can render. [`terminal`], [`html`] and [`markdown`] are for
//! people; [`junit`], [`ctrf`], [`openmetrics`] and [`foreign`] (the formats of other load tools) are for programs. [`compare`] sets two
//! records side by side, [`matrix`] any number of runs.
//!
//! ```
//! use poolproof_records::file::Kind;
//! use poolproof_report::format::{FORMATS, Format};
//!
//! # fn main() -> anyhow::Result<()> {
//! let junit = Format::named("junit").ok_or_else(|| anyhow::anyhow!("no such format"))?;
//! assert!(junit.renders(Kind::Run) && !junit.renders(Kind::Search));
//!
//! // Every kind of record can be shown at a terminal.
//! let terminal = &FORMATS[0];
//! assert!(Kind::ALL.into_iter().all(|kind| terminal.renders(kind)));
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;

use poolproof_model::verdict::Verdict;
use poolproof_records::judged::Judged;
use poolproof_records::load;
use poolproof_records::load::overhead::Compared;
use poolproof_records::run::CaseRecord;

pub mod badge;
pub mod compare;
pub mod ctrf;
pub mod foreign;
pub mod format;
pub mod github;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod openmetrics;
pub mod schema;
pub mod terminal;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod renderings;

// Earlier paths of the records.
pub use poolproof_records::{environment, run as record};

/// Longest text that a rendering for people shows, in characters; the record holds all of it.
const TEXT_SHOWN: usize = 2000;

/// Most mismatches of a case that a rendering for people shows; the record holds all of them.
const MISMATCHES_SHOWN: usize = 8;

/// True if renderings for people show the case in full.
fn needs_details(case: &CaseRecord) -> bool {
    !matches!(case.judged(), Judged::Pass | Judged::Skip)
}

/// The details of a case for people: the kind of each line, and the line.
fn detail_lines(case: &CaseRecord) -> Vec<(&'static str, String)> {
    let outcome = &case.outcome;
    let mut lines = Vec::new();
    let mut add = |kind, line: &str| lines.push((kind, clipped(line).into_owned()));
    if let Some(expectation) = case.expectation() {
        add("listed", &expectation);
    }
    if outcome.mismatches.is_empty() || outcome.verdict != Verdict::Fail {
        add("because", &outcome.summary);
    }
    for mismatch in outcome.mismatches.iter().take(MISMATCHES_SHOWN) {
        add("found", &mismatch.to_string());
    }
    if let Some(more @ 1..) = outcome.mismatches.len().checked_sub(MISMATCHES_SHOWN) {
        add("found", &format!("{more} more in the record"));
    }
    for statistic in &outcome.statistics {
        add("measured", &statistic.to_string());
    }
    for line in &outcome.evidence {
        add("evidence", line);
    }
    lines
}

/// The conclusion of a load run in words.
fn conclusion_of_load(record: &load::Record) -> &'static str {
    use load::Conclusion;
    match record.conclusion() {
        Conclusion::Met => "every objective was met",
        Conclusion::Missed if record.every_request_failed() => "every request failed",
        Conclusion::Missed => "an objective was missed",
        Conclusion::Undecided if record.doubts.is_empty() => "not decided",
        Conclusion::Undecided => "not to be trusted",
        Conclusion::Interrupted => "interrupted",
    }
}

/// Whether a figure is better through the gateway or with round robin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    /// The interval of the difference covers 0.
    NotShown,
    /// The gateway is better.
    Gateway,
    /// Round robin is better.
    RoundRobin,
}

impl fmt::Display for Better {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotShown => "no difference shown",
            Self::Gateway => "gateway is better",
            Self::RoundRobin => "round robin is better",
        })
    }
}

/// Compares a figure's interval with 0. Returns `None` for a figure unknown to this version.
fn better(compared: &Compared) -> Option<Better> {
    let figure = compared.which()?;
    let (low, high) = compared.interval;
    Some(if low <= 0.0 && high >= 0.0 {
        Better::NotShown
    } else if (low > 0.0) == figure.more_is_better() {
        Better::Gateway
    } else {
        Better::RoundRobin
    })
}

/// Makes untrusted text safe to print: replaces control characters and cuts it to a readable length.
pub(crate) fn clipped(text: &str) -> Cow<'_, str> {
    let unsafe_for_terminals = |c: char| (c.is_control() && c != '\n') || reorders(c);
    let end = text.char_indices().nth(TEXT_SHOWN).map(|(at, _)| at);
    if end.is_none() && !text.contains(unsafe_for_terminals) {
        return text.into();
    }
    let mut shown = text[..end.unwrap_or(text.len())].replace(unsafe_for_terminals, "\u{fffd}");
    if end.is_some() {
        shown.push('…');
    }
    shown.into()
}

/// A moment, to the second.
pub(crate) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Whether a character changes the order in which others are shown (Unicode Standard Annex #9, section 2), so that a text can look like
/// another one.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::clipped;

    #[test]
    fn text_of_servers_is_shown_without_controls_and_in_its_own_order() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{2067}d\u{9b}e\nf";
        assert_eq!(
            clipped(hostile),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\nf"
        );
        assert_eq!(clipped("plain \u{5d0} text"), "plain \u{5d0} text");
    }
}
