//! How requests reach a target: headers, keys, certificates and proxies, as its file names them and as they were read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Target;
use super::certificates::{Certificates, read_certificates};
use super::proxy::Proxy;
use super::secret::{Secret, from_env, from_file, remember};

const AUTHORIZATION: &str = "authorization";
const HOST: &str = "host";

/// Where the key of an API comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "`api_key` as { env = \"NAME\" } or { file = \"PATH\" }"
)]
pub struct ApiKey {
    /// The environment variable that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that has it; a relative path counts from the folder of the target file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The header that carries the bare key, such as `api-key`. [default: `Authorization: Bearer KEY`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

impl ApiKey {
    /// The header with the key; relative paths count from `folder`.
    pub fn read(&self, folder: &Path) -> Result<(String, Secret)> {
        let key = match (&self.env, &self.file) {
            (Some(name), None) => from_env(name)?,
            (None, Some(file)) => from_file(&folder.join(file))?,
            _ => bail!("needs either `env` or `file`"),
        };
        Ok(match &self.header {
            Some(name) => (name.clone(), key),
            None => (
                AUTHORIZATION.to_owned(),
                Secret::new(format!("Bearer {}", key.reveal())),
            ),
        })
    }
}

/// Everything that requests need beside an address. It is never serialized with its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Headers of every request, their names in lower case.
    headers: BTreeMap<String, Secret>,
    /// `Basic` and the login of the gateway's url.
    login: Option<Secret>,
    /// The certificates.
    pub certificates: Certificates,
    /// The proxies.
    pub proxy: Proxy,
}

/// An [`Access`] with its secrets in clear, for the process that sends: it goes over the loopback of a worker, and to no file.
#[derive(Clone, Serialize, Deserialize)]
pub struct Revealed {
    headers: Vec<(String, String)>,
    login: Option<String>,
    ca_pem: Option<String>,
    identity_pem: Option<String>,
    insecure: bool,
    server_name: Option<String>,
    /// The proxy for http and that for https, hosts that are reached without, and whether it is for all.
    proxy: Option<(Option<String>, Option<String>, String, bool)>,
}

impl Access {
    /// Reads what a target names, and takes the login out of its url. Relative paths count from `folder`.
    pub(super) fn read(target: &mut Target, folder: &Path) -> Result<()> {
        let mut access = Self {
            proxy: match &target.proxy {
                Some(source) => Proxy::Fixed(source.read(folder).context("`proxy`")?),
                None => Proxy::from_env(),
            },
            ..Self::default()
        };
        access.proxy.check(&target.url).context("`proxy`")?;
        for (name, source) in &target.headers {
            let value = source.read(folder);
            let set = value.and_then(|value| access.set(name, value));
            set.with_context(|| format!("`headers`: {name:?}"))?;
        }
        if let Some(key) = &target.api_key {
            let (name, value) = key.read(folder).context("`api_key`")?;
            ensure!(
                !access.has(&name),
                "`api_key` and `headers` both set {name:?}"
            );
            access.set(&name, value).context("`api_key`")?;
        }
        if let Some(tls) = &target.tls {
            access.certificates = read_certificates(tls, folder).context("`tls`")?;
        }
        if let Some(login) = login_of(&target.url) {
            ensure!(
                !access.has(AUTHORIZATION),
                "`url` has a login, and `headers` or `api_key` set {AUTHORIZATION:?} as well"
            );
            access.login = Some(login);
            target.url = super::address::without_login(&target.url);
        }
        target.access = access;
        Ok(())
    }

