//! What a host still does while its audit records do not reach the centre.
//!
//! A machine that works for somebody else may not go on changing things unseen. Records are never dropped, so that the
//! bound is also what keeps the outbox from growing for ever.

use lanyard_ports::journal::AuditBacklog;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::limits::MAX_AUDIT_BACKLOG;
use lanyard_protocol::policy::Capability;

/// What may be done all the same: it changes nothing and sends nothing.
const HARMLESS: [Capability; 3] = [Capability::FileRead, Capability::GitStatus, Capability::GitDiff];

/// Why a call with these needs is not let through, if it is not.
pub(crate) fn refusal(needs: &[Capability], backlog: AuditBacklog) -> Option<WireError> {
    let AuditBacklog { records, oldest_at } = backlog;
    if records < MAX_AUDIT_BACKLOG || needs.iter().all(|need| HARMLESS.contains(need)) {
        return None;
    }
    let since = oldest_at.map(|at| format!(" since {at}")).unwrap_or_default();
    let text = format!(
        "the audit records of this host have not reached the centre{since}: {records} wait, and while {MAX_AUDIT_BACKLOG} \
         or more do, only reading is allowed. Nothing is lost; `lanyard sync status` shows what keeps them"
    );
    Some(WireError::new(ErrorCode::CentralUnavailable, text))
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::Timestamp;

    use super::*;

    fn with(records: u64) -> AuditBacklog {
        AuditBacklog { records, oldest_at: Some(Timestamp::from_millis(0)) }
    }

    #[test]
    fn only_reading_goes_on_beyond_the_bound() {
        for capability in Capability::ALL {
            let reads =
                matches!(capability, Capability::FileRead | Capability::GitStatus | Capability::GitDiff);
            let refused = |records| refusal(&[*capability], with(records)).is_some();
            assert!(!refused(MAX_AUDIT_BACKLOG - 1), "{capability}");
            assert_eq!(refused(MAX_AUDIT_BACKLOG), !reads, "{capability}");
        }
    }

    #[test]
    fn a_call_that_also_changes_something_does_not_pass_as_reading() {
        let error = refusal(&[Capability::FileRead, Capability::FileWrite], with(MAX_AUDIT_BACKLOG)).unwrap();
        assert!(error.retryable && error.message.contains("since 1970-01-01"), "{error}");
    }
}
