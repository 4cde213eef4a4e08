//! Where a host stands with the central services it is enrolled at.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// Result of `GetCentral`, `EnrolHost`, `UnenrolHost` and `SetCentralConsent`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CentralStatus {
    /// Absent: the host works by itself.
    pub enrolment: Option<CentralEnrolment>,
    /// The owner takes jobs from the centre.
    pub accept_jobs: bool,
    /// The owner takes answers to approvals and pairings from the centre.
    pub accept_answers: bool,
    /// What the centre has not received yet.
    pub waiting: CentralWaiting,
}

/// An enrolment as the owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CentralEnrolment {
    /// Where the central services are.
    pub url: String,
    /// What they know this host by.
    pub agent_id: String,
    /// The tenant it belongs to there.
    pub tenant_id: String,
    /// Whose host it is there.
    pub user_id: String,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When its certificate runs out; it is renewed long before.
    pub certificate_not_after: Timestamp,
    /// Whether they are reached.
    pub link: CentralLink,
    /// Milliseconds this host's clock is ahead of theirs, at the last contact. Theirs counts.
    pub clock_ahead_millis: i64,
    /// The policy epoch last heard of; 0 before the first.
    pub policy_epoch: u64,
    /// No policy is in force, and why: sessions of the centre stand still.
    pub policy_revoked: Option<String>,
    /// The centre ended the enrolment, and why: nothing is sent any more until the host is enrolled again.
    pub revoked: Option<String>,
    /// When something was last sent and taken.
    pub last_sent_at: Option<Timestamp>,
    /// Number of the last command carried out.
    pub last_command: u64,
}

/// Whether the central services are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CentralLink {
    /// They answered at the last contact.
    pub reached: bool,
    /// Since when that is so; while it is not, when they last answered.
    pub since: Timestamp,
    /// Why not, in a sentence.
    pub reason: Option<String>,
}

/// What waits on this machine to be sent. Nothing of it is dropped before it has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CentralWaiting {
    /// Audit records.
    pub audit_records: u64,
    /// When the oldest of them was made.
    pub oldest_at: Option<Timestamp>,
    /// Events of sessions.
    pub events: u64,
    /// Sessions they belong to.
    pub sessions: u64,
}