    /// Sets a header. Fails, without its value, if it cannot be sent.
    pub fn set(&mut self, name: &str, value: Secret) -> Result<()> {
        let name: HeaderName = name
            .trim()
            .parse()
            .ok()
            .context("not the name of a header")?;
        ensure!(
            ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name),
            "it frames the request, and is set by poolproof itself"
        );
        ensure!(
            HeaderValue::from_str(value.reveal()).is_ok(),
            "its value cannot be sent in a header"
        );
        if name == AUTHORIZATION {
            self.login = None;
        }
        if name != HOST {
            remember(value.reveal());
        }
        self.headers.insert(name.as_str().to_owned(), value);
        Ok(())
    }

    /// The same access, with what `other` sets instead.
    pub fn with(mut self, other: &Self) -> Self {
        if other.has(AUTHORIZATION) {
            self.login = None;
        }
        self.headers.extend(other.headers.clone());
        self.login = other.login.clone().or(self.login);
        let (own, others) = (&mut self.certificates, &other.certificates);
        if others.ca_pem.is_some() {
            own.ca_pem.clone_from(&others.ca_pem);
        }
        if others.identity_pem.is_some() {
            own.identity_pem.clone_from(&others.identity_pem);
        }
        if others.server_name.is_some() {
            own.server_name.clone_from(&others.server_name);
        }
        own.insecure |= others.insecure;
        if other.proxy != Proxy::None {
            self.proxy = other.proxy.clone();
        }
        self
    }

    /// Whether it sets a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(&name.to_lowercase())
    }

    /// The headers of requests to a url: that of a gateway, or of a part behind it, which `host` is not about. The login of the url goes
    /// before that of the target.
    pub fn headers(&self, url: &Url, gateway: bool) -> Vec<(String, Secret)> {
        let mut headers: Vec<(String, Secret)> = self
            .headers
            .iter()
            .filter(|(name, _)| gateway || *name != HOST)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let of_target = self.login.clone().filter(|_| gateway);
        if let Some(login) = login_of(url).or(of_target) {
            headers.retain(|(name, _)| name != AUTHORIZATION);
            headers.push((AUTHORIZATION.to_owned(), login));
        }
        headers
    }

    /// The name that the certificate of a gateway is for, if it is another than the host of its url.
    pub fn server_name(&self) -> Option<String> {
        if let Some(name) = &self.certificates.server_name {
            return Some(name.clone());
        }
        let host = self.headers.get(HOST)?.reveal();
        let url = Url::parse(&format!("https://{host}")).ok()?;
        url.host_str().map(str::to_owned)
    }

    /// With its secrets in clear.
    pub fn reveal(&self) -> Revealed {
        let text = |secret: &Secret| secret.reveal().to_owned();
        let certificates = self.certificates.clone();
        Revealed {
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            login: self.login.as_ref().map(text),
            ca_pem: certificates.ca_pem,
            identity_pem: certificates.identity_pem.as_ref().map(text),
            insecure: certificates.insecure,
            server_name: certificates.server_name,
            proxy: match &self.proxy {
                Proxy::None => None,
                Proxy::Fixed(proxy) => Some((Some(text(proxy)), None, String::new(), true)),
                Proxy::Environment {
                    http,
                    https,
                    except,
                } => Some((
                    http.as_ref().map(text),
                    https.as_ref().map(text),
                    except.clone(),
                    false,
                )),
            },
        }
    }
}

impl Revealed {
    /// With its secrets hidden again.
    pub fn hide(self) -> Access {
        let headers = self.headers.into_iter();
        let proxy = match self.proxy {
            None => Proxy::None,
            Some((Some(proxy), _, _, true)) => Proxy::Fixed(Secret::new(proxy)),
            Some((http, https, except, _)) => Proxy::Environment {
                http: http.map(Secret::new),
                https: https.map(Secret::new),
                except,
            },
        };
        Access {
            headers: headers
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
            login: self.login.map(Secret::new),
            certificates: Certificates {
                ca_pem: self.ca_pem,
                identity_pem: self.identity_pem.map(Secret::new),
                insecure: self.insecure,
                server_name: self.server_name,
            },
            proxy,
        }
    }
}

