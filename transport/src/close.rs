//! Why a connection ended, as both sides say it: QUIC application error codes (RFC 9000 §20.2).

use quinn::{ConnectionClose, ConnectionError, TransportErrorCode};
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $word:literal;)*) => {
        /// An ending somebody chose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum CloseCode { $($(#[doc = $doc])* $name,)* }

        impl CloseCode {
            /// Every code.
            pub const ALL: &'static [CloseCode] = &[$(CloseCode::$name,)*];

            /// On the wire.
            pub fn number(self) -> u32 {
                match self { $(CloseCode::$name => $number,)* }
            }

            /// From the wire; unknown ones count as `Done`.
            pub fn from_number(number: u64) -> Self {
                match number { $($number => CloseCode::$name,)* _ => CloseCode::Done }
            }

            /// A stable word for records and counters.
            pub fn word(self) -> &'static str {
                match self { $(CloseCode::$name => $word,)* }
            }
        }
    };
}

codes! {
    /// Nothing more to say.
    Done = 0, "closed";
    /// The host does not know the device's key.
    NotPaired = 1, "not_paired";
    /// The device's pairing was ended on the host.
    Revoked = 2, "revoked";
    /// The device's rights changed: connect again to have them.
    ScopesChanged = 3, "scopes_changed";
    /// The host stops.
    Stopping = 4, "host_stopping";
    /// Too many connections, of this device or of all.
    TooMany = 5, "too_many";
    /// The peer broke the protocol.
    Protocol = 6, "protocol";
    /// A subscription was not read for too long: connect again and go on from the cursor.
    Slow = 7, "slow_reader";
    /// The host has new keys: connect again and follow.
    KeyChanged = 8, "key_changed";
    /// The device ended its pairing.
    Unpaired = 9, "unpaired";
    /// A handshake or pairing took too long.
    Timeout = 10, "took_too_long";
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The peer ended it.
    #[error("{}", peer_words(*.0))]
    ByPeer(CloseCode),
    /// We ended it.
    #[error("the connection was closed")]
    Here,
    /// Silence.
    #[error("the peer has been silent for too long")]
    TimedOut,
    /// The peer has restarted and does not know the connection.
    #[error("the peer has restarted")]
    Reset,
    /// What carried the connection broke off without a word: a page that was closed, a phone that lost its network.
    #[error("the peer is gone without a word")]
    Lost,
    /// Anything else: TLS, a protocol fault of QUIC itself, the system.
    #[error("the connection failed: {0}")]
    Failed(String),
}

impl Ended {
    /// A stable word for records and counters.
    pub fn word(&self) -> &'static str {
        match self {
            Ended::ByPeer(code) => code.word(),
            Ended::Here => "closed_here",
            Ended::TimedOut => "timed_out",
            Ended::Reset => "reset",
            Ended::Lost => "lost",
            Ended::Failed(_) => "failed",
        }
    }
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Ended::ByPeer(CloseCode::from_number(close.error_code.into_inner()))
            }
            ConnectionError::TimedOut => Ended::TimedOut,
            ConnectionError::Reset => Ended::Reset,
            ConnectionError::LocallyClosed => Ended::Here,
            ConnectionError::ConnectionClosed(close) => Ended::Failed(failure_words(&close)),
            ConnectionError::VersionMismatch => {
                Ended::Failed("the peer speaks another version of QUIC: update the older one".to_owned())
            }
            other @ (ConnectionError::TransportError(_) | ConnectionError::CidsExhausted) => {
                Ended::Failed(other.to_string())
            }
        }
    }
}

/// TLS alert of a peer that speaks none of the protocols offered (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn failure_words(close: &ConnectionClose) -> String {
    if close.error_code == TransportErrorCode::CONNECTION_REFUSED {
        return "it takes no connection at this moment: it has too many".to_owned();
    }
    if close.error_code == TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL) {
        return "what answers there is not a Lanyard host, or one of another version".to_owned();
    }
    // Not its own words: they come from somebody who has proven nothing.
    format!("the peer gave up: {}", close.error_code)
}

fn peer_words(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Done => "the peer closed the connection",
        CloseCode::NotPaired => {
            "the host does not know this device: it was revoked, or the host was reset; pair again with `lanyard join`"
        }
        CloseCode::Revoked => {
            "this device's pairing was ended on the host; to use it again, pair again with `lanyard join`"
        }
        CloseCode::ScopesChanged => "this device's rights were changed on the host",
        CloseCode::Stopping => "the host is stopping",
        CloseCode::TooMany => "the host has too many connections: close some",
        CloseCode::Protocol => "the host did not understand this program: update the older one of the two",
        CloseCode::Slow => "this program did not read what the host sent",
        CloseCode::KeyChanged => "the host has new keys",
        CloseCode::Unpaired => "this device has ended its pairing",
        CloseCode::Timeout => "it took too long",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_survives_the_wire_and_has_words_of_its_own() {
        let mut words = HashSet::new();
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number().into()), *code);
            assert!(words.insert(code.word()), "{} is used twice", code.word());
        }
        assert_eq!(CloseCode::from_number(u64::MAX), CloseCode::Done);
    }
}
