//! Who says what a session may do: always this machine, and beside it the centre, where the host is enrolled.
//!
//! The two bundles are never merged; the strictest verdict counts. A session of an enrolled host does not start without
//! the centre's word, fresh or kept ([`super::grants`]); one whose enrolment was ended or cannot be read does not start
//! at all.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lanyard_governance_api::id::JobId;
use lanyard_governance_api::session::{ResumeRequest, SessionGrant, SessionRequest};
use lanyard_policy::bundle::grant_tools;
use lanyard_policy::upload::longest_upload;
use lanyard_ports::authority::{
    Adopted, Issued, IssuedBundle, NewSession, PolicyNews, Reach, SessionAuthority, SessionClaim,
    SessionGateway,
};
use lanyard_ports::journal::{CentralSession, Journal, JournalError, SessionRecord, Write};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::session::{
    ClientInfo, CompatibilityStatus, ExecutionEnvironment, WorkspaceHint, WorkspaceScope,
};
use lanyard_protocol::version::POLICY_SCHEMA_VERSION;
use tokio::sync::watch;

use super::grants::{Granted, Measure};
use super::tie::{Enrolled, Tie};
use super::{Centre, consent};
use crate::api::{session_error, store_error};
use crate::authority::LocalAuthority;
use crate::sources::SystemClock;

/// How long a session waits for the centre's word: somebody sits in front of it, and there may be one kept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Issues the local layer and, while the host is enrolled, the central one.
pub(crate) struct HostAuthority {
    pub(crate) local: LocalAuthority<SystemClock>,
    pub(crate) centre: Arc<Centre>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Tools behind the centre that may be used from here; absent: whichever it offers.
    pub(crate) backend_tools: Option<Vec<String>>,
}

#[async_trait::async_trait]
impl SessionAuthority for HostAuthority {
    async fn adopt(&self, session: NewSession) -> Result<Adopted, WireError> {
        let enrolled = match self.centre.tie() {
            Tie::Alone => return self.local.adopt(session).await,
            Tie::Broken(broken) => return Err(broken.refusal()),
            Tie::Enrolled(enrolled) => enrolled,
        };
        let wanted = Wanted {
            session: &session.session_id,
            workspace: &session.workspace_id,
            paths: match session.scope {
                WorkspaceScope::Local => paths(&session.roots),
                WorkspaceScope::General | WorkspaceScope::Cloud => Vec::new(),
            },
            name: Some(session.name.clone()).filter(|name| !name.is_empty()),
            job: session.job.as_deref().and_then(|job| JobId::new(job).ok()),
        };
        let asked = self.centre.news.borrow().clone();
        let grant = within(self.create(&enrolled, wanted)).await.map_err(no_new_session)?;
        let adopted =
            Adopted { session_id: grant.session_id.clone(), workspace_id: grant.workspace_id.clone() };
        let row = row_of(&grant, session.job);
        let granted = self.granted(asked, grant).await?;
        self.centre.remember_fresh(granted, row)?;
        Ok(adopted)
    }

    async fn issue(&self, claim: &SessionClaim) -> Result<Issued, WireError> {
        let record = match self.journal.session(&claim.session_id) {
            Ok(record) => record,
            Err(JournalError::NotFound(_)) => match self.centre.fresh(&claim.session_id) {
                // It is being created.
                Some(granted) => return Ok(granted.issued(self.local(claim).await?)),
                // News, or much time, came between: this machine's policy alone is not what it is created under.
                None if self.centre.is_new(&claim.session_id) => {
                    let text = "the central policy changed while the session was created; try again";
                    return Err(WireError::new(ErrorCode::PolicyBundleInvalid, text));
                }
                // Somebody looks at files without a session: that is between the owner and whoever looks.
                None => return self.local.issue(claim).await,
            },
            Err(error) => return Err(session_error(&claim.session_id, error)),
        };
        if let Some(granted) = self.centre.first_grant(&claim.session_id) {
            return Ok(granted.issued(self.local(claim).await?));
        }
        let enrolled = match self.centre.tie() {
            Tie::Alone => return self.local.issue(claim).await,
            Tie::Broken(broken) => return Err(broken.refusal()),
            Tie::Enrolled(enrolled) => enrolled,
        };
        let local = self.local(claim).await?;
        match self.ask(&enrolled, claim, record).await {
            Ok(granted) => Ok(granted.issued(local)),
            Err(error) if error.code == ErrorCode::CentralUnavailable => {
                Ok(self.kept(claim, error).await?.issued(local))
            }
            Err(error) => {
                if error.code == ErrorCode::AgentRevoked {
                    self.centre.revoked(error.message.clone());
                }
                Err(error)
            }
        }
    }

