//! Tables of the Workspace Service.
//!
//! * `workspace_artifacts` is what callers see: one row per thing kept.
//! * `workspace_objects` says where the content of a hash lies in the store, and how many rows name it.
//! * `workspace_removals` lists keys of the store that are to go. A key gets its row there *before* anything is written
//!   under it, due in a day, and loses it in the transaction that makes the object count: whatever a crash leaves behind
//!   is in the list. Keys are never used twice, so what is listed can never be what somebody stores at the moment.

use lanyard_governance_foundation::Migration;

/// Tables.
pub const MIGRATIONS: &[Migration] = &[TABLES, FORGETTING];

/// What the Session Service is still to be asked to remove: see [`crate::forgetting`].
const FORGETTING: Migration = Migration {
    service: "workspace",
    number: 2,
    sql: "CREATE TABLE workspace_forgetting (
    tenant_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    changed_before BIGINT,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    wanted BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id, session_id));
{{isolate workspace_forgetting}}
CREATE INDEX workspace_forgetting_due ON workspace_forgetting (due_at);
",
};

const TABLES: Migration = Migration {
    service: "workspace",
    number: 1,
    sql: "CREATE TABLE workspaces (
    tenant_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    user_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    local_path TEXT,
    local_key TEXT,
    created_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id));
{{isolate workspaces}}
CREATE UNIQUE INDEX workspaces_local ON workspaces (tenant_id, local_key);
CREATE INDEX workspaces_active ON workspaces (tenant_id, last_active_at, workspace_id);
CREATE INDEX workspaces_idle ON workspaces (last_active_at);
CREATE TABLE workspace_artifacts (
    tenant_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    record_id TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT,
    step_id TEXT,
    tool_call_id TEXT,
    sha256 TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    seq BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id, record_id));
{{isolate workspace_artifacts}}
CREATE INDEX workspace_artifacts_new ON workspace_artifacts (tenant_id, workspace_id, created_at, record_id);
CREATE INDEX workspace_artifacts_content ON workspace_artifacts (tenant_id, workspace_id, sha256);
CREATE INDEX workspace_artifacts_session ON workspace_artifacts (tenant_id, workspace_id, session_id, created_at);
CREATE TABLE workspace_objects (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    store_key TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    refs BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sha256));
{{isolate workspace_objects}}
CREATE INDEX workspace_objects_unused ON workspace_objects (tenant_id) WHERE refs <= 0;
CREATE TABLE workspace_removals (
    tenant_id TEXT NOT NULL,
    store_key TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, store_key));
{{isolate workspace_removals}}
CREATE INDEX workspace_removals_due ON workspace_removals (due_at);
",
};
