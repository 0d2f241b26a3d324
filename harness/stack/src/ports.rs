//! Ports for programs that cannot bind port 0 and report the result.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};
use rand::RngExt;

/// Below the range of Linux for ephemeral ports (32768 and up), to avoid collisions with them.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Addresses of 127.0.0.1 that were free when they were checked.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// Starts at a random port of the range, so that two runs at once seldom collide.
    pub(crate) fn new() -> Self {
        Self {
            next: rand::rng().random_range(RANGE),
        }
    }

    /// A free address that was not returned before.
    pub(crate) fn take(&mut self) -> Result<SocketAddr> {
        for _ in RANGE {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.next = match self.next + 1 {
                end if end == RANGE.end => RANGE.start,
                next => next,
            };
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        bail!(
            "no port of 127.0.0.1 from {} to {} is free",
            RANGE.start,
            RANGE.end
        )
    }
}
