//! The comparison of a record with an earlier one, as it is shown with that record: by default with the last run, which is kept beside it.

use std::path::Path;

use jiff::Timestamp;

use super::super::moment;
use super::figure::{self, Says};
use super::records::Records;
use super::{Comparison, MARGIN_PERCENT, compare, notes};
use poolproof_records::any::AnyRecord;
use poolproof_records::file::last_of;
use poolproof_records::load::Record;

/// The run that a record is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// The one whose record the output folder had before.
    Last,
    /// One that the user has named.
    Baseline,
}

/// A comparison that is shown with a record.
#[derive(Debug)]
pub struct Beside {
    /// What the record is compared with.
    pub earlier: Earlier,
    /// When that run was started, if its record tells.
    pub started: Option<Timestamp>,
    /// What has changed since.
    pub comparison: Comparison,
}

impl Beside {
    /// Compares a record with a run that the user has named. `None` for a kind of record that is not compared.
    pub fn baseline(record: &AnyRecord, baseline: Records) -> Option<Self> {
        let run = Records::of(record.clone())?;
        let baseline = baseline.only(record.kind());
        Some(Self {
            earlier: Earlier::Baseline,
            started: baseline.started(),
            comparison: compare(&baseline, &run, MARGIN_PERCENT / 100.0),
        })
    }

    /// Compares a load run with the last one, whose record is kept beside the file of this one. `None` if this is the first one.
    pub fn last(record: &Record, file: &Path) -> Option<Self> {
        let last = last_of(file);
        if !last.is_file() {
            return None;
        }
        Some(match Record::read(&last) {
            Ok(last) => Self::with_last(record, last),
            Err(error) => Self {
                earlier: Earlier::Last,
                started: None,
                comparison: Comparison {
                    refused: vec![format!("load: {error:#}")],
                    ..Comparison::default()
                },
            },
        })
    }

    fn with_last(record: &Record, last: Record) -> Self {
        let started = Some(last.started);
        let compared = figure::compare_with_last(&last, record, MARGIN_PERCENT / 100.0);
        let mut comparison = Comparison::default();
        match compared {
            Ok(figures) => {
                comparison.figures = figures;
                let of = |load: Record| Records {
                    load: Some(load),
                    ..Records::default()
                };
                comparison.notes = notes(&of(last), &of(record.clone()));
            }
            Err(reason) => comparison.refused.push(format!("load: {reason}")),
        }
        Self {
            earlier: Earlier::Last,
            started,
            comparison,
        }
    }

    /// The heading of the comparison.
    pub fn title(&self) -> &'static str {
        match self.earlier {
            Earlier::Last => "Compared with the last run",
            Earlier::Baseline => "Compared with the baseline",
        }
    }

    /// The date of the earlier run; empty if it is not known.
    pub fn date(&self) -> String {
        self.started.map(moment).unwrap_or_default()
    }
}

impl Comparison {
    /// How many figures are worse and better, in words. `None` if none were compared.
    pub fn in_words(&self) -> Option<String> {
        let count = |says: Says| self.figures.iter().filter(|it| it.says == says).count();
        let all = self.figures.len();
        let are = |count: usize| if count == 1 { "is" } else { "are" };
        let (worse, better) = (count(Says::Worse), count(Says::Better));
        (all > 0).then(|| {
            format!(
                "{worse} of {all} figures {} worse, {better} {} better",
                are(worse),
                are(better)
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record() -> Record {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        Record::read(&reports.join("load-local-envoy/load.json")).unwrap()
    }

    /// The comparison of a changed run with the committed one, which came before it in the same folder.
    fn beside(change: impl FnOnce(&mut Record)) -> Beside {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("load.json");
        let mut now = record();
        record().save(&file).unwrap();
        assert!(Beside::last(&now, &file).is_none());
        change(&mut now);
        now.save(&file).unwrap();
        Beside::last(&now, &file).unwrap()
    }

    #[test]
    fn a_run_is_compared_with_the_last_one_without_a_calibration() {
        let same = beside(|now| now.client.calibration = None);
        let words = same.comparison.in_words().unwrap();
        assert_eq!(words, "0 of 10 figures are worse, 0 are better");
        assert!(same.comparison.refused.is_empty() && same.comparison.notes.is_empty());
        let slower = beside(|now| {
            for (us, _) in &mut now.classes[0].times.get_mut("e2e").unwrap().histogram_us {
                *us *= 2;
            }
            now.client.cores = 64;
        });
        let words = slower.comparison.in_words().unwrap();
        assert_eq!(words, "3 of 10 figures are worse, 0 are better");
        assert!(slower.comparison.notes[0].starts_with("processors: "));
        assert_eq!(
            slower.date(),
            record()
                .started
                .strftime("%Y-%m-%d %H:%M:%S UTC")
                .to_string()
        );
    }

    #[test]
    fn runs_that_cannot_be_compared_have_the_reason_and_no_figures() {
        let refused = |change: &dyn Fn(&mut Record)| {
            let beside = beside(change);
            assert!(beside.comparison.figures.is_empty());
            beside.comparison.refused.join("; ")
        };
        let workload = refused(&|now| now.workload.warm_up_s += 1.0);
        assert_eq!(workload, "load: the workloads differ");
        let topology = refused(&|now| now.target.models[0].pools[0].weight += 1);
        assert_eq!(topology, "load: the topologies differ");
        assert_eq!(
            refused(&|now| now.interrupted = true),
            "load: this run was interrupted"
        );
        let doubt = refused(&|now| now.doubts.push("busy".to_owned()));
        assert_eq!(doubt, "load: this run is invalid: busy");
        let stack = refused(&|now| now.stack = "embedded".to_owned());
        assert_eq!(
            stack,
            "load: the stacks differ: local (envoy), now embedded"
        );
    }

    #[test]
    fn runs_at_two_addresses_are_compared_and_the_addresses_noted() {
        let found = |record: &mut Record, port: u16| {
            record.components.clear();
            record.stack = format!("http://127.0.0.1:{port}");
            record.target.url.set_port(Some(port)).unwrap();
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("load.json");
        let (mut last, mut now) = (record(), record());
        found(&mut last, 8000);
        found(&mut now, 8001);
        last.save(&file).unwrap();
        now.save(&file).unwrap();
        let beside = Beside::last(&now, &file).unwrap();
        assert_eq!(beside.comparison.figures.len(), 10);
        let notes = beside.comparison.notes.join("; ");
        assert!(
            notes.contains("url: http://127.0.0.1:8000/, now http://127.0.0.1:8001/"),
            "{notes}"
        );
    }

    #[test]
    fn a_last_record_that_cannot_be_read_is_the_reason_for_no_comparison() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("load.json");
        std::fs::write(last_of(&file), "{").unwrap();
        let beside = Beside::last(&record(), &file).unwrap();
        assert!(beside.comparison.refused[0].contains("load.last.json"));
        assert_eq!(beside.date(), "");
    }
}
