//! Calls that a crash interrupted, recognised by their id.

use std::path::Path;
use std::sync::Arc;

use lanyard_ports::journal::{CallPhase, CallRecord, JournalError, Replay, Write};
use lanyard_ports::remote::RemoteOutcome;
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, ToolCompleted};
use lanyard_protocol::limits::MAX_TOOL_OUTPUT_BYTES;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::output;
use crate::record::About;
use crate::remote;
use crate::router::RouterParts;

/// Largest file compared by hash after a crash; a file tool writes nothing larger.
const MAX_COMPARED_BYTES: u64 = 64 << 20;

/// What is known of a call.
pub(crate) enum Interrupted {
    /// Nothing: it is new.
    No,
    /// It was asked for before, came this far, and has not taken effect: judge it again.
    Again(CallPhase),
    /// It has its result.
    Over(Box<ToolResult>),
}

/// Looks a call up and decides what a restart may do with it (architecture, recovery).
pub(crate) async fn look_up(
    parts: &Arc<RouterParts>,
    request: &ToolRequest,
) -> Result<Interrupted, JournalError> {
    let Some(record) = parts.journal.call(&request.session_id, &request.tool_call_id)? else {
        return Ok(Interrupted::No);
    };
    if record.request.tool_name != request.tool_name || record.request.arguments != request.arguments {
        return Err(JournalError::Refused(format!(
            "the call id {} is used for two calls",
            request.tool_call_id
        )));
    }
    match (record.phase, &record.completed) {
        (phase @ (CallPhase::Planned | CallPhase::Authorized), _) => Ok(Interrupted::Again(phase)),
        (CallPhase::Started, _) => started(parts, record).await,
        (CallPhase::Finished | CallPhase::Indeterminate | CallPhase::Reported, Some(completed)) => {
            Ok(Interrupted::Over(Box::new(completed.result.clone())))
        }
        (phase, None) => Err(JournalError::Corrupt(format!(
            "the call {} is {phase:?} without a result",
            request.tool_call_id
        ))),
    }
}

async fn started(parts: &Arc<RouterParts>, record: CallRecord) -> Result<Interrupted, JournalError> {
    let (path, pre, post) = match record.replay.clone() {
        Replay::PureRead => return Ok(Interrupted::Again(CallPhase::Started)),
        // The host's own tools leave no trace of how they ended; whoever keeps the others may know.
        Replay::Opaque if lanyard_tools::demands_of(&record.request.tool_name).is_none() => {
            return elsewhere(parts, record).await;
        }
        Replay::Opaque => return unknown(parts, record, "the host stopped while it ran").await,
        Replay::FileWrite { path, pre, post } => (path, pre, post),
    };
    let started_at = parts.facts.started_at;
    let look = move || {
        remove_leftovers(&path, started_at);
        hash_now(&path)
    };
    let found = tokio::task::spawn_blocking(look).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return unknown(parts, record, &format!("the file cannot be read: {error}")).await,
        Err(error) => return unknown(parts, record, &error.to_string()).await,
    };
    if found == post {
        return done(parts, record).await;
    }
    if found == pre {
        return Ok(Interrupted::Again(CallPhase::Started));
    }
    unknown(parts, record, "the file is neither as it was before nor as the call would have left it").await
}

/// Deletes the temporary files a killed host left beside a file it was writing (`lanyard-tools`, `ground::replace`):
/// regular files of exactly that name pattern, older than this host. What cannot be deleted stays; it is only untidy.
fn remove_leftovers(path: &Path, started_at: Timestamp) {
    let Some(entries) = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = name.to_str().and_then(|n| n.strip_prefix(".lanyard-")?.strip_suffix(".tmp"));
        let ours = middle.is_some_and(|m| m.len() == 16 && m.bytes().all(|b| b.is_ascii_hexdigit()));
        if ours
            && is_older(&entry, started_at)
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::debug!(%error, file = %entry.path().display(), "a temporary file stays");
        }
    }
}

fn is_older(entry: &std::fs::DirEntry, than: Timestamp) -> bool {
    let Ok(meta) = entry.metadata() else { return false };
    let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let millis = changed.and_then(|since| i64::try_from(since.as_millis()).ok());
    meta.is_file() && millis.is_some_and(|millis| millis < than.as_millis())
}

/// Hex SHA-256 of a regular file; `None` when there is none. Links are not followed: a link in the file's place is
/// not the file.
fn hash_now(path: &Path) -> std::io::Result<Option<String>> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if !meta.is_file() {
        return Err(std::io::Error::other("it is no regular file any more"));
    }
    if meta.len() > MAX_COMPARED_BYTES {
        return Err(std::io::Error::other("it has grown too large to compare"));
    }
    let digest = Sha256::digest(std::fs::read(path)?);
    Ok(Some(data_encoding::HEXLOWER.encode(&digest)))
}

