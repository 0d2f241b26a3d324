//! Reports: the record of a run, and its renderings.

use std::borrow::Cow;

use record::CaseRecord;

use crate::verdict::Verdict;

pub mod ctrf;
pub mod junit;
pub mod markdown;
pub mod record;
pub mod table;

/// Characters of a text that a rendering for people shows; the record has all.
const TEXT_SHOWN: usize = 2000;

/// Whether a case is told in full to a person.
fn worth_telling(case: &CaseRecord) -> bool {
    !matches!(case.outcome.verdict, Verdict::Pass | Verdict::Skip)
}

/// Text that may come from anywhere, without what a terminal would obey, and not longer than a person reads.
fn clipped(text: &str) -> Cow<'_, str> {
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
