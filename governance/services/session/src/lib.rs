//! The Session Service: the handshake with its compatibility check, the life of a session, its tasks, its timeline.
//!
//! * Policy is fetched before anything is stored; a session whose host and policy do not fit gets no bundle. It is kept
//!   as failed, so that the console shows that it was tried and why it did not start; the same host may try the same id
//!   again once it was updated.
//! * A session belongs to the host that began it. Other hosts of the tenant are told that it does not exist; people of
//!   the tenant see all.
//! * Its lifetime counts from the last handshake: each resume checks policy and compatibility anew and prolongs it.
//! * Hosts report at least once and in order; what was reported before changes nothing.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod cancel;
mod chores;
mod compatible;
mod events;
mod forgetting;
pub mod gateway;
mod handshake;
mod list;
mod standing;
mod store;
mod stream;
mod tasks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use lanyard_governance_api::endpoint::{
    AppendEvents, CancelSession, CompleteTask, CreateSession, CreateTask, ForgetSessions, GetSession,
    ListEvents, ListSessions, ListTasks, RenameSession, ReportState, ResumeSession, StreamEvents,
};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::SESSION_SECONDS;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::{Foundation, Migration, Routes};
use lanyard_protocol::limits::MAX_MAX_STEPS;

pub use chores::chores;
use gateway::GatewaySettings;

/// Tables of this service.
pub const MIGRATIONS: &[Migration] = &[Migration {
    service: "session",
    number: 1,
    sql: "CREATE TABLE sessions (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    state_seq BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    environment TEXT NOT NULL,
    client_info TEXT NOT NULL,
    directories TEXT NOT NULL,
    compatible BIGINT NOT NULL,
    bundle_version TEXT,
    timeline BIGINT NOT NULL,
    job_id TEXT,
    tasks BIGINT NOT NULL,
    last_task TEXT,
    last_seq BIGINT NOT NULL,
    event_bytes BIGINT NOT NULL,
    cancelled_by TEXT,
    cancelled_by_name TEXT,
    tell_at BIGINT,
    tell_attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id));
{{isolate sessions}}
CREATE INDEX sessions_created ON sessions (tenant_id, created_at, session_id);
CREATE INDEX sessions_agent ON sessions (tenant_id, agent_id, created_at, session_id);
CREATE INDEX sessions_workspace ON sessions (tenant_id, workspace_id, created_at, session_id);
CREATE INDEX sessions_expiry ON sessions (ended, expires_at);
CREATE INDEX sessions_idle ON sessions (ended, updated_at);
CREATE INDEX sessions_tell ON sessions (tell_at);
CREATE TABLE session_tasks (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    prompt TEXT,
    state TEXT NOT NULL,
    steps BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    error TEXT,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, session_id, task_id));
{{isolate session_tasks}}
CREATE INDEX session_tasks_number ON session_tasks (tenant_id, session_id, number);
CREATE TABLE session_events (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, seq));
{{isolate session_events}}
",
}];

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lifetime of a session from its last handshake, in seconds.
    pub session_seconds: u32,
    /// Where model calls go; absent: hosts use their own.
    pub gateway: Option<GatewaySettings>,
    /// Steps of one task.
    pub max_steps: u32,
    /// Tasks kept of one session.
    pub max_tasks: u32,
    /// Events kept of one session.
    pub max_events: u64,
    /// Their bytes.
    pub max_event_bytes: u64,
    /// Timelines followed at once in this process.
    pub max_streams: usize,
    /// Those of one tenant.
    pub max_tenant_streams: usize,
    /// Days that a session is kept after it ended and last changed.
    pub days_kept: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_seconds: SESSION_SECONDS,
            gateway: None,
            max_steps: MAX_MAX_STEPS,
            // A person does not look through more; a host that reports more is out of its mind.
            max_tasks: 10_000,
            // Some hundred steps a day for a year.
            max_events: 200_000,
            // Outputs are cut at 100 KiB by hosts; with these a session costs at most a quarter gibibyte.
            max_event_bytes: 256 << 20,
            // Each costs a task and a query now and then.
            max_streams: 1_000,
            // Nobody shuts the other tenants out.
            max_tenant_streams: 100,
            // As workspaces.
            days_kept: 90,
        }
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    settings: Arc<Settings>,
    streams: Arc<Permits<TenantId>>,
}

/// The endpoints of this service.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let streams = Permits::new("followed timelines", settings.max_streams, settings.max_tenant_streams);
    let streams = Arc::new(streams);
    Routes::new(State { foundation, settings: Arc::new(settings), streams })
        .on::<CreateSession, _, _>(handshake::create)
        .on::<ResumeSession, _, _>(handshake::resume)
        .on::<ListSessions, _, _>(list::list)
        .on::<GetSession, _, _>(list::get)
        .on::<CancelSession, _, _>(cancel::cancel)
        .on::<RenameSession, _, _>(standing::rename)
        .on::<ForgetSessions, _, _>(forgetting::forget)
        .on::<ReportState, _, _>(standing::report)
        .on::<CreateTask, _, _>(tasks::create)
        .on::<ListTasks, _, _>(tasks::list)
        .on::<CompleteTask, _, _>(tasks::complete)
        .on::<AppendEvents, _, _>(events::append)
        .on::<ListEvents, _, _>(events::list)
        .on_raw::<StreamEvents, _, _>(stream::follow)
}
