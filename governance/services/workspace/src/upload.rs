//! Taking in an artifact: streamed, hashed on the way, never more than two parts in memory.
//!
//! The row is written when the content is durable, not before. Content that fits one part goes to the store in one piece
//! under its hash; longer content goes part by part under a key of its own and is then moved under its hash. Whatever
//! ends an upload early leaves nothing that counts, and what it left in the store is on the list of removals; all but the
//! parts of an unfinished S3 upload, which only the bucket's own rule takes away (`docs/deployment.md`).

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactRecord, ArtifactType};
use lanyard_governance_api::endpoint::PutArtifact;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_governance_foundation::{Caller, Fault, RawAsk};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::id::WorkspaceId;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::State;
use crate::keep::{self, Content, Source};
use crate::{removal, workspaces};

/// Size of a part: the least that S3 takes for all but the last.
pub(crate) const PART: usize = 5 << 20;

/// Whoever sends sends at least so much in each such time of waiting for it: 16 KiB a second on average. A trickle would
/// hold one of the few places as long as silence.
const WINDOW: Duration = Duration::from_secs(30);
const LEAST: u64 = 30 * (16 << 10);

/// Longest upload as a whole.
const WHOLE: Duration = Duration::from_secs(30 * 60);

/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// `POST /workspaces/{workspace_id}/artifacts`
pub(crate) async fn put(state: State, ask: RawAsk<PutArtifact>) -> Result<Response, Fault> {
    let workspace: WorkspaceId = ask.path.get("workspace_id")?;
    let meta = checked(ask.query)?;
    if announced(&ask.headers).is_some_and(|bytes| bytes > MAX_ARTIFACT_BYTES) {
        return Err(too_large());
    }
    let tenant = ask.caller.tenant()?.clone();
    let _turn = state.uploads.take(&tenant, TURN).await?;
    // Counts as use from the beginning: no purge comes between the first byte and the last.
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    workspaces::take(&mut tx, &ask.caller, &workspace, state.foundation.clock.now()).await?;
    keep::foresee(&mut tx, &workspace, &meta).await?;
    tx.commit().await?;
    let mut upload =
        Upload { state: &state, caller: &ask.caller, tenant, workspace, meta, written: Vec::new() };
    let done = match tokio::time::timeout(WHOLE, upload.run(ask.body)).await {
        Ok(done) => done,
        Err(_) => Err(Fault::invalid("the upload took longer than half an hour")),
    };
    match done {
        Ok(record) => Ok((StatusCode::CREATED, axum::Json(record)).into_response()),
        Err(fault) => {
            upload.discard().await;
            Err(fault)
        }
    }
}

