//! The way to the centre, with the redaction rules in it: whatever a person, a model, a file or a program has written
//! passes them here, whichever loop sends it.
//!
//! Questions are the exception. Whoever answers one must see what will run, and it is told twice and must not differ;
//! where the timeline shows it, it passes the rules like the rest. Ids, names of tools, models and devices, codes and
//! numbers are left alone.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactType};
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::job::{Job, JobProgress};
use lanyard_governance_api::pairing::PairingSnapshot;
use lanyard_governance_api::session::{
    EventBatch, EventsAccepted, ResumeRequest, SessionGrant, SessionRequest, StateReport, TaskCompletion,
    TaskReport,
};
use lanyard_governance_api::telemetry::TraceBatch;
use lanyard_policy::redact::Redactor;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::method::PatchPreview;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::redaction::{Redaction, RedactionError};
use super::wire::{Content, Wire};

mod texts;

use texts::{Texts, text};

/// See the module.
pub(super) struct Redacting {
    pub(super) wire: Arc<dyn Wire>,
    pub(super) rules: Arc<Redaction>,
}

impl Redacting {
    /// Rules that cannot be read hold everything back until they can be, which the next grant sees to.
    fn rules(&self) -> Result<Arc<Redactor>, WireError> {
        self.rules.redactor().map_err(|error| unreadable(&error))
    }

    fn without<T: Texts + Clone>(&self, told: &T) -> Result<T, WireError> {
        let redactor = self.rules()?;
        let mut told = told.clone();
        told.each(&mut |one| text(&redactor, one));
        Ok(told)
    }

    fn short(&self, told: &str) -> Result<String, WireError> {
        Ok(self.rules()?.apply(told).into_owned())
    }
}

fn unreadable(error: &RedactionError) -> WireError {
    tracing::error!(%error, "nothing is sent to the centre: the redaction rules cannot be read");
    WireError::new(ErrorCode::InternalError, error.to_string())
}

/// An artifact without what the rules name.
async fn redacted(content: Content, kind: ArtifactType, rules: Arc<Redactor>) -> io::Result<Content> {
    match kind {
        ArtifactType::SessionHistory => thread(content, rules).await,
        ArtifactType::FileDiff => {
            whole(content, move |bytes| json::<PatchPreview>(bytes, &rules).map(Some)).await
        }
        _ => whole(content, move |bytes| Ok(plain(bytes, &rules))).await,
    }
}

/// A thread as JSON Lines, page by page: its length is that of the pages once they have passed the rules, which they do
/// the same way each time.
async fn thread(content: Content, rules: Arc<Redactor>) -> io::Result<Content> {
    let Content { make: read, failed, .. } = content;
    let make = move || {
        let rules = rules.clone();
        let page = move |page: Bytes| {
            let rules = rules.clone();
            async move {
                let passed = tokio::task::spawn_blocking(move || lines(&page, &rules)).await;
                passed.map_err(io::Error::other)?
            }
        };
        read().and_then(page).boxed()
    };
    let bytes = make().try_fold(0u64, async |sum, page| Ok(sum + page.len() as u64)).await?;
    Ok(Content { bytes, make: Box::new(make), failed })
}

/// Pages hold whole lines.
fn lines(page: &[u8], rules: &Redactor) -> io::Result<Bytes> {
    let mut passed = Vec::with_capacity(page.len());
    for line in page.split_inclusive(|byte| *byte == b'\n') {
        passed.extend(json::<ConversationMessage>(line, rules)?);
        passed.push(b'\n');
    }
    Ok(passed.into())
}

fn json<T: Texts + Serialize + DeserializeOwned>(bytes: &[u8], rules: &Redactor) -> io::Result<Vec<u8>> {
    let mut value: T = serde_json::from_slice(bytes)?;
    value.each(&mut |one| text(rules, one));
    Ok(serde_json::to_vec(&value)?)
}

/// `None` where there is nothing to take out. What is no text is read as far as it is one, and sent so if it has to be
/// changed.
fn plain(bytes: &[u8], rules: &Redactor) -> Option<Vec<u8>> {
    let read = String::from_utf8_lossy(bytes);
    match rules.apply(&read) {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(passed) => Some(passed.into_bytes()),
    }
}

