//! The TLS configuration of all clients: which servers are trusted, and which certificate the client presents. The certificates that this
//! machine trusts are read once.

use std::fmt;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, ensure};
use poolproof_model::target::Certificates;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::ConfigVerifierExt;

static TRUSTING: LazyLock<Result<ClientConfig, Error>> = LazyLock::new(|| {
    // An error means that a provider is already installed.
    let _ = ring::default_provider().install_default();
    ClientConfig::with_platform_verifier()
});

/// A configuration without ALPN protocols. Fails if certificates cannot be read: those of a target, or all of this machine.
pub fn client_config(certificates: &Certificates) -> Result<ClientConfig> {
    if certificates.are_default() {
        let trusting = TRUSTING.clone();
        return trusting.context("reading the certificates that this machine trusts");
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("choosing the versions of TLS")?;
    let algorithms = provider.signature_verification_algorithms;
    let builder = if certificates.insecure {
        let any = Any(algorithms);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any))
    } else if let Some(pem) = &certificates.ca_pem {
        let own = Own::new(pem, provider)?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(own))
    } else {
        use rustls_platform_verifier::BuilderVerifierExt;
        let builder = builder.with_platform_verifier();
        builder.context("reading the certificates that this machine trusts")?
    };
    let Some(identity) = &certificates.identity_pem else {
        return Ok(builder.with_no_client_auth());
    };
    let pem = identity.reveal().as_bytes();
    let chain = certificates_of(pem).context("the client's certificate")?;
    // The error of the parser has nothing of the key.
    let key = PrivateKeyDer::from_pem_slice(pem).context("the client's key")?;
    let config = builder.with_client_auth_cert(chain, key);
    config.context("the client's certificate and its key")
}

/// Like [`client_config`], but without any certificates of this machine, as in many containers, it trusts no server. Most requests there
/// are unencrypted.
pub(crate) fn client_config_at_least(certificates: &Certificates) -> Result<ClientConfig> {
    client_config(certificates).or_else(|error| {
        if !certificates.are_default() {
            return Err(error);
        }
        let no_roots = RootCertStore::empty();
        let builder = ClientConfig::builder().with_root_certificates(no_roots);
        Ok(builder.with_no_client_auth())
    })
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .context("not a PEM file of certificates")?;
    ensure!(!all.is_empty(), "there is no certificate in the PEM file");
    Ok(all)
}

/// Trusts the authorities of a PEM file. A server that presents one of these certificates itself is trusted as well, whatever its names
/// are: webpki refuses such a certificate, which `openssl req -x509` makes, as `CaUsedAsEndEntity`.
struct Own {
    given: Vec<CertificateDer<'static>>,
    /// `None` if none of the certificates can be an authority.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Own {
    fn new(pem: &str, provider: Arc<CryptoProvider>) -> Result<Self> {
        let given = certificates_of(pem.as_bytes()).context("the own certificates to trust")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let algorithms = provider.signature_verification_algorithms;
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        Ok(Self {
            given,
            authorities: builder.build().ok(),
            algorithms,
        })
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates of a file", self.given.len())
    }
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.given.iter().any(|given| given == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authorities) = &self.authorities else {
            return Err(rustls::CertificateError::UnknownIssuer.into());
        };
        authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Trusts any server.
#[derive(Debug)]
struct Any(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
