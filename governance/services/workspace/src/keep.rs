//! Which artifacts are kept, and which object of the store holds the content of each.
//!
//! Every function works inside a transaction of the caller's, who holds the row of the workspace (`workspaces::take`).
//! The row of an object is the lock for its count: an upload that names a hash and the removal of its last name follow
//! one another, in whichever order.

use data_encoding::HEXLOWER;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactRecord, ArtifactType};
use lanyard_governance_foundation::{Fault, Row, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ArtifactId, WorkspaceId};
use sha2::{Digest as _, Sha256};

use crate::removal;

/// Columns of an artifact.
pub(crate) const COLUMNS: &str = "workspace_id, record_id, artifact_type, session_id, task_id, step_id, \
    tool_call_id, sha256, bytes, seq, created_at";

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Hex.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// Where the content is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Perhaps in the store already.
    Existing,
    /// Just written under this key, which is on the list of removals until it counts.
    New(&'a str),
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) records: u64,
    pub(crate) objects: u64,
}

/// Which artifacts of a workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    /// All with this content.
    Content(&'a str),
    /// All of this session.
    Session(&'a str),
}

/// The spelling in the database, which is that of the wire.
pub(crate) fn type_name(kind: ArtifactType) -> &'static str {
    match kind {
        ArtifactType::SessionHistory => "session_history",
        ArtifactType::ToolOutput => "tool_output",
        ArtifactType::FileDiff => "file_diff",
    }
}

/// Key of a session's one thread.
pub(crate) fn history_record(session: &impl std::fmt::Display) -> String {
    format!("history:{session}")
}

/// Key of the row: the same thing sent again is the same row.
fn record_id(meta: &ArtifactQuery, content: &Content) -> String {
    if meta.artifact_type == ArtifactType::SessionHistory {
        return history_record(&meta.session_id);
    }
    let mut hash = Sha256::new();
    let parts = [
        Some(type_name(meta.artifact_type)),
        Some(meta.session_id.as_str()),
        meta.task_id.as_ref().map(|id| id.as_str()),
        meta.step_id.as_ref().map(|id| id.as_str()),
        meta.tool_call_id.as_ref().map(|id| id.as_str()),
        Some(&content.sha256),
    ];
    for part in parts {
        hash.update(part.unwrap_or_default());
        hash.update([0]);
    }
    HEXLOWER.encode(&hash.finalize())
}

/// An artifact as callers see it.
pub(crate) fn artifact(row: &Row) -> Result<ArtifactRecord, Fault> {
    let artifact_type = match row.text("artifact_type")?.as_str() {
        "session_history" => ArtifactType::SessionHistory,
        "tool_output" => ArtifactType::ToolOutput,
        _ => ArtifactType::FileDiff,
    };
    let artifact_id = address(&row.text("sha256")?)?;
    let workspace: WorkspaceId = row.id("workspace_id")?;
    Ok(ArtifactRecord {
        uri: format!("/workspaces/{workspace}/artifacts/{artifact_id}"),
        artifact_id,
        artifact_type,
        session_id: row.id("session_id")?,
        task_id: row.opt_id("task_id")?,
        step_id: row.opt_id("step_id")?,
        tool_call_id: row.opt_id("tool_call_id")?,
        bytes: row.count("bytes")?,
        seq: row.opt_int("seq")?.and_then(|seq| u64::try_from(seq).ok()),
        created_at: row.time("created_at")?,
    })
}

/// The content address of a hash.
fn address(sha256: &str) -> Result<ArtifactId, Fault> {
    format!("sha256-{sha256}").parse().map_err(|e| Fault::internal("a hash makes no artifact id", &e))
}

/// The hash of a content address. One that is none names nothing.
pub(crate) fn hash_of(id: &ArtifactId) -> Result<&str, Fault> {
    let hash = id.as_str().strip_prefix("sha256-").filter(|hash| is_hash(hash));
    hash.ok_or_else(|| not_found(id))
}

/// Whether it is a hash as it is written here: 64 lower-case hex digits.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// 404.
pub(crate) fn not_found(id: &ArtifactId) -> Fault {
    Fault::new(
        lanyard_protocol::ErrorCode::ArtifactNotFound,
        format!("there is no artifact {id} in this workspace"),
    )
}

/// What a new state of a thread is against the one that is kept.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It replaces it.
    Newer,
    /// It is the same.
    Same,
}

fn compare(kept: &Row, seq: u64, sha256: Option<&str>) -> Result<Standing, Fault> {
    let stored = kept.count("seq")?;
    let stored_hash = kept.text("sha256")?;
    if seq > stored {
        return Ok(Standing::Newer);
    }
    if seq == stored && sha256.is_none_or(|hash| hash == stored_hash) {
        return Ok(Standing::Same);
    }
    let message = match seq == stored {
        true => format!("another history up to event {stored} is stored for this session"),
        false => format!("a history up to event {stored} is stored; this one ends at event {seq}"),
    };
    Err(Fault::conflict(message).with("storedSeq", stored))
}

async fn kept(tx: &mut Tx, workspace: &WorkspaceId, record: &str) -> Result<Option<Row>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workspace_artifacts WHERE tenant_id = $1 AND workspace_id = $2 AND record_id = $3"
    );
    Ok(tx.one(Statement::new(sql).bind_id(workspace).bind(record)).await?)
}

/// Refuses a thread that could not be kept anyway, before its content is read.
pub(crate) async fn foresee(tx: &mut Tx, workspace: &WorkspaceId, meta: &ArtifactQuery) -> Result<(), Fault> {
    let Some(seq) = meta.seq else { return Ok(()) };
    match kept(tx, workspace, &history_record(&meta.session_id)).await? {
        Some(row) => compare(&row, seq, meta.sha256.as_deref()).map(|_| ()),
        None => Ok(()),
    }
}

