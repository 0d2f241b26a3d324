//! Ports for programs that cannot be told to take any free one and say which.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};
use rand::RngExt;

/// Below the range from which Linux takes ports for connections (32768 and up), so that none of them is in the way.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Addresses of 127.0.0.1 that were free a moment ago.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// Starts somewhere in the range, so that two runs at once seldom meet.
    pub(crate) fn new() -> Self {
        Self {
            next: rand::rng().random_range(RANGE),
        }
    }

    /// A free address that was not given before.
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