/// The effect is there: the crash came between the write and its record.
async fn done(parts: &Arc<RouterParts>, record: CallRecord) -> Result<Interrupted, JournalError> {
    let mut result = ToolResult::of(&record.request, ToolStatus::Succeeded);
    result.output_text = Some("done; the host restarted right after it".to_owned());
    finish(parts, record, result, CallPhase::Finished).await
}

/// Asks for what became of a call that a tool elsewhere may have had. It is not made again, even if it never was.
async fn elsewhere(parts: &Arc<RouterParts>, record: CallRecord) -> Result<Interrupted, JournalError> {
    let end = match parts.remote.outcome(&record.request).await {
        RemoteOutcome::Unknown(why) => {
            return unknown(parts, record, &format!("the host stopped while it ran, and {why}")).await;
        }
        RemoteOutcome::Cancelled | RemoteOutcome::NeverRan(_) => {
            let text =
                "the host stopped before the tool was called; it did not run, and is not called by itself";
            let error = WireError::new(ErrorCode::ToolExecutionFailed, text);
            let result = ToolResult::of(&record.request, ToolStatus::Cancelled).with_error(error);
            return finish(parts, record, result, CallPhase::Finished).await;
        }
        RemoteOutcome::Ended(end) => end,
    };
    let mut result = ToolResult::of(&record.request, end.status);
    let cap = remote::cap(&parts.policy.held()).min(MAX_TOOL_OUTPUT_BYTES);
    output::keep(parts, &mut result, end.output, cap).await?;
    result.error = end.error;
    finish(parts, record, result, CallPhase::Finished).await
}

/// Nobody can know. Never repeated by itself; the model and the person are told.
async fn unknown(
    parts: &Arc<RouterParts>,
    record: CallRecord,
    why: &str,
) -> Result<Interrupted, JournalError> {
    let text = format!(
        "it is not known whether this call took effect: {why}. It was not repeated; look at the state of things before \
         deciding what to do"
    );
    let error = WireError::new(ErrorCode::OutcomeUnknown, text);
    let result = ToolResult::of(&record.request, ToolStatus::Indeterminate).with_error(error);
    finish(parts, record, result, CallPhase::Indeterminate).await
}

async fn finish(
    parts: &Arc<RouterParts>,
    record: CallRecord,
    result: ToolResult,
    phase: CallPhase,
) -> Result<Interrupted, JournalError> {
    let completed = ToolCompleted {
        result: result.clone(),
        exit_code: None,
        duration_ms: 0,
        sandbox_level: SandboxLevel::None,
        changes: Vec::new(),
        replayed: true,
    };
    let recorder = parts.recorder();
    let event = recorder.event(&record.request, EventBody::ToolCompleted(completed.clone()))?;
    let severity = if phase == CallPhase::Indeterminate { Severity::Error } else { Severity::Info };
    let about =
        About { component: Component::LocalToolRuntime, context: BoundedContext::ToolExecution, severity };
    let payload = json!({
        "toolName": record.request.tool_name,
        "capability": record.request.capability,
        "status": result.status,
        "errorCode": result.error.as_ref().map(|e| e.code),
        "approvalId": record.approval_id,
        "foundAfterRestart": true,
    });
    let user = &parts.policy.claim().user_id;
    let audit = recorder.audit(&record.request, user, "tool_completed", about, payload)?;
    let record = CallRecord { phase, completed: Some(completed), ..record };
    parts.journal.commit(vec![Write::Call(Box::new(record)), event, audit]).await?;
    Ok(Interrupted::Over(Box::new(result)))
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::Timestamp;

    use super::remove_leftovers;

    #[test]
    fn only_a_dead_hosts_own_temporary_files_are_deleted() {
        let dir = std::env::temp_dir().join(format!("lanyard-leftovers-{}", std::process::id()));
        std::fs::create_dir_all(dir.join(".lanyard-0123456789abcdee.tmp")).unwrap();
        for name in [".lanyard-0123456789abcdef.tmp", ".lanyard-notours.tmp", "kept.txt"] {
            std::fs::write(dir.join(name), "x").unwrap();
        }
        let file = dir.join("kept.txt");
        remove_leftovers(&file, Timestamp::from_millis(1_000));
        assert!(dir.join(".lanyard-0123456789abcdef.tmp").exists(), "younger than the host: in use");
        remove_leftovers(&file, Timestamp::now().plus_millis(60_000));
        let mut left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".lanyard-0123456789abcdee.tmp", ".lanyard-notours.tmp", "kept.txt"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
