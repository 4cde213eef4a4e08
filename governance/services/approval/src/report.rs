//! What hosts tell: a question that waits, or one that is settled. Told again, nothing changes; told otherwise, what is
//! kept stands, and the contradiction is kept beside it.

use lanyard_governance_api::approval::{ApprovalReport, ApprovalStored};
use lanyard_governance_api::endpoint::ReportApproval;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Caller, Fault, Row, Statement, Tx, fresh_id};
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision};
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::id::EventId;
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::State;
use crate::bounds;
use crate::record::{self, state_name, trail_record};

/// Contradictions kept of one approval. A host that goes on is refused all the same.
const MAX_CONFLICTS: u64 = 20;

/// Questions of one session from one host; so many in a session of a day are a defect or an attack.
const MAX_PER_SESSION: u64 = 10_000;

/// Questions of one host that wait. Sessions are the host's word; without this it could store without end by inventing
/// them.
const MAX_WAITING: u64 = 1_000;

/// What a report is against what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It says the same.
    Repeated,
    /// The question that waited is settled.
    Settles,
    /// It says that the question waits, and the answer came first.
    Late,
    /// It contradicts what is kept.
    Contradicts(&'static str),
}

fn compare(kept: &ApprovalRecord, told: &ApprovalRecord) -> Standing {
    if kept.request != told.request {
        return Standing::Contradicts("another question was told under this id");
    }
    match (kept.state, told.state) {
        (before, now) if before == now && kept.answer == told.answer => Standing::Repeated,
        (ApprovalState::Pending, _) => Standing::Settles,
        (_, ApprovalState::Pending) => Standing::Late,
        _ => Standing::Contradicts("this question was settled otherwise, and what is settled never changes"),
    }
}

/// What its host told last. That a question counts as expired because nothing was told is nobody's word.
fn told_before(row: &Row) -> Result<ApprovalRecord, Fault> {
    let kept: ApprovalRecord = row.json("record")?;
    Ok(match row.opt_time("lapsed_at")? {
        Some(_) => ApprovalRecord { state: ApprovalState::Pending, ..kept },
        None => kept,
    })
}

/// Refuses a record that contradicts itself.
fn check(record: &ApprovalRecord) -> Result<(), Fault> {
    let answered = record.answer.as_ref().map(|answer| answer.decision);
    let fits = match record.state {
        ApprovalState::Approved => answered == Some(Decision::Approved),
        ApprovalState::Denied => answered == Some(Decision::Denied),
        ApprovalState::Pending | ApprovalState::Expired | ApprovalState::Cancelled => answered.is_none(),
    };
    match fits {
        true => Ok(()),
        false => Err(Fault::invalid(format!(
            "record.answer does not go with the state {}: an approved or denied question has that answer, others none",
            state_name(record.state)
        ))),
    }
}

/// `POST /approvals`
pub(crate) async fn report(state: State, ask: Ask<ReportApproval>) -> Result<ApprovalStored, Fault> {
    let agent = ask.caller.agent()?;
    check(&ask.body.record)?;
    bounds::check(&ask.body.record)?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let told = Told { state: &state, caller: &ask.caller, agent, report: &ask.body, now };
    let (server_timestamp, refused) = told.take(&mut tx).await?;
    // A contradiction is kept, and refused.
    tx.commit().await?;
    match refused {
        None => {
            Ok(ApprovalStored { approval_id: told.record().request.approval_id.clone(), server_timestamp })
        }
        Some(refused) => Err(refused),
    }
}

struct Told<'a> {
    state: &'a State,
    caller: &'a Caller,
    agent: &'a Agent,
    report: &'a ApprovalReport,
    now: Timestamp,
}

