//! What a host asks to have certified: a key that it holds. Nothing else of its request is looked at or copied.

use ed25519_dalek::VerifyingKey;
use lanyard_governance_foundation::credentials::hash;
use rcgen::{CertificateSigningRequestParams, PKCS_ED25519, PublicKeyData, SignatureAlgorithm};

use super::pem;

/// Longest request, in bytes. One with an Ed25519 key and a name has some 300.
const MAX_REQUEST: usize = 8 << 10;

/// Why a certificate request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not PKCS #10 in PEM, or too long, or asks for extensions nobody knows.
    #[error("csrPem is no certificate request (PKCS #10, PEM)")]
    Malformed,
    /// Its signature is not by its own key.
    #[error("the certificate request is not signed by the key in it")]
    Signature,
    /// The key is of another kind, or one that protects nothing.
    #[error("the certificate request must be for an Ed25519 key")]
    Key,
}

/// A request that was checked: whoever made it held the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRequest {
    /// The key.
    pub(crate) key: [u8; 32],
    /// SHA-256 of the request: tells a repeated one.
    pub(crate) hash: [u8; 32],
}

impl KeyRequest {
    /// Reads and checks a request.
    pub(crate) fn parse(text: &str) -> Result<Self, RequestError> {
        if text.len() > MAX_REQUEST {
            return Err(RequestError::Malformed);
        }
        let der = pem::decode("CERTIFICATE REQUEST", text).ok_or(RequestError::Malformed)?;
        let request = match CertificateSigningRequestParams::from_der(&der.as_slice().into()) {
            Ok(request) => request,
            Err(rcgen::Error::InvalidCertificationRequestSignature) => return Err(RequestError::Signature),
            Err(rcgen::Error::UnsupportedSignatureAlgorithm) => return Err(RequestError::Key),
            Err(_) => return Err(RequestError::Malformed),
        };
        if request.public_key.algorithm() != &PKCS_ED25519 {
            return Err(RequestError::Key);
        }
        let key: [u8; 32] = request.public_key.der_bytes().try_into().map_err(|_| RequestError::Key)?;
        // With a key of small order anybody's signature would do.
        match VerifyingKey::from_bytes(&key) {
            Ok(good) if !good.is_weak() => Ok(Self { key, hash: hash(&der) }),
            _ => Err(RequestError::Key),
        }
    }
}

impl PublicKeyData for KeyRequest {
    fn der_bytes(&self) -> &[u8] {
        &self.key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

    use super::*;

    fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    fn parse(der: &[u8]) -> Result<KeyRequest, RequestError> {
        KeyRequest::parse(&pem::encode("CERTIFICATE REQUEST", der))
    }

    #[test]
    fn a_request_gives_its_key() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let (one, two) =
            (request(&key, |_| {}), request(&key, |p| p.use_authority_key_identifier_extension = false));
        assert_eq!(parse(&one).unwrap().key, key.public_key_raw());
        assert_eq!(parse(&one), parse(&two));
        let other = request(&key, |p| p.distinguished_name = rcgen::DistinguishedName::new());
        assert_ne!(parse(&one).unwrap().hash, parse(&other).unwrap().hash);
    }

    #[test]
    fn other_keys_and_foreign_signatures_are_refused() {
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        assert_eq!(parse(&request(&ec, |_| {})), Err(RequestError::Key));
        let (mine, theirs) =
            (KeyPair::generate_for(&PKCS_ED25519).unwrap(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let mut der = request(&mine, |_| {});
        // Somebody else's key under my signature.
        let at = der.windows(32).position(|w| w == mine.public_key_raw()).unwrap();
        der[at..at + 32].copy_from_slice(theirs.public_key_raw());
        assert_eq!(parse(&der), Err(RequestError::Signature));
        // The neutral element: any signature with R = sB would verify.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        der[at..at + 32].copy_from_slice(&neutral);
        assert!(parse(&der).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let whole = request(&key, |_| {});
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0x55;
            // A byte that the signature does not cover may be read all the same; another key never comes of it.
            assert!(
                parse(&bent).is_ok_and(|read| read.key == key.public_key_raw()) || parse(&bent).is_err(),
                "byte {at}"
            );
        }
        assert_eq!(KeyRequest::parse(""), Err(RequestError::Malformed));
        assert_eq!(KeyRequest::parse(&"A".repeat(MAX_REQUEST + 1)), Err(RequestError::Malformed));
    }
}
