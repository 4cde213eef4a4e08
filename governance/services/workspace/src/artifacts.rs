//! Artifacts: listed, read, removed.

use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lanyard_governance_api::artifact::ArtifactRecord;
use lanyard_governance_api::endpoint::{DeleteArtifact, GetArtifactContent, ListArtifacts};
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Caller, Fault, RawAsk, Statement};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::id::{ArtifactId, WorkspaceId};
use object_store::path::Path;
use object_store::{GetResult, ObjectStoreExt as _};

use crate::State;
use crate::keep::{self, Which};
use crate::workspaces;
use lanyard_governance_foundation::page::Cut;

/// `GET /workspaces/{workspace_id}/artifacts`
pub(crate) async fn list(state: State, ask: Ask<ListArtifacts>) -> Result<Page<ArtifactRecord>, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    workspaces::reach(&state, &ask.caller, &workspace).await?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let sql = format!(
        "SELECT {} FROM workspace_artifacts WHERE tenant_id = $1 AND workspace_id = $2",
        keep::COLUMNS
    );
    let mut statement = Statement::new(sql).bind_id(&workspace);
    if let Some(session) = &ask.query.session_id {
        let place = statement.next_placeholder();
        statement = statement.push(&format!(" AND session_id = ${place}")).bind_id(session);
    }
    if let Some(kind) = ask.query.artifact_type {
        let place = statement.next_placeholder();
        statement = statement.push(&format!(" AND artifact_type = ${place}")).bind(keep::type_name(kind));
    }
    let rows = tx.all(cut.apply(statement, "AND", "created_at", "record_id")?).await?;
    cut.page(rows, |row| Ok((row.time("created_at")?, row.text("record_id")?)), keep::artifact)
}

/// The content of a hash that is kept in a workspace.
pub(crate) async fn open(
    state: &State,
    caller: &Caller,
    workspace: &WorkspaceId,
    id: &ArtifactId,
) -> Result<GetResult, Fault> {
    let mut tx = state.foundation.database.read(caller).await?;
    let sql = "SELECT store_key, bytes FROM workspace_objects o WHERE o.tenant_id = $1 AND o.sha256 = $3 AND EXISTS \
        (SELECT 1 FROM workspace_artifacts a WHERE a.tenant_id = $1 AND a.workspace_id = $2 AND a.sha256 = o.sha256)";
    let row = tx.one(Statement::new(sql).bind_id(workspace).bind(keep::hash_of(id)?)).await?;
    drop(tx);
    let Some(row) = row else { return Err(keep::not_found(id)) };
    let key = Path::parse(row.text("store_key")?)
        .map_err(|e| Fault::internal("the key of an artifact cannot be read", &e))?;
    match state.settings.store.get(&key).await {
        Ok(found) if found.meta.size == row.count("bytes")? => Ok(found),
        Ok(_) => Err(Fault::internal("an artifact is damaged in the store: its size has changed", &key)),
        // Removed since the row was read.
        Err(object_store::Error::NotFound { .. }) => {
            tracing::warn!(%key, "an artifact is not in the store");
            Err(keep::not_found(id))
        }
        Err(error) => {
            tracing::warn!(%error, "the artifact store cannot be read");
            Err(Fault::new(
                ErrorCode::CentralUnavailable,
                "the artifact store cannot be read at the moment; try again",
            ))
        }
    }
}

/// `GET /workspaces/{workspace_id}/artifacts/{artifact_id}`
pub(crate) async fn content(state: State, ask: RawAsk<GetArtifactContent>) -> Result<Response, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let id: ArtifactId = ask.path.get("artifact_id")?;
    workspaces::reach(&state, &ask.caller, &workspace).await?;
    let found = open(&state, &ask.caller, &workspace, &id).await?;
    let tag = format!("\"{id}\"");
    let unchanged =
        ask.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let length = HeaderValue::from(found.meta.size);
    let (status, body) = match unchanged {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from_stream(found.into_stream().map_err(std::io::Error::other))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    shown_as_nothing(response.headers_mut());
    if !unchanged {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    let tag = HeaderValue::try_from(tag).map_err(|e| Fault::internal("an id makes no tag", &e))?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// Somebody else's bytes: saved, never shown as a page of ours.
fn shown_as_nothing(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// `DELETE /workspaces/{workspace_id}/artifacts/{artifact_id}`
pub(crate) async fn delete(state: State, ask: Ask<DeleteArtifact>) -> Result<Nothing, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let id: ArtifactId = ask.path.get("artifact_id")?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    workspaces::take(&mut tx, &ask.caller, &workspace, now).await?;
    let gone = keep::drop_records(&mut tx, &workspace, Which::Content(keep::hash_of(&id)?), now).await?;
    if gone.records == 0 {
        return Err(keep::not_found(&id));
    }
    let record = workspaces::trail_record("artifact_deleted", &workspace)
        .by(&ask.caller)
        .with("artifactId", id.as_str())
        .with("records", gone.records);
    trail::record(&mut tx, ask.caller.tenant()?, state.foundation.clock.as_ref(), record).await?;
    tx.commit().await?;
    Ok(Nothing {})
}
