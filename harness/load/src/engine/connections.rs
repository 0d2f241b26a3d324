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

/// The open connections to each server.
pub(super) struct Connections {
    job: Arc<Job>,
    /// Idle connections.
    idle: RefCell<Vec<Vec<http1::Connection>>>,
    /// Connections that requests share.
    shared: RefCell<Vec<Vec<http2::Connection>>>,
    /// The background tasks of shared connections.
    drivers: Rc<LocalSet>,
    /// The number of the next connection; workers take numbers in turn.
    next: Cell<usize>,
}

impl Connections {
    /// No connections yet; `index` is the place of the worker.
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

    /// Drives `work` together with the background tasks of connections.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        match self.job.workload.http {
            Http::One => work.await,
            Http::Two => self.drivers.run_until(work).await,
        }
    }

    /// Pre-opens `count` connections. Failures are ignored here; the request that needs the connection reports them.
    pub(super) async fn warm_up(&self, count: usize) {
        for number in 0..count {
            let server = number % self.job.servers.len();
            match self.open(server).await {
                Ok(connection) => self.keep(connection, server),
                Err(_) => return,
            }
        }
    }

    /// An open connection that can take a request.
    pub(super) fn take(&self, server: usize) -> Option<Connection> {
        if self.job.workload.http == Http::Two {
            let shared = &mut self.shared.borrow_mut()[server];
            shared.retain(|it| !it.is_closed());
            // Each address of the server gets a connection.
            if shared.len() < self.job.servers[server].addresses() {
                return None;
            }
            let with_room = shared.iter().filter(|it| it.has_room());
            let emptiest = with_room.min_by_key(|it| it.open());
            return emptiest.cloned().map(Connection::Two);
        }
        let idle = &mut self.idle.borrow_mut()[server];
        // The server is least likely to have closed the connection that was used last.
        let open = std::iter::from_fn(|| idle.pop()).find_map(|mut it| it.is_idle().then_some(it));
        open.map(Connection::One)
    }

    /// Keeps a connection after its request, unless each request has its own. Shared ones were kept when they were opened.
    pub(super) fn keep(&self, connection: Connection, server: usize) {
        match connection {
            Connection::One(one) if !self.job.workload.new_connections => {
                self.idle.borrow_mut()[server].push(one);
            }
            Connection::One(_) | Connection::Two(_) => {}
        }
    }

    /// Opens a connection. If it is HTTP/2, other requests share it at once.
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