    fn changes(&self) -> watch::Receiver<PolicyNews> {
        self.centre.news.subscribe()
    }

    fn reach(&self) -> watch::Receiver<Reach> {
        self.centre.reach.subscribe()
    }
}

/// What the centre is told of a session that it does not know.
struct Wanted<'a> {
    session: &'a SessionId,
    workspace: &'a WorkspaceId,
    paths: Vec<String>,
    name: Option<String>,
    job: Option<JobId>,
}

impl HostAuthority {
    async fn local(&self, claim: &SessionClaim) -> Result<IssuedBundle, WireError> {
        let issued = self.local.issue(claim).await?;
        let mut own = issued.bundles.into_iter().next().ok_or_else(|| {
            WireError::new(ErrorCode::InternalError, "this machine issued no policy bundle of its own")
        })?;
        grant_tools(&mut own.bundle, self.backend_tools.clone())
            .map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
        Ok(own)
    }

    /// The centre's word for a session: resumed where it knows it, else registered with the host's own ids.
    async fn ask(
        &self,
        enrolled: &Arc<Enrolled>,
        claim: &SessionClaim,
        record: SessionRecord,
    ) -> Result<Granted, WireError> {
        let asked = self.centre.news.borrow().clone();
        let id = &claim.session_id;
        let known = self.journal.central_session(id).map_err(store_error)?.filter(|known| !known.deleted);
        if known.is_none() {
            may_be_told(enrolled, id, record.agent_id.as_deref())?;
        }
        let job = known.as_ref().and_then(|known| known.job_id.clone());
        let resumed = match &known {
            None => None,
            Some(_) => match within(self.resume(enrolled, id, record.summary.last_seq)).await {
                Ok(grant) => Some(grant),
                // Its own store was lost, or purged.
                Err(error) if error.code == ErrorCode::SessionNotFound => None,
                Err(error) => return Err(error),
            },
        };
        let grant = match resumed {
            Some(grant) => grant,
            None => {
                let paths = match record.scope {
                    WorkspaceScope::Local => paths(&record.roots),
                    WorkspaceScope::General | WorkspaceScope::Cloud => Vec::new(),
                };
                let name = Some(record.summary.name).filter(|name| !name.is_empty());
                let job = job.as_deref().and_then(|job| JobId::new(job).ok());
                let wanted = Wanted { session: id, workspace: &claim.workspace_id, paths, name, job };
                let created = within(self.create(enrolled, wanted)).await;
                created.map_err(
                    |error| if error.code == ErrorCode::Conflict { not_ours(error) } else { error },
                )?
            }
        };
        if grant.session_id != *id {
            let text =
                format!("the central services gave a grant for session {}, not for {id}", grant.session_id);
            return Err(WireError::new(ErrorCode::PolicyBundleInvalid, text));
        }
        let row = CentralSession {
            shipped_seq: known.as_ref().map_or(0, |known| known.shipped_seq),
            ..row_of(&grant, job)
        };
        // One that got no bundle is not known: nothing of it is sent, and it is registered when it fits.
        let granted = self.granted(asked, grant).await?;
        if known.as_ref() != Some(&row) {
            let write = Write::CentralSession(Box::new(row));
            self.journal.commit(vec![write]).await.map_err(store_error)?;
        }
        Ok(granted)
    }

