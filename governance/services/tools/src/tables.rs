//! Tables of the Backend Tool Service.

use lanyard_governance_foundation::Migration;

/// Tables. A run carries the result "nobody knows how it ended" from its first moment, so that a crash leaves the truth.
pub const MIGRATIONS: &[Migration] = &[Migration {
    service: "tools",
    number: 1,
    sql: "CREATE TABLE tools (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    input_schema TEXT NOT NULL,
    url TEXT NOT NULL,
    sealed_authorization {{bytes}},
    timeout_seconds BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name));
{{isolate tools}}
CREATE TABLE tool_runs (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    result TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    deadline_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, agent_id, tool_call_id));
{{isolate tool_runs}}
CREATE INDEX tool_runs_running ON tool_runs (deadline_at) WHERE state = 'running';
CREATE INDEX tool_runs_ended ON tool_runs (ended_at);
",
}];
