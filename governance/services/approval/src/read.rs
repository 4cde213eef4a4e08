//! Reading approvals, each with what was proposed of it.

use std::collections::{BTreeSet, HashMap};

use lanyard_governance_api::approval::{ApprovalInfo, Proposal, ProposalOutcome};
use lanyard_governance_api::endpoint::{GetApproval, ListCentralApprovals};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::limits::DEFAULT_PAGE;
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::{Ask, Caller, Fault, Row, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision};
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::policy::Approver;

use crate::State;
use crate::record::{self, state_name};
use lanyard_governance_foundation::page::Cut;

/// Bytes of records in one page, whatever the rows wanted. One record may be all of it.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Rows read at once, so that a page of long records is not read whole before it is cut.
const CHUNK: usize = 10;

const SELECT: &str = "SELECT approval_id, agent_id, job_id, record, received_at, settled_at FROM approvals WHERE tenant_id = $1";

/// Whose approvals a caller sees: a host its own.
fn own(caller: &Caller) -> Option<&AgentId> {
    match caller {
        Caller::Agent(agent) => Some(&agent.agent),
        _ => None,
    }
}

/// An approval; whether it can be answered is found out by [`answerable`].
pub(crate) fn info(row: &Row) -> Result<ApprovalInfo, Fault> {
    Ok(ApprovalInfo {
        record: row.json("record")?,
        agent_id: row.id("agent_id")?,
        job_id: row.opt_id("job_id")?,
        answerable: false,
        received_at: row.time("received_at")?,
        settled_at: row.opt_time("settled_at")?,
        proposals: Vec::new(),
    })
}

/// One approval, if the caller sees it; its row is taken where the transaction writes and `lock` is `{lock}`.
pub(crate) async fn one(
    tx: &mut Tx,
    caller: &Caller,
    id: &ApprovalId,
    lock: &'static str,
) -> Result<ApprovalInfo, Fault> {
    let statement = Statement::new(SELECT).push(" AND approval_id = $2").bind_id(id);
    let statement = statement.and_if("agent_id =", own(caller).map(AgentId::as_str)).push(lock);
    match tx.one(statement).await? {
        Some(row) => info(&row),
        None => Err(record::not_found(id)),
    }
}

fn proposal(row: &Row) -> Result<Proposal, Fault> {
    let decision = match row.text("decision")?.as_str() {
        "approved" => Decision::Approved,
        _ => Decision::Denied,
    };
    let outcome = match row.text("outcome")?.as_str() {
        "sent" => ProposalOutcome::Sent,
        "accepted" => ProposalOutcome::Accepted,
        // Refused, and not sent at all.
        _ => ProposalOutcome::Refused,
    };
    Ok(Proposal {
        proposal_id: row.id("proposal_id")?,
        decision,
        by: row.id("by_user")?,
        by_name: row.text("by_name")?,
        reason: row.opt_text("reason")?,
        at: row.time("at")?,
        outcome,
        refusal: row.opt_text("refusal")?,
    })
}

/// Adds what was proposed, with one query for all of them.
pub(crate) async fn add_proposals(tx: &mut Tx, infos: &mut [ApprovalInfo]) -> Result<(), Fault> {
    if infos.is_empty() {
        return Ok(());
    }
    let sql = "SELECT approval_id, proposal_id, decision, by_user, by_name, reason, at, outcome, refusal \
        FROM approval_proposals WHERE tenant_id = $1 AND approval_id IN (";
    let mut statement = Statement::new(sql);
    for (number, info) in infos.iter().enumerate() {
        let placeholder = statement.next_placeholder();
        let comma = if number == 0 { "" } else { ", " };
        statement =
            statement.push(&format!("{comma}${placeholder}")).bind_id(&info.record.request.approval_id);
    }
    let mut found: HashMap<String, Vec<Proposal>> = HashMap::new();
    for row in tx.all(statement.push(") ORDER BY at, proposal_id")).await? {
        found.entry(row.text("approval_id")?).or_default().push(proposal(&row)?);
    }
    for info in infos {
        info.proposals = found.remove(info.record.request.approval_id.as_str()).unwrap_or_default();
    }
    Ok(())
}