    async fn create(&self, enrolled: &Arc<Enrolled>, wanted: Wanted<'_>) -> Result<SessionGrant, WireError> {
        let Handshake { client_info, capabilities, tools, schemas } = Handshake::default();
        let workspace_id = Some(wanted.workspace.clone());
        let request = SessionRequest {
            session_id: Some(wanted.session.clone()),
            execution_environment: ExecutionEnvironment::Desktop,
            workspace_hint: WorkspaceHint { local_paths: wanted.paths, workspace_id },
            client_info,
            supported_capabilities: capabilities,
            supported_tools: tools,
            supported_schema_versions: schemas,
            name: wanted.name,
            job_id: wanted.job,
        };
        enrolled.way.wire(&self.centre.redaction)?.create_session(&request).await
    }

    async fn resume(
        &self,
        enrolled: &Arc<Enrolled>,
        session: &SessionId,
        last_seq: u64,
    ) -> Result<SessionGrant, WireError> {
        let Handshake { client_info, capabilities, tools, schemas } = Handshake::default();
        let request = ResumeRequest {
            checkpoint_cursor: Some(last_seq),
            client_info,
            supported_capabilities: capabilities,
            supported_tools: tools,
            supported_schema_versions: schemas,
        };
        enrolled.way.wire(&self.centre.redaction)?.resume_session(session, &request).await
    }

    /// A grant that can be used, kept for when the centre is away. What is in the bundle is for the session's policy to
    /// validate; `asked` is what was heard of the policy before the centre was asked.
    async fn granted(&self, asked: PolicyNews, grant: SessionGrant) -> Result<Granted, WireError> {
        let id = grant.session_id;
        let unfit = |reason: &str| {
            let text = format!("the central policy and this host do not fit together: {reason}");
            WireError::new(ErrorCode::PolicyBundleInvalid, text).with("sessionId", id.as_str())
        };
        let reason = grant.incompatibility_reason.as_deref().unwrap_or("no reason was given");
        if grant.compatibility_status == CompatibilityStatus::Incompatible {
            return Err(unfit(reason));
        }
        let bundle =
            grant.policy_bundle.ok_or_else(|| unfit("they say it does, and sent no policy bundle"))?;
        let granted = Granted {
            bundle,
            gateway: grant.llm_gateway.map(|gateway| SessionGateway {
                endpoint: gateway.endpoint,
                token: gateway.auth_token,
                model: gateway.model,
                expires_at: gateway.expires_at,
            }),
            when_away: grant.when_away,
            max_steps: grant.limits.max_steps,
            issuer_time: grant.server_time,
        };
        let (centre, epoch) = (self.centre.clone(), granted.bundle.policy_epoch);
        let rules = granted.bundle.redaction_rules.clone();
        let measured = tokio::task::spawn_blocking(move || {
            // Before anything that happens under this grant can be sent.
            centre.redaction.keep(&rules).map_err(|error| error.to_wire())?;
            centre.was_issued(&asked, epoch)
        });
        let measured = measured.await;
        measured.map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))??;
        self.centre.remember_steps(&id, granted.max_steps);
        let last = granted.bundle.clone();
        *self.centre.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        let (centre, session, kept) = (self.centre.clone(), id.clone(), granted.clone());
        let keep = move || centre.grants.keep(&session, &kept, &centre.mark());
        match tokio::task::spawn_blocking(keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, session = %id, "a grant could not be kept"),
            Err(error) => tracing::warn!(%error, session = %id, "a grant could not be kept"),
        }
        Ok(granted)
    }

    /// What this machine may go on with although the centre is not reached.
    async fn kept(&self, claim: &SessionClaim, unreachable: WireError) -> Result<Granted, WireError> {
        let (centre, id) = (self.centre.clone(), claim.session_id.clone());
        let look = move || {
            let (now, heard, news) =
                (centre.mark(), consent::read_heard(&centre.dir), centre.news.borrow().clone());
            centre.grants.usable(&id, &Measure { now: &now, heard: heard.as_ref(), news: &news })
        };
        let found = tokio::task::spawn_blocking(look).await;
        let found = found.map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
        if let Ok(granted) = &found {
            self.centre.remember_steps(&claim.session_id, granted.max_steps);
        }
        found.map_err(|why| {
            let text = format!("the central services are not reached ({}), and {why}", unreachable.message);
            WireError { message: text, ..unreachable }
        })
    }
}

