//! The installation's own CA: it certifies hosts for a day, and central's own TLS. Its key is a file.
//!
//! The CA and central's certificates are P-256, which every browser takes; hosts' keys are Ed25519 and made by them.

mod files;
mod pem;
mod request;

use std::path::{Path, PathBuf};

use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::limits::CERTIFICATE_SECONDS;
use lanyard_governance_foundation::clock::random;
use lanyard_governance_foundation::credentials::hash;
use lanyard_protocol::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use time::OffsetDateTime;

pub(crate) use request::KeyRequest;
pub use request::RequestError;

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

/// Life of the CA, in seconds (20 years): every host knows it by its hash, so a new one means enrolling all again.
const CA_SECONDS: i64 = 20 * 365 * 86_400;

/// Life of central's own certificates, in seconds; the longest that browsers take. Made anew at each start.
const SERVER_SECONDS: i64 = 397 * 86_400;

/// How far certificates reach back, in seconds: clocks of hosts and browsers may be a day behind …
const BACKDATED: i64 = 2 * 86_400;

/// … but certificates of hosts are looked at by replicas only.
const AGENT_BACKDATED: i64 = 5 * 60;

/// Why the CA is not usable.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("{path} cannot be used: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Others can read the key.
    #[error(
        "{path} is the key of the CA and open to other users (mode {mode:o}): if nobody can have read it, run chmod go-rwx {path}"
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{path} is not what it should be: {reason}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate is there and its key is not.
    #[error(
        "{0} is missing, and its certificate is there: restore it from a backup. With a new CA no enrolled host would find its way back; to want that, remove ca.pem too"
    )]
    KeyMissing(PathBuf),
    /// A key or certificate could not be made.
    #[error("a key or certificate could not be made: {0}")]
    Making(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Making(error.to_string())
    }
}

/// The CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
    hash: [u8; 32],
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("hash", &data_encoding::HEXLOWER.encode(&self.hash))
            .finish_non_exhaustive()
    }
}

/// A certificate of central's own, with its key.
pub struct ServerCertificate {
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Its key, PKCS #8. Never kept: a new one is made at each start.
    pub key_der: Vec<u8>,
    /// When it runs out.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// A certificate for a host.
#[derive(Debug, Clone)]
pub(crate) struct AgentCertificate {
    pub(crate) pem: String,
    /// SHA-256 of its DER: the credential.
    pub(crate) hash: [u8; 32],
    pub(crate) not_after: Timestamp,
}

impl Authority {
    /// The CA of a directory; made there when there is none. Safe when several replicas start together. Blocks on files.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn load_or_create(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        std::fs::create_dir_all(dir).map_err(|cause| AuthorityError::File { path: dir.to_owned(), cause })?;
        let (key_path, certificate_path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
        // The key is put there first: a certificate that is there now has its key there already.
        let known = files::read(&certificate_path)?;
        let key = match files::read(&key_path)? {
            Some(text) => text,
            None if known.is_some() => return Err(AuthorityError::KeyMissing(key_path)),
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                files::put(dir, KEY_FILE, &pem::encode("PRIVATE KEY", key.serialized_der()), true)?;
                files::read(&key_path)?.ok_or_else(|| AuthorityError::KeyMissing(key_path.clone()))?
            }
        };
        files::check_private(&key_path)?;
        let unfit = |path: &Path, reason: &str| AuthorityError::Unfit {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let der = pem::decode("PRIVATE KEY", &key)
            .ok_or_else(|| unfit(&key_path, "it holds no private key in PEM"))?;
        let key = KeyPair::try_from(der).map_err(|e| unfit(&key_path, &e.to_string()))?;
        let certificate = match known {
            Some(text) => text,
            None => {
                let made = Self::certificate(&key, now)?;
                files::put(dir, CERTIFICATE_FILE, &pem::encode("CERTIFICATE", &made), false)?;
                files::read(&certificate_path)?.ok_or_else(|| unfit(&certificate_path, "it vanished"))?
            }
        };
        let der = pem::decode("CERTIFICATE", &certificate)
            .ok_or_else(|| unfit(&certificate_path, "it holds no certificate in PEM"))?;
        Self::of(key, der).map_err(|reason| unfit(&certificate_path, &reason))
    }

    fn of(key: KeyPair, der: Vec<u8>) -> Result<Self, String> {
        let view = der.as_slice().into();
        let parsed = webpki::EndEntityCert::try_from(&view).map_err(|e| e.to_string())?;
        if *parsed.subject_public_key_info() != *key.subject_public_key_info() {
            return Err("it belongs to another key than ca.key".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&view, key).map_err(|e| e.to_string())?;
        let (pem, hash) = (pem::encode("CERTIFICATE", &der), hash(&der));
        Ok(Self { issuer, der, pem, hash })
    }

    fn certificate(key: &KeyPair, now: Timestamp) -> Result<Vec<u8>, AuthorityError> {
        let mut params = params("Lanyard CA", now, BACKDATED, CA_SECONDS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params.self_signed(key)?.der().to_vec())
    }

    /// SHA-256 of the CA certificate's DER: what enrolment tokens carry.
    pub fn certificate_hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The CA certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The CA certificate, DER: the root by which client certificates are verified.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// A certificate for central's own TLS: `names` are DNS names and IP addresses.
    ///
    /// # Errors
    /// A name is neither, or the system gives no random bytes.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        let is_name = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
            name.parse::<std::net::IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(fits))
        };
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            return Err(AuthorityError::Making(format!("{wrong:?} is neither a DNS name nor an IP address")));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("lanyard-central", now, BACKDATED, SERVER_SECONDS)?;
        params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let not_after = end(&params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCertificate {
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialized_der().to_vec(),
            not_after,
        })
    }

    /// A certificate for a host's key: for TLS clients only, for a day.
    pub(crate) fn issue_agent(
        &self,
        request: &KeyRequest,
        agent: &AgentId,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<AgentCertificate, AuthorityError> {
        let mut params = params(agent.as_str(), now, AGENT_BACKDATED, i64::from(CERTIFICATE_SECONDS))?;
        let name = format!("lanyard:agent:{tenant}/{agent}");
        params.subject_alt_names = vec![SanType::URI(name.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let not_after = end(&params);
        let certificate = params.signed_by(request, &self.issuer)?;
        let pem = pem::encode("CERTIFICATE", certificate.der());
        Ok(AgentCertificate { pem, hash: hash(certificate.der()), not_after })
    }
}

fn params(name: &str, now: Timestamp, back: i64, life: i64) -> Result<CertificateParams, AuthorityError> {
    let second = now.as_millis().div_euclid(1_000);
    let instant = |second| {
        OffsetDateTime::from_unix_timestamp(second).map_err(|e| AuthorityError::Making(e.to_string()))
    };
    let mut params = CertificateParams::default();
    params.not_before = instant(second - back)?;
    params.not_after = instant(second + life)?;
    params.distinguished_name = DistinguishedName::new();
    // X.520 allows 64 letters.
    params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    let mut serial = random::<16>().map_err(|fault| AuthorityError::Making(fault.to_string()))?;
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn end(params: &CertificateParams) -> Timestamp {
    Timestamp::from_millis(params.not_after.unix_timestamp().saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
