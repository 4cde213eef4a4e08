//! The host's Ed25519 key at the centre: made here, kept as PKCS #8, wiped when dropped.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer, SigningKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::pem;
use crate::secret::Secret;

/// What stands before the 32 bytes of a private Ed25519 key in PKCS #8 version 1 (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The key.
#[derive(Clone)]
pub(crate) struct AgentKey {
    signing: SigningKey,
    public: [u8; 32],
}

impl std::fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AgentKey(secret)")
    }
}

impl AgentKey {
    /// A new key of the system's randomness.
    ///
    /// # Errors
    /// The system has none.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())?;
        Ok(Self::from_seed(&seed))
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let public = signing.verifying_key().to_bytes();
        Self { signing, public }
    }

    /// Reads what [`AgentKey::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut der = Zeroizing::new(vec![0; BASE64.decode_len(text.len()).ok()?]);
        let length = BASE64.decode_mut(text.as_bytes(), &mut der).ok()?;
        let seed = der.get(..length)?.strip_prefix(&PKCS8_PREFIX)?.try_into().ok()?;
        Some(Self::from_seed(seed))
    }

    /// PKCS #8 in base64, on one line: escaped line ends would have a JSON parser leave a copy behind.
    pub(crate) fn to_text(&self) -> Secret {
        Secret::new(BASE64.encode(&self.pkcs8()))
    }

    fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(self.signing.as_bytes());
        der
    }

    /// As TLS takes it; wiped there when dropped.
    pub(crate) fn to_der(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8().to_vec())
    }

    /// Signature over a text, base64url without padding.
    pub(crate) fn sign_text(&self, text: &str) -> String {
        BASE64URL_NOPAD.encode(&self.signing.sign(text.as_bytes()).to_bytes())
    }

    /// A certificate request, PEM. `mark` tells one request of the same key from another: by the whole request the centre knows
    /// that the exchange of a token is repeated, and answers for the same host. A renewal gets a certificate of its own
    /// each time.
    pub(crate) fn request(&self, name: &str, mark: &str) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationalUnitName, mark);
        let request = params.serialize_request(self)?;
        Ok(pem::encode(request.der(), "CERTIFICATE REQUEST"))
    }
}

impl PublicKeyData for AgentKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for AgentKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.signing.sign(message).to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_never_shows() {
        let key = AgentKey::generate().unwrap();
        let again = AgentKey::from_text(key.to_text().reveal()).unwrap();
        assert_eq!(key.public, again.public);
        assert_eq!(key.sign_text("x"), again.sign_text("x"));
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.signing.as_bytes())));
        assert_ne!(AgentKey::generate().unwrap().public, key.public);
    }

    #[test]
    fn rcgen_and_rustls_take_it_for_what_it_is() {
        let key = AgentKey::generate().unwrap();
        let theirs = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key.to_der(), &PKCS_ED25519).unwrap();
        assert_eq!(theirs.public_key_raw(), key.public);
        let tls = rustls::crypto::ring::sign::any_eddsa_type(&key.to_der()).unwrap();
        assert!(tls.public_key().unwrap().as_ref().ends_with(&key.public));
    }

    fn key_text() -> String {
        AgentKey::generate().unwrap().to_text().reveal().to_owned()
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let mut short = key_text();
        short.truncate(60);
        let other = key_text().replacen("MC4C", "MC4D", 1);
        for text in ["", "AAAA", "nothing", "%%%%", &short, &other] {
            assert!(AgentKey::from_text(text).is_none(), "{text}");
        }
    }

    #[test]
    fn requests_of_one_key_differ_by_their_mark_alone() {
        let key = AgentKey::generate().unwrap();
        assert_eq!(key.request("a", "1").unwrap(), key.request("a", "1").unwrap());
        assert_ne!(key.request("a", "1").unwrap(), key.request("a", "2").unwrap());
    }
}
