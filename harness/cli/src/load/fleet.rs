//! The workers of a stack, as a load run reaches them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use url::Url;

use poolproof_load::workers::{Address, Workers};
use poolproof_stack::workers;

/// Running workers. [`Fleet::stop`] ends them.
pub(super) struct Fleet {
    workers: workers::Workers,
    addresses: Vec<Address>,
}

impl Fleet {
    pub(super) fn new(workers: workers::Workers) -> Self {
        let addresses = workers.list.iter().map(|worker| Address {
            name: worker.name.clone(),
            place: worker.place.clone(),
            url: worker.url.clone(),
        });
        Self {
            addresses: addresses.collect(),
            workers,
        }
    }

    pub(super) async fn stop(self) {
        self.workers.stop().await;
    }
}

impl Workers for Fleet {
    fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    fn are_pods(&self) -> bool {
        self.workers.are_pods()
    }

    fn gateway(&self) -> Option<&Url> {
        self.workers.gateway.as_ref()
    }

    fn gone(&self, number: usize) -> BoxFuture<'_, Option<String>> {
        self.workers.gone(number).boxed()
    }
}
