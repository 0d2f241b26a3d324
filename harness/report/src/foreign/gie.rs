//! The format of GIE's conformance report (GIE v1.5.0, conformance; sigs.k8s.io/gateway-api, conformance/apis/v1).
//!
//! It is not a submission, which only the official suite generates. It therefore has a different `kind`, and its cases are poolproof's.

use serde_json::json;

use super::Converted;
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::Record;

/// Renders a run in the format of a conformance report: Must cases as core tests, the others as extended tests.
pub fn convert(record: &Record) -> Converted {
    let named = |core: bool, judgements: &[Judged]| -> Vec<&str> {
        let cases = record
            .cases
            .iter()
            .filter(|case| (case.level == Level::Must) == core);
        let cases = cases.filter(|case| judgements.contains(&case.judged()));
        cases.map(|case| case.id.as_str()).collect()
    };
    let status = |core: bool| {
        // The format is about conformance: a known failure does not conform, however well it is known.
        let failed = named(core, &[Judged::Fail, Judged::KnownFailure, Judged::Error]);
        let skipped = named(core, &[Judged::Skip, Judged::Inconclusive, Judged::Invalid]);
        let passed = named(core, &[Judged::Pass, Judged::UnexpectedPass]);
        let result = match (failed.is_empty(), skipped.is_empty()) {
            (false, _) => "failure",
            (true, false) => "partial",
            (true, true) => "success",
        };
        let statistics =
            json!({"Failed": failed.len(), "Passed": passed.len(), "Skipped": skipped.len()});
        json!({"result": result, "statistics": statistics, "failedTests": failed, "skippedTests": skipped})
    };
    let version = |role: &str| {
        let found = record
            .components
            .iter()
            .find(|component| component.role == role);
        found.map_or("unknown", |component| component.version.as_str())
    };
    let mut summary = format!("{}: {}", record.conclusion(), record.counts());
    for (what, judged) in [
        ("known failures", Judged::KnownFailure),
        ("unexpected passes", Judged::UnexpectedPass),
    ] {
        let cases = [named(true, &[judged]), named(false, &[judged])].concat();
        if !cases.is_empty() {
            summary += &format!("; {what}: {}", cases.join(", "));
        }
    }
    let value = json!({
        "apiVersion": "poolproof.dev/v1",
        "kind": "CompanionReport",
        "date": record.saved.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "GatewayAPIInferenceExtensionVersion": version("epp"),
        "mode": "default",
        "implementation": {
            "organization": "", "project": record.stack, "url": "", "version": version("gateway"), "contact": [],
        },
        "profiles": [{
            "name": "Gateway",
            "summary": summary,
            "core": status(true),
            "extended": status(false),
        }],
    });
    let mut left_out = vec![
        "findings, measurements and expectations of each case",
        "error rates, statistics and evidence",
        "whether a case that counts as skipped was skipped, inconclusive or invalid",
        "topology and target",
    ];
    if record.cases.iter().any(|case| case.known.is_some()) {
        left_out.push("reasons and links of known failures");
    }
    Converted { value, left_out }
}
