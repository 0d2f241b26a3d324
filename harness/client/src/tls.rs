//! TLS of all clients: with the certificates that this machine trusts, which are read once.

use std::sync::LazyLock;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;

static TRUSTING: LazyLock<Result<ClientConfig, rustls::Error>> = LazyLock::new(|| {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientConfig::with_platform_verifier()
});

/// A configuration without protocols. Fails where the machine has no certificates.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    TRUSTING.clone()
}

/// The same; where the machine has no certificates, as in many a container, one that trusts nobody: most of what is asked there is
/// not encrypted.
pub(crate) fn client_config_at_least() -> ClientConfig {
    client_config().unwrap_or_else(|_| {
        let nobody = RootCertStore::empty();
        let builder = ClientConfig::builder().with_root_certificates(nobody);
        builder.with_no_client_auth()
    })
}
