//! TLS towards the centre: one pinned CA and nothing else, the host's certificate where it proves itself, and clocks that
//! may be wrong.

use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::central::ServerClock;
use crate::identity::{Identity, certificates};

/// How far beyond its certificate's time the centre's certificate is still taken: a host whose clock is a day off, and
/// summer time. The CA is pinned and private, so all that is given up is that a stolen key of the centre's own server
/// works for a day longer.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(25 * 3_600);

/// Why no TLS configuration could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TlsError {
    /// The certificates are none.
    #[error("certificate: {0}")]
    Certificate(String),
    /// rustls refused.
    #[error("{0}")]
    Rustls(#[from] Error),
    /// The verifier refused.
    #[error("CA certificate: {0}")]
    Ca(#[from] rustls::client::VerifierBuilderError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Key and certificate as TLS takes them; refused unless they belong together.
pub(crate) fn certified(identity: &Identity) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&identity.certificate_pem).map_err(TlsError::Certificate)?;
    Ok(CertifiedKey::from_der(chain, PrivateKeyDer::from(identity.key.to_der()), &provider())?)
}

/// Whether a client certificate comes from one of the CA certificates, as seen at `time`.
pub(crate) fn issued_by(certificate: &str, ca: &str, time: Timestamp) -> Result<(), String> {
    let chain = certificates(certificate)?;
    let [leaf, intermediates @ ..] = chain.as_slice() else { return Err("no certificate".to_owned()) };
    let roots = certificates(ca)?;
    let anchors: Result<Vec<_>, _> = roots.iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(|error| format!("CA certificate: {error}"))?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(time.as_millis() / 1_000).unwrap_or(0);
    leaf.verify_for_usage(
        provider().signature_verification_algorithms.all,
        &anchors,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )
    .map(drop)
    .map_err(|error| format!("the certificate was not issued by the CA: {error}"))
}

/// A client that trusts `ca` alone and shows `certificate`, if any.
pub(crate) fn pinned(
    ca: &[CertificateDer<'static>],
    certificate: Option<CertifiedKey>,
    clock: &ServerClock,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone())?;
    }
    let pinned = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let config = ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Verifier::new(Trust::Pinned(pinned)));
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(key) => config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key))),
    };
    // A resumed session would go on under the certificate it was begun with.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// A client that trusts nobody, where nothing is encrypted and one has to be given.
pub(crate) fn nobody() -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A client that trusts anybody. For fetching the CA certificate alone, whose hash is then compared with the token's.
pub(crate) fn unverified() -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let anybody = Verifier::new(Trust::Anybody);
    Ok(config.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth())
}

/// Who a server may be.
#[derive(Debug)]
enum Trust {
    /// Who the pinned CA says it is; the host is forgiven a clock that is a day off.
    Pinned(Arc<WebPkiServerVerifier>),
    /// Anybody. The handshake's own signatures still count.
    Anybody,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(trust: Trust) -> Arc<Self> {
        Arc::new(Self { trust, algorithms: provider().signature_verification_algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = match &self.trust {
            Trust::Pinned(pinned) => pinned,
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
        };
        let at = |time| pinned.verify_server_cert(end_entity, intermediates, name, ocsp, time);
        let refused = match at(now) {
            Err(Error::InvalidCertificate(refused)) => refused,
            other => return other,
        };
        // Everything is verified again as of the nearest moment at which the certificate is good.
        let nearest = match refused {
            CertificateError::ExpiredContext { not_after, .. } => not_after,
            CertificateError::NotValidYetContext { not_before, .. } => not_before,
            other => return Err(Error::InvalidCertificate(other)),
        };
        if now.as_secs().abs_diff(nearest.as_secs()) > CLOCK_TOLERANCE.as_secs() {
            return Err(Error::InvalidCertificate(refused));
        }
        at(nearest)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
