//! Which rules of the specifications the cases check, and which they do not.
//!
//! Suites keep the table as data beside their cases. A rule is one sentence of a specification, in short; its place is named, so that the
//! whole sentence can be read there.

use serde::Serialize;

/// A specification, or a part of one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Document {
    /// Its name with its version.
    pub name: &'static str,
    /// What of it the table has, in one sentence.
    pub scope: &'static str,
    /// The start of what a case's `source` says about this document: each such case checks one of its rules.
    #[serde(skip)]
    pub cited_as: &'static [&'static str],
    /// Its rules, in the order of the document.
    pub rules: &'static [Rule],
}

/// A rule of a specification.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rule {
    /// The section, the field or the constant that it belongs to.
    pub place: &'static str,
    /// The rule in one sentence.
    pub sentence: &'static str,
    /// The ids of the cases that check it; empty: none does.
    pub cases: &'static [&'static str],
    /// What of it no case checks, and why; empty: nothing is left.
    pub gap: &'static str,
}

impl Rule {
    /// A rule that cases check.
    pub const fn checked(
        place: &'static str,
        sentence: &'static str,
        cases: &'static [&'static str],
    ) -> Self {
        Self {
            place,
            sentence,
            cases,
            gap: "",
        }
    }

    /// A rule of which cases check a part.
    pub const fn partly(
        place: &'static str,
        sentence: &'static str,
        cases: &'static [&'static str],
        gap: &'static str,
    ) -> Self {
        Self {
            place,
            sentence,
            cases,
            gap,
        }
    }

    /// A rule that no case checks, with the reason.
    pub const fn open(place: &'static str, sentence: &'static str, because: &'static str) -> Self {
        Self {
            place,
            sentence,
            cases: &[],
            gap: because,
        }
    }
}
