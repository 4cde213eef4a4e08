//! Beginning a session and going on with one: policy, compatibility, workspace, grant.

use std::path::Path;

use lanyard_governance_api::artifact::ResolveWorkspace as Wanted;
use lanyard_governance_api::endpoint::{CreateSession, IssueBundle, ResolveWorkspace, ResumeSession};
use lanyard_governance_api::limits::{MAX_ARTIFACT_BYTES, MAX_TEXT_BYTES};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{BundleQuery, IssuedPolicy};
use lanyard_governance_api::session::{ResumeRequest, SessionGrant, SessionLimits, SessionRequest};
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::{Ask, Caller, Fault, Statement, Tx, fresh_id, trail};
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::session::SessionState;
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::State;
use crate::compatible::{Offer, misfit};
use crate::store::{self, Session};

/// Directories of one session; hosts take as many.
const MAX_DIRECTORIES: usize = 16;

/// Bytes of all of them together. They travel to the Policy Service in a query, which HTTP libraries cut at 64 KiB, and
/// escaping triples them at worst.
const MAX_DIRECTORY_BYTES: usize = 16_000;

/// Where a session's directories have no name.
const UNNAMED: &str = "New session";

/// What was issued, and whether the host can work under it.
struct Handshake {
    issued: IssuedPolicy,
    misfit: Option<String>,
    now: Timestamp,
}

/// `POST /sessions`.
pub(crate) async fn create(state: State, ask: Ask<CreateSession>) -> Result<SessionGrant, Fault> {
    let agent = ask.caller.agent()?;
    let request = ask.body;
    let offer = Offer {
        client_info: request.client_info.clone(),
        capabilities: request.supported_capabilities.clone(),
        tools: request.supported_tools.clone(),
        schemas: request.supported_schema_versions.clone(),
    };
    offer.check()?;
    check(&request)?;
    if let Some(id) = &request.session_id {
        let mut tx = state.foundation.database.read(&ask.caller).await?;
        let known = store::find(&mut tx, id).await?;
        drop(tx);
        if let Some(known) = known {
            return again(&state, &ask.caller, agent, known, &offer).await;
        }
    }
    let id = request.session_id.clone().map_or_else(|| fresh_id("ses"), Ok)?;
    // Policy first: where none is in force, nothing is made.
    let handshake = shake(&state, agent, &id, &request.workspace_hint.local_paths, &offer).await?;
    let workspace = workspace(&state, agent, &request).await?;
    let expires_at = state.expiry(handshake.now);
    if !insert(&state, &ask.caller, &request, (&id, &workspace), &handshake).await? {
        // The same request came twice at once, and the other was first.
        let mut tx = state.foundation.database.read(&ask.caller).await?;
        let known = store::find(&mut tx, &id).await?.ok_or_else(|| store::no_session(&id))?;
        drop(tx);
        return again(&state, &ask.caller, agent, known, &offer).await;
    }
    Ok(state.grant(agent, (id, workspace), handshake, expires_at))
}

