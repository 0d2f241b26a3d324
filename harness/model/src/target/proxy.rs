//! Which requests go through a proxy, by the variables that curl and most clients read: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, in lower case first.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use url::{Host, Url};

use super::access::login_of;
use super::secret::Secret;

/// The proxies of a target. Their urls may have passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// None.
    #[default]
    None,
    /// Those of the environment. Loopback addresses are reached without.
    Environment {
        /// For http.
        http: Option<Secret>,
        /// For https.
        https: Option<Secret>,
        /// Hosts that are reached without, as in `NO_PROXY`.
        except: String,
    },
    /// One for every request.
    Fixed(Secret),
}

impl Proxy {
    /// The proxies that the environment names.
    pub fn from_env() -> Self {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_uppercase()));
            value.filter(|value| !value.is_empty())
        };
        let all = set("all_proxy");
        let of = |name: &str| set(name).or_else(|| all.clone()).map(Secret::new);
        Self::Environment {
            http: of("http_proxy"),
            https: of("https_proxy"),
            except: set("no_proxy").unwrap_or_default(),
        }
    }

    /// Fails if the proxy for requests to a url is not an http address.
    pub fn check(&self, url: &Url) -> Result<()> {
        self.proxy(url)
            .map_or(Ok(()), |proxy| parse(proxy).map(drop))
    }

    /// The proxy for requests to a url. One that is not an http address counts as none: see [`Proxy::check`].
    pub fn of(&self, url: &Url) -> Option<Url> {
        parse(self.proxy(url)?).ok()
    }

    fn proxy(&self, url: &Url) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Fixed(proxy) => Some(proxy),
            Self::Environment { .. } if is_loopback(url) => None,
            Self::Environment { except, .. } if is_excepted(url, except) => None,
            Self::Environment { http, https, .. } => match url.scheme() {
                "https" => https.as_ref(),
                _ => http.as_ref(),
            },
        }
    }
}

fn parse(proxy: &Secret) -> Result<Url> {
    let text = proxy.reveal();
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&url).ok().context("a proxy is not a url")?;
    login_of(&url);
    ensure!(
        url.scheme() == "http" && url.has_host(),
        "a proxy has scheme {:?}: only http:// proxies are supported",
        url.scheme()
    );
    Ok(url)
}

/// Whether a url names this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the list of `NO_PROXY` has the host of a url: a name, with all names below it, an address, a range of addresses, or `*`.
fn is_excepted(url: &Url, except: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_lowercase();
    let port = url.port_or_known_default();
    let entries = except.split([',', ' ']).map(str::trim);
    entries.filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_lowercase();
        if entry == "*" || entry == host {
            return true;
        }
        let (name, of_port) = match entry.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') => (name, digits.parse::<u16>().ok()),
            _ => (entry.as_str(), None),
        };
        if of_port.is_some() && of_port != port {
            return false;
        }
        let name = name.trim_start_matches('*').trim_start_matches('.');
        name == host
            || host
                .strip_suffix(name)
                .is_some_and(|before| before.ends_with('.'))
            || host.parse().is_ok_and(|address| is_in_range(address, name))
    })
}

/// Whether an address lies in a range such as `10.0.0.0/8`.
fn is_in_range(address: IpAddr, range: &str) -> bool {
    let Some((first, bits)) = range.split_once('/') else {
        return false;
    };
    let (Ok(first), Ok(bits)) = (first.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (address, first) {
        (IpAddr::V4(address), IpAddr::V4(first)) if bits <= 32 => {
            let shift = |it: u32| it.checked_shr(32 - bits).unwrap_or(0);
            shift(address.into()) == shift(first.into())
        }
        (IpAddr::V6(address), IpAddr::V6(first)) if bits <= 128 => {
            let shift = |it: u128| it.checked_shr(128 - bits).unwrap_or(0);
            shift(address.into()) == shift(first.into())
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_the_proxy_and_its_exceptions() {
        let proxy = Proxy::from(|name| {
            let value = match name {
                "http_proxy" => "proxy:3128",
                "HTTPS_PROXY" => "http://user:word@secure:3129",
                "NO_PROXY" => "example.com, .internal,10.0.0.0/8,fd00::/8,other:81",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let url = |text: &str| text.parse::<Url>().unwrap();
        proxy.check(&url("https://models.org")).unwrap();
        let of = |url: &str| {
            let proxy = proxy.of(&url.parse().unwrap())?;
            proxy.host_str().map(str::to_owned)
        };
        for url in [
            "http://models.org",
            "http://11.0.0.1",
            "http://notexample.com",
            "http://other",
        ] {
            assert_eq!(of(url).as_deref(), Some("proxy"), "{url}");
        }
        assert_eq!(of("https://models.org").as_deref(), Some("secure"));
        for url in [
            "http://localhost:80",
            "https://127.0.0.2",
            "http://[::1]:1",
            "http://example.com",
            "http://a.example.com:8000",
            "http://x.internal",
            "http://10.9.8.7",
            "http://[fd00::1]",
            "http://other:81",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
        let fixed = Proxy::Fixed(Secret::new("http://proxy:1"));
        assert!(fixed.of(&"http://127.0.0.1".parse().unwrap()).is_some());
        assert!(
            Proxy::Fixed(Secret::new("socks5://p:1"))
                .check(&url("http://a"))
                .is_err()
        );
        assert_eq!(Proxy::None.of(&url("http://a")), None);
    }
}
