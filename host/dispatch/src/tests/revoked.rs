//! A policy that is taken back or changed while a call waits, starts, or runs.

use std::time::Duration;

use lanyard_ports::journal::{AuditBacklog, CallPhase};
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::limits::MAX_AUDIT_BACKLOG;
use lanyard_protocol::session::ApprovalMode;
use lanyard_protocol::tool::ToolStatus;

use super::*;

const CENTRAL: LayerOf = ("central", |bundle| bundle.offline_grace_seconds = 600);
const LOCAL: LayerOf = ("local", |_| ());
const REASON: &str = "mia: a token leaked";

/// Writing is granted no more.
const READS_ONLY: LayerOf = ("central", |bundle| {
    bundle.capabilities.retain(|grant| grant.name != lanyard_protocol::policy::Capability::FileWrite);
});

async fn governed() -> Rig {
    Rig::new(vec![CENTRAL, LOCAL]).await
}

/// A call that may run at once, because the owner switched questions off.
async fn waived(rig: &Rig, call: &str) -> Box<dyn ReadyCall> {
    ready(settle(rig.prepare(call, owner(), ApprovalMode::Never).await).await)
}

fn revoked(result: &ToolResult, status: ToolStatus) {
    let error = result.error.as_ref().unwrap();
    assert_eq!((result.status, error.code), (status, ErrorCode::PolicyRevoked), "{error}");
    assert!(error.message.contains(REASON), "{error}");
}

#[tokio::test]
async fn a_question_ends_with_the_policy_that_asked_it() {
    let rig = governed().await;
    let (waits, question) = rig.ask(rig.prepare("c", owner(), ApprovalMode::default()).await).await;
    rig.centre.raise_and_tell(Some(REASON));
    revoked(&over(waits.await.unwrap()), ToolStatus::Denied);
    let state = rig.journal.approvals.lock().unwrap()[question.as_str()].state;
    assert_eq!(state, ApprovalState::Cancelled);
}

#[tokio::test]
async fn a_call_does_not_start_under_a_revoked_policy() {
    let rig = governed().await;
    let call = waived(&rig, "c").await;
    rig.centre.raise_and_tell(Some(REASON));
    revoked(&run(call).await, ToolStatus::Denied);
    assert!(!rig.file().exists());
    // Nor is another one looked at.
    let settled = settle(rig.prepare("d", owner(), ApprovalMode::Never).await).await;
    revoked(&over(settled), ToolStatus::Denied);
}

#[tokio::test]
async fn a_call_whose_start_is_on_disk_looks_once_more() {
    let rig = governed().await;
    let call = waived(&rig, "c").await;
    let centre = rig.centre.clone();
    *rig.journal.at_start.lock().unwrap() = Some(Box::new(move || centre.raise_and_tell(Some(REASON))));
    revoked(&run(call).await, ToolStatus::Denied);
    assert!(!rig.file().exists());
    assert_eq!(rig.journal.phase("c"), Some(CallPhase::Finished), "a restart would wonder about it");
}

#[tokio::test]
async fn a_call_is_judged_anew_by_the_policy_in_force_when_it_starts() {
    for while_starting in [false, true] {
        let rig = governed().await;
        let call = waived(&rig, "c").await;
        let centre = rig.centre.clone();
        let narrow = move || {
            centre.change(|state| state.layers = vec![READS_ONLY, LOCAL]);
            centre.raise_and_tell(None);
        };
        if while_starting {
            *rig.journal.at_start.lock().unwrap() = Some(Box::new(narrow));
        } else {
            narrow();
        }
        let result = run(call).await;
        assert_eq!(result.error.unwrap().code, ErrorCode::CapabilityDenied, "{while_starting}");
        assert!(!rig.file().exists());
    }
}

#[tokio::test]
async fn a_change_that_leaves_the_call_allowed_does_not_stop_it() {
    let rig = governed().await;
    let call = waived(&rig, "c").await;
    let centre = rig.centre.clone();
    *rig.journal.at_start.lock().unwrap() = Some(Box::new(move || centre.raise_and_tell(None)));
    assert_eq!(run(call).await.status, ToolStatus::Succeeded);
    assert!(rig.file().exists());
}

#[tokio::test]
async fn a_running_program_ends_with_its_policy() {
    let rig = governed().await;
    let arguments = serde_json::json!({"argv": ["sleep", "60"]});
    let call = rig.prepare_tool("c", "RunCommand", arguments, owner(), ApprovalMode::Never).await;
    let call = ready(settle(call).await);
    let running = tokio::spawn(run(call));
    while rig.journal.phase("c") != Some(CallPhase::Started) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.centre.raise_and_tell(None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!running.is_finished(), "a mere change ended it");
    rig.centre.raise_and_tell(Some(REASON));
    let result = tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap();
    revoked(&result, ToolStatus::Cancelled);
}

#[tokio::test]
async fn what_changes_things_waits_for_the_audit_to_arrive() {
    let rig = governed().await;
    let backlog = |records| AuditBacklog { records, oldest_at: Some(Timestamp::from_millis(NOW)) };
    *rig.journal.backlog.lock().unwrap() = backlog(MAX_AUDIT_BACKLOG);
    let result = over(settle(rig.prepare("c", owner(), ApprovalMode::Never).await).await);
    let error = result.error.unwrap();
    assert_eq!((result.status, error.code), (ToolStatus::Denied, ErrorCode::CentralUnavailable));
    assert!(error.message.contains("have not reached the centre since 2027"), "{error}");
    let arguments = serde_json::json!({"path": "."});
    let read = rig.prepare_tool("r", "ListDirectory", arguments, owner(), ApprovalMode::Never).await;
    assert_eq!(run(ready(settle(read).await)).await.status, ToolStatus::Succeeded);
    *rig.journal.backlog.lock().unwrap() = backlog(MAX_AUDIT_BACKLOG - 1);
    assert_eq!(run(waived(&rig, "d").await).await.status, ToolStatus::Succeeded);
}
