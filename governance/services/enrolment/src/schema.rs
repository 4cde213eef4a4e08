//! Tables.
//!
//! * `enrolment_tokens` – tokens by the hash of their secret.
//! * `agents` – enrolled hosts: key, certificate, last heartbeat, revocation.
//! * `channels` – one narrow row per host: the number of its last command, and of the policy epoch that waits for it.
//!   A change of policy for ten thousand hosts is one UPDATE of this table and no row per host.
//! * `policy_epochs` – one row per tenant: the epoch, and the order that tells hosts of it. Also what is locked first by
//!   everything that changes channels of several hosts, so that no two of them wait for each other.
//! * `commands` – every other command that waits.
//! * `approval_outcomes` – what hosts said of proposed answers, until the Approval Service has it.
//! * `proof_nonces` – nonces of proofs, until their timestamps are too old to be taken anyway.
//! * `pairings` – the last snapshot of each host.
//! * `jobs` – jobs.

use lanyard_governance_foundation::Migration;

/// Tables of this service.
pub const MIGRATIONS: &[Migration] = &[TABLES, LATE];

/// Jobs that were given up, and those whose outcome came all the same. Of those that were given up before, nobody knows
/// whether their hosts said so: they may.
const LATE: Migration = Migration {
    service: "enrolment",
    number: 2,
    sql: "ALTER TABLE jobs ADD COLUMN presumed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN late BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET presumed = 1 WHERE state = 'indeterminate' AND result IS NULL;
",
};

const TABLES: Migration = Migration {
    service: "enrolment",
    number: 1,
    sql: "CREATE TABLE enrolment_tokens (
    tenant_id TEXT NOT NULL,
    token_id TEXT NOT NULL PRIMARY KEY,
    secret_hash {{bytes}} NOT NULL,
    user_id TEXT NOT NULL,
    class TEXT NOT NULL,
    note TEXT,
    uses BIGINT NOT NULL,
    max_uses BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT);
{{isolate enrolment_tokens}}
CREATE INDEX enrolment_tokens_created ON enrolment_tokens (tenant_id, created_at, token_id);
CREATE INDEX enrolment_tokens_end ON enrolment_tokens (expires_at);
CREATE TABLE agents (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    class TEXT NOT NULL,
    token_id TEXT NOT NULL,
    csr_hash {{bytes}} NOT NULL,
    public_key {{bytes}} NOT NULL,
    machine TEXT NOT NULL,
    heartbeat TEXT,
    policy_epoch BIGINT NOT NULL,
    last_seen_at BIGINT,
    heard_at BIGINT NOT NULL,
    skew BIGINT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT,
    revoked_reason TEXT,
    clone_suspected BIGINT NOT NULL,
    life BIGINT,
    other_life BIGINT,
    swaps BIGINT NOT NULL);
{{isolate agents}}
CREATE UNIQUE INDEX agents_request ON agents (token_id, csr_hash);
CREATE INDEX agents_heard ON agents (tenant_id, heard_at, agent_id);
CREATE TABLE channels (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    last_number BIGINT NOT NULL,
    epoch_number BIGINT,
    confirmed_epoch BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    mark TEXT,
    revoked TEXT,
    PRIMARY KEY (tenant_id, agent_id));
{{isolate channels}}
CREATE TABLE policy_epochs (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT,
    pushed BIGINT NOT NULL,
    at BIGINT NOT NULL,
    by_id TEXT,
    by_name TEXT,
    body TEXT);
{{isolate policy_epochs}}
CREATE TABLE commands (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    by_id TEXT,
    by_name TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, number));
{{isolate commands}}
CREATE INDEX commands_at ON commands (at);
CREATE TABLE approval_outcomes (
    tenant_id TEXT NOT NULL,
    proposal_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, proposal_id));
{{isolate approval_outcomes}}
CREATE INDEX approval_outcomes_at ON approval_outcomes (at);
CREATE TABLE proof_nonces (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, nonce));
{{isolate proof_nonces}}
CREATE INDEX proof_nonces_end ON proof_nonces (expires_at);
CREATE TABLE pairings (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id));
{{isolate pairings}}
CREATE INDEX pairings_reported ON pairings (tenant_id, reported_at, agent_id);
CREATE TABLE jobs (
    tenant_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    digest {{bytes}} NOT NULL,
    tool_name TEXT NOT NULL,
    arguments TEXT NOT NULL,
    workspace TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    session_id TEXT,
    result TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_key TEXT,
    lease_until BIGINT,
    cancel_asked BIGINT NOT NULL,
    due_at BIGINT,
    PRIMARY KEY (tenant_id, job_id));
{{isolate jobs}}
CREATE UNIQUE INDEX jobs_key ON jobs (tenant_id, idempotency_key);
CREATE INDEX jobs_created ON jobs (tenant_id, created_at, job_id);
CREATE INDEX jobs_agent ON jobs (tenant_id, agent_id, created_at, job_id);
CREATE INDEX jobs_due ON jobs (due_at);
CREATE INDEX jobs_updated ON jobs (updated_at);
",
};