fn checked(meta: ArtifactQuery) -> Result<ArtifactQuery, Fault> {
    if meta.sha256.as_deref().is_some_and(|hash| !keep::is_hash(hash)) {
        return Err(Fault::invalid("sha256 is 64 lower-case hex digits"));
    }
    match (meta.artifact_type, meta.seq) {
        (ArtifactType::SessionHistory, None) => {
            Err(Fault::invalid("a session_history needs seq, the number of the last event it covers"))
        }
        (ArtifactType::ToolOutput | ArtifactType::FileDiff, Some(_)) => {
            Err(Fault::invalid("seq goes with a session_history only"))
        }
        (_, Some(seq)) if i64::try_from(seq).is_err() => Err(Fault::invalid("seq is beyond 2^63")),
        _ => Ok(meta),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Fault {
    Fault::new(
        ErrorCode::PayloadTooLarge,
        format!("an artifact has at most {MAX_ARTIFACT_BYTES} bytes (50 MiB); keep the rest on the host"),
    )
    .with("maxBytes", MAX_ARTIFACT_BYTES)
}

fn refused(error: &object_store::Error) -> Fault {
    tracing::warn!(%error, "the artifact store cannot be written");
    Fault::new(
        ErrorCode::WorkspaceUploadFailed,
        "the artifact store cannot be written at the moment; try again",
    )
}

/// One upload.
struct Upload<'a> {
    state: &'a State,
    caller: &'a Caller,
    tenant: TenantId,
    workspace: WorkspaceId,
    meta: ArtifactQuery,
    /// Keys that are listed for removal until the upload is done.
    written: Vec<Path>,
}

/// What was received.
enum Received {
    /// All of it, in memory.
    Whole(Bytes),
    /// In the store, under this key.
    Stored(Path),
}

impl Upload<'_> {
    async fn run(&mut self, body: Body) -> Result<ArtifactRecord, Fault> {
        let (content, received) = self.receive(body.into_data_stream()).await?;
        let expected = self.meta.sha256.as_deref();
        if let Some(expected) = expected.filter(|expected| *expected != content.sha256) {
            let message = format!("the content's SHA-256 is {}, not {expected} as announced", content.sha256);
            return Err(Fault::invalid(message));
        }
        if let Received::Whole(_) = received
            && let Some(record) = self.place(&content, Source::Existing).await?
        {
            return Ok(record);
        }
        let key = removal::key_of(&self.tenant, &content.sha256)?;
        self.intend(&key).await?;
        let store = &self.state.settings.store;
        match received {
            Received::Whole(bytes) => store.put(&key, PutPayload::from(bytes)).await.map(|_| ()),
            Received::Stored(incoming) => store.rename(&incoming, &key).await,
        }
        .map_err(|error| refused(&error))?;
        let placed = self.place(&content, Source::New(key.as_ref())).await?;
        // The key counts now, or is due by the same transaction. What is left is the key it came in under.
        self.written.retain(|written| *written != key);
        self.discard().await;
        placed.ok_or_else(|| Fault::internal("an artifact was stored and not kept", &key))
    }

    async fn intend(&mut self, key: &Path) -> Result<(), Fault> {
        let foundation = &self.state.foundation;
        let mut tx = foundation.database.write_of(&self.tenant).await?;
        removal::intend(&mut tx, key, foundation.clock.now()).await?;
        tx.commit().await?;
        self.written.push(key.clone());
        Ok(())
    }

    async fn place(&self, content: &Content, source: Source<'_>) -> Result<Option<ArtifactRecord>, Fault> {
        let foundation = &self.state.foundation;
        let now = foundation.clock.now();
        let mut tx = foundation.database.write_of(&self.tenant).await?;
        workspaces::take(&mut tx, self.caller, &self.workspace, now).await?;
        let placed = keep::place(&mut tx, &self.workspace, &self.meta, content, source, now).await?;
        if placed.is_some() {
            tx.commit().await?;
        }
        Ok(placed)
    }

    /// Reads the body to its end, or to the byte that is too many.
    async fn receive(&mut self, mut body: BodyDataStream) -> Result<(Content, Received), Fault> {
        let mut hash = Sha256::new();
        let mut bytes = 0_u64;
        let mut part = BytesMut::new();
        let mut large: Option<Large> = None;
        let mut flow = Flow::default();
        let ended = loop {
            let mut chunk = match flow.next(&mut body).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            };
            bytes = bytes.saturating_add(chunk.len() as u64);
            if bytes > MAX_ARTIFACT_BYTES {
                break Err(too_large());
            }
            hash.update(&chunk);
            if let Err(fault) = self.fill(&mut part, &mut chunk, &mut large).await {
                break Err(fault);
            }
        };
        let ended = match (ended, large.take()) {
            (Ok(()), None) => Ok(Received::Whole(part.freeze())),
            (Ok(()), Some(large)) => large.finish(part.freeze()).await.map(Received::Stored),
            (Err(fault), Some(mut large)) => {
                large.give_up().await;
                Err(fault)
            }
            (Err(fault), None) => Err(fault),
        };
        let sha256 = HEXLOWER.encode(&hash.finalize());
        ended.map(|received| (Content { sha256, bytes }, received))
    }

    /// Copies a chunk into the part; a part that is full goes to the store before the next byte. Copied, because many
    /// small chunks cost more than what is in them.
    async fn fill(
        &mut self,
        part: &mut BytesMut,
        chunk: &mut Bytes,
        large: &mut Option<Large>,
    ) -> Result<(), Fault> {
        while !chunk.is_empty() {
            if part.len() == PART {
                let open = match large {
                    Some(open) => open,
                    None => {
                        let key = removal::incoming_key(&self.tenant)?;
                        self.intend(&key).await?;
                        let upload = self.state.settings.store.put_multipart(&key).await;
                        large.insert(Large { upload: upload.map_err(|error| refused(&error))?, key })
                    }
                };
                open.put(part.split().freeze()).await?;
            }
            let taken = chunk.split_to(chunk.len().min(PART - part.len()));
            part.extend_from_slice(&taken);
        }
        Ok(())
    }

    /// Removes what was written and does not count. What cannot be removed now is found later.
    async fn discard(&mut self) {
        let now = self.state.foundation.clock.now();
        for key in std::mem::take(&mut self.written) {
            if let Err(fault) = self.discard_one(&key, now).await {
                tracing::warn!(%fault, %key, "what an upload left in the artifact store is removed later");
            }
        }
    }

    async fn discard_one(&self, key: &Path, now: lanyard_protocol::Timestamp) -> Result<(), Fault> {
        let mut tx = self.state.foundation.database.write_of(&self.tenant).await?;
        removal::due_now(&mut tx, key.as_ref(), now).await?;
        tx.commit().await?;
        removal::remove(self.state, &self.tenant, key.as_ref(), now).await.map(|_| ())
    }
}