/// Whether an answer from the centre could count, as far as the record says; the host's owner must allow it besides.
fn open_to_answers(record: &ApprovalRecord, now: Timestamp) -> bool {
    record.state == ApprovalState::Pending
        && record.request.deadline > now
        && record.request.approver != Approver::Local
}

async fn answerable(state: &State, caller: &Caller, infos: &mut [ApprovalInfo]) -> Result<(), Fault> {
    let now = state.foundation.clock.now();
    let open = |info: &ApprovalInfo| open_to_answers(&info.record, now);
    let agents: BTreeSet<AgentId> =
        infos.iter().filter(|info| open(info)).map(|info| info.agent_id.clone()).collect();
    let accepting = state.answerable.of(&state.foundation, caller.tenant()?, agents).await;
    for info in infos {
        info.answerable = open(info) && accepting.contains(&info.agent_id);
    }
    Ok(())
}

/// `GET /approvals/{approval_id}`
pub(crate) async fn get(state: State, ask: Ask<GetApproval>) -> Result<ApprovalInfo, Fault> {
    let id: ApprovalId = ask.path.get("approval_id").map_err(|fault| {
        // The same code as for one that is not there.
        Fault::new(lanyard_protocol::ErrorCode::ApprovalNotFound, fault.wire.message)
    })?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let mut info = [one(&mut tx, &ask.caller, &id, "").await?];
    add_proposals(&mut tx, &mut info).await?;
    drop(tx);
    answerable(&state, &ask.caller, &mut info).await?;
    let [info] = info;
    Ok(info)
}

/// Rows of a page, at most about [`MAX_PAGE_BYTES`] of records.
async fn bounded(
    tx: &mut Tx,
    statement: &Statement,
    limit: Option<u32>,
    mut next_token: Option<String>,
) -> Result<Page<ApprovalInfo>, Fault> {
    // Refuses what is out of bounds.
    Cut::of(limit, next_token.as_deref())?;
    let wanted = limit.unwrap_or(DEFAULT_PAGE) as usize;
    let (mut items, mut bytes) = (Vec::new(), 0);
    loop {
        let most = CHUNK.min(wanted - items.len());
        let cut = of_rows(most, next_token.as_deref())?;
        let rows = tx.all(cut.apply(statement.clone(), "AND", "received_at", "approval_id")?).await?;
        let mut fitting = 0;
        for row in rows.iter().take(most) {
            let more = row.text("record")?.len();
            if items.len() + fitting > 0 && bytes + more > MAX_PAGE_BYTES {
                break;
            }
            bytes += more;
            fitting += 1;
        }
        if fitting == 0 {
            // Nothing is left, or the next one is for the next page.
            return Ok(Page { items, next_token: next_token.filter(|_| !rows.is_empty()) });
        }
        let full = fitting < rows.len().min(most);
        let key = |row: &Row| Ok((row.time("received_at")?, row.text("approval_id")?));
        let page = of_rows(fitting, next_token.as_deref())?.page(rows, key, info)?;
        items.extend(page.items);
        next_token = page.next_token;
        if full || next_token.is_none() || items.len() >= wanted {
            return Ok(Page { items, next_token });
        }
    }
}

fn of_rows(rows: usize, next_token: Option<&str>) -> Result<Cut, Fault> {
    Cut::of(Some(u32::try_from(rows).unwrap_or(u32::MAX)), next_token)
}

/// `GET /approvals`
pub(crate) async fn list(state: State, ask: Ask<ListCentralApprovals>) -> Result<Page<ApprovalInfo>, Fault> {
    let query = &ask.query;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let statement = Statement::new(SELECT)
        .and_if("session_id =", query.session_id.as_ref().map(|id| id.as_str()))
        .and_if("agent_id =", query.agent_id.as_ref().map(AgentId::as_str))
        .and_if("agent_id =", own(&ask.caller).map(AgentId::as_str))
        .and_if("state =", query.state.map(state_name));
    let mut page = bounded(&mut tx, &statement, query.limit, query.next_token.clone()).await?;
    add_proposals(&mut tx, &mut page.items).await?;
    drop(tx);
    answerable(&state, &ask.caller, &mut page.items).await?;
    Ok(page)
}
