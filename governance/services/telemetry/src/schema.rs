//! Tables.

use lanyard_governance_foundation::Migration;

/// Tables of the Telemetry Service. The columns `b0` to `b17` of `telemetry_hours` are the histogram of the lengths of
/// model calls; its bounds are in the module of that name. A row of `telemetry_sources` is locked while spans of the
/// source are added.
pub const MIGRATIONS: &[Migration] = &[Migration {
    service: "telemetry",
    number: 1,
    sql: "CREATE TABLE telemetry_sources (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source));
{{isolate telemetry_sources}}
CREATE TABLE telemetry_events (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    happened_at BIGINT NOT NULL,
    severity TEXT NOT NULL,
    component TEXT NOT NULL,
    event_type TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT,
    payload TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source, event_id));
{{isolate telemetry_events}}
CREATE INDEX telemetry_events_received ON telemetry_events (tenant_id, received_at);
CREATE TABLE telemetry_spans (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    span_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    parent_span_id TEXT,
    received_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_millis BIGINT NOT NULL,
    operation BIGINT NOT NULL,
    ok BIGINT NOT NULL,
    name TEXT NOT NULL,
    error TEXT,
    attributes TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source, span_id));
{{isolate telemetry_spans}}
CREATE INDEX telemetry_spans_received ON telemetry_spans (tenant_id, received_at);
CREATE TABLE telemetry_hours (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    hour BIGINT NOT NULL,
    tasks BIGINT NOT NULL,
    tasks_failed BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    tool_calls_failed BIGINT NOT NULL,
    model_calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    slowest BIGINT NOT NULL,
    b0 BIGINT NOT NULL,
    b1 BIGINT NOT NULL,
    b2 BIGINT NOT NULL,
    b3 BIGINT NOT NULL,
    b4 BIGINT NOT NULL,
    b5 BIGINT NOT NULL,
    b6 BIGINT NOT NULL,
    b7 BIGINT NOT NULL,
    b8 BIGINT NOT NULL,
    b9 BIGINT NOT NULL,
    b10 BIGINT NOT NULL,
    b11 BIGINT NOT NULL,
    b12 BIGINT NOT NULL,
    b13 BIGINT NOT NULL,
    b14 BIGINT NOT NULL,
    b15 BIGINT NOT NULL,
    b16 BIGINT NOT NULL,
    b17 BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, source, hour));
{{isolate telemetry_hours}}
CREATE INDEX telemetry_hours_hour ON telemetry_hours (tenant_id, hour);
CREATE TABLE telemetry_names (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    hour BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    name TEXT NOT NULL,
    calls BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, source, hour, kind, name));
{{isolate telemetry_names}}
CREATE INDEX telemetry_names_hour ON telemetry_names (tenant_id, hour);
CREATE TABLE telemetry_outgoing (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    span_id TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, source, span_id));
{{isolate telemetry_outgoing}}
CREATE INDEX telemetry_outgoing_queued ON telemetry_outgoing (queued_at);
CREATE TABLE telemetry_lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    ends_at BIGINT NOT NULL);
",
}];
