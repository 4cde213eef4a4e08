//! Makes an authority, one certificate from it, and destroys the authority's key.

use std::time::Duration;

use lanyard_protocol::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use zeroize::{Zeroize, Zeroizing};

use super::TrustError;
use crate::web::certificate::{instant, serial};

/// How long certificate and authority are valid: less than the 825 days that Apple's systems take at most, with the time
/// before now counted in.
const VALIDITY: Duration = Duration::from_secs(800 * 24 * 60 * 60);

/// How long before now they begin: clocks of phones are not exact.
const BEFORE_NOW: Duration = Duration::from_secs(24 * 60 * 60);

/// What is left of an authority.
pub(super) struct Issued {
    pub(super) name: String,
    pub(super) authority: CertificateDer<'static>,
    pub(super) leaf: CertificateDer<'static>,
    /// Of the leaf: PKCS #8, DER.
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) until: Timestamp,
}

/// The whole life of an authority.
pub(super) fn issue(name: &str, now: Timestamp) -> Result<Issued, TrustError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let key = Zeroizing::new(pair.serialize_der());
    let signer = Signer::new(name, now)?;
    let leaf = signer.certificate(vec![name.to_owned()], &pair)?;
    let (authority, until) = (signer.authority.clone(), signer.until);
    drop(signer);
    Ok(Issued { name: name.to_owned(), authority, leaf, key, until })
}

/// An authority with its key. The key is never written, and wiped when this is dropped. (What the library for signatures
/// has copied of it is freed, not wiped: it offers no way to.)
pub(super) struct Signer {
    params: CertificateParams,
    key: KeyPair,
    pub(super) authority: CertificateDer<'static>,
    now: Timestamp,
    until: Timestamp,
}

impl Signer {
    pub(super) fn new(name: &str, now: Timestamp) -> Result<Self, TrustError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let until = now.plus_millis(millis(VALIDITY));
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        dated(&mut params, now, until)?;
        params.distinguished_name.push(DnType::CommonName, format!("Lanyard: {name} only"));
        params.distinguished_name.push(DnType::OrganizationName, "Lanyard");
        // Nothing below it may sign.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Names that are not mentioned would be free: addresses are excluded, both kinds.
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        let authority = params.self_signed(&key).map_err(failed)?.der().clone();
        Ok(Self { params, key, authority, now, until })
    }

    /// A server's certificate.
    pub(super) fn certificate(
        &self,
        names: Vec<String>,
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let subject = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        dated(&mut params, self.now, self.until)?;
        params.distinguished_name.push(DnType::CommonName, subject);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.params, &self.key);
        Ok(params.signed_by(key, &issuer).map_err(failed)?.der().clone())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

fn dated(params: &mut CertificateParams, now: Timestamp, until: Timestamp) -> Result<(), TrustError> {
    params.not_before = instant(now.plus_millis(-millis(BEFORE_NOW))).map_err(failed)?;
    params.not_after = instant(until).map_err(failed)?;
    params.serial_number = Some(serial().map_err(failed)?);
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn failed(error: impl std::fmt::Display) -> TrustError {
    TrustError::Issue(error.to_string().into())
}
