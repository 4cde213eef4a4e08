//! The proof of the long-term key that the channel has not proven.
//!
//! QUIC proves the Ed25519 key, Noise the X25519 one; a device is known by both. So the other key is proven here, over
//! the transcript: X25519 by a MAC that only its owner and the owner of a one-time key can make, Ed25519 by a signature.

use ed25519_dalek::Signer;
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{EphemeralSecret, PublicKey, SharedSecret};

use crate::abort::Abort;
use crate::channel::ChannelKey;
use crate::identity::{IdentityKeys, PublicIdentity, verifies};
use crate::schedule::expand;
use crate::transcript::{Transcript, equal, mac, prefixed};

const LABEL: &[u8] = b"lanyard-pair key proof";

/// Who proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Types or scans.
    Device,
    /// Shows.
    Host,
}

impl Role {
    /// For derivations.
    pub(crate) fn word(self) -> &'static [u8] {
        match self {
            Role::Device => b"device",
            Role::Host => b"host",
        }
    }
}

/// Proves our other key. `peer` says which kind of key the channel proves; it is the same for both ends.
///
/// # Errors
/// [`Abort::BadProof`] when the peer's one-time key is of small order: everybody could make that proof.
pub(crate) fn prove(
    keys: &IdentityKeys,
    peer: &ChannelKey,
    peer_ephemeral: &[u8; 32],
    role: Role,
    transcript: &Transcript,
) -> Result<Vec<u8>, Abort> {
    match peer {
        ChannelKey::Signing(_) => {
            let shared = keys.agreement.diffie_hellman(&PublicKey::from(*peer_ephemeral));
            Ok(agreement_proof(&shared, role, transcript)?.to_vec())
        }
        ChannelKey::Agreement(_) => Ok(keys.signing.sign(&statement(role, transcript)).to_vec()),
    }
}

/// Checks the peer's proof of its other key.
///
/// # Errors
/// [`Abort::BadProof`].
pub(crate) fn verify(
    proof: &[u8],
    identity: &PublicIdentity,
    peer: &ChannelKey,
    ephemeral: EphemeralSecret,
    role: Role,
    transcript: &Transcript,
) -> Result<(), Abort> {
    let holds = match peer {
        ChannelKey::Signing(_) => {
            let shared = ephemeral.diffie_hellman(&PublicKey::from(identity.agreement));
            equal(&agreement_proof(&shared, role, transcript)?, proof)
        }
        ChannelKey::Agreement(_) => verifies(&identity.signing, &statement(role, transcript), proof),
    };
    if holds { Ok(()) } else { Err(Abort::BadProof) }
}

fn statement(role: Role, transcript: &Transcript) -> Vec<u8> {
    prefixed(&[LABEL, role.word(), &transcript.0])
}

fn agreement_proof(shared: &SharedSecret, role: Role, transcript: &Transcript) -> Result<[u8; 32], Abort> {
    if !shared.was_contributory() {
        return Err(Abort::BadProof);
    }
    let source = Hkdf::<Sha256>::new(Some(&transcript.0), shared.as_bytes());
    let key = expand::<32>(&source, LABEL);
    Ok(mac(&*key, LABEL, &[role.word(), &transcript.0]))
}
