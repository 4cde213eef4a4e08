//! What a paired device is given: no credential, only the news. Its key is the credential.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use lanyard_protocol::Timestamp;
use lanyard_protocol::principal::Scope;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::abort::Abort;
use crate::identity::PublicIdentity;
use crate::message::{SealedGrant, Sid, to_bytes};
use crate::transcript::prefixed;

/// Sealed for the device under a key of the pairing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Rights granted, `observe` among them.
    pub scopes: Vec<Scope>,
    /// What the host calls the device.
    pub device_name: String,
    /// When.
    pub granted_at: Timestamp,
}

/// Whose pairing a grant belongs to: the associated data of the seal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal<'a> {
    pub(crate) sid: &'a Sid,
    pub(crate) device: &'a PublicIdentity,
    pub(crate) host: &'a PublicIdentity,
}

impl Seal<'_> {
    fn associated(&self) -> Vec<u8> {
        let (device, host) = (self.device, self.host);
        prefixed(&[
            b"lanyard-pair grant",
            &self.sid.0,
            &device.signing,
            &device.agreement,
            &host.signing,
            &host.agreement,
        ])
    }

    /// The key belongs to one pairing and seals a handful of grants, so random nonces cannot meet.
    pub(crate) fn close(&self, key: &[u8; 32], grant: &Grant, rng: &mut impl CryptoRngCore) -> SealedGrant {
        let mut nonce = [0; 12];
        rng.fill_bytes(&mut nonce);
        let payload = Payload { msg: &to_bytes(grant), aad: &self.associated() };
        let cipher = ChaCha20Poly1305::new(Key::from_slice(key));
        #[expect(clippy::expect_used, reason = "the only error is a message beyond 256 GiB")]
        let sealed = cipher.encrypt(Nonce::from_slice(&nonce), payload).expect("a grant is short");
        SealedGrant { nonce, sealed }
    }

    /// # Errors
    /// [`Abort::BadProof`]: not sealed for this pairing.
    pub(crate) fn open(&self, key: &[u8; 32], sealed: &SealedGrant) -> Result<Grant, Abort> {
        let payload = Payload { msg: &sealed.sealed, aad: &self.associated() };
        let cipher = ChaCha20Poly1305::new(Key::from_slice(key));
        let nonce = Nonce::from_slice(&sealed.nonce);
        let grant = cipher.decrypt(nonce, payload).map_err(|_| Abort::BadProof)?;
        match postcard::take_from_bytes(&grant) {
            Ok((grant, [])) => Ok(grant),
            Ok(_) | Err(_) => Err(Abort::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityKeys;
    use crate::random::SeededRng;

    #[test]
    fn a_grant_opens_for_its_pairing_alone_and_unchanged() {
        let mut rng = SeededRng::new(1);
        let mut identity = || IdentityKeys::generate(&mut rng).public();
        let (device, host, other) = (identity(), identity(), identity());
        let (sid, key) = (Sid([1; 16]), [2; 32]);
        let grant = Grant {
            scopes: vec![Scope::Observe],
            device_name: "Pixel".to_owned(),
            granted_at: Timestamp::from_millis(7),
        };
        let seal = Seal { sid: &sid, device: &device, host: &host };
        let sealed = seal.close(&key, &grant, &mut rng);
        assert_eq!(seal.open(&key, &sealed), Ok(grant.clone()));
        assert_ne!(seal.close(&key, &grant, &mut rng), sealed, "a nonce is used once");

        let wrong = [
            Seal { sid: &Sid([3; 16]), ..seal },
            Seal { device: &other, ..seal },
            Seal { host: &other, ..seal },
            Seal { device: &host, host: &device, ..seal },
        ];
        for seal in wrong {
            assert_eq!(seal.open(&key, &sealed), Err(Abort::BadProof), "{seal:?}");
        }
        assert_eq!(seal.open(&[3; 32], &sealed), Err(Abort::BadProof));
        for at in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(seal.open(&key, &changed), Err(Abort::BadProof));
            changed.sealed.truncate(at);
            assert_eq!(seal.open(&key, &changed), Err(Abort::BadProof));
        }
    }
}
