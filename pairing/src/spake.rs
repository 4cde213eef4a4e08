//! SPAKE2 over edwards25519, with the checks that the `spake2` crate leaves to its caller.
//!
//! The crate predates RFC 9382: it has other constants M and N and another transcript, does not clear the cofactor and
//! confirms nothing. Its key is one input of ours (`transcript`, `schedule`); nothing is proven by it alone. It also
//! keeps its copy of the password until it is dropped and does not wipe it; the code in it has lost its worth by then.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use lanyard_protocol::device::PairingMethod;
use rand_core::CryptoRngCore;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use crate::abort::Abort;
use crate::code::PairingCode;
use crate::identity::PublicIdentity;
use crate::link::LinkSecret;
use crate::message::Sid;
use crate::proof::Role;
use crate::transcript::{digest, prefixed};

/// Side byte and point.
const SHARE_BYTES: usize = 33;
const SIDE_A: u8 = b'A';
const SIDE_B: u8 = b'B';

/// What both sides know, or should.
#[derive(Debug, Clone)]
pub(crate) enum Shared {
    /// Typed.
    Code(PairingCode),
    /// Scanned.
    Link(LinkSecret),
}

impl Shared {
    /// How the device shows that it is meant.
    pub(crate) fn method(&self) -> PairingMethod {
        match self {
            Shared::Code(_) => PairingMethod::Code,
            Shared::Link(_) => PairingMethod::Link,
        }
    }

    /// A code is never taken for a link's secret, and each attempt in each channel has its own password.
    pub(crate) fn password(&self, version: u16, binding: &[u8; 32], sid: &Sid) -> Zeroizing<Vec<u8>> {
        let (method, secret): (&[u8], &[u8]) = match self {
            Shared::Code(code) => (&[0], code.as_bytes()),
            Shared::Link(secret) => (&[1], &secret.0),
        };
        let place = digest(b"lanyard-pair password", &[binding, &sid.0]);
        Zeroizing::new(prefixed(&[&version.to_be_bytes(), method, secret, &place]))
    }
}

/// Everything an exchange is bound to.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// Of the protocol, as chosen by the host.
    pub(crate) version: u16,
    /// Of the channel.
    pub(crate) binding: &'a [u8; 32],
    /// The attempt.
    pub(crate) sid: &'a Sid,
    /// Both keys of the device.
    pub(crate) device: &'a PublicIdentity,
    /// Both keys of the host.
    pub(crate) host: &'a PublicIdentity,
}

/// One side of an exchange; used once. The crate's own `Debug` shows no secret.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Spake2<Ed25519Group>,
    ours: Vec<u8>,
}

impl Exchange {
    /// Begins; [`Exchange::share`] is for the peer.
    pub(crate) fn start(
        role: Role,
        shared: &Shared,
        terms: &Terms<'_>,
        rng: &mut impl CryptoRngCore,
    ) -> Self {
        let password = Password::new(&*shared.password(terms.version, terms.binding, terms.sid));
        let device = identity(b"lanyard-pair device", terms.device);
        let host = identity(b"lanyard-pair host", terms.host);
        let (state, ours) = match role {
            Role::Device => Spake2::start_a_with_rng(&password, &device, &host, rng),
            Role::Host => Spake2::start_b_with_rng(&password, &device, &host, rng),
        };
        Self { state, ours }
    }

    /// For the peer, 33 bytes.
    pub(crate) fn share(&self) -> &[u8] {
        &self.ours
    }

    /// The exchanged key, the same on both sides if they share the secret and the terms. A wrong secret is no error
    /// here: it gives another key.
    ///
    /// # Errors
    /// [`Abort::BadShare`] for a share that no honest peer sends.
    pub(crate) fn finish(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, Abort> {
        let expected = if self.ours.first() == Some(&SIDE_A) { SIDE_B } else { SIDE_A };
        check(theirs, expected)?;
        if self.ours.get(1..) == theirs.get(1..) {
            return Err(Abort::BadShare);
        }
        self.state.finish(theirs).map(Zeroizing::new).map_err(|_| Abort::BadShare)
    }
}

fn identity(role: &[u8], keys: &PublicIdentity) -> Identity {
    Identity::new(&prefixed(&[role, &keys.signing, &keys.agreement]))
}

/// Length, side, and a point in canonical form, in the prime-order subgroup, other than the identity. (Every point that
/// can be written in two ways is the identity or has torsion; the form is checked all the same, so that nobody has to
/// know that.)
fn check(share: &[u8], side: u8) -> Result<(), Abort> {
    let share: &[u8; SHARE_BYTES] = share.try_into().map_err(|_| Abort::BadShare)?;
    let (found, bytes) = share.split_first().ok_or(Abort::BadShare)?;
    let written = CompressedEdwardsY::from_slice(bytes).map_err(|_| Abort::BadShare)?;
    let point = written.decompress().ok_or(Abort::BadShare)?;
    let honest =
        *found == side && point.compress() == written && !point.is_identity() && point.is_torsion_free();
    if honest { Ok(()) } else { Err(Abort::BadShare) }
}
