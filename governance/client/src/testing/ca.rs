//! A CA, and what it issues.

use lanyard_protocol::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A public key that is known, and nothing else.
struct Public([u8; 32]);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1_000)).unwrap()
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        pem_of(&self.der())
    }

    /// As an enrolment token names it.
    pub(crate) fn hash(&self) -> String {
        data_encoding::BASE32_NOPAD.encode(&Sha256::digest(self.der()))
    }

    /// A client certificate, PEM.
    pub(crate) fn client(&self, key: [u8; 32], not_before: Timestamp, not_after: Timestamp) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, super::AGENT);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(crate::backoff::random()));
        (params.not_before, params.not_after) = (date(not_before), date(not_after));
        pem_of(params.signed_by(&Public(key), &self.issuer).unwrap().der())
    }

    /// A server certificate for a name, and its key.
    pub(crate) fn server(
        &self,
        name: &str,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (date(not_before), date(not_after));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }
}

pub(super) fn pem_of(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// The Ed25519 key that a request is for.
pub(super) fn key_of(csr: &str) -> [u8; 32] {
    let letters: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64.decode(letters.as_bytes()).unwrap();
    // SubjectPublicKeyInfo of Ed25519: the algorithm, then a bit string of 33 bytes.
    let begins = [6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let at = der.windows(begins.len()).position(|window| window == begins).unwrap() + begins.len();
    der[at..at + 32].try_into().unwrap()
}
