//! Splits a run over workers.

use anyhow::{Result, bail, ensure};

use super::session::Run;
use poolproof_load::engine::Sender;
use poolproof_load::requests::Requests;
use poolproof_load::workers::{self, Address, Assignment, Sending};
use poolproof_model::target::Target;
use poolproof_records::limits;
use poolproof_stack::workers::Workers;

/// Builds the assignment of the workers; `threads` is the requested number for each. Fails before any worker is contacted if the
/// workload cannot be sent.
pub(super) fn distribute<'a>(
    workers: &Workers,
    run: Run<'a>,
    target: &Target,
    sender: Sender<'_>,
    threads: Option<usize>,
) -> Result<Sending<'a>> {
    let Sender {
        urls,
        headers,
        sources,
        vocabulary,
        seed,
        ..
    } = sender;
    let trace = run.trace.cloned();
    Requests::new(
        run.workload,
        trace,
        target,
        &target.url,
        headers,
        vocabulary,
        seed,
    )?;
    ensure!(
        !workers.are_pods() || sources.is_empty(),
        "--source: names an address of this machine, but the workers are pods"
    );
    let mut assignment = Assignment::new(run.workload, run.trace, target, seed);
    assignment.urls = match (&workers.gateway, run.urls) {
        (Some(gateway), []) => vec![gateway.clone()],
        _ if workers.are_pods() && run.urls.is_empty() => {
            bail!("the gateway's address for pods is not known: pass it with --url")
        }
        _ => urls.to_vec(),
    };
    assignment.headers = headers.to_vec();
    assignment.sources = sources.to_vec();
    assignment.vocabulary = vocabulary.cloned();
    // Pods have their own processors; processes on this machine share them.
    assignment.threads = if workers.are_pods() {
        threads
    } else {
        threads.or(Some(limits::cores().div_ceil(workers.list.len())))
    };
    Ok(Sending {
        assignment,
        workload: run.workload,
        trace: run.trace,
    })
}

/// The workers of a stack, as the coordinator of a load run reaches them.
pub(super) struct Fleet<'a> {
    workers: &'a Workers,
    addresses: Vec<Address>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(workers: &'a Workers) -> Self {
        let addresses = workers.list.iter().map(|worker| Address {
            name: worker.name.clone(),
            place: worker.place.clone(),
            url: worker.url.clone(),
        });
        Self {
            workers,
            addresses: addresses.collect(),
        }
    }
}

impl workers::Workers for Fleet<'_> {
    fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    async fn gone(&self, number: usize) -> Option<String> {
        self.workers.gone(number).await
    }
}
