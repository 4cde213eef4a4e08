//! Why a call does not run.

use lanyard_protocol::{
    Timestamp,
    error::{ErrorCode, WireError},
    policy::{Capability, SandboxLevel},
};
use thiserror::Error;

use crate::{
    gitname::GitNameFault,
    net::{PrivateAddress, UrlFault},
    path::PathFault,
    shell::Opaque,
};

/// A refusal, with the layer that refused: a policy layer's name, or `host` for what no policy can allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason} ({layer} policy)")]
pub struct Denial {
    /// Who refused.
    pub layer: &'static str,
    /// The capability in question.
    pub capability: Option<Capability>,
    /// Why.
    pub reason: DenialReason,
}

/// See [`Denial`]. The texts are fit for the model and for people: they name the thing and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DenialReason {
    #[error("the policy ran out at {0}; resume the session to renew it")]
    Expired(Timestamp),
    #[error("{0} is not granted to this session")]
    CapabilityMissing(Capability),
    #[error("{0} is blocked")]
    Blocked(String),
    #[error("{what} is outside {limit}")]
    OutOfScope { what: String, limit: &'static str },
    #[error("{path} may not be used: {why}")]
    Protected { path: String, why: &'static str },
    #[error("{path}: {fault}")]
    Path { path: String, fault: PathFault },
    #[error("{bytes} bytes are more than the {limit} allowed for one file")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("the command cannot be judged: {0}. Write it as plain words, or use argv")]
    NotUnderstood(Opaque),
    #[error("{0} That cannot be judged by lists of commands: leave it out")]
    Input(String),
    #[error("this task may not use the network")]
    NoNetwork,
    #[error(
        "commands may not use the network here: Network.Http is limited to certain domains or not granted, and a command cannot be held to that; use HttpRequest"
    )]
    NoNetworkForCommands,
    #[error("the address is refused: {0}")]
    Url(UrlFault),
    #[error("the address is refused: {0}")]
    PrivateAddress(PrivateAddress),
    #[error("the HTTP method {0:?} is not sent")]
    Method(String),
    #[error("{0}")]
    GitName(GitNameFault),
    #[error("the sandbox level {required:?} is required, this host enforces {enforced:?}")]
    Sandbox { required: SandboxLevel, enforced: SandboxLevel },
    #[error(
        "this host cannot confine programs, so that an approval would be no boundary; the owner can accept that in the configuration (policy.accept_unconfined)"
    )]
    Unconfined,
    #[error("`{program}` would be taken from {path}, where the agent can write")]
    ProgramInWorkspace { program: String, path: String },
    #[error("the approval was denied{}", .0.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    NotApproved(Option<String>),
    #[error("nobody answered the approval before its deadline")]
    Unanswered,
    #[error("the approval was cancelled with its task")]
    Cancelled,
    #[error("the call needs an approval, and there is nobody who may give it")]
    NobodyToAsk,
    #[error("what was approved has changed since: {0}")]
    Changed(&'static str),
    #[error("whoever approved the call no longer has the right to")]
    RightLost,
    #[error(
        "whoever started this task no longer has the right to; somebody with the `operate` right can start it anew"
    )]
    InitiatorLost,
}

impl Denial {
    /// The stable code of the refusal.
    pub fn code(&self) -> ErrorCode {
        match &self.reason {
            DenialReason::Expired(_) => ErrorCode::PolicyExpired,
            DenialReason::NotApproved(_)
            | DenialReason::Unanswered
            | DenialReason::Cancelled
            | DenialReason::Changed(_)
            | DenialReason::RightLost => ErrorCode::ApprovalDenied,
            DenialReason::NobodyToAsk => ErrorCode::ApprovalRequired,
            _ => ErrorCode::CapabilityDenied,
        }
    }

    /// The refusal as a peer and the model are told.
    pub fn to_wire(&self) -> WireError {
        let error =
            WireError::new(self.code(), crate::visible::text(&self.to_string())).with("layer", self.layer);
        match self.capability {
            Some(capability) => error.with("capability", capability.as_str()),
            None => error,
        }
    }
}