/// The value of `Authorization`, or of `Proxy-Authorization`, for the login of a url (RFC 7617). What servers repeat of it is hidden.
pub(super) fn login_of(url: &Url) -> Option<Secret> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let password = url.password().unwrap_or_default();
    let mut login: Vec<u8> = percent_decode_str(url.username()).collect();
    login.push(b':');
    login.extend(percent_decode_str(password));
    let login = format!("Basic {}", STANDARD.encode(login));
    remember(&percent_decode_str(password).decode_utf8_lossy());
    remember(&login);
    Some(Secret::new(login))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn target(more: &str) -> Result<Target> {
        let text = format!(
            "name = 't'\n{more}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1"
        );
        let mut target: Target = toml::from_str(&text)?;
        target.resolve(Path::new(""))?;
        Ok(target)
    }

    fn shown(headers: Vec<(String, Secret)>) -> Vec<String> {
        let text = |(name, value): (String, Secret)| format!("{name}: {}", value.reveal());
        headers.into_iter().map(text).collect()
    }

    #[test]
    fn headers_keys_and_logins_become_headers_of_the_requests_that_they_are_for() {
        let target =
            target("url = 'http://me:p%40ss@h/v1?k=v'\nheaders = { X-Team = 'a', Host = 'models.example' }")
                .unwrap();
        assert_eq!(target.url.as_str(), "http://h/v1?k=v");
        let of = |url: &str, gateway| shown(target.access.headers(&url.parse().unwrap(), gateway));
        let basic = "authorization: Basic bWU6cEBzcw==";
        assert_eq!(
            of("http://h", true),
            ["host: models.example", "x-team: a", basic]
        );
        assert_eq!(of("http://e", false), ["x-team: a"]);
        assert_eq!(of("http://a:b@e", false)[1], "authorization: Basic YTpi");
        assert_eq!(
            target.access.server_name().as_deref(),
            Some("models.example")
        );
        assert_eq!(target.access.reveal().hide(), target.access);
    }

    #[test]
    fn a_key_is_a_bearer_unless_it_has_a_header_of_its_own() {
        let of = |key: &str| {
            let target = target(&format!("url = 'http://h'\napi_key = {key}")).unwrap();
            shown(target.access.headers(&target.url, true))
        };
        let path = std::env::var("PATH").unwrap();
        let bearer = format!("authorization: Bearer {path}");
        assert_eq!(of("{ env = 'PATH' }"), [bearer]);
        let own = format!("api-key: {path}");
        assert_eq!(of("{ env = 'PATH', header = 'Api-Key' }"), [own]);
    }

    #[test]
    fn what_cannot_work_is_refused_without_its_value() {
        for (more, wanted) in [
            (
                "url = 'http://h'\nheaders = { 'a b' = 'canary' }",
                "name of a header",
            ),
            (
                "url = 'http://h'\nheaders = { a = \"canary\\n\" }",
                "cannot be sent",
            ),
            (
                "url = 'http://h'\nheaders = { Content-Length = 'canary' }",
                "frames",
            ),
            ("url = 'http://h'\napi_key = {}", "`env` or `file`"),
            (
                "url = 'http://h'\napi_key = { file = '/no/such' }",
                "/no/such",
            ),
            (
                "url = 'http://a:canary@h'\nheaders = { Authorization = 'x' }",
                "login",
            ),
            ("url = 'http://h'\ntls = { ca = '/no/such' }", "/no/such"),
            (
                "url = 'http://h'\nproxy = 'socks5://u:canary@p'",
                "only http://",
            ),
        ] {
            let error = format!("{:#}", target(more).unwrap_err());
            assert!(error.contains(wanted), "{more}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_target_shows_no_secret() {
        let target = target(
            "url = 'http://me:canary@h'\nheaders = { x = 'canary' }\nproxy = 'http://u:canary@p:1'",
        )
        .unwrap();
        let json = serde_json::to_string(&target).unwrap();
        let toml = toml::to_string(&target).unwrap();
        for text in [
            json,
            toml,
            format!("{target:?}"),
            format!("{:#?}", target.access),
        ] {
            assert!(!text.contains("canary"), "{text}");
            assert!(!text.contains("bWU6Y2FuYXJ5"), "{text}");
        }
    }

    #[test]
    fn what_the_command_line_sets_replaces_what_the_file_has() {
        let target = target("url = 'http://a:b@h'\nheaders = { x = '1', y = '2' }").unwrap();
        let mut line = Access::default();
        line.set("X", Secret::new("3")).unwrap();
        line.set("Authorization", Secret::new("Bearer k")).unwrap();
        let access = target.access.clone().with(&line);
        let headers = shown(access.headers(&target.url, true));
        assert_eq!(headers, ["authorization: Bearer k", "x: 3", "y: 2"]);
    }
}
