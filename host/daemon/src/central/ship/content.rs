//! Streams of what is long: a session's thread, an output. Read in pages, so that memory does not grow with them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use lanyard_ports::journal::{ArtifactStore, Journal};
use lanyard_protocol::id::{ArtifactId, SessionId};

use crate::central::wire::{Content, Pieces};

/// Messages read at once. The largest is a tool's output of some hundred kilobytes.
const MESSAGES: usize = 16;

/// Bytes of an artifact read at once.
const PIECE: u32 = 256 << 10;

/// The thread of a session as JSON Lines, as long as it is at this moment. It only grows at its end, so that it is the
/// same however often it is read.
pub(super) async fn thread(journal: Arc<dyn Journal>, session: SessionId) -> io::Result<Content> {
    let count = journal.message_count(&session).map_err(io::Error::other)?;
    let (measured, id) = (journal.clone(), session.clone());
    let measure = move || {
        let (mut from, mut bytes) = (0, 0u64);
        while from < count {
            let (page, read) = lines(&*measured, &id, from, count)?;
            if read == 0 {
                break;
            }
            (from, bytes) = (from + read, bytes + page.len() as u64);
        }
        io::Result::Ok(bytes)
    };
    let bytes = tokio::task::spawn_blocking(measure).await.map_err(io::Error::other)??;
    Ok(Content::new(bytes, move || pages(journal.clone(), session.clone(), count)))
}

fn pages(journal: Arc<dyn Journal>, session: SessionId, count: u64) -> Pieces {
    stream::try_unfold(0u64, move |from| {
        let (journal, session) = (journal.clone(), session.clone());
        async move {
            if from >= count {
                return Ok(None);
            }
            let page = tokio::task::spawn_blocking(move || lines(&*journal, &session, from, count)).await;
            let (bytes, read) = page.map_err(io::Error::other)??;
            // Empty before its end: it was deleted meanwhile.
            Ok((read > 0).then_some((bytes, from + read)))
        }
    })
    .boxed()
}

/// Some messages from a position on, none of them from `end` on.
fn lines(journal: &dyn Journal, session: &SessionId, from: u64, end: u64) -> io::Result<(Bytes, u64)> {
    let limit = usize::try_from(end.saturating_sub(from)).unwrap_or(MESSAGES).min(MESSAGES);
    let messages = journal.messages(session, from, limit).map_err(io::Error::other)?;
    let mut text = Vec::new();
    for message in &messages {
        serde_json::to_writer(&mut text, message).map_err(io::Error::other)?;
        text.push(b'\n');
    }
    Ok((text.into(), messages.len() as u64))
}

/// The whole of an artifact.
pub(super) async fn artifact(artifacts: Arc<dyn ArtifactStore>, id: ArtifactId) -> io::Result<Content> {
    let (store, first) = (artifacts.clone(), id.clone());
    let looked = tokio::task::spawn_blocking(move || store.read(&first, 0, 1)).await;
    let (_, bytes) = looked.map_err(io::Error::other)?.map_err(io::Error::other)?;
    Ok(Content::new(bytes, move || pieces(artifacts.clone(), id.clone(), bytes)))
}

fn pieces(artifacts: Arc<dyn ArtifactStore>, id: ArtifactId, whole: u64) -> Pieces {
    stream::try_unfold(0u64, move |at| {
        let (store, id) = (artifacts.clone(), id.clone());
        async move {
            if at >= whole {
                return Ok(None);
            }
            let piece = tokio::task::spawn_blocking(move || store.read(&id, at, PIECE)).await;
            let (bytes, _) = piece.map_err(io::Error::other)?.map_err(io::Error::other)?;
            if bytes.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the artifact became shorter"));
            }
            let next = at + bytes.len() as u64;
            Ok(Some((Bytes::from(bytes), next)))
        }
    })
    .boxed()
}
