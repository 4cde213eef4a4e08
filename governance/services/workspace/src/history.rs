//! Threads of sessions: which sessions keep something in a workspace, and what was said in one.

use futures_util::TryStreamExt as _;
use lanyard_governance_api::artifact::{ArtifactRecord, SessionHistory, WorkspaceSession};
use lanyard_governance_api::endpoint::{DeleteSessionHistory, GetSessionHistory, ListWorkspaceSessions};
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Caller, Fault, Row, Statement};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::message::ConversationMessage;
use object_store::GetResult;

use crate::State;
use crate::keep::{self, Which};
use crate::{artifacts, forgetting, workspaces};
use lanyard_governance_foundation::page::Cut;

/// Longest thread that is answered as messages, in bytes: what a service answers another, and what a browser reads at
/// once. A longer one is downloaded as the artifact that it is.
const MAX_ANSWERED: u64 = 16 << 20;

/// `GET /workspaces/{workspace_id}/sessions`
pub(crate) async fn sessions(
    state: State,
    ask: Ask<ListWorkspaceSessions>,
) -> Result<Page<WorkspaceSession>, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    workspaces::reach(&state, &ask.caller, &workspace).await?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let sql = "SELECT s.session_id AS of_session, s.last_at, s.others, a.* FROM \
        (SELECT session_id, MAX(created_at) AS last_at, \
         CAST(SUM(CASE WHEN artifact_type = 'session_history' THEN 0 ELSE 1 END) AS BIGINT) AS others \
         FROM workspace_artifacts WHERE tenant_id = $1 AND workspace_id = $2 GROUP BY session_id) s \
        LEFT JOIN workspace_artifacts a ON a.tenant_id = $1 AND a.workspace_id = $2 \
        AND a.session_id = s.session_id AND a.artifact_type = 'session_history'";
    let statement = Statement::new(sql).bind_id(&workspace);
    let rows = tx.all(cut.apply(statement, "WHERE", "s.last_at", "s.session_id")?).await?;
    let session = |row: &Row| {
        let history = match row.opt_text("record_id")? {
            Some(_) => Some(keep::artifact(row)?),
            None => None,
        };
        Ok(WorkspaceSession {
            session_id: row.id("of_session")?,
            history,
            artifacts: row.count("others")?,
            last_active_at: row.time("last_at")?,
        })
    };
    cut.page(rows, |row| Ok((row.time("last_at")?, row.text("of_session")?)), session)
}

async fn stored(
    state: &State,
    caller: &Caller,
    workspace: &WorkspaceId,
    session: &SessionId,
) -> Result<ArtifactRecord, Fault> {
    let mut tx = state.foundation.database.read(caller).await?;
    let sql = format!(
        "SELECT {} FROM workspace_artifacts WHERE tenant_id = $1 AND workspace_id = $2 AND record_id = $3",
        keep::COLUMNS
    );
    let record = keep::history_record(session);
    match tx.one(Statement::new(sql).bind_id(workspace).bind(record)).await? {
        Some(row) => keep::artifact(&row),
        None => Err(no_history(session)),
    }
}

fn no_history(session: &SessionId) -> Fault {
    Fault::new(
        ErrorCode::ArtifactNotFound,
        format!("no history of session {session} is kept in this workspace"),
    )
}

/// `GET /workspaces/{workspace_id}/sessions/{session_id}/history`
pub(crate) async fn get(state: State, ask: Ask<GetSessionHistory>) -> Result<SessionHistory, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let session: SessionId = ask.path.get("session_id")?;
    workspaces::reach(&state, &ask.caller, &workspace).await?;
    let record = stored(&state, &ask.caller, &workspace, &session).await?;
    if record.bytes > MAX_ANSWERED {
        let message = format!(
            "this history has {} bytes, more than the {MAX_ANSWERED} that are answered at once; download {}",
            record.bytes, record.uri
        );
        return Err(Fault::new(ErrorCode::PayloadTooLarge, message).with("artifactUri", record.uri));
    }
    let _turn = state.histories.acquire().await.map_err(|e| Fault::internal("the server is stopping", &e))?;
    let found = artifacts::open(&state, &ask.caller, &workspace, &record.artifact_id).await?;
    let messages = messages(found, &record).await?;
    Ok(SessionHistory { session_id: session, seq: record.seq.unwrap_or_default(), messages })
}

/// Reads the lines of a thread as they come.
async fn messages(found: GetResult, record: &ArtifactRecord) -> Result<Vec<ConversationMessage>, Fault> {
    let mut messages = Vec::new();
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut read = |line: &mut Vec<u8>| {
        number += 1;
        if !line.iter().all(u8::is_ascii_whitespace) {
            let message = serde_json::from_slice(line).map_err(|error| {
                let text = format!(
                    "line {number} of this history is no message ({error}); download {} to see what was stored",
                    record.uri
                );
                Fault::conflict(text).with("artifactUri", record.uri.clone())
            })?;
            messages.push(message);
        }
        line.clear();
        Ok::<_, Fault>(())
    };
    let mut chunks = found.into_stream();
    loop {
        let chunk = chunks.try_next().await.map_err(|error| {
            tracing::warn!(%error, "the artifact store cannot be read");
            Fault::unavailable("the artifact store cannot be read at the moment; try again")
        })?;
        let Some(chunk) = chunk else { break };
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            line.extend_from_slice(piece);
            // The last piece goes on in the next chunk.
            if pieces.peek().is_some() {
                read(&mut line)?;
            }
        }
    }
    if !line.is_empty() {
        read(&mut line)?;
    }
    Ok(messages)
}

/// `DELETE /workspaces/{workspace_id}/sessions/{session_id}/history`
pub(crate) async fn delete(state: State, ask: Ask<DeleteSessionHistory>) -> Result<Nothing, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let session: SessionId = ask.path.get("session_id")?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    workspaces::take(&mut tx, &ask.caller, &workspace, now).await?;
    let gone = keep::drop_records(&mut tx, &workspace, Which::Session(session.as_str()), now).await?;
    // Also where nothing is kept yet: something may have been said.
    forgetting::intend(&mut tx, &workspace, Some(&session), None, now).await?;
    if gone.records > 0 {
        let record = workspaces::trail_record("session_history_deleted", &workspace)
            .by(&ask.caller)
            .about_session(&session, Some(&workspace))
            .with("artifacts", gone.records);
        trail::record(&mut tx, ask.caller.tenant()?, state.foundation.clock.as_ref(), record).await?;
    }
    tx.commit().await?;
    match gone.records {
        0 => Err(no_history(&session)),
        _ => Ok(Nothing {}),
    }
}
