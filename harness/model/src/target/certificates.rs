//! Certificates: those that are trusted, and that of the client.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// Certificates, of a target file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificates that are trusted instead of those of this machine. A server may also present one of them
    /// itself, as a self-signed one; its names are not compared then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate that the client presents, and those that lead to its authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with its key. [default: that of `client_certificate`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Trust any server. Anyone between can then read and change what is sent, keys included.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// The name that the gateway's certificate is for, and that the client asks for (SNI). [default: the name in header `host`, else
    /// the host of `url`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// The certificates of a target, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Trusted certificates, as PEM; `None`: those of this machine.
    pub ca_pem: Option<String>,
    /// The certificate of the client and its key, as PEM.
    pub identity_pem: Option<Secret>,
    /// Trust any server.
    pub insecure: bool,
    /// The name that the server must have.
    pub server_name: Option<String>,
}

impl Certificates {
    /// Whether they are those of this machine.
    pub fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads the files that a `tls` table names.
pub fn read_certificates(tls: &Tls, folder: &Path) -> Result<Certificates> {
    let read = |path: &PathBuf| {
        let path = folder.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let identity_pem = match (&tls.client_certificate, &tls.client_key) {
        (Some(certificate), Some(key)) => Some(format!("{}\n{}", read(certificate)?, read(key)?)),
        (Some(both), None) => Some(read(both)?),
        (None, Some(_)) => bail!("`client_key` needs `client_certificate`"),
        (None, None) => None,
    };
    Ok(Certificates {
        ca_pem: tls.ca.as_ref().map(read).transpose()?,
        identity_pem: identity_pem.map(Secret::new),
        insecure: tls.insecure,
        server_name: tls.server_name.clone(),
    })
}
