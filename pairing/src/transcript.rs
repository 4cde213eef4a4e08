//! What is hashed, and how: every part with its length before it, so that no two different conversations hash alike.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::link::LinkSecret;
use crate::message::{Hello, Offer, ShareA, ShareB, Sid, to_bytes};

/// Everything both sides have said before they prove.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    /// Of the channel.
    pub(crate) binding: &'a [u8; 32],
    /// The versions offered are part of it: a downgrade changes the hash.
    pub(crate) hello: &'a Hello,
    /// The host's answer.
    pub(crate) offer: &'a Offer,
    /// The device's half.
    pub(crate) share_a: &'a ShareA,
    /// The host's half.
    pub(crate) share_b: &'a ShareB,
}

/// SHA-256 over a whole conversation. Not secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transcript(pub(crate) [u8; 32]);

impl Transcript {
    /// See [`Said`].
    pub(crate) fn of(said: &Said<'_>) -> Self {
        Self(digest(
            b"lanyard-pair transcript",
            &[
                said.binding,
                &to_bytes(said.hello),
                &to_bytes(said.offer),
                &said.share_a.share,
                &said.share_a.nonce,
                &said.share_b.share,
            ],
        ))
    }
}

/// What the host commits itself to before it knows anything of the device.
pub(crate) fn commitment(sid: &Sid, nonce: &[u8; 32], share: &[u8]) -> [u8; 32] {
    digest(b"lanyard-pair commitment", &[&sid.0, nonce, share])
}

/// That a `Hello` comes from whoever has the link. `hello.link_mac` itself is not part of it.
pub(crate) fn link_mac(secret: &LinkSecret, binding: &[u8; 32], hello: &Hello) -> [u8; 32] {
    let bare = Hello { link_mac: None, ..hello.clone() };
    mac(&secret.0, b"lanyard-pair link", &[binding, &to_bytes(&bare)])
}

/// SHA-256 over label and parts.
pub(crate) fn digest(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    each(label, parts, |bytes| hash.update(bytes));
    hash.finalize().into()
}

/// HMAC-SHA256 over label and parts.
pub(crate) fn mac(key: &[u8], label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes any key");
    each(label, parts, |bytes| mac.update(bytes));
    mac.finalize().into_bytes().into()
}

/// In constant time.
pub(crate) fn equal(ours: &[u8], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}

/// Parts, each with its length before it.
pub(crate) fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn each(label: &[u8], parts: &[&[u8]], mut absorb: impl FnMut(&[u8])) {
    for part in [label].iter().chain(parts) {
        absorb(&(part.len() as u64).to_be_bytes());
        absorb(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_do_not_move_between_parts() {
        let hashes = [
            digest(b"l", &[b"ab", b"c"]),
            digest(b"l", &[b"a", b"bc"]),
            digest(b"l", &[b"abc"]),
            digest(b"l", &[b"abc", b""]),
            digest(b"la", &[b"bc"]),
        ];
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[at + 1..].contains(hash), "{at}");
        }
        assert_ne!(mac(b"k", b"l", &[b"ab", b"c"]), mac(b"k", b"l", &[b"a", b"bc"]));
        assert_ne!(prefixed(&[b"ab", b"c"]), prefixed(&[b"a", b"bc"]));
    }
}
