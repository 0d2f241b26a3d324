//! The record of a conformance run as a web page: the verdict, then failures in full, then the rest by suite.

mod case;
mod lists;
mod method;
mod verdict;

use super::super::compare::beside::Beside;
use super::compared;
use super::part::{Section, page};
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// A case and its number in the run, which is its anchor on the page.
type Numbered<'a> = (usize, &'a CaseRecord);

/// Renders the record.
pub fn render(record: &Record) -> String {
    render_compared(record, None)
}

/// Renders the record, beside its comparison with an earlier run if there is one.
pub(super) fn render_compared(record: &Record, with: Option<&Beside>) -> String {
    let of = |is: &dyn Fn(Judged) -> bool| {
        let cases = record.cases.iter().enumerate();
        let cases = cases.filter(|(_, case)| is(case.judged()));
        let mut cases: Vec<Numbered<'_>> = cases.collect();
        // Stable: cases of one level stay in the order of the run.
        cases.sort_by_key(|(_, case)| case.level as u8);
        cases
    };
    let outdated = of(&|judged| judged == Judged::UnexpectedPass);
    let failed = of(&|judged| judged == Judged::Fail);
    let undecided = of(&|judged| {
        matches!(
            judged,
            Judged::Inconclusive | Judged::Invalid | Judged::Error
        )
    });
    let known = of(&|judged| judged == Judged::KnownFailure);
    let skipped = of(&|judged| judged == Judged::Skip);
    let sections = vec![
        Section::new("failed", "Failed", lists::in_full(&failed)),
        Section::new(
            "outdated",
            "Listed as expected failures, but passed",
            lists::in_full(&outdated),
        ),
        Section::new("undecided", "Not decided", lists::in_full(&undecided)),
        Section::new("known", "Known failures", lists::known(&known)),
        compared::section(with),
        Section::new("passed", "Passed", lists::passed(record)),
        Section::new("skipped", "Skipped", lists::skipped(&skipped)),
        Section::new("method", "Stack and method", method::body(record)),
    ];
    page(&verdict::head(record, &failed), sections)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::component::Component;
    use poolproof_model::picture::Picture;
    use poolproof_model::verdict::{Level, Mismatch, Outcome, Verdict};
    use poolproof_records::samples::{fail, known, record, with_expectations};

    #[test]
    fn failed_cases_come_first_and_every_text_is_escaped() {
        const HOSTILE: &str = "<img src=x onerror=alert(1)> \x1b[31m";
        let hostile = || HOSTILE.to_owned();
        let mut failed = Outcome::pass(HOSTILE).evidence(HOSTILE);
        failed.verdict = Verdict::Fail;
        failed.pictures = vec![Picture::bars("<i>t</i>", "n", vec![("<u>a".into(), 3.0)])];
        failed.mismatches = vec![Mismatch {
            what: hostile(),
            expected: HOSTILE.into(),
            actual: serde_json::json!({ HOSTILE: HOSTILE }),
        }];
        let mut record = record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, failed.clone()),
            (Level::Must, failed),
            (Level::Must, Outcome::skip(HOSTILE)),
            (Level::Should, Outcome::invalid(HOSTILE)),
        ]);
        record.stack = hostile();
        record.flaw = Some(hostile());
        record.components = vec![Component::new(HOSTILE, HOSTILE)];
        record.target.models[0].name = hostile();
        for case in &mut record.cases[1..] {
            (case.requirement, case.source) = (hostile(), hostile());
        }
        let mut expected = known();
        (expected.reason, expected.link) = (hostile(), format!("javascript:{HOSTILE}"));
        record.cases[2].known = Some(expected);
        let page = render(&record);
        assert!(page.contains("Does not conform"), "{page}");
        let first = page.find("suite/case-1").unwrap();
        assert!(first < page.find("suite/case-0").unwrap(), "{page}");
        for markup in [
            "<img", "<i>", "<u>", "\x1b", "<script", "<link", "src=\"", "href=\"h", "href=\"j",
            "url(",
        ] {
            assert!(!page.contains(markup), "{markup}: {page}");
        }
    }

    #[test]
    fn each_kind_of_judgement_has_its_section() {
        let page = render(&with_expectations());
        let order = [
            "failed",
            "outdated",
            "undecided",
            "known",
            "passed",
            "skipped",
            "method",
        ];
        let places = order.map(|id| page.find(&format!("<section id=\"{id}\">")).unwrap());
        assert!(places.is_sorted(), "{places:?}");
        let passed = render(&record(&[(Level::Must, Outcome::pass("fine"))]));
        assert!(!passed.contains("id=\"failed\"") && !passed.contains("id=\"skipped\""));
    }

    #[test]
    fn must_cases_come_before_others_and_the_head_links_to_them() {
        let page = render(&record(&[(Level::May, fail()), (Level::Must, fail())]));
        let (head, rest) = page.split_once("<nav").unwrap();
        assert!(
            head.contains("href=\"#c1\"") && rest.contains("id=\"c1\""),
            "{page}"
        );
        assert!(rest.find("suite/case-1").unwrap() < rest.find("suite/case-0").unwrap());
    }
}
