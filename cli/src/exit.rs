//! How a command ends: the exit codes scripts rely on, and the failures behind them.

use lanyard_client::SendError;
use lanyard_protocol::{ErrorCode, WireError};

use crate::host::{HostError, RemoteError};
use crate::known::KnownError;

/// Exit codes. They do not change between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did what was asked; a task completed.
    Completed,
    /// It failed; a task gave up.
    Failed,
    /// The command line cannot be used.
    Usage,
    /// Refused: at least one call of the task was denied by policy, a person or the deadline, or the host refused
    /// the command itself, a pairing, or (after revoking it) this device.
    Denied,
    /// The task was cancelled.
    Cancelled,
    /// No host could be reached, or the one that answers does not know this device, or is another.
    Unreachable,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Completed => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
            Exit::Cancelled => 4,
            Exit::Unreachable => 5,
        }
    }
}

/// Why a command could not do what was asked. Each text names the thing and the way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// An argument has the right form and cannot be used.
    #[error("{0}")]
    Usage(String),
    /// There is no host to talk to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What this device remembers of its hosts cannot be used.
    #[error(transparent)]
    Known(#[from] KnownError),
    /// The host refused or failed the request.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The request was not sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The connection broke and it is not known whether the request took effect.
    #[error(
        "the connection broke before the host answered {0}; look with `lanyard health` whether it took effect"
    )]
    Unanswered(&'static str),
    /// Nobody reads the output any more, as in `lanyard sessions | head`.
    #[error("the output was closed")]
    OutputClosed,
    /// Somebody said no, in words.
    #[error("{0}")]
    Denied(String),
    /// No host could be reached, in words.
    #[error("{0}")]
    Unreachable(String),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The exit code it ends the command with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            // A host that ended the pairing has refused; everything else is a way that leads nowhere.
            Failure::Host(HostError::Remote(error)) if error.is_revocation() => Exit::Denied,
            Failure::Denied(_) => Exit::Denied,
            Failure::Host(_) | Failure::Unreachable(_) => Exit::Unreachable,
            Failure::Refused(error) => match error.code {
                ErrorCode::Unauthorized | ErrorCode::CapabilityDenied | ErrorCode::ApprovalDenied => {
                    Exit::Denied
                }
                _ => Exit::Failed,
            },
            Failure::Known(_)
            | Failure::NotSent(_)
            | Failure::Unanswered(_)
            | Failure::OutputClosed
            | Failure::Other(_) => Exit::Failed,
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        HostError::from(error).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Other(format!("writing the output failed: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};
    use crate::host::{HostError, RemoteError};
    use lanyard_protocol::{ErrorCode, WireError};
    use lanyard_transport::close::{CloseCode, Ended};
    use lanyard_transport::dial::DialError;

    #[test]
    fn the_codes_scripts_rely_on() {
        let all =
            [Exit::Completed, Exit::Failed, Exit::Usage, Exit::Denied, Exit::Cancelled, Exit::Unreachable];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn failures_have_the_code_of_their_kind() {
        let refused = |code| Failure::Refused(WireError::new(code, "x")).exit();
        assert_eq!(refused(ErrorCode::Unauthorized), Exit::Denied);
        assert_eq!(refused(ErrorCode::SessionNotFound), Exit::Failed);
        assert_eq!(Failure::Usage("x".into()).exit(), Exit::Usage);
        assert_eq!(Failure::Host(HostError::None { state_dir: "/s".into() }).exit(), Exit::Unreachable);
        assert_eq!(Failure::Unanswered("Shutdown").exit(), Exit::Failed);
        let turned_away = |code| {
            let error = RemoteError::TurnedAway { alias: "nas".into(), reason: Ended::ByPeer(code) };
            Failure::Host(HostError::Remote(error)).exit()
        };
        assert_eq!(turned_away(CloseCode::Revoked), Exit::Denied);
        assert_eq!(turned_away(CloseCode::NotPaired), Exit::Unreachable);
        let reason = DialError::Version { address: "192.168.1.7:7717".parse().unwrap(), host: 1 };
        let unfit = RemoteError::Unfit { alias: "nas".into(), reason };
        assert!(!unfit.is_absence(), "no use to try again");
        assert_eq!(Failure::from(unfit).exit(), Exit::Unreachable);
    }
}
