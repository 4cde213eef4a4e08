//! Who somebody is: one Ed25519 key that signs (TLS) and one X25519 key that agrees (Noise), and an id over both.

mod fingerprint;
mod rotation;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

pub use fingerprint::{Fingerprint, FingerprintError};
pub(crate) use rotation::verifies;
pub use rotation::{Lineage, MAX_LINEAGE, RotationError, RotationRecord};

const LABEL: &[u8] = b"lanyard-identity-v1";

/// The public half of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicIdentity {
    /// Ed25519 (RFC 8032).
    pub signing: [u8; 32],
    /// X25519 (RFC 7748).
    pub agreement: [u8; 32],
}

impl PublicIdentity {
    /// SHA-256 over both keys.
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = Sha256::new_with_prefix(LABEL).chain_update(self.signing).chain_update(self.agreement);
        Fingerprint(hash.finalize().into())
    }

    /// Whether both keys can prove anything. With a key of small order everybody can: signatures that hold can be made
    /// without the secret, and an agreement has only one outcome.
    pub(crate) fn is_sound(&self) -> bool {
        let signing = ed25519_dalek::VerifyingKey::from_bytes(&self.signing).is_ok_and(|key| !key.is_weak());
        // Any secret tells: those of X25519 are multiples of the cofactor.
        signing && x25519_dalek::x25519([1; 32], self.agreement) != [0; 32]
    }
}

/// Both secret keys. `Debug` shows the public half only; wiped when dropped.
#[derive(Clone)]
pub struct IdentityKeys {
    pub(crate) signing: SigningKey,
    pub(crate) agreement: StaticSecret,
}

impl IdentityKeys {
    /// Fresh keys.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 64]);
        rng.fill_bytes(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    /// From 64 bytes as [`IdentityKeys::to_bytes`] gives them.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut seed, mut secret) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        seed.copy_from_slice(&bytes[..32]);
        secret.copy_from_slice(&bytes[32..]);
        Self { signing: SigningKey::from_bytes(&seed), agreement: StaticSecret::from(*secret) }
    }

    /// Ed25519 seed, then X25519 secret: for a file of mode 0600.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(self.signing.as_bytes());
        bytes[32..].copy_from_slice(self.agreement.as_bytes());
        bytes
    }

    /// The public half.
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity {
            signing: self.signing.verifying_key().to_bytes(),
            agreement: x25519_dalek::PublicKey::from(&self.agreement).to_bytes(),
        }
    }

    /// The Ed25519 seed, for the TLS stack.
    pub fn signing_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// The X25519 secret, for the Noise session.
    pub fn agreement_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.agreement.to_bytes())
    }
}

impl std::fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityKeys").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRng;

    #[test]
    fn keys_read_back() {
        let keys = IdentityKeys::generate(&mut SeededRng::new(1));
        let again = IdentityKeys::from_bytes(&keys.to_bytes());
        assert_eq!(again.public(), keys.public());
        assert_eq!(*again.signing_seed(), *keys.signing_seed());
        assert_eq!(*again.agreement_secret(), *keys.agreement_secret());
        assert!(keys.public().is_sound());
    }

    #[test]
    fn the_fingerprint_binds_both_keys() {
        let public = IdentityKeys::generate(&mut SeededRng::new(1)).public();
        let swapped = PublicIdentity { signing: public.agreement, agreement: public.signing };
        let other = IdentityKeys::generate(&mut SeededRng::new(2)).public();
        let mixed = PublicIdentity { agreement: other.agreement, ..public };
        assert_ne!(public.fingerprint(), swapped.fingerprint());
        assert_ne!(public.fingerprint(), mixed.fingerprint());
    }

    /// RFC 7748 §6.1 and the eight points of small order on edwards25519.
    #[test]
    fn keys_of_small_order_are_not_sound() {
        let public = IdentityKeys::generate(&mut SeededRng::new(1)).public();
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            assert!(!PublicIdentity { agreement: weak, ..public }.is_sound());
        }
        for weak in curve25519_dalek::constants::EIGHT_TORSION {
            assert!(!PublicIdentity { signing: weak.compress().to_bytes(), ..public }.is_sound());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = IdentityKeys::generate(&mut SeededRng::new(1));
        let shown = format!("{keys:?}");
        let bytes = keys.to_bytes();
        for secret in bytes.chunks(32) {
            assert!(!shown.contains(&format!("{secret:?}")), "{shown}");
        }
        assert!(shown.contains("public"));
    }
}