/// Writes the row of an artifact, so that its content counts. `None`: the content is not in the store yet. The same
/// artifact again changes nothing.
pub(crate) async fn place(
    tx: &mut Tx,
    workspace: &WorkspaceId,
    meta: &ArtifactQuery,
    content: &Content,
    source: Source<'_>,
    now: Timestamp,
) -> Result<Option<ArtifactRecord>, Fault> {
    let record = record_id(meta, content);
    let before = kept(tx, workspace, &record).await?;
    if let Some(row) = &before {
        let standing = match meta.seq {
            Some(seq) => compare(row, seq, Some(&content.sha256))?,
            None => Standing::Same,
        };
        if standing == Standing::Same {
            if let Source::New(key) = source {
                removal::due_now(tx, key, now).await?;
            }
            return artifact(row).map(Some);
        }
    }
    if !name(tx, content, source, now).await? {
        return Ok(None);
    }
    // The thread that is replaced loses its content only now, in the same transaction.
    if let Some(row) = &before {
        let sql = "UPDATE workspace_objects SET refs = refs - 1 WHERE tenant_id = $1 AND sha256 = $2";
        tx.run(Statement::new(sql).bind(row.text("sha256")?)).await?;
        bury(tx, now).await?;
    }
    let sql = format!(
        "INSERT INTO workspace_artifacts (tenant_id, {COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (tenant_id, workspace_id, record_id) DO UPDATE SET task_id = excluded.task_id, \
         step_id = excluded.step_id, tool_call_id = excluded.tool_call_id, sha256 = excluded.sha256, \
         bytes = excluded.bytes, seq = excluded.seq, created_at = excluded.created_at"
    );
    let seq = meta.seq.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX));
    let statement = Statement::new(sql)
        .bind_id(workspace)
        .bind(record.as_str())
        .bind(type_name(meta.artifact_type))
        .bind_id(&meta.session_id)
        .bind_opt_id(meta.task_id.as_ref())
        .bind_opt_id(meta.step_id.as_ref())
        .bind_opt_id(meta.tool_call_id.as_ref())
        .bind(content.sha256.as_str())
        .bind_u64(content.bytes)
        .bind(seq)
        .bind(now);
    tx.run(statement).await?;
    match kept(tx, workspace, &record).await? {
        Some(row) => artifact(&row).map(Some),
        None => Err(Fault::internal("an artifact that was just stored is not there", &record)),
    }
}

/// Adds a name to an object. `false`: there is no such object yet.
async fn name(tx: &mut Tx, content: &Content, source: Source<'_>, now: Timestamp) -> Result<bool, Fault> {
    let Source::New(key) = source else {
        let sql = "UPDATE workspace_objects SET refs = refs + 1 WHERE tenant_id = $1 AND sha256 = $2";
        return Ok(tx.run(Statement::new(sql).bind(content.sha256.as_str())).await? == 1);
    };
    let sql = "INSERT INTO workspace_objects (tenant_id, sha256, store_key, bytes, refs) VALUES ($1, $2, $3, $4, 1) \
        ON CONFLICT (tenant_id, sha256) DO UPDATE SET refs = workspace_objects.refs + 1 RETURNING store_key";
    let statement = Statement::new(sql).bind(content.sha256.as_str()).bind(key).bind_u64(content.bytes);
    let row = tx.one(statement).await?;
    match row.map(|row| row.text("store_key")).transpose()? {
        Some(counts) if counts == key => removal::keep(tx, key).await?,
        // Somebody stored the same meanwhile: theirs counts, ours goes.
        _ => removal::due_now(tx, key, now).await?,
    }
    Ok(true)
}

/// Removes rows of a workspace, and lists the objects that nothing names any more for removal.
pub(crate) async fn drop_records(
    tx: &mut Tx,
    workspace: &WorkspaceId,
    which: Which<'_>,
    now: Timestamp,
) -> Result<Gone, Fault> {
    let (condition, value) = match which {
        Which::All => ("", None),
        Which::Content(hash) => (" AND sha256 = $3", Some(hash)),
        Which::Session(session) => (" AND session_id = $3", Some(session)),
    };
    let bound = |sql: String| {
        let statement = Statement::new(sql).bind_id(workspace);
        match value {
            Some(value) => statement.bind(value),
            None => statement,
        }
    };
    let rows = format!("FROM workspace_artifacts WHERE tenant_id = $1 AND workspace_id = $2{condition}");
    let sql = format!(
        "UPDATE workspace_objects SET refs = refs - (SELECT COUNT(*) {rows} AND \
         workspace_artifacts.sha256 = workspace_objects.sha256) \
         WHERE tenant_id = $1 AND sha256 IN (SELECT sha256 {rows})"
    );
    tx.run(bound(sql)).await?;
    let records = tx.run(bound(format!("DELETE {rows}"))).await?;
    Ok(Gone { records, objects: bury(tx, now).await? })
}

/// Lists what this transaction left without a name for removal. Objects without a name are never committed otherwise.
async fn bury(tx: &mut Tx, now: Timestamp) -> Result<u64, Fault> {
    let sql = "INSERT INTO workspace_removals (tenant_id, store_key, due_at, claimed) \
        SELECT tenant_id, store_key, $2, 0 FROM workspace_objects WHERE tenant_id = $1 AND refs <= 0";
    let buried = tx.run(Statement::new(sql).bind(now)).await?;
    if buried > 0 {
        let sql = "DELETE FROM workspace_objects WHERE tenant_id = $1 AND refs <= 0";
        tx.run(Statement::new(sql)).await?;
        tx.wake(removal::TOPIC).await?;
    }
    Ok(buried)
}