/// All of it at once, because what is to be taken out may lie across any two pieces. Artifacts are bounded, and one is
/// sent at a time.
async fn whole(
    content: Content,
    pass: impl FnOnce(&[u8]) -> io::Result<Option<Vec<u8>>> + Send + 'static,
) -> io::Result<Content> {
    let read = (content.make)().try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    let all = read.await?;
    let passed = tokio::task::spawn_blocking(move || pass(&all)).await.map_err(io::Error::other)??;
    Ok(match passed {
        None => content,
        Some(passed) => {
            let passed = Bytes::from(passed);
            Content::new(passed.len() as u64, move || stream::iter([Ok(passed.clone())]).boxed())
        }
    })
}

#[async_trait::async_trait]
impl Wire for Redacting {
    async fn create_session(&self, request: &SessionRequest) -> Result<SessionGrant, WireError> {
        // Where nobody knows what must stay here, the centre's own words go back to it and nobody else's; a name comes
        // with the first events. What it grants brings the rules, so this is not held back.
        let known = self.rules.is_known().map_err(|error| unreadable(&error)).unwrap_or(false);
        let told = match known {
            true => self.without(request)?,
            false => SessionRequest {
                name: request.name.clone().filter(|_| request.job_id.is_some()),
                ..request.clone()
            },
        };
        self.wire.create_session(&told).await
    }

    async fn resume_session(
        &self,
        session: &SessionId,
        request: &ResumeRequest,
    ) -> Result<SessionGrant, WireError> {
        self.wire.resume_session(session, request).await
    }

    async fn cancel_session(&self, session: &SessionId, reason: &str) -> Result<(), WireError> {
        self.wire.cancel_session(session, &self.short(reason)?).await
    }

    async fn rename_session(&self, session: &SessionId, name: &str) -> Result<(), WireError> {
        self.wire.rename_session(session, &self.short(name)?).await
    }

    async fn report_state(&self, session: &SessionId, report: &StateReport) -> Result<(), WireError> {
        self.wire.report_state(session, &self.without(report)?).await
    }

    async fn create_task(&self, session: &SessionId, report: &TaskReport) -> Result<(), WireError> {
        self.wire.create_task(session, &self.without(report)?).await
    }

    async fn complete_task(
        &self,
        session: &SessionId,
        task: &TaskId,
        completion: &TaskCompletion,
    ) -> Result<(), WireError> {
        self.wire.complete_task(session, task, &self.without(completion)?).await
    }

    async fn append_events(
        &self,
        session: &SessionId,
        batch: &EventBatch,
    ) -> Result<EventsAccepted, WireError> {
        self.wire.append_events(session, &self.without(batch)?).await
    }

    async fn report_approval(&self, report: &ApprovalReport) -> Result<(), WireError> {
        self.wire.report_approval(report).await
    }

    async fn post_traces(&self, batch: &TraceBatch) -> Result<(), WireError> {
        self.wire.post_traces(batch).await
    }

    async fn put_artifact(
        &self,
        workspace: &WorkspaceId,
        query: &ArtifactQuery,
        content: Content,
    ) -> Result<(), WireError> {
        let failed = content.failed.clone();
        let content = match redacted(content, query.artifact_type, self.rules()?).await {
            Ok(content) => content,
            // As if it had been found out on the way.
            Err(error) => {
                let text = format!("it cannot be read on this machine: {error}");
                failed.get_or_init(|| text.clone());
                return Err(WireError::new(ErrorCode::ResourceNotFound, text));
            }
        };
        self.wire.put_artifact(workspace, query, content).await
    }

    async fn delete_history(&self, workspace: &WorkspaceId, session: &SessionId) -> Result<(), WireError> {
        self.wire.delete_history(workspace, session).await
    }

    async fn report_job(&self, job: &JobId, progress: &JobProgress) -> Result<Job, WireError> {
        self.wire.report_job(job, &self.without(progress)?).await
    }

    async fn put_pairings(&self, snapshot: &PairingSnapshot) -> Result<(), WireError> {
        self.wire.put_pairings(snapshot).await
    }

    async fn revoke_self(&self, reason: &str) -> Result<(), WireError> {
        self.wire.revoke_self(reason).await
    }
}
