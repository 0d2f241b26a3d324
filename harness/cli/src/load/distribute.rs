//! A run, as it is given to workers.

use anyhow::{Result, bail, ensure};

use super::session::Run;
use poolproof_load::engine::Sender;
use poolproof_load::requests::Requests;
use poolproof_load::workers::{self, Address, Assignment, Sending};
use poolproof_model::target::Target;
use poolproof_records::limits;
use poolproof_stack::workers::Workers;

/// What workers are to send; `threads` is what was asked for of each. Fails on what cannot be sent, before any of them is told.
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
        "--source: is an address of this machine, and the workers are pods"
    );
    let mut assignment = Assignment::new(run.workload, run.trace, target, seed);
    assignment.urls = match (&workers.gateway, run.urls) {
        (Some(gateway), []) => vec![gateway.clone()],
        _ if workers.are_pods() && run.urls.is_empty() => {
            bail!("where pods reach the gateway is not known: say it with --url")
        }
        _ => urls.to_vec(),
    };
    assignment.headers = headers.to_vec();
    assignment.sources = sources.to_vec();
    assignment.vocabulary = vocabulary.cloned();
    // Pods have processors of their own; processes of this machine share them.
    assignment.threads = match workers.are_pods() {
        true => threads,
        false => threads.or(Some(limits::cores().div_ceil(workers.list.len()))),
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
