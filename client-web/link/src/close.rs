//! What a host's last word on a connection means. The numbers are those of `lanyard-transport`'s close codes, which has
//! them for QUIC too and does not compile for a browser.

/// Nothing more to say; said by a page that leaves.
pub(crate) const DONE: u32 = 0;

/// The other side broke the protocol.
pub(crate) const PROTOCOL: u32 = 6;

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host does not know this device.
    NotPaired,
    /// A person has removed it.
    Revoked,
    /// It has ended its own pairing.
    Unpaired,
    /// Connect again at once: something is new.
    Renew,
    /// Connect again at once, by the keys that follow from the known ones.
    Follow,
    /// The two do not understand each other.
    Protocol,
    /// Connect again, after a while.
    Later,
}

/// The meaning of a code, and a sentence for people. Codes of later versions count as "later".
pub(crate) fn read(code: u32) -> (Verdict, &'static str) {
    match code {
        1 => (Verdict::NotPaired, "the host does not know this device"),
        2 => (Verdict::Revoked, "this device was removed on the host"),
        3 => (Verdict::Renew, "this device's rights were changed on the host"),
        4 => (Verdict::Later, "the host is stopping"),
        5 => (Verdict::Later, "the host has too many connections: close some of its pages"),
        6 => (Verdict::Protocol, "the host did not understand this page"),
        7 => (Verdict::Later, "this page did not read what the host sent"),
        8 => (Verdict::Follow, "the host has new keys"),
        9 => (Verdict::Unpaired, "this device has ended its pairing"),
        10 => (Verdict::Later, "connecting took too long"),
        _ => (Verdict::Later, "the host ended the connection"),
    }
}
