//! Whether the centre is reached, for whoever wants to watch.

use lanyard_protocol::Timestamp;

/// How the host stands with the centre. Times are of the host's own clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// The last time any call was answered. Exact to [`crate::central::REACH_STEP_MILLIS`].
    pub last_ok: Option<Timestamp>,
    /// Since when nothing is answered; absent while the centre is reached.
    pub failing_since: Option<Timestamp>,
    /// Why the last heartbeat or call failed; absent while the centre is reached.
    pub reason: Option<String>,
    /// Milliseconds the server's clock is ahead of the host's.
    pub server_offset_millis: i64,
    /// The tenant's policy epoch as the last heartbeat told it; 0 before the first.
    pub policy_epoch: u64,
    /// Number of the last command for this host as the last heartbeat told it.
    pub last_command: u64,
    /// The enrolment was revoked, and why.
    pub revoked: Option<String>,
}