impl Told<'_> {
    fn record(&self) -> &ApprovalRecord {
        &self.report.record
    }

    async fn take(&self, tx: &mut Tx) -> Result<(Timestamp, Option<Fault>), Fault> {
        if self.insert(tx).await? {
            self.room(tx).await?;
            self.fact(tx).await?;
            return Ok((self.now, None));
        }
        let id = &self.record().request.approval_id;
        let sql = "SELECT agent_id, record, received_at, lapsed_at FROM approvals \
            WHERE tenant_id = $1 AND approval_id = $2 {lock}";
        let Some(row) = tx.one(Statement::new(sql).bind_id(id)).await? else {
            return Err(Fault::internal("an approval is taken and not there", id));
        };
        let standing = match row.text("agent_id")? == self.agent.agent.as_str() {
            true => compare(&told_before(&row)?, self.record()),
            false => Standing::Contradicts("another host told a question under this id"),
        };
        match standing {
            Standing::Repeated => Ok((self.first(tx, &row).await?, None)),
            Standing::Late => Ok((row.time("received_at")?, None)),
            Standing::Settles => {
                self.settle(tx).await?;
                self.fact(tx).await?;
                Ok((self.now, None))
            }
            Standing::Contradicts(why) => {
                self.contradiction(tx, why).await?;
                Ok((self.now, Some(Fault::conflict(why))))
            }
        }
    }

    fn settled_at(&self) -> Option<Timestamp> {
        (self.record().state != ApprovalState::Pending).then_some(self.now)
    }

    async fn insert(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let record = self.record();
        let sql = "INSERT INTO approvals (tenant_id, approval_id, agent_id, user_id, session_id, job_id, state, \
            record, received_at, settled_at, deadline) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
            ON CONFLICT DO NOTHING";
        let statement = Statement::new(sql)
            .bind_id(&record.request.approval_id)
            .bind_id(&self.agent.agent)
            .bind_id(&self.agent.user)
            .bind_id(&record.request.session_id)
            .bind_opt_id(self.report.job_id.as_ref())
            .bind(state_name(record.state))
            .bind_json(record)
            .bind(self.now)
            .bind(self.settled_at())
            .bind(record.request.deadline);
        Ok(tx.run(statement).await? == 1)
    }

    /// Refuses one more than a session may have, and one more that waits than a host may have in all its sessions; what
    /// was written is rolled back then. Counted per host, so that no host takes the room of another's session. Some that
    /// arrive at the same instant may slip through.
    async fn room(&self, tx: &mut Tx) -> Result<(), Fault> {
        let session = &self.record().request.session_id;
        let sql =
            "SELECT COUNT(*) AS n FROM approvals WHERE tenant_id = $1 AND session_id = $2 AND agent_id = $3";
        let row = tx.one(Statement::new(sql).bind_id(session).bind_id(&self.agent.agent)).await?;
        if row.map(|row| row.count("n")).transpose()?.unwrap_or(0) > MAX_PER_SESSION {
            let text = format!(
                "the session {session} has {MAX_PER_SESSION} approvals, and no more are kept of one session"
            );
            return Err(Fault::new(ErrorCode::PayloadTooLarge, text));
        }
        if self.record().state != ApprovalState::Pending {
            return Ok(());
        }
        let sql = "SELECT COUNT(*) AS n FROM approvals WHERE tenant_id = $1 AND agent_id = $2 AND state = 'pending'";
        let row = tx.one(Statement::new(sql).bind_id(&self.agent.agent)).await?;
        if row.map(|row| row.count("n")).transpose()?.unwrap_or(0) > MAX_WAITING {
            let text = format!(
                "{MAX_WAITING} questions of this host wait at the centre, and no more are kept; settle some of them"
            );
            return Err(Fault::new(ErrorCode::PayloadTooLarge, text));
        }
        Ok(())
    }

    async fn settle(&self, tx: &mut Tx) -> Result<(), Fault> {
        let record = self.record();
        let sql = "UPDATE approvals SET state = $3, record = $4, settled_at = $5, job_id = COALESCE(job_id, $6), \
            lapsed_at = NULL WHERE tenant_id = $1 AND approval_id = $2 AND (state = 'pending' OR lapsed_at IS NOT NULL)";
        let statement = Statement::new(sql)
            .bind_id(&record.request.approval_id)
            .bind(state_name(record.state))
            .bind_json(record)
            .bind(self.settled_at())
            .bind_opt_id(self.report.job_id.as_ref());
        tx.run(statement).await?;
        Ok(())
    }

    /// Writes what was told down, and into the trail.
    async fn fact(&self, tx: &mut Tx) -> Result<(), Fault> {
        let told = self.record();
        let fact = state_name(told.state);
        record::add(tx, &told.request.approval_id, fact, self.now, self.caller, self.report).await?;
        let event = match told.state {
            ApprovalState::Pending => "approval_requested",
            _ => "approval_resolved",
        };
        let mut entry = trail_record(event, told).by(self.caller);
        if let Some(answer) = &told.answer {
            entry = entry.with("decidedBy", answer.decided_by.as_str());
        }
        self.trail(tx, entry).await
    }

    async fn trail(&self, tx: &mut Tx, entry: trail::Record) -> Result<(), Fault> {
        trail::record(tx, &self.agent.tenant, self.state.foundation.clock.as_ref(), entry).await
    }

    /// When this state was told the first time.
    async fn first(&self, tx: &mut Tx, row: &Row) -> Result<Timestamp, Fault> {
        let told = self.record();
        let sql = "SELECT at FROM approval_facts WHERE tenant_id = $1 AND approval_id = $2 AND fact = $3";
        let statement = Statement::new(sql).bind_id(&told.request.approval_id).bind(state_name(told.state));
        match tx.one(statement).await? {
            Some(fact) => Ok(fact.time("at")?),
            None => Ok(row.time("received_at")?),
        }
    }

    async fn contradiction(&self, tx: &mut Tx, why: &'static str) -> Result<(), Fault> {
        let told = self.record();
        let id = &told.request.approval_id;
        let sql = "SELECT COUNT(*) AS n FROM approval_facts \
            WHERE tenant_id = $1 AND approval_id = $2 AND fact LIKE 'conflict:%'";
        let kept = tx.one(Statement::new(sql).bind_id(id)).await?;
        if kept.map(|row| row.count("n")).transpose()?.unwrap_or(0) >= MAX_CONFLICTS {
            return Ok(());
        }
        let number: EventId = fresh_id("cfl")?;
        record::add(tx, id, &format!("conflict:{number}"), self.now, self.caller, self.report).await?;
        let entry = trail_record("approval_conflict", told).by(self.caller).with("reason", why);
        self.trail(tx, entry.severity(Severity::Warning)).await
    }
}