/// How fast a body comes. Only waiting for it counts, not what is done with it meanwhile.
#[derive(Debug, Default)]
struct Flow {
    waited: Duration,
    bytes: u64,
}

impl Flow {
    /// The next bytes; `None` at the end.
    async fn next(&mut self, body: &mut BodyDataStream) -> Result<Option<Bytes>, Fault> {
        loop {
            let begun = Instant::now();
            let came = tokio::time::timeout(WINDOW.saturating_sub(self.waited), body.next()).await;
            let chunk = match came {
                Ok(Some(Ok(chunk))) => Some(chunk),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "an upload ended early");
                    return Err(Fault::invalid("the body ended before it was whole"));
                }
                Err(_) => None,
            };
            self.waited += begun.elapsed();
            self.bytes = self.bytes.saturating_add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
            if self.waited >= WINDOW {
                if self.bytes < LEAST {
                    let text = "the body came slower than 16 KiB a second for half a minute";
                    return Err(Fault::invalid(text));
                }
                *self = Self::default();
            }
            if chunk.is_some() {
                return Ok(chunk);
            }
        }
    }
}

/// Content of more than one part, on its way to the store.
struct Large {
    upload: Box<dyn MultipartUpload>,
    key: Path,
}

impl Large {
    /// One part, to its end: there is never more than one on its way.
    async fn put(&mut self, part: Bytes) -> Result<(), Fault> {
        self.upload.put_part(PutPayload::from(part)).await.map_err(|error| refused(&error))
    }

    async fn finish(mut self, last: Bytes) -> Result<Path, Fault> {
        let mut done = self.put(last).await;
        if done.is_ok() {
            done = self.upload.complete().await.map(|_| ()).map_err(|error| refused(&error));
        }
        match done {
            Ok(()) => Ok(self.key),
            Err(fault) => {
                self.give_up().await;
                Err(fault)
            }
        }
    }

    async fn give_up(&mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::debug!(%error, "an upload that was given up could not be taken back; it is removed later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of so many pieces, one a second.
    fn body(piece: usize, pieces: usize) -> BodyDataStream {
        let pieces = futures_util::stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![0; piece]))
        });
        Body::from_stream(pieces).into_data_stream()
    }

    async fn read(mut body: BodyDataStream) -> (u64, Result<(), Fault>) {
        let (mut flow, mut bytes) = (Flow::default(), 0);
        loop {
            match flow.next(&mut body).await {
                Ok(Some(chunk)) => bytes += chunk.len() as u64,
                Ok(None) => return (bytes, Ok(())),
                Err(fault) => return (bytes, Err(fault)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_given_up_and_a_slow_line_is_not() {
        let begun = Instant::now();
        let (bytes, refused) = read(body(1_000, 1_000)).await;
        assert!(refused.unwrap_err().to_string().contains("16 KiB"));
        assert!(bytes <= 30_000 && begun.elapsed() <= Duration::from_secs(31), "{bytes}");
        assert_eq!(read(body(20 << 10, 200)).await, (200 * (20 << 10), Ok(())));
        // What is short may be slow.
        assert_eq!(read(body(1, 20)).await, (20, Ok(())));
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(read(silent.into_data_stream()).await.1.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_side_takes_is_not_held_against_whoever_sends() {
        let (mut flow, mut body) = (Flow::default(), body(1_000, 10));
        while flow.next(&mut body).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
