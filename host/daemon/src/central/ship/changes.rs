//! What a task changed in files, compared as for people here.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use lanyard_protocol::error::WireError;
use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::method::PatchPreview;

use crate::central::wire::Content;
use crate::host::Host;

/// The changes of a task, bounded like every preview, as JSON of `PatchPreview`; `None` when nothing is different.
///
/// # Errors
/// Files cannot be compared.
pub(super) async fn of(
    host: &Arc<Host>,
    session: &SessionId,
    task: &TaskId,
) -> Result<Option<Content>, WireError> {
    let files = crate::api::changed_files(host, session, task).await?;
    if files.is_empty() {
        return Ok(None);
    }
    let json = tokio::task::spawn_blocking(move || serde_json::to_vec(&PatchPreview { files })).await;
    let json = json.map_err(fault)?.map_err(fault)?;
    let (bytes, json) = (json.len() as u64, Bytes::from(json));
    Ok(Some(Content::new(bytes, move || stream::iter([Ok(json.clone())]).boxed())))
}

fn fault(error: impl std::fmt::Display) -> WireError {
    WireError::new(lanyard_protocol::ErrorCode::InternalError, error.to_string())
}
