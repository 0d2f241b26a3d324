//! Records for tests.

#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use super::environment::Environment;
use super::expect::Known;
use super::load::search::{self, Probe, RateSearch, Search};
use super::run::{self, CaseRecord, Record, without_credentials};
use poolproof_model::settings::Settings;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Level, Outcome, Verdict};
use poolproof_model::workload::Workload;

/// A record with cases of these levels and verdicts.
pub fn record(cases: &[(Level, Outcome)]) -> Record {
    let target: Target = toml::from_str(
        "name='t'\nurl='http://me:secret@127.0.0.1:1'\n[[models]]\nname='m'\n[[models.pools]]\nname='p'\nweight=1\n\
         [changes]\nurl='http://me:secret@127.0.0.1:2'\nkinds=['picker']",
    )
    .unwrap();
    Record {
        schema: run::SCHEMA.into(),
        tool_version: "0".into(),
        started: Timestamp::UNIX_EPOCH,
        saved: Timestamp::UNIX_EPOCH,
        digest: None,
        interrupted: false,
        seed: 1,
        split_tolerance: 0.03,
        run_alpha: Settings::default().run_alpha,
        power: Settings::default().power,
        stack: "url".into(),
        flaw: None,
        components: vec![],
        start_steps: vec![],
        client_cores: 2,
        environment: None,
        round_trips: Vec::new(),
        target: without_credentials(&target),
        cases: cases
            .iter()
            .enumerate()
            .map(|(number, (level, outcome))| CaseRecord {
                id: format!("suite/case-{number}"),
                requirement: "it works".into(),
                level: *level,
                source: "a document".into(),
                took_ms: 1500,
                known: None,
                outcome: outcome.clone(),
            })
            .collect(),
    }
}

/// The outcome of a case that failed.
pub fn fail() -> Outcome {
    Outcome {
        verdict: Verdict::Fail,
        ..Outcome::pass("it does not work")
    }
}

/// An expected failure.
pub fn known() -> Known {
    Known {
        reason: "a cause".into(),
        link: "https://example.invalid/1".into(),
        file: "known.toml".into(),
        line: 2,
    }
}

/// A record with a pass, an unexpected failure, a known failure and an unexpected pass, and with cases that are listed as expected
/// failures and were not decided.
pub fn with_expectations() -> Record {
    let mut record = record(&[
        (Level::Must, Outcome::pass("it works")),
        (Level::Must, fail()),
        (Level::Must, fail()),
        (Level::Must, Outcome::pass("it works")),
        (Level::Should, fail()),
        (Level::Must, Outcome::skip("no urls")),
        (Level::Must, Outcome::invalid("the client was late")),
    ]);
    for case in &mut record.cases[2..] {
        case.known = Some(known());
    }
    record
}

/// A search that found its limit between 20 and 24 requests per second.
pub fn rate_search() -> RateSearch {
    let probe = |rate_per_s, verdict, ttft_p95_ms| Probe {
        rate_per_s,
        verdict,
        broke: match verdict {
            Verdict::Pass => vec![],
            _ => vec!["ttft p95 <= 100 ms".to_owned()],
        },
        doubts: vec![],
        requests: 100,
        ttft_p95_ms,
        output_tokens_per_s: 5.0,
    };
    let mut search = Search::new(10.0, 1.05);
    search.probes = vec![
        probe(10.0, Verdict::Pass, Some(Some(20.0))),
        probe(20.0, Verdict::Pass, Some(Some(30.0))),
        probe(40.0, Verdict::Fail, Some(None)),
        probe(28.0, Verdict::Fail, Some(Some(900.0))),
        probe(24.0, Verdict::Inconclusive, None),
    ];
    RateSearch {
        schema: search::SCHEMA.to_owned(),
        tool_version: "0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        interrupted: false,
        name: "steady-chat".to_owned(),
        workload: Workload::load("steady-chat").unwrap().0,
        seed: 1,
        stack: "embedded".to_owned(),
        flaw: None,
        components: vec![],
        environment: Environment::here(),
        search,
    }
}
