//! Connections to a server.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use url::Url;

use super::failure::{Failed, Failure};
use poolproof_client::route::{Protocol, Route, Unconnected};
use poolproof_model::target::Target;
use poolproof_model::workload::Http;

pub(super) use poolproof_client::route::Io;

/// Where connections go.
#[derive(Clone)]
pub(super) struct Server {
    route: Route,
    /// Local addresses to connect from, in turn: each has ports of its own.
    sources: Vec<IpAddr>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// The server at a url of a target; its name is looked up once.
    pub(super) async fn of(
        target: &Target,
        url: &Url,
        sources: Vec<IpAddr>,
        http: Http,
    ) -> Result<Self> {
        let protocol = match http {
            Http::One => Protocol::Http1,
            Http::Two => Protocol::Http2,
        };
        Ok(Self {
            route: Route::find(target, url, protocol).await?,
            sources,
        })
    }

    /// How many addresses it has.
    pub(super) fn addresses(&self) -> usize {
        self.route.addresses()
    }

    /// Opens a connection; `number` chooses the address and the local address.
    pub(super) async fn connect(&self, number: usize) -> Result<Io, Failed> {
        let connect = self.route.connect(number, &self.sources);
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected.map_err(|unconnected| failed(&unconnected)),
            Err(_) => Err(Failed::new(
                Failure::NoConnection,
                format!("no connection within {CONNECT_TIMEOUT:?}"),
            )),
        }
    }
}

fn failed(unconnected: &Unconnected) -> Failed {
    let error = &unconnected.error;
    let tls = error.get_ref().and_then(|it| it.downcast_ref());
    match tls {
        Some(rustls::Error::NoApplicationProtocol) => Failed::new(
            Failure::NoConnection,
            "the server does not offer HTTP/2 by ALPN: `http = \"1.1\"` in the workload uses HTTP/1.1",
        ),
        Some(rustls::Error::InvalidCertificate(_)) => Failed::new(
            Failure::NoConnection,
            format!("{error}: `tls` in the target file, or --ca-cert, names certificates to trust"),
        ),
        _ => Failed {
            detail: unconnected.to_string(),
            ..Failed::to_connect(error)
        },
    }
}
