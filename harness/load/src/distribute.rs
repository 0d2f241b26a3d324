//! Splits a run over workers.

use anyhow::{Result, bail, ensure};

use crate::engine::Sender;
use crate::requests::Requests;
use crate::run::Run;
use crate::workers::{Assignment, Sending, Workers};
use poolproof_model::target::Target;
use poolproof_records::limits;

/// Builds the assignment of the workers; `threads` is the requested number for each. Fails before any worker is contacted if the
/// workload cannot be sent.
pub(crate) fn distribute<'a>(
    workers: &dyn Workers,
    run: Run<'a>,
    target: &Target,
    sender: Sender<'_>,
    threads: Option<usize>,
) -> Result<Sending<'a>> {
    let Sender {
        urls,
        sources,
        vocabulary,
        seed,
        ..
    } = sender;
    let trace = run.trace.cloned();
    Requests::new(run.workload, trace, target, urls, vocabulary, seed)?;
    ensure!(
        !workers.are_pods() || sources.is_empty(),
        "--source: names an address of this machine, but the workers are pods"
    );
    let mut assignment = Assignment::new(run.workload, run.trace, target, seed);
    assignment.urls = match (workers.gateway(), run.urls) {
        (Some(gateway), []) => vec![gateway.clone()],
        _ if workers.are_pods() && run.urls.is_empty() => {
            bail!("the gateway's address for pods is not known: pass it with --url")
        }
        _ => urls.to_vec(),
    };
    assignment.sources = sources.to_vec();
    assignment.vocabulary = vocabulary.cloned();
    // Pods have their own processors; processes on this machine share them.
    assignment.threads = if workers.are_pods() {
        threads
    } else {
        threads.or(Some(limits::cores().div_ceil(workers.addresses().len())))
    };
    Ok(Sending {
        assignment,
        workload: run.workload,
        trace: run.trace,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Part;
    use crate::workers::Address;
    use futures_util::future::{BoxFuture, FutureExt, ready};
    use poolproof_model::topology::Topology;
    use poolproof_model::workload::Workload;
    use std::net::{IpAddr, Ipv4Addr};
    use url::Url;

    struct Listed {
        addresses: Vec<Address>,
        pods: bool,
        gateway: Option<Url>,
    }

    impl Workers for Listed {
        fn addresses(&self) -> &[Address] {
            &self.addresses
        }

        fn are_pods(&self) -> bool {
            self.pods
        }

        fn gateway(&self) -> Option<&Url> {
            self.gateway.as_ref()
        }

        fn gone(&self, _: usize) -> BoxFuture<'_, Option<String>> {
            ready(None).boxed()
        }
    }

    /// The urls and threads of the assignment, or the refusal.
    fn assigned(
        workers: &Listed,
        urls: &[Url],
        sources: &[IpAddr],
    ) -> Result<(Vec<Url>, Option<usize>), String> {
        let (workload, _) = Workload::load("steady-chat").unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        let run = Run {
            name: "steady-chat",
            workload: &workload,
            trace: None,
            urls,
            seed: 0,
        };
        let gateway = [target.url.clone()];
        let sender = Sender {
            urls: if urls.is_empty() { &gateway } else { urls },
            sources,
            vocabulary: None,
            threads: 1,
            seed: 1,
            part: Part::whole(),
        };
        distribute(workers, run, &target, sender, None)
            .map(|sending| (sending.assignment.urls, sending.assignment.threads))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn pods_use_their_own_gateway_address_and_processors() {
        let address = |number: u16| Address {
            name: format!("worker-{number}"),
            place: "node".to_owned(),
            url: format!("http://127.0.0.1:{}", number + 1).parse().unwrap(),
        };
        let gateway: Url = "http://gateway.ns:80/".parse().unwrap();
        let mut workers = Listed {
            addresses: (0..2).map(address).collect(),
            pods: true,
            gateway: Some(gateway.clone()),
        };
        assert_eq!(assigned(&workers, &[], &[]), Ok((vec![gateway], None)));
        let other: Url = "http://other:80/".parse().unwrap();
        let urls = [other.clone()];
        assert_eq!(assigned(&workers, &urls, &[]), Ok((vec![other], None)));
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let refused = assigned(&workers, &[], &[here]).unwrap_err();
        assert!(refused.contains("address of this machine"), "{refused}");
        workers.gateway = None;
        let refused = assigned(&workers, &[], &[]).unwrap_err();
        assert!(refused.contains("not known"), "{refused}");
        workers.pods = false;
        let (urls, threads) = assigned(&workers, &[], &[here]).unwrap();
        assert_eq!(urls.len(), 1);
        assert_eq!(threads, Some(limits::cores().div_ceil(2)));
    }
}
