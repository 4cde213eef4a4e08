//! The host command channel: what the centre asks of a host. Outbound long poll or server-sent events; at least once,
//! in order, acknowledged by number, deduped by the host.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::id::{ApprovalId, DeviceId, PairingId, SessionId};
use lanyard_protocol::{Timestamp, WireError};
use serde::{Deserialize, Serialize};

use crate::id::{JobId, ProposalId, UserId};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Number per host, ascending.
    pub number: u64,
    /// When it was given.
    pub at: Timestamp,
    /// Who gave it; absent for the services themselves.
    pub by: Option<UserId>,
    /// Name of that person.
    pub by_name: Option<String>,
    /// What.
    pub order: Order,
}

/// What a host is asked to do. A host answers a kind it does not know with `INVALID_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A proposed answer to an approval. Needs the owner's opt-in.
    DecideApproval {
        /// The session.
        session_id: SessionId,
        /// The approval.
        approval_id: ApprovalId,
        /// The proposal.
        proposal_id: ProposalId,
        /// What.
        decision: Decision,
        /// Why.
        reason: Option<String>,
    },
    /// An answer to a pairing. Needs the owner's opt-in; a typed code also needs the digits.
    DecidePairing {
        /// The pairing.
        pairing_id: PairingId,
        /// Let it in.
        approve: bool,
        /// Digits that the device shows.
        digits: Option<String>,
    },
    /// End a device's pairing.
    RevokeDevice {
        /// The device.
        device_id: DeviceId,
    },
    /// The tenant's policy changed: fetch it anew, and until then decide nothing by the old one.
    PolicyEpoch {
        /// The new epoch.
        epoch: u64,
        /// Nothing is in force, and why: pause.
        revoked: Option<String>,
    },
    /// End a session.
    CancelSession {
        /// The session.
        session_id: SessionId,
        /// Why.
        reason: String,
    },
    /// A job waits to be claimed. Needs the owner's opt-in.
    Job {
        /// The job.
        job_id: JobId,
    },
    /// A job was cancelled.
    CancelJob {
        /// The job.
        job_id: JobId,
    },
    /// The enrolment was revoked: stop cleanly.
    Revoked {
        /// Why.
        reason: String,
    },
}

/// Query of `GET /agents/{id}/commands` and of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommandQuery {
    /// Commands after this number.
    pub after: Option<u64>,
    /// Seconds to wait for one, 0–25.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 25)))]
    pub wait_seconds: Option<u32>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// Oldest first, at most a hundred.
    pub commands: Vec<Command>,
}

/// Body of `POST /agents/{id}/commands/acknowledge`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledgement {
    /// What became of each.
    pub results: Vec<CommandResult>,
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommandResult {
    /// The command.
    pub number: u64,
    /// Why it was not done; absent when it was.
    pub error: Option<WireError>,
}

/// Body of the internal `POST /agents/{id}/commands`, and of `POST /agents/commands` (to every host of the tenant that
/// is not revoked).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCommand {
    /// Who gives it.
    pub by: Option<UserId>,
    /// Name of that person.
    pub by_name: Option<String>,
    /// What. A `PolicyEpoch` replaces one that still waits.
    pub order: Order,
}

/// Answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CommandsQueued {
    /// Hosts it was queued for.
    pub agents: u64,
}
