//! The TLS configuration of all clients. The certificates that this machine trusts are read once.

use std::sync::LazyLock;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;

static TRUSTING: LazyLock<Result<ClientConfig, rustls::Error>> = LazyLock::new(|| {
    // An error means that a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientConfig::with_platform_verifier()
});

/// A configuration without ALPN protocols. Fails if the machine has no certificates.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    TRUSTING.clone()
}

/// Like [`client_config`], but without certificates, as in many containers, it trusts no server. Most requests there
/// are unencrypted.
pub(crate) fn client_config_at_least() -> ClientConfig {
    client_config().unwrap_or_else(|_| {
        let no_roots = RootCertStore::empty();
        let builder = ClientConfig::builder().with_root_certificates(no_roots);
        builder.with_no_client_auth()
    })
}
