//! Why a pairing came to nothing. Travels on the wire; holds nothing secret.

use serde::{Deserialize, Serialize};

/// A protocol failure. After one the state is gone; a new attempt starts from the beginning, by a person, never by
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Abort {
    /// No version in common.
    #[error("device and host speak different versions of the pairing protocol: update the older one")]
    Version,
    /// Nobody opened a pairing window.
    #[error("the host does not expect a device: run `lanyard pair` on it and use the code it shows")]
    NotOpen,
    /// The window ran out.
    #[error("the code has expired: run `lanyard pair` on the host again and use the new code")]
    Expired,
    /// The code or link was used already.
    #[error("the code was used already: run `lanyard pair` on the host again and use the new code")]
    Used,
    /// Too many wrong codes.
    #[error("the code was burnt by wrong attempts: use the new code or the QR code that the host shows")]
    Burnt,
    /// Another attempt is under way; it has three seconds.
    #[error("another device is pairing at this moment: try again in a few seconds")]
    Busy,
    /// Too many attempts on this host lately.
    #[error("too many attempts on this host in the last hour: use the QR code that it shows")]
    TooMany,
    /// The peers do not share the code or link, or somebody is between them.
    #[error(
        "the code is wrong, or somebody interferes with the connection: check the code and the host's address"
    )]
    WrongSecret,
    /// A frame that is not a pairing message, or too long.
    #[error("the peer sent something that is not a pairing message")]
    Malformed,
    /// A message at the wrong moment.
    #[error("the peer sent a pairing message out of order")]
    OutOfOrder,
    /// The key in the message is not the one the channel has proven.
    #[error("the peer claims a key that is not its own: somebody may interfere with the connection")]
    KeyMismatch,
    /// The host is not the one of the link.
    #[error(
        "another host answers than the one of the QR code: somebody may interfere, or the host was reinstalled"
    )]
    WrongHost,
    /// A share that no honest peer sends: reflected, the identity, of small order, not canonical.
    #[error("the peer sent a value no honest peer sends: somebody may interfere with the connection")]
    BadShare,
    /// A key is not proven.
    #[error("the peer did not prove its key: somebody may interfere with the connection")]
    BadProof,
    /// The host changed its mind about what it had committed to.
    #[error("the host broke its commitment: somebody may interfere with the connection")]
    BadCommitment,
    /// A name that is empty, too long, or holds control characters; scopes without `observe`.
    #[error("the device's name or the rights it asks for cannot be used: choose another name")]
    BadRequest,
    /// A person said no.
    #[error("the pairing was denied on the host")]
    Denied,
    /// Nobody answered in time.
    #[error("nobody answered the pairing on the host in time: pair again")]
    Unanswered,
    /// The attempt took too long.
    #[error("the pairing took too long: try again")]
    Timeout,
    /// The host does not know the attempt that is to be resumed.
    #[error("the host does not know this pairing any more: pair again with a new code")]
    Unknown,
    /// The host is paired with as many devices as it can be, or too many wait.
    #[error("the host cannot take another device: revoke one that is no longer used")]
    Full,
    /// The host could not write it down.
    #[error("the host could not record the pairing: look at its log and try again")]
    Internal,
    /// The link of an owner's tab, used from another machine or by another program.
    #[error(
        "this link opens the owner's page in a browser on the host's own machine and nowhere else: run `lanyard pair` on the host for another device"
    )]
    Elsewhere,
}

impl Abort {
    /// Every reason, in wire order.
    pub const ALL: &'static [Abort] = &[
        Abort::Version,
        Abort::NotOpen,
        Abort::Expired,
        Abort::Used,
        Abort::Burnt,
        Abort::Busy,
        Abort::TooMany,
        Abort::WrongSecret,
        Abort::Malformed,
        Abort::OutOfOrder,
        Abort::KeyMismatch,
        Abort::WrongHost,
        Abort::BadShare,
        Abort::BadProof,
        Abort::BadCommitment,
        Abort::BadRequest,
        Abort::Denied,
        Abort::Unanswered,
        Abort::Timeout,
        Abort::Unknown,
        Abort::Full,
        Abort::Internal,
        Abort::Elsewhere,
    ];

    /// A stable word for counters and logs.
    pub fn word(self) -> &'static str {
        match self {
            Abort::Version => "version",
            Abort::NotOpen => "not_open",
            Abort::Expired => "expired",
            Abort::Used => "used",
            Abort::Burnt => "burnt",
            Abort::Busy => "busy",
            Abort::TooMany => "too_many",
            Abort::WrongSecret => "wrong_secret",
            Abort::Malformed => "malformed",
            Abort::OutOfOrder => "out_of_order",
            Abort::KeyMismatch => "key_mismatch",
            Abort::WrongHost => "wrong_host",
            Abort::BadShare => "bad_share",
            Abort::BadProof => "bad_proof",
            Abort::BadCommitment => "bad_commitment",
            Abort::BadRequest => "bad_request",
            Abort::Denied => "denied",
            Abort::Unanswered => "unanswered",
            Abort::Timeout => "timeout",
            Abort::Unknown => "unknown",
            Abort::Full => "full",
            Abort::Internal => "internal",
            Abort::Elsewhere => "elsewhere",
        }
    }
}
