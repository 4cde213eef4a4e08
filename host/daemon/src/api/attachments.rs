//! Files sent along with a prompt.

use std::sync::Arc;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::limits::{MAX_ATTACHMENTS, MAX_FILE_PIECE_BYTES};
use lanyard_protocol::method::{AttachmentPut, PutAttachment, Response, StartTask};
use lanyard_protocol::principal::Principal;

use super::{Answer, session_error, store_error};
use crate::host::Host;
use crate::ids::invalid;
use crate::uploads::{Key, Piece};

/// Longest wish for a name, in bytes; file systems take 255.
const MAX_WISH_BYTES: usize = 1_024;

/// `PutAttachment`.
pub(super) async fn put(
    host: &Arc<Host>,
    principal: &Principal,
    params: PutAttachment,
) -> Result<Answer, WireError> {
    let PutAttachment { session_id, attachment_id, name, offset, bytes, last } = params;
    let session = host.journal.session(&session_id).map_err(|e| session_error(&session_id, e))?;
    if session.summary.state.is_final() {
        let text = format!("session {session_id} has ended; start a new one");
        return Err(WireError::new(ErrorCode::SessionExpired, text));
    }
    if bytes.0.len() > MAX_FILE_PIECE_BYTES as usize {
        return Err(invalid(format!("bytes: at most {MAX_FILE_PIECE_BYTES} in one piece")));
    }
    if name.len() > MAX_WISH_BYTES {
        return Err(invalid(format!("name: at most {MAX_WISH_BYTES} bytes")));
    }
    host.journal.room().map_err(store_error)?;
    let workspace = if last { Some(host.sessions.open_to_look(host, &session_id).await?) } else { None };
    let key = Key { principal: principal.id.clone(), session: session_id, attachment: attachment_id };
    let (piece, uploads) = (Piece { offset, bytes: bytes.0, last }, host.uploads.clone());
    let taken = tokio::task::spawn_blocking(move || {
        uploads.put(&key, &piece, |content| match &workspace {
            Some(workspace) => lanyard_tools::attach(workspace, &name, content),
            // Asked for with the last piece only.
            None => Err(lanyard_tools::AttachError::Failed("it is not complete".to_owned())),
        })
    });
    let taken = taken.await.map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
    let (length, path) = taken?;
    Ok(Response::PutAttachment(AttachmentPut { length, path }).into())
}

/// Refuses a task with attachments that are not there.
pub(super) async fn check(host: &Arc<Host>, params: &StartTask) -> Result<(), WireError> {
    if params.attachments.is_empty() {
        return Ok(());
    }
    if params.attachments.len() > MAX_ATTACHMENTS {
        return Err(invalid(format!("attachments: at most {MAX_ATTACHMENTS} files")));
    }
    let workspace = host.sessions.open_to_look(host, &params.session_id).await?;
    let paths = params.attachments.clone();
    let look = move || paths.iter().try_for_each(|path| lanyard_tools::attached(&workspace, path));
    let looked = tokio::task::spawn_blocking(look).await;
    let looked = looked.map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
    Ok(looked?)
}