fn check(request: &SessionRequest) -> Result<(), Fault> {
    if request.name.as_ref().is_some_and(|name| name.len() > MAX_TEXT_BYTES) {
        return Err(Fault::invalid(format!("the name is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let directories = &request.workspace_hint.local_paths;
    let bytes: usize = directories.iter().map(String::len).sum();
    if directories.len() > MAX_DIRECTORIES || bytes > MAX_DIRECTORY_BYTES {
        let text = format!(
            "a session has at most {MAX_DIRECTORIES} directories of {MAX_DIRECTORY_BYTES} bytes together"
        );
        return Err(Fault::invalid(text));
    }
    Ok(())
}

/// `POST /sessions/{id}/resume`.
pub(crate) async fn resume(state: State, ask: Ask<ResumeSession>) -> Result<SessionGrant, Fault> {
    let agent = ask.caller.agent()?;
    let id: SessionId = ask.path.get("session_id")?;
    let ResumeRequest {
        checkpoint_cursor: cursor,
        client_info,
        supported_capabilities: capabilities,
        supported_tools: tools,
        supported_schema_versions: schemas,
    } = ask.body;
    let offer = Offer { client_info, capabilities, tools, schemas };
    offer.check()?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let session = store::seen(&mut tx, &ask.caller, &id).await?;
    drop(tx);
    // One that did not fit may be tried again once it does.
    if !session.never_fitted() {
        go_on(&session, state.foundation.clock.now())?;
    }
    renew(&state, &ask.caller, agent, session, (&offer, cursor)).await
}

/// Whether a session may go on at all.
fn go_on(session: &Session, now: Timestamp) -> Result<(), Fault> {
    let Session { id, state, expires_at, .. } = session;
    if state.is_final() {
        let why = session.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("the session {id} has ended{why}; start a new one");
        let code = if session.lapsed() { ErrorCode::SessionExpired } else { ErrorCode::Conflict };
        return Err(Fault::new(code, text).with("state", word(*state)));
    }
    if *expires_at <= now {
        let text = format!("the session {id} ran out at {expires_at}; start a new one");
        return Err(Fault::new(ErrorCode::SessionExpired, text));
    }
    Ok(())
}

/// Refuses a host that holds less of a session than it has told: its records were set back, to a backup or a snapshot.
/// What it does from there would get numbers that the timeline has given to something else, and be lost here.
fn set_back(session: &Session, cursor: Option<u64>) -> Option<Fault> {
    let (held, told) = (cursor?, session.last_seq.max(session.state_seq));
    (held < told).then(|| {
        let text = format!(
            "this host holds {held} events of the session {}, and has told of {told}: its records were set back; start a \
             new session",
            session.id
        );
        Fault::conflict(text).with("lastSeq", told)
    })
}

/// Says so in the console and in the trail, once however often it is tried.
async fn note_set_back(
    state: &State,
    tx: &mut Tx,
    caller: &Caller,
    session: &Session,
    refused: &Fault,
) -> Result<(), Fault> {
    const REASON: &str = "its host's records were set back: it cannot go on";
    if session.reason.as_deref() == Some(REASON) {
        return Ok(());
    }
    let clock = &*state.foundation.clock;
    let sql = "UPDATE sessions SET reason = $3, updated_at = $4 WHERE tenant_id = $1 AND session_id = $2";
    tx.run(Statement::new(sql).bind_id(&session.id).bind(REASON).bind(clock.now())).await?;
    let record = store::record("session_set_back", &session.id, &session.workspace).by(caller);
    let record = record.severity(Severity::Warning).with("reason", refused.wire.message.as_str());
    trail::record(tx, caller.tenant()?, clock, record).await
}

fn word(state: SessionState) -> serde_json::Value {
    serde_json::to_value(state).unwrap_or_default()
}

/// A session that was begun with this id before: the same host gets its grant, another is told that the id is taken.
async fn again(
    state: &State,
    caller: &Caller,
    agent: &Agent,
    known: Session,
    offer: &Offer,
) -> Result<SessionGrant, Fault> {
    if known.agent != agent.agent {
        return Err(Fault::conflict(format!("the session id {} is taken; choose another", known.id)));
    }
    // One that never started because host and policy did not fit may be tried again once they do.
    if !known.never_fitted() {
        go_on(&known, state.foundation.clock.now())?;
    }
    renew(state, caller, agent, known, (offer, None)).await
}

/// A new handshake of a session that is there.
async fn renew(
    state: &State,
    caller: &Caller,
    agent: &Agent,
    session: Session,
    (offer, cursor): (&Offer, Option<u64>),
) -> Result<SessionGrant, Fault> {
    let handshake = shake(state, agent, &session.id, &session.directories, offer).await?;
    let foundation = &state.foundation;
    let now = handshake.now;
    let mut tx = foundation.database.write(caller).await?;
    // Cancelled or expired meanwhile? That counts.
    let session = store::held(&mut tx, caller, &session.id).await?;
    let revived = session.never_fitted();
    if !revived {
        go_on(&session, now)?;
    }
    if let Some(refused) = set_back(&session, cursor) {
        note_set_back(state, &mut tx, caller, &session, &refused).await?;
        tx.commit().await?;
        return Err(refused);
    }
    let fits = handshake.misfit.is_none();
    // Prolonged by a handshake that succeeded only.
    let expires_at = if fits { state.expiry(now) } else { session.expires_at };
    let sql = "UPDATE sessions SET compatible = $3, bundle_version = $4, timeline = $5, client_info = $6, \
               expires_at = $7, updated_at = $8 WHERE tenant_id = $1 AND session_id = $2";
    let version = fits.then(|| handshake.issued.bundle.policy_bundle_version.clone());
    let statement = Statement::new(sql).bind_id(&session.id).bind(fits).bind(version);
    let statement = statement.bind(handshake.issued.timeline).bind_json(&offer.client_info);
    tx.run(statement.bind(expires_at).bind(now)).await?;
    if revived {
        let (standing, reason) = beginning(&handshake);
        let sql = "UPDATE sessions SET state = $3, reason = $4, ended = $5 WHERE tenant_id = $1 AND session_id = $2";
        let statement = Statement::new(sql).bind_id(&session.id).bind_json(&standing).bind(reason);
        tx.run(statement.bind(standing.is_final())).await?;
    }
    let record = store::record("session_resumed", &session.id, &session.workspace).by(caller);
    let record = noted(record, &handshake);
    trail::record(&mut tx, &agent.tenant, &*foundation.clock, record).await?;
    tx.commit().await?;
    Ok(state.grant(agent, (session.id, session.workspace), handshake, expires_at))
}

/// Asks for the policy and looks whether the host can work under it.
async fn shake(
    state: &State,
    agent: &Agent,
    session: &SessionId,
    directories: &[String],
    offer: &Offer,
) -> Result<Handshake, Fault> {
    let local_paths = serde_json::to_string(directories)
        .map_err(|e| Fault::internal("the directories of a session cannot be written", &e))?;
    let query = BundleQuery { session_id: session.clone(), user_id: agent.user.clone(), local_paths };
    let peers = &state.foundation.peers;
    let issued = peers.call::<IssueBundle>(Some(&agent.tenant), &[], &query, &Nothing {}).await?;
    let misfit = misfit(&issued, offer);
    Ok(Handshake { issued, misfit, now: state.foundation.clock.now() })
}

async fn workspace(state: &State, agent: &Agent, request: &SessionRequest) -> Result<WorkspaceId, Fault> {
    let wanted = Wanted {
        user_id: agent.user.clone(),
        agent_id: agent.agent.clone(),
        local_paths: request.workspace_hint.local_paths.clone(),
        workspace_id: request.workspace_hint.workspace_id.clone(),
    };
    let peers = &state.foundation.peers;
    let found = peers.call::<ResolveWorkspace>(Some(&agent.tenant), &[], &Nothing {}, &wanted).await?;
    Ok(found.workspace_id)
}

/// Where a session begins.
fn beginning(handshake: &Handshake) -> (SessionState, Option<&str>) {
    match handshake.misfit.as_deref() {
        None => (SessionState::SessionCreated, None),
        Some(why) => (SessionState::SessionFailed, Some(why)),
    }
}

/// Stores a new session; `false` when somebody else has stored one with this id.
async fn insert(
    state: &State,
    caller: &Caller,
    request: &SessionRequest,
    (id, workspace): (&SessionId, &WorkspaceId),
    handshake: &Handshake,
) -> Result<bool, Fault> {
    let agent = caller.agent()?;
    let foundation = &state.foundation;
    let (standing, reason) = beginning(handshake);
    let version = handshake.misfit.is_none().then(|| handshake.issued.bundle.policy_bundle_version.clone());
    let now = handshake.now;
    let sql = "INSERT INTO sessions (tenant_id, session_id, workspace_id, agent_id, user_id, name, state, reason, \
               state_seq, ended, environment, client_info, directories, compatible, bundle_version, timeline, job_id, \
               tasks, last_seq, event_bytes, tell_attempts, created_at, updated_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13, $14, $15, $16, 0, 0, 0, 0, $17, $17, \
               $18) ON CONFLICT DO NOTHING";
    let statement = Statement::new(sql)
        .bind_id(id)
        .bind_id(workspace)
        .bind_id(&agent.agent)
        .bind_id(&agent.user)
        .bind(name(request))
        .bind_json(&standing)
        .bind(reason)
        .bind(standing.is_final())
        .bind_json(&request.execution_environment)
        .bind_json(&request.client_info)
        .bind_json(&request.workspace_hint.local_paths)
        .bind(handshake.misfit.is_none())
        .bind(version)
        .bind(handshake.issued.timeline)
        .bind_opt_id(request.job_id.as_ref())
        .bind(now)
        .bind(state.expiry(now));
    let mut tx = foundation.database.write(caller).await?;
    if tx.run(statement).await? == 0 {
        return Ok(false);
    }
    let record = noted(store::record("session_created", id, workspace).by(caller), handshake);
    trail::record(&mut tx, &agent.tenant, &*foundation.clock, record).await?;
    tx.commit().await?;
    Ok(true)
}

fn noted(record: trail::Record, handshake: &Handshake) -> trail::Record {
    let version = handshake.issued.bundle.policy_bundle_version.as_str();
    match handshake.misfit.as_deref() {
        None => record.with("policyBundleVersion", version).with("compatible", true),
        Some(why) => {
            record.with("policyBundleVersion", version).with("compatible", false).with("reason", why)
        }
    }
}

/// What it was called, else its first directory's name.
fn name(request: &SessionRequest) -> String {
    let given = request.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let directory =
        || request.workspace_hint.local_paths.first().and_then(|path| Path::new(path).file_name()?.to_str());
    given.or_else(directory).unwrap_or(UNNAMED).to_owned()
}

impl State {
    fn expiry(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(i64::from(self.settings.session_seconds) * 1_000)
    }

    fn grant(
        &self,
        agent: &Agent,
        (session_id, workspace_id): (SessionId, WorkspaceId),
        handshake: Handshake,
        expires_at: Timestamp,
    ) -> SessionGrant {
        let Handshake { issued, misfit, now } = handshake;
        let fits = misfit.is_none();
        let gateway = self.settings.gateway.as_ref().filter(|_| fits);
        let mut bundle = issued.bundle;
        // A bundle does not outlive its session.
        bundle.expires_at = bundle.expires_at.min(expires_at);
        SessionGrant {
            compatibility_status: store::status(fits),
            incompatibility_reason: misfit,
            llm_gateway: gateway
                .and_then(|gateway| gateway.grant(&agent.tenant, &session_id, now, expires_at)),
            limits: SessionLimits {
                max_steps: self.settings.max_steps,
                max_session_tokens: bundle.llm_policy.max_session_tokens,
                max_artifact_bytes: MAX_ARTIFACT_BYTES,
                timeline: issued.timeline,
            },
            approval_rules: if fits { bundle.approval_rules.clone() } else { Vec::new() },
            policy_bundle: fits.then_some(bundle),
            feature_flags: issued.feature_flags,
            when_away: issued.when_away,
            session_id,
            workspace_id,
            expires_at,
            server_time: now,
        }
    }
}