/// A centre that does not answer for so long counts as away.
async fn within<T>(asked: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    let late = |_| Err(WireError::new(ErrorCode::CentralUnavailable, "no answer within ten seconds"));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late)
}

/// What this host is, for the compatibility check.
struct Handshake {
    client_info: ClientInfo,
    capabilities: Vec<String>,
    tools: Vec<String>,
    schemas: Vec<String>,
}

impl Default for Handshake {
    fn default() -> Self {
        let version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let uname = rustix::system::uname();
        Self {
            client_info: ClientInfo {
                desktop_app_version: version.clone(),
                local_agent_host_version: version,
                os_family: Some(std::env::consts::OS.to_owned()),
                os_version: Some(uname.release().to_string_lossy().into_owned()),
            },
            capabilities: Capability::ALL.iter().map(|c| c.as_str().to_owned()).collect(),
            tools: lanyard_tools::specs().into_iter().map(|spec| spec.name).collect(),
            schemas: vec![POLICY_SCHEMA_VERSION.to_owned()],
        }
    }
}

fn paths(roots: &[std::path::PathBuf]) -> Vec<String> {
    roots.iter().map(|root| root.display().to_string()).collect()
}

fn row_of(grant: &SessionGrant, job_id: Option<String>) -> CentralSession {
    CentralSession {
        session_id: grant.session_id.clone(),
        workspace_id: grant.workspace_id.clone(),
        shipped_seq: 0,
        timeline: grant.limits.timeline,
        upload: grant.policy_bundle.as_ref().and_then(longest_upload),
        job_id,
        deleted: false,
    }
}

/// Refuses a session that is not this enrolment's: opened, it would be sent to a centre that it was not made for, from
/// its beginning. What was made while the host was its own is the owner's to hand over; what was made for an earlier
/// centre is nobody's.
fn may_be_told(enrolled: &Enrolled, id: &SessionId, agent_id: Option<&str>) -> Result<(), WireError> {
    let text = match agent_id {
        Some(agent) if agent == enrolled.facts.agent_id.as_str() => return Ok(()),
        Some(_) => format!(
            "session {id} belongs to an earlier enrolment of this host, and nothing of it is sent to the central services \
             of this one; start a new session: what this one holds can still be read"
        ),
        None if enrolled.consent.share_earlier_sessions => return Ok(()),
        None => format!(
            "session {id} was made before this host was enrolled, and nothing of it is sent to the central services; start \
             a new session: what this one holds can still be read. It goes on after `lanyard unenroll`, or where the \
             host was enrolled with `--share-earlier-sessions`, which sends such sessions whole"
        ),
    };
    Err(WireError::new(ErrorCode::Conflict, text).with("sessionId", id.as_str()))
}

/// A session that the centre knows, and not as this host's.
fn not_ours(error: WireError) -> WireError {
    let text = format!(
        "the central services do not take this session ({}): it may belong to an earlier enrolment of this host; \
         start a new one",
        error.message
    );
    WireError { message: text, ..error }
}

/// Why there is no new session: nothing is kept for one that does not exist yet.
fn no_new_session(error: WireError) -> WireError {
    if error.code != ErrorCode::CentralUnavailable {
        return error;
    }
    let text = format!(
        "the central services are not reached ({}), and a new session needs their policy; sessions that were open go on as \
         far as their policy allows",
        error.message
    );
    WireError { message: text, ..error }
}
