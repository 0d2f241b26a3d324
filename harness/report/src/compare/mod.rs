//! Compares two runs: verdicts, then figures, and figures over many runs. Anything that cannot be compared is listed with the reason.

pub mod beside;
pub mod drift;
pub mod figure;
pub mod gate;
pub mod peers;
pub mod records;
mod verdicts;

use serde::Serialize;

use figure::Compared;
use poolproof_model::component::Component;
use poolproof_model::target::Target;
use poolproof_records::load;
use poolproof_records::run::Record;
use records::Records;
use verdicts::VerdictChange;

/// The usual margin of a comparison, in percent: a smaller difference of a figure counts as no change.
pub const MARGIN_PERCENT: f64 = 5.0;

/// The result of comparing two runs.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// Reasons why some or all of it cannot be compared.
    pub refused: Vec<String>,
    /// Differences that do not prevent the comparison.
    pub notes: Vec<String>,
    /// True if verdicts could be compared.
    pub verdicts_compared: bool,
    /// Cases whose verdict has changed, or that only one of the runs contains.
    pub verdicts: Vec<VerdictChange>,
    /// Figures that both runs have.
    pub figures: Vec<Compared>,
}

/// Compares a run with an earlier one. A difference of a figure below `margin`, a share, counts as no change.
pub fn compare(baseline: &Records, run: &Records, margin: f64) -> Comparison {
    let mut comparison = Comparison {
        refused: Vec::new(),
        notes: notes(baseline, run),
        verdicts_compared: false,
        verdicts: Vec::new(),
        figures: Vec::new(),
    };
    if let (Some(before), Some(now)) = (&baseline.run, &run.run) {
        match verdicts::incomparable(before, now) {
            Some(reason) => comparison.refused.push(format!("verdicts: {reason}")),
            None => {
                comparison.verdicts_compared = true;
                comparison.verdicts = verdicts::changes(before, now);
            }
        }
    }
    let (figures, refused) = figure::compare_all(baseline, run, margin);
    comparison.figures = figures;
    comparison.refused.extend(refused);
    let kinds = |it: &Records| {
        let cases = it.run.is_some();
        let (load, overhead) = (it.load.is_some(), it.overhead.is_some());
        [cases, load, overhead, it.picker.is_some()]
    };
    for ((kind, before), now) in records::FILES.iter().zip(kinds(baseline)).zip(kinds(run)) {
        if before != now && baseline.peer.is_none() && run.peer.is_none() {
            let whose = if before { "the baseline" } else { "the run" };
            comparison
                .refused
                .push(format!("{kind}: only {whose} has one"));
        }
    }
    comparison
}

fn notes(baseline: &Records, run: &Records) -> Vec<String> {
    let mut notes = Vec::new();
    let peers = [&baseline.peer, &run.peer];
    for peer in peers.into_iter().flatten() {
        notes.push(peer.note());
    }
    let mut differ = |what: &str, before: String, now: String| {
        if before != now {
            notes.push(format!("{what}: {before}, now {now}"));
        }
    };
    if let Some((before, now)) = Facts::of_both(baseline, run) {
        differ("stack", before.stack.to_owned(), now.stack.to_owned());
        differ("url", before.url(), now.url());
        differ(
            "poolproof",
            before.tool_version.to_owned(),
            now.tool_version.to_owned(),
        );
        differ(
            "processors",
            before.cores.to_string(),
            now.cores.to_string(),
        );
        let flaw = |it: Option<&str>| it.unwrap_or("none").to_owned();
        differ("flaw", flaw(before.flaw), flaw(now.flaw));
        for now in now.components {
            let before = before
                .components
                .iter()
                .find(|component| component.role == now.role);
            let before = before.map_or("none", |component| &component.version);
            differ(&now.role, before.to_owned(), now.version.clone());
        }
    }
    if let (Some(before), Some(now)) = (&baseline.picker, &run.picker) {
        differ("picker", before.picker.clone(), now.picker.clone());
        let flaw = |it: &Option<String>| it.as_ref().map_or("none".to_owned(), Clone::clone);
        differ("flaw of the picker", flaw(&before.flaw), flaw(&now.flaw));
    }
    notes
}

/// What a record knows of its stack and its machine.
struct Facts<'a> {
    stack: &'a str,
    target: &'a Target,
    tool_version: &'a str,
    cores: usize,
    flaw: Option<&'a str>,
    components: &'a [Component],
}

impl<'a> Facts<'a> {
    /// Those of the cases, or else of the load run, if both have it.
    fn of_both(baseline: &'a Records, run: &'a Records) -> Option<(Self, Self)> {
        if let (Some(before), Some(now)) = (&baseline.run, &run.run) {
            return Some((Self::of_run(before), Self::of_run(now)));
        }
        let (before, now) = baseline.load.as_ref().zip(run.load.as_ref())?;
        Some((Self::of_load(before), Self::of_load(now)))
    }

    fn of_run(record: &'a Record) -> Self {
        Self {
            stack: &record.stack,
            target: &record.target,
            tool_version: &record.tool_version,
            cores: record.client_cores,
            flaw: record.flaw.as_deref(),
            components: &record.components,
        }
    }

    fn of_load(record: &'a load::Record) -> Self {
        Self {
            stack: &record.stack,
            target: &record.target,
            tool_version: &record.tool_version,
            cores: record.client.cores,
            flaw: record.flaw.as_deref(),
            components: &record.components,
        }
    }

    /// The address of the gateway, if poolproof has not started it: the ports of one that it starts differ each time.
    fn url(&self) -> String {
        if self.components.is_empty() {
            self.target.url.to_string()
        } else {
            String::new()
        }
    }
}
