//! Values for tests.

use lanyard_pairing::PublicIdentity;
use lanyard_pairing::device::PendingJoin;
use lanyard_protocol::Timestamp;
use lanyard_protocol::codec::{from_postcard, to_postcard};
use lanyard_protocol::principal::Scope;

use super::KnownHost;

pub(crate) fn identity(seed: u8) -> PublicIdentity {
    PublicIdentity { signing: [seed; 32], agreement: [seed.wrapping_add(100); 32] }
}

pub(crate) fn at() -> Timestamp {
    Timestamp::from_millis(1_771_686_262_123)
}

pub(crate) fn host(alias: &str, seed: u8) -> KnownHost {
    KnownHost {
        alias: alias.into(),
        name: alias.into(),
        identity: identity(seed),
        addresses: vec!["192.168.1.7:7717".parse().unwrap()],
        scopes: vec![Scope::Observe, Scope::Operate],
        paired_at: at(),
    }
}

/// A pairing that waits, written as the pairing crate writes it: its fields are its own.
pub(crate) fn pending(name: &str, seed: u8) -> PendingJoin {
    let fields = ([seed; 16], identity(seed), name, identity(200), 123_456_u32, [seed; 32], [seed; 32]);
    from_postcard(&to_postcard(&fields).unwrap()).unwrap()
}
