//! Tables.

use lanyard_governance_foundation::Migration;

/// Tables of the Audit Service.
///
/// `audit_records.event` is the text that was hashed; the other columns repeat from it what searches need, and
/// verification compares them. `event_key` is 16 bytes that stand for tenant, source and event id: short keys keep the
/// one index with random order small. A record whose event id was taken already has none, and its `repeats` is the number
/// of the record that has it: positive where both say the same (such a record is a link of the chain and nothing else),
/// negative where they do not. Once the other one was removed by retention it is 0.
pub const MIGRATIONS: &[Migration] = &[TABLES, PENDING];

/// A shorter time to keep records, and from when on it counts.
const PENDING: Migration = Migration {
    service: "audit",
    number: 2,
    sql: "ALTER TABLE audit_retention ADD COLUMN pending_days BIGINT;
ALTER TABLE audit_retention ADD COLUMN pending_from BIGINT;
",
};

const TABLES: Migration = Migration {
    service: "audit",
    number: 1,
    sql: "CREATE TABLE audit_heads (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    last_seq BIGINT NOT NULL,
    hash {{bytes}} NOT NULL,
    kept_after BIGINT NOT NULL,
    kept_after_hash {{bytes}} NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, source));
{{isolate audit_heads}}
CREATE TABLE audit_records (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    seq BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    repeats BIGINT NOT NULL,
    hash {{bytes}} NOT NULL,
    event_key {{bytes}},
    event_type TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT,
    workspace_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source, seq));
{{isolate audit_records}}
CREATE UNIQUE INDEX audit_records_key ON audit_records (event_key);
CREATE INDEX audit_records_time ON audit_records (tenant_id, received_at);
CREATE INDEX audit_records_session ON audit_records (tenant_id, session_id, received_at);
CREATE INDEX audit_records_repeats ON audit_records (tenant_id, source) WHERE repeats <> 0;
CREATE TABLE audit_conflicts (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash {{bytes}} NOT NULL,
    received_at BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    stored_seq BIGINT NOT NULL,
    stored_hash {{bytes}} NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source, seq, hash));
{{isolate audit_conflicts}}
CREATE TABLE audit_retention (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    days BIGINT NOT NULL);
{{isolate audit_retention}}
",
};
