//! Why a call to the centre failed.

use std::time::Duration;

use lanyard_protocol::{ErrorCode, WireError};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// No answer of the centre's: no connection, cut, too slow, another certificate, or a proxy that answered in its
    /// place. Whether the call had an effect is not known; the same call may be repeated.
    #[error("the centre was not reached: {reason}")]
    Unreachable {
        /// What happened, for people.
        reason: String,
        /// How long to wait at least, if somebody said.
        retry_after: Option<Duration>,
        /// Whether the request may have left: `false` where no connection was made.
        sent: bool,
    },
    /// The centre refused.
    #[error("the centre refused: {error}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Why.
        error: WireError,
        /// How long to wait at least, if it said.
        retry_after: Option<Duration>,
    },
    /// This host's enrolment was revoked, and why.
    #[error("the centre revoked this host's enrolment: {0}")]
    Revoked(String),
    /// What came is not what the contract says: repeating will not help.
    #[error("the centre's answer is not understood: {0}")]
    Protocol(String),
}

impl CallError {
    pub(crate) fn unreachable(reason: impl Into<String>) -> Self {
        Self::Unreachable { reason: reason.into(), retry_after: None, sent: true }
    }

    /// Whether the same call may succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { error, .. } => error.retryable,
            Self::Revoked(_) | Self::Protocol(_) => false,
        }
    }

    /// How long to wait at least.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } | Self::Refused { retry_after, .. } => *retry_after,
            Self::Revoked(_) | Self::Protocol(_) => None,
        }
    }

    /// The centre's own code, where it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(error.code),
            Self::Revoked(_) => Some(ErrorCode::AgentRevoked),
            Self::Unreachable { .. } | Self::Protocol(_) => None,
        }
    }

    /// HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// As the host tells its own clients: what the centre said, or that it was not reached.
    pub fn to_wire(&self) -> WireError {
        match self {
            Self::Refused { error, .. } => error.clone(),
            Self::Revoked(_) => WireError::new(ErrorCode::AgentRevoked, self.to_string()),
            Self::Unreachable { .. } | Self::Protocol(_) => {
                WireError::new(ErrorCode::CentralUnavailable, self.to_string())
            }
        }
    }
}
