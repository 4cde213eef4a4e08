//! Why no policy is in force, in words.

use std::time::Duration;

use lanyard_ports::authority::PolicyNews;
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};

use super::standing::{Held, Standing};

/// Why no policy is in force.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyLapse {
    /// It ran out, and the authority gave no new one.
    #[error("the policy bundle ran out at {at} and could not be renewed: {reason}")]
    Expired {
        /// When.
        at: Timestamp,
        /// What the authority said.
        reason: WireError,
    },
    /// Whoever issued it took it back.
    #[error("the policy was revoked by {reason}")]
    Revoked {
        /// Who, and why.
        reason: String,
    },
    /// It may be outdated, and whoever issued it could not be asked.
    #[error("{doubt}, and {reason}")]
    Unconfirmed {
        /// What is not known, as a clause.
        doubt: String,
        /// What the authority said.
        reason: WireError,
    },
}

impl PolicyLapse {
    pub(super) fn of(held: &Held, standing: Standing, news: &PolicyNews, reason: WireError) -> Self {
        if matches!(reason.code, ErrorCode::PolicyRevoked | ErrorCode::AgentRevoked) {
            // "alice: token leaked" where the news say it; else what the authority says itself.
            let reason = news.revoked.clone().unwrap_or(reason.message);
            return Self::Revoked { reason };
        }
        match standing {
            Standing::Outrun => match &news.revoked {
                Some(reason) => Self::Revoked { reason: reason.clone() },
                None => Self::Unconfirmed { doubt: "the central policy has changed".to_owned(), reason },
            },
            Standing::Away(silent) => {
                let doubt = format!("the central services have been out of reach for {}", words(silent));
                Self::Unconfirmed { doubt, reason }
            }
            Standing::Expired | Standing::InForce => Self::Expired { at: held.layers.expires_at(), reason },
        }
    }

    /// The stable code for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Expired { .. } => ErrorCode::PolicyExpired,
            Self::Revoked { .. } => ErrorCode::PolicyRevoked,
            Self::Unconfirmed { .. } => ErrorCode::CentralUnavailable,
        }
    }

    /// As a peer is told.
    pub fn to_wire(&self) -> WireError {
        WireError::new(self.code(), self.to_string())
    }
}

/// A span as people say it.
fn words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
