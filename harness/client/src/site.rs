//! Where a client sends to, and what goes with every request.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use poolproof_model::target::{Parameters, Paths, Target};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::{ParseError, Position, Url};

use crate::{Body, Connections, tls};

/// An address, and what goes with every request to it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) base: Url,
    pub(crate) target: Arc<Target>,
    pub(crate) headers: HeaderMap,
    paths: Paths,
    parameters: Parameters,
    /// The name that requests carry in place of the host of their url: for TLS, and as the authority of HTTP/2.
    instead: Option<String>,
}

impl Site {
    /// The site at a url of a target.
    pub(crate) fn of(target: &Target, base: &Url, connections: Connections) -> Result<Self> {
        let is_gateway = !target.is_endpoint(base);
        let mut headers = HeaderMap::new();
        for (name, value) in target.access.headers(base, is_gateway) {
            // The error shows no value.
            let mut value = HeaderValue::from_str(value.reveal())?;
            value.set_sensitive(true);
            headers.insert(name.parse::<HeaderName>()?, value);
        }
        let mut instead = None;
        if is_gateway {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let host = host.map(|host| host.split(':').next().unwrap_or(host).to_owned());
            if base.scheme() == "https" {
                instead = target.access.server_name();
            } else if connections == Connections::Http2 {
                instead = host;
            }
        }
        if instead.is_some() && connections != Connections::Http2 && !headers.contains_key(HOST) {
            let authority = &base[Position::BeforeHost..Position::AfterPort];
            headers.insert(HOST, HeaderValue::from_str(authority)?);
        }
        if connections == Connections::Http2 {
            headers.remove(HOST);
        }
        Ok(Self {
            instead: instead.filter(|name| Some(name.as_str()) != base.host_str()),
            paths: target.paths.clone(),
            parameters: target.parameters.clone(),
            target: Arc::new(target.clone()),
            base: base.clone(),
            headers,
        })
    }

    /// The url of a path, as a request names it.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ParseError> {
        self.paths.url(&self.base, path)
    }

    /// The url that reqwest connects to.
    pub(crate) fn wire_url(&self, path: &str) -> Result<Url, ParseError> {
        let mut url = self.url(path)?;
        if let Some(name) = &self.instead {
            url.set_host(Some(name))?;
            // Without a port, that of the resolved address is used.
            let _ = url.set_port(None);
        }
        Ok(url)
    }

    /// The body as the servers of the target take it. Only bodies that were made from JSON are changed.
    pub(crate) fn adapted(&self, body: Body, is_json: bool) -> Body {
        if !is_json || self.parameters.are_default() {
            return body;
        }
        let adapt = |bytes: Bytes| match serde_json::from_slice::<Map<String, Value>>(&bytes) {
            Ok(mut map) => {
                self.parameters.adapt(&mut map);
                Value::Object(map).to_string().into()
            }
            Err(_) => bytes,
        };
        match body {
            Body::Empty => Body::Empty,
            Body::Sized(bytes) => Body::Sized(adapt(bytes)),
            Body::Chunked(bytes) => Body::Chunked(adapt(bytes)),
        }
    }

    /// The settings of a client of this site.
    pub(crate) fn configured(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder> {
        let mut builder = with_access(builder, &self.target)?;
        if let Some(name) = &self.instead {
            let host = self.base.host_str().context("the url has no host")?;
            builder = builder.dns_resolver(Arc::new(Instead {
                name: name.clone(),
                host: host.trim_matches(['[', ']']).to_owned(),
                port: self.base.port_or_known_default().unwrap_or(80),
            }));
        }
        Ok(builder)
    }
}

/// The certificates and the proxies of a target.
pub(crate) fn with_access(
    builder: reqwest::ClientBuilder,
    target: &Target,
) -> Result<reqwest::ClientBuilder> {
    let config = tls::client_config_at_least(&target.access.certificates)?;
    let proxy = target.access.proxy.clone();
    let proxy = reqwest::Proxy::custom(move |url| proxy.of(url));
    Ok(builder.tls_backend_preconfigured(config).proxy(proxy))
}

/// Resolves a name to the addresses of another host.
struct Instead {
    name: String,
    host: String,
    port: u16,
}

impl Resolve for Instead {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, port) = if name.as_str() == self.name {
            (self.host.clone(), self.port)
        } else {
            (name.as_str().to_owned(), 0)
        };
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(Box::new(found.into_iter()))
        })
    }
}
