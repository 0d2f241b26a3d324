//! Reports: the record of a run, and its renderings.

use std::borrow::Cow;

use crate::records::run::CaseRecord;
use crate::verdict::{Outcome, Verdict};

pub mod compare;
pub mod ctrf;
pub mod foreign;
pub mod github;
pub mod html;
pub mod junit;
pub mod limit;
pub mod load;
pub mod markdown;
pub mod openmetrics;
pub mod schema;
pub mod table;

// The paths that records had before they got a module of their own.
pub use crate::records::{environment, run as record};

/// Characters of a text that a rendering for people shows; the record has all.
const TEXT_SHOWN: usize = 2000;

/// Mismatches of a case that a rendering for people shows; the record has all.
const MISMATCHES_SHOWN: usize = 8;

/// Whether a case is told in full to a person.
fn worth_telling(case: &CaseRecord) -> bool {
    !matches!(case.outcome.verdict, Verdict::Pass | Verdict::Skip)
}

/// What a person is told of a case: the kind of each line, and the line.
fn told(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut tell = |kind, line: &str| lines.push((kind, clipped(line).into_owned()));
    if outcome.mismatches.is_empty() || outcome.verdict != Verdict::Fail {
        tell("because", &outcome.summary);
    }
    for mismatch in outcome.mismatches.iter().take(MISMATCHES_SHOWN) {
        tell("found", &mismatch.to_string());
    }
    if let Some(more @ 1..) = outcome.mismatches.len().checked_sub(MISMATCHES_SHOWN) {
        tell("found", &format!("and {more} more, in the record"));
    }
    for statistic in &outcome.statistics {
        tell("measured", &statistic.to_string());
    }
    for line in &outcome.evidence {
        tell("evidence", line);
    }
    lines
}

/// Text that may come from anywhere, without what a terminal would obey, and not longer than a person reads.
pub(crate) fn clipped(text: &str) -> Cow<'_, str> {
    let unsafe_for_terminals = |c: char| c.is_control() && c != '\n';
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
