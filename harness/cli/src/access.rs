//! The arguments that say how requests are authorised and encrypted, and how long to wait for a model. Shared by all commands that send.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use poolproof_model::target::{Access, ApiKey, Secret, Target, Tls, read_certificates};

/// Keys, headers and certificates.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct AccessArgs {
    /// Header of every request, in place of one that the target file or poolproof sets; repeatable. Its value is never recorded, but other
    /// users of this machine can see it in the list of processes: use --api-key-env or --api-key-file for keys
    #[arg(help_heading = "Access", long = "header", value_name = "NAME: VALUE", value_parser = hidden)]
    headers: Vec<Secret>,
    /// Environment variable with the API key, which is sent as `Authorization: Bearer KEY`
    #[arg(
        help_heading = "Access",
        long,
        value_name = "NAME",
        conflicts_with = "api_key_file"
    )]
    api_key_env: Option<String>,
    /// File with the API key
    #[arg(help_heading = "Access", long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Header that carries the bare API key instead, such as `api-key`
    #[arg(help_heading = "Access", long, value_name = "NAME")]
    api_key_header: Option<String>,
    /// PEM file with certificates to trust instead of those of this machine; also a self-signed one of the server
    #[arg(help_heading = "Access", long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// PEM file with the client's certificate
    #[arg(help_heading = "Access", long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// PEM file with its key [default: the file of --client-cert]
    #[arg(
        help_heading = "Access",
        long,
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
    /// Trust any certificate: anyone between can then read and change what is sent
    #[arg(help_heading = "Access", long)]
    insecure: bool,
    /// Name to ask for by TLS, and to find in the gateway's certificate [default: the host of the url]
    #[arg(help_heading = "Access", long, value_name = "NAME")]
    server_name: Option<String>,
    /// Wait up to this time, such as 90s or 10m, until the first model is served
    #[arg(help_heading = "Access", long, value_name = "DURATION", value_parser = duration)]
    wait_ready: Option<Duration>,
}

/// A value that no error message repeats.
fn hidden(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

fn duration(text: &str) -> Result<Duration> {
    Ok(Duration::from_secs_f64(super::duration::seconds(text)?))
}

impl AccessArgs {
    /// Reads the keys and files that the arguments name.
    pub(super) fn read(&self) -> Result<Access> {
        let here = Path::new("");
        let mut access = Access::default();
        for header in &self.headers {
            let parts = header.reveal().split_once(':');
            let (name, value) = parts.context("--header: must be `name: value`")?;
            let set = access.set(name, Secret::new(value.trim()));
            set.with_context(|| format!("--header {name:?}"))?;
        }
        if let Some(key) = self.api_key() {
            let option = if key.env.is_some() {
                "--api-key-env"
            } else {
                "--api-key-file"
            };
            let (name, value) = key.read(here).context(option)?;
            access.set(&name, value).context(option)?;
        }
        access.certificates = read_certificates(&self.tls(), here)?;
        Ok(access)
    }

    /// Names the key and the certificates in a target, as its file does. Headers are left out, since they have values.
    pub(super) fn name_in(&self, target: &mut Target) {
        target.api_key = self.api_key();
        target.tls = Some(self.tls()).filter(|tls| *tls != Tls::default());
    }

    fn api_key(&self) -> Option<ApiKey> {
        let key = ApiKey {
            env: self.api_key_env.clone(),
            file: self.api_key_file.clone(),
            header: self.api_key_header.clone(),
        };
        (key != ApiKey::default()).then_some(key)
    }

    fn tls(&self) -> Tls {
        Tls {
            ca: self.ca_cert.clone(),
            client_certificate: self.client_cert.clone(),
            client_key: self.client_key.clone(),
            insecure: self.insecure,
            server_name: self.server_name.clone(),
        }
    }

    /// How long to wait until a model is served.
    pub(super) fn wait_ready(&self) -> Option<Duration> {
        self.wait_ready
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        access: AccessArgs,
    }

    fn read(line: &[&str]) -> Result<Access> {
        let line = [&["poolproof"], line].concat();
        Line::try_parse_from(line)?.access.read()
    }

    #[test]
    fn headers_and_keys_are_read_and_no_error_repeats_them() {
        let path = std::env::var("PATH").unwrap();
        let access = read(&["--header", "X-Team: a", "--api-key-env", "PATH"]).unwrap();
        let url = "http://h".parse().unwrap();
        let headers = access.headers(&url, true);
        let shown: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        let bearer = format!("Bearer {path}");
        assert_eq!(shown, [("authorization", bearer.as_str()), ("x-team", "a")]);
        for line in [
            &["--header", "canary"][..],
            &["--header", "a b: canary"],
            &["--header", "a: canary\u{7}"],
            &["--api-key-env", "POOLPROOF_NOT_SET"],
            &["--api-key-header", "x"],
            &["--ca-cert", "/no/such/file"],
        ] {
            let error = format!("{:#}", read(line).unwrap_err());
            assert!(!error.contains("canary"), "{error}");
        }
        let shown = format!(
            "{:?}",
            Line::try_parse_from(["p", "--header", "a: canary"]).unwrap()
        );
        assert!(!shown.contains("canary"), "{shown}");
    }
}
