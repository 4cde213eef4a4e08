//! Keeping what tools are authorised with: encrypted in the database, under a key that is in a file and not there.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::Fault;
use lanyard_governance_foundation::clock::random;

/// Bytes of a key, and of the number that is drawn for each secret.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The key.
#[derive(Clone)]
pub(crate) struct SealingKey(XChaCha20Poly1305);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

/// What a secret belongs to. Moved to another row, or to another address, it does not open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Belongs<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) tool: &'a str,
    /// Scheme, host and port.
    pub(crate) origin: &'a str,
}

impl Belongs<'_> {
    fn bytes(&self) -> Vec<u8> {
        // None of them holds a NUL.
        format!("lanyard tool authorization\0{}\0{}\0{}", self.tenant, self.tool, self.origin).into_bytes()
    }
}

impl SealingKey {
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(bytes.into()))
    }

    /// The drawn number and the encrypted secret.
    pub(crate) fn seal(&self, secret: &str, belongs: Belongs<'_>) -> Result<Vec<u8>, Fault> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: secret.as_bytes(), aad: &belongs.bytes() };
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|e| Fault::internal("a secret cannot be encrypted", &e))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The secret; `None` when it was not sealed with this key for this tool.
    pub(crate) fn open(&self, sealed: &[u8], belongs: Belongs<'_>) -> Option<String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: &belongs.bytes() };
        let secret = self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        String::from_utf8(secret).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_where_it_belongs_and_nowhere_else() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let key = SealingKey::new(&[7; KEY_BYTES]);
        let belongs = Belongs { tenant: &a, tool: "T", origin: "https://x:443" };
        let sealed = key.seal("Bearer secret", belongs).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(key.open(&sealed, belongs).as_deref(), Some("Bearer secret"));
        assert_eq!(key.open(&sealed, Belongs { tenant: &b, ..belongs }), None);
        assert_eq!(key.open(&sealed, Belongs { tool: "U", ..belongs }), None);
        assert_eq!(key.open(&sealed, Belongs { origin: "https://y:443", ..belongs }), None);
        assert_eq!(SealingKey::new(&[8; KEY_BYTES]).open(&sealed, belongs), None);
        assert_eq!(key.open(&sealed[..10], belongs), None);
        let mut bent = sealed.clone();
        bent[30] ^= 1;
        assert_eq!(key.open(&bent, belongs), None);
    }
}
