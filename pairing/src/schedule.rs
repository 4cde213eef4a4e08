//! Keys from the exchange: HKDF-SHA256 (RFC 5869) with the transcript's hash as salt, one key a purpose.
//!
//! What one key does says nothing about another: the confirmations of both sides differ, so neither can be reflected.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::digits::Digits;
use crate::proof::Role;
use crate::transcript::{Transcript, mac};

/// See the module. Secret, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Schedule {
    confirm_device: [u8; 32],
    confirm_host: [u8; 32],
    /// Seals the grant.
    pub(crate) grant: [u8; 32],
    /// Lets the device come back.
    pub(crate) resume: [u8; 32],
    digits: [u8; 32],
}

impl Schedule {
    /// From the exchanged key.
    pub(crate) fn derive(transcript: &Transcript, exchanged: &[u8]) -> Self {
        let source = Hkdf::<Sha256>::new(Some(&transcript.0), exchanged);
        let key = |purpose: &[u8]| *expand::<32>(&source, purpose);
        Self {
            confirm_device: key(b"lanyard-pair confirm device"),
            confirm_host: key(b"lanyard-pair confirm host"),
            grant: key(b"lanyard-pair grant"),
            resume: key(b"lanyard-pair resume"),
            digits: key(b"lanyard-pair digits"),
        }
    }

    /// That a side has the key and has heard the same conversation.
    pub(crate) fn confirmation(&self, role: Role, transcript: &Transcript) -> [u8; 32] {
        let key = match role {
            Role::Device => &self.confirm_device,
            Role::Host => &self.confirm_host,
        };
        mac(key, b"lanyard-pair confirmation", &[role.word(), &transcript.0])
    }

    /// Neither side can choose them: the host commits to its nonce before it sees the device's.
    pub(crate) fn digits(&self, host_nonce: &[u8; 32], device_nonce: &[u8; 32]) -> Digits {
        let source = Hkdf::<Sha256>::new(Some(&self.digits), &[*host_nonce, *device_nonce].concat());
        Digits::from_bytes(*expand::<16>(&source, b"lanyard-pair comparison"))
    }
}

/// HKDF-Expand. `N` is at most 8160 (RFC 5869 §2.3).
pub(crate) fn expand<const N: usize>(source: &Hkdf<Sha256>, purpose: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32) };
    let mut key = Zeroizing::new([0; N]);
    #[expect(clippy::expect_used, reason = "the only error is a length that is ruled out above")]
    source.expand(purpose, &mut *key).expect("the length is below HKDF's limit");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_its_own_key() {
        let derive = |transcript, exchanged: &[u8]| {
            let keys = Schedule::derive(&Transcript(transcript), exchanged);
            [keys.confirm_device, keys.confirm_host, keys.grant, keys.resume, keys.digits]
        };
        let all = [derive([1; 32], b"k"), derive([2; 32], b"k"), derive([1; 32], b"l")].concat();
        for (at, key) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(key), "{at}");
        }
    }

    #[test]
    fn a_confirmation_is_not_the_other_sides_and_digits_follow_both_nonces() {
        let transcript = Transcript([1; 32]);
        let keys = Schedule::derive(&transcript, b"k");
        assert_ne!(keys.confirmation(Role::Device, &transcript), keys.confirmation(Role::Host, &transcript));
        let digits = |host, device| keys.digits(&[host; 32], &[device; 32]);
        assert_ne!(digits(1, 2), digits(2, 1));
        assert_ne!(digits(1, 2), digits(1, 3));
        assert_eq!(digits(1, 2), digits(1, 2));
    }
}
