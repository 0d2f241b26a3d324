//! Certificates for servers and clients of tests.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

/// A certificate authority, a certificate that it issued, and a self-signed one as `openssl req -x509` makes it.
pub struct Made {
    pub ca_pem: String,
    pub issued: (String, KeyPair),
    pub self_signed: (String, KeyPair),
    folder: tempfile::TempDir,
}

/// Makes them.
pub fn made() -> Made {
    let name =
        || CertificateParams::new(vec!["127.0.0.1".to_owned(), "models.test".to_owned()]).unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let issued = name().signed_by(&key, &issuer).unwrap().pem();
    // It is an authority, and has no name at all.
    let mut own = CertificateParams::new(Vec::new()).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate().unwrap();
    let own_pem = own.self_signed(&own_key).unwrap().pem();
    Made {
        ca_pem,
        issued: (issued, key),
        self_signed: (own_pem, own_key),
        folder: tempfile::tempdir().unwrap(),
    }
}

impl Made {
    /// Writes a file; returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// A server with a certificate, which asks for certificates of clients if it trusts an authority of theirs.
pub fn server_config(of: &(String, KeyPair), clients_of: Option<&str>) -> rustls::ServerConfig {
    let certificate = CertificateDer::from_pem_slice(of.0.as_bytes()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(of.1.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            let ca = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            roots.add(ca).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
