//! Reading what happened: history, artifacts, subscriptions.

use std::sync::Arc;

use lanyard_ports::journal::{Cursor, JournalError};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::limits::MAX_ARTIFACT_PAGE_BYTES;
use lanyard_protocol::method::{
    ArtifactPage, Done, GetArtifact, GetHistory, HistoryPage, HostSubscribed, Response, Subscribe,
    SubscribeHost, Subscribed, Unsubscribe,
};

use super::{Answer, Follow, blocking, page_size, session_error, store_error};
use crate::host::Host;

/// `GetHistory`.
pub(super) async fn page(host: &Arc<Host>, params: GetHistory) -> Result<Answer, WireError> {
    let cursor = match (params.after_seq, params.before_seq) {
        (Some(_), Some(_)) => {
            let text = "give afterSeq or beforeSeq, not both";
            return Err(WireError::new(ErrorCode::InvalidRequest, text));
        }
        (Some(seq), None) => Cursor::After(seq),
        (None, Some(seq)) => Cursor::Before(seq),
        (None, None) => Cursor::End,
    };
    let limit = page_size(params.limit)?;
    host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    let journal = host.journal.clone();
    let page = blocking(move || match params.query.as_deref().map(str::to_lowercase) {
        Some(query) if !query.is_empty() => journal.search_events(&params.session_id, &query, cursor, limit),
        _ => journal.events(&params.session_id, cursor, limit),
    })
    .await?;
    let result = HistoryPage {
        events: page.events,
        first_seq: page.first_seq,
        last_seq: page.last_seq,
        has_more: page.next.is_some(),
        next_seq: page.next,
    };
    Ok(Response::GetHistory(result).into())
}

/// `GetArtifact`.
pub(super) async fn artifact(host: &Arc<Host>, params: GetArtifact) -> Result<Answer, WireError> {
    let length = params.length.unwrap_or(MAX_ARTIFACT_PAGE_BYTES).min(MAX_ARTIFACT_PAGE_BYTES);
    let artifacts = host.artifacts.clone();
    let id = params.artifact_id.clone();
    let read = move || artifacts.read(&params.artifact_id, params.offset, length);
    let (bytes, total) = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(piece)) => piece,
        Ok(Err(JournalError::NotFound(_))) => {
            return Err(WireError::new(
                ErrorCode::ArtifactNotFound,
                format!("there is no artifact {id} on this host"),
            ));
        }
        Ok(Err(error)) => return Err(store_error(error)),
        Err(error) => return Err(WireError::new(ErrorCode::InternalError, error.to_string())),
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let page = ArtifactPage { text: String::from_utf8_lossy(&bytes).into_owned(), length, total };
    Ok(Response::GetArtifact(page).into())
}

/// `Subscribe`.
pub(super) fn subscribe(host: &Arc<Host>, params: Subscribe) -> Result<Answer, WireError> {
    let session =
        host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    let last_seq = session.summary.last_seq;
    check_cursor(params.after_seq, last_seq)?;
    Ok(Answer {
        response: Response::Subscribe(Subscribed { last_seq }),
        follow: Follow::Session(params.session_id, params.after_seq),
    })
}

/// A cursor beyond the end belongs to another history (a store that was lost or replaced): the client must start over.
pub(super) fn check_cursor(after: u64, last_seq: u64) -> Result<(), WireError> {
    if after <= last_seq {
        return Ok(());
    }
    let text =
        format!("the cursor {after} is beyond the last event {last_seq}; read the session's history anew");
    Err(WireError::new(ErrorCode::CursorExpired, text).with("lastSeq", last_seq))
}

/// `Unsubscribe`.
pub(super) fn unsubscribe(params: Unsubscribe) -> Answer {
    Answer { response: Response::Unsubscribe(Done {}), follow: Follow::Unfollow(params.session_id) }
}

/// `SubscribeHost`.
pub(super) fn subscribe_host(host: &Arc<Host>, params: SubscribeHost) -> Result<Answer, WireError> {
    let (_, last_host_seq) = host.journal.host_events(u64::MAX, 1).map_err(store_error)?;
    let after = params.after_host_seq.unwrap_or(last_host_seq);
    check_cursor(after, last_host_seq)?;
    Ok(Answer {
        response: Response::SubscribeHost(HostSubscribed { last_host_seq }),
        follow: Follow::Host(after),
    })
}
