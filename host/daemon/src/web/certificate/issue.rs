//! Makes keys and certificates.

use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Subject;

/// How long a certificate is valid. Apple's systems take none of more than 825 days, whoever vouches for it.
const VALIDITY: Duration = Duration::from_secs(800 * 24 * 60 * 60);

/// How long before now it begins: clocks of phones are not exact.
const BEFORE_NOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Something the libraries refuse; with keys and names of our own, a defect or a damaged file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::web) struct IssueError(String);

fn failed(error: impl std::fmt::Display) -> IssueError {
    IssueError(error.to_string())
}

/// A P-256 key as PKCS #8: what every browser takes.
pub(super) fn new_key() -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    Ok(Zeroizing::new(pair.serialize_der()))
}

/// The key as TLS uses it.
pub(super) fn signing_key(pkcs8: &[u8]) -> Result<Arc<dyn SigningKey>, IssueError> {
    ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8))).map_err(failed)
}

/// A certificate signed by its own key, and its last instant.
pub(super) fn certificate(
    pkcs8: &[u8],
    subject: &Subject,
    now: Timestamp,
) -> Result<(CertificateDer<'static>, Timestamp), IssueError> {
    let key =
        KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ECDSA_P256_SHA256)
            .map_err(failed)?;
    let until = now.plus_millis(millis(VALIDITY));
    let mut params = CertificateParams::new(subject.names()).map_err(failed)?;
    params.not_before = instant(now.plus_millis(-millis(BEFORE_NOW)))?;
    params.not_after = instant(until)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.to_string());
    params.distinguished_name.push(DnType::OrganizationName, "Lanyard host (self-signed)");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Firefox refuses two certificates of one issuer with one number; left out, it would come from the key.
    params.serial_number = Some(serial()?);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.der().clone(), until))
}

pub(in crate::web) fn serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(failed)?;
    // Positive, and of full length (RFC 5280 §4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(in crate::web) fn instant(at: Timestamp) -> Result<OffsetDateTime, IssueError> {
    OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000)).map_err(failed)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// TLS 1.2 and 1.3 with a certificate, HTTP/1.1 inside. No resumption: a browser shows the certificate it saw first for
/// as long as it resumes, and a handshake costs a millisecond.
pub(super) fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<Arc<ServerConfig>, IssueError> {
    let certified = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_no_client_auth()
        .with_cert_resolver(certified);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
