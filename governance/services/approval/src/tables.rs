//! Tables of the Approval Service.
//!
//! `approval_facts` is the record: what was told, in the words it was told in, never changed, and removed as a whole only
//! when its question was settled longer ago than audit records are kept by default.
//! `approvals` and `approval_proposals` are what follows from it, for reading.

use lanyard_governance_foundation::Migration;

/// Tables.
pub const MIGRATIONS: &[Migration] = &[TABLES, BOUNDS, SENDING, DEADLINES];

/// When a question that waits is over, and since when it counts as that although its host never told.
const DEADLINES: Migration = Migration {
    service: "approval",
    number: 4,
    sql: "ALTER TABLE approvals ADD COLUMN deadline BIGINT;
ALTER TABLE approvals ADD COLUMN lapsed_at BIGINT;
CREATE INDEX approvals_deadline ON approvals (state, deadline);
",
};

/// When the chore takes up a proposal that is not known to be sent; absent once it is, or never will be.
const SENDING: Migration = Migration {
    service: "approval",
    number: 3,
    sql: "ALTER TABLE approval_proposals ADD COLUMN send_at BIGINT;
CREATE INDEX approval_proposals_send ON approval_proposals (send_at);
",
};

/// What is counted and swept, found without reading records.
const BOUNDS: Migration = Migration {
    service: "approval",
    number: 2,
    sql: "CREATE INDEX approvals_told ON approvals (tenant_id, session_id, agent_id);
CREATE INDEX approvals_settled ON approvals (settled_at);
",
};

const TABLES: Migration = Migration {
    service: "approval",
    number: 1,
    sql: "CREATE TABLE approvals (
    tenant_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    job_id TEXT,
    state TEXT NOT NULL,
    record TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    settled_at BIGINT,
    PRIMARY KEY (tenant_id, approval_id));
{{isolate approvals}}
CREATE INDEX approvals_new ON approvals (tenant_id, received_at, approval_id);
CREATE INDEX approvals_state ON approvals (tenant_id, state, received_at, approval_id);
CREATE INDEX approvals_session ON approvals (tenant_id, session_id, received_at, approval_id);
CREATE INDEX approvals_agent ON approvals (tenant_id, agent_id, received_at, approval_id);
CREATE TABLE approval_proposals (
    tenant_id TEXT NOT NULL,
    proposal_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    by_user TEXT NOT NULL,
    by_name TEXT NOT NULL,
    reason TEXT,
    at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    refusal TEXT,
    PRIMARY KEY (tenant_id, proposal_id));
{{isolate approval_proposals}}
CREATE INDEX approval_proposals_of ON approval_proposals (tenant_id, approval_id, at);
CREATE TABLE approval_facts (
    tenant_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    fact TEXT NOT NULL,
    at BIGINT NOT NULL,
    agent_id TEXT,
    by_user TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, approval_id, fact));
{{isolate approval_facts}}
",
};
