//! The connections of one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::LocalSet;

use super::Job;
use crate::failure::Failed;
use crate::{http1, http2};
use poolproof_model::workload::Http;

/// A connection that can take a request.
pub(super) enum Connection {
    One(http1::Connection),
    /// Shared with other requests.
    Two(http2::Connection),
}

/// What is open, for each server.
pub(super) struct Connections {
    job: Arc<Job>,
    /// Those that no request uses.
    idle: RefCell<Vec<Vec<http1::Connection>>>,
    /// Those that requests share.
    shared: RefCell<Vec<Vec<http2::Connection>>>,
    /// What shared ones do beside the requests on them.
    drivers: Rc<LocalSet>,
    /// The number of the next one: workers count in turn.
    next: Cell<usize>,
}

impl Connections {
    /// None yet; `index` is the place of the worker.
    pub(super) fn new(job: Arc<Job>, index: usize) -> Self {
        let idle = job.servers.iter().map(|_| Vec::new()).collect();
        let shared = job.servers.iter().map(|_| Vec::new()).collect();
        Self {
            idle: RefCell::new(idle),
            shared: RefCell::new(shared),
            drivers: Rc::default(),
            next: Cell::new(index),
            job,
        }
    }

    /// Does some work, and what connections have to do meanwhile.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        match self.job.workload.http {
            Http::One => work.await,
            Http::Two => self.drivers.run_until(work).await,
        }
    }

    /// Opens so many before the clock runs. What cannot be opened here is told by the requests that need it.
    pub(super) async fn warm_up(&self, count: usize) {
        for number in 0..count {
            let server = number % self.job.servers.len();
            match self.open(server).await {
                Ok(connection) => self.keep(connection, server),
                Err(_) => return,
            }
        }
    }

    /// One that is open and can take a request.
    pub(super) fn take(&self, server: usize) -> Option<Connection> {
        if self.job.workload.http == Http::Two {
            let shared = &mut self.shared.borrow_mut()[server];
            shared.retain(|it| !it.is_closed());
            let with_room = shared.iter().find(|it| it.has_room());
            return with_room.cloned().map(Connection::Two);
        }
        let idle = &mut self.idle.borrow_mut()[server];
        // The one that was used last is the least likely to have been closed by the server.
        let open = std::iter::from_fn(|| idle.pop()).find_map(|mut it| it.is_idle().then_some(it));
        open.map(Connection::One)
    }

    /// Keeps one that its request is done with, unless each request is to have its own. A shared one is kept from the start.
    pub(super) fn keep(&self, connection: Connection, server: usize) {
        match connection {
            Connection::One(one) if !self.job.workload.new_connections => {
                self.idle.borrow_mut()[server].push(one);
            }
            Connection::One(_) | Connection::Two(_) => {}
        }
    }

    /// A new one. Others share it at once, if it is of that kind.
    pub(super) async fn open(&self, server: usize) -> Result<Connection, Failed> {
        let number = self.next.replace(self.next.get() + self.job.threads);
        let io = self.job.servers[server].connect(number).await?;
        Ok(match self.job.workload.http {
            Http::One => Connection::One(http1::Connection::new(io)),
            Http::Two => {
                let two = http2::Connection::new(io, &self.drivers).await?;
                if !self.job.workload.new_connections {
                    self.shared.borrow_mut()[server].push(two.clone());
                }
                Connection::Two(two)
            }
        })
    }
}
