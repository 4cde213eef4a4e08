//! Proposing an answer from the console, and what the host said of it.

use std::collections::BTreeSet;

use lanyard_governance_api::approval::{ApprovalInfo, Proposal, ProposalOutcome};
use lanyard_governance_api::endpoint::{GetJob, GetSession, GetStandings, ProposeDecision, ReportOutcome};
use lanyard_governance_api::id::{JobId, ProposalId, UserId};
use lanyard_governance_api::job::Job;
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{Standing, StandingQuery};
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::caller::Person;
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Caller, Fault, Statement, Tx, fresh_id};
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::policy::Approver;
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::record::{self, decision_name, state_name, trail_record};
use crate::{State, answerable, read, send};

/// Proposals of one approval. The first answer wins at the host; so many are a defect, or a person who presses a button
/// that does nothing.
const MAX_PROPOSALS: usize = 20;

/// What the names begin with that hosts give to people of the centre.
const CENTRAL: &str = "central:";

/// `POST /approvals/{approval_id}/decision`
pub(crate) async fn propose(state: State, ask: Ask<ProposeDecision>) -> Result<Proposal, Fault> {
    let id: ApprovalId = ask.path.get("approval_id")?;
    let person = ask.caller.person()?;
    if ask.body.reason.as_ref().is_some_and(|reason| reason.len() > MAX_TEXT_BYTES) {
        return Err(Fault::invalid(format!("a reason has at most {MAX_TEXT_BYTES} bytes")));
    }
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let seen = read::one(&mut tx, &ask.caller, &id, "").await?;
    drop(tx);
    open(&seen, state.foundation.clock.now())?;
    not_by_its_dispatcher(&state, person, &seen).await?;
    let host = answerable::ask(&state.foundation, &person.tenant, &seen.agent_id).await?;
    not_by_its_owner(&state, person, &seen, &host.user_id).await?;
    if !answerable::accepts(&host) {
        return Err(Fault::conflict(
            "the owner of this machine has not allowed answers from the centre; it must be answered on the machine \
             or one of its paired devices",
        ));
    }
    let now = state.foundation.clock.now();
    let proposal = Proposal {
        proposal_id: fresh_id("prp")?,
        decision: ask.body.decision,
        by: person.user.clone(),
        by_name: person.name.clone(),
        reason: ask.body.reason.clone(),
        at: now,
        outcome: ProposalOutcome::Sent,
        refusal: None,
    };
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    write(&state, &mut tx, &ask.caller, &id, &proposal).await?;
    tx.commit().await?;
    // Kept before it is sent: what the host says of it always finds it.
    let queued = send::send(&state.foundation, &person.tenant, &proposal.proposal_id).await;
    if let Err(fault) = queued {
        unsent(&state, &ask.caller, &id, &proposal.proposal_id, &fault).await?;
        return Err(fault);
    }
    Ok(proposal)
}

/// Refuses what no answer from the centre can settle.
fn open(info: &ApprovalInfo, now: Timestamp) -> Result<(), Fault> {
    let record = &info.record;
    if record.state != ApprovalState::Pending {
        return Err(Fault::conflict(format!("this question is {} already", state_name(record.state))));
    }
    if record.request.deadline <= now {
        return Err(Fault::conflict("the deadline of this question has passed; it counts as denied"));
    }
    if record.request.approver == Approver::Local {
        return Err(Fault::conflict(
            "the rule of this question lets only somebody at the machine itself answer it",
        ));
    }
    Ok(())
}

/// Whoever dispatched a job never approves what it does. The job is the one the host named, and the one its session was
/// opened for.
async fn not_by_its_dispatcher(state: &State, person: &Person, info: &ApprovalInfo) -> Result<(), Fault> {
    let (peers, tenant) = (&state.foundation.peers, Some(&person.tenant));
    let session = &info.record.request.session_id;
    let path = [("session_id", session.as_str())];
    let of_session: Option<JobId> = match peers
        .call::<GetSession>(tenant, &path, &Nothing {}, &Nothing {})
        .await
    {
        Ok(SessionInfo { job_id, .. }) => job_id,
        // A session that the centre never heard of was not opened for a job of the centre.
        // An address that leads elsewhere answers 404 too, and knows nothing of sessions.
        Err(fault) if fault.wire.code == ErrorCode::SessionNotFound => None,
        Err(fault) if fault.status() == 404 => {
            let text = "whether a job asks this cannot be found out: where the session service should be is something \
                            else; the operator of this installation has to look at its --peer addresses";
            return Err(Fault::unavailable(text));
        }
        Err(fault) => return Err(fault),
    };
    let mut jobs: Vec<JobId> = info.job_id.iter().cloned().chain(of_session).collect();
    jobs.dedup();
    let mut dispatchers = Vec::new();
    for job in jobs {
        let path = [("job_id", job.as_str())];
        let job: Job = match peers.call::<GetJob>(tenant, &path, &Nothing {}, &Nothing {}).await {
            Ok(job) => job,
            Err(fault) if fault.status() == 404 => {
                return Err(Fault::conflict(format!("the job {job} of this question is not known here")));
            }
            Err(fault) => return Err(fault),
        };
        if job.created_by == person.user {
            return Err(Fault::forbidden(
                "you dispatched the job that asks this; somebody else must answer it",
            ));
        }
        dispatchers.push(job.created_by);
    }
    match dispatchers.is_empty() {
        true => Ok(()),
        false => not_by_the_same_hands(state, person, dispatchers, "dispatched the job that asks this").await,
    }
}

/// Where whoever began the task may not answer, neither may the owner of the machine it was begun at: to the centre, who
/// works there is the user that enrolled it.
async fn not_by_its_owner(
    state: &State,
    person: &Person,
    info: &ApprovalInfo,
    owner: &UserId,
) -> Result<(), Fault> {
    let request = &info.record.request;
    // One of the centre's people: whoever dispatched the job.
    let dispatched = request.initiator.as_str().starts_with(CENTRAL);
    if request.approver != Approver::NotInitiator || dispatched {
        return Ok(());
    }
    if *owner == person.user {
        return Err(Fault::forbidden(
            "this was begun at your own machine, and its rule wants somebody else to look; another person must answer it",
        ));
    }
    not_by_the_same_hands(state, person, vec![owner.clone()], "owns the machine where this was begun").await
}

/// Nor does anybody whose account may be the other's as well (whose is said by `what`): one of the two came by link from
/// the other, or both from somebody who is not the operator.
async fn not_by_the_same_hands(
    state: &State,
    person: &Person,
    others: Vec<UserId>,
    what: &str,
) -> Result<(), Fault> {
    let user_ids: Vec<UserId> = std::iter::once(person.user.clone()).chain(others).collect();
    let (peers, query) = (&state.foundation.peers, StandingQuery { user_ids });
    let found = peers.call::<GetStandings>(Some(&person.tenant), &[], &Nothing {}, &query).await?;
    // One of whom nothing is said may be anybody.
    if !found.standings.iter().map(|standing| &standing.user_id).eq(&query.user_ids) {
        return Err(Fault::internal("whose accounts these are was not answered", &person.user));
    }
    let mut hands = found.standings.iter().map(hands);
    let own = hands.next().unwrap_or_default();
    let common = hands.find_map(|of| of.intersection(&own).next().copied());
    let more = found.standings.iter().any(|standing| standing.more);
    let why = match common {
        Some(common) if *common == person.user => {
            format!("you invited the account that {what}, by a link")
        }
        Some(common) => {
            format!("your account came by a link from {common}, and so may have the one that {what}")
        }
        None if more => format!("your account or the one that {what} came by too long a row of links"),
        None => return Ok(()),
    };
    Err(Fault::forbidden(format!(
        "{why}; somebody must answer it who was invited by the operator, or who signs in at the identity provider"
    )))
}

/// Everybody who may be behind an account.
fn hands(standing: &Standing) -> BTreeSet<&UserId> {
    standing.handed_by.iter().chain([&standing.user_id]).collect()
}

/// Writes a proposal down, if the question still waits for one.
async fn write(
    state: &State,
    tx: &mut Tx,
    caller: &Caller,
    id: &ApprovalId,
    proposal: &Proposal,
) -> Result<(), Fault> {
    let mut now_there = [read::one(tx, caller, id, " {lock}").await?];
    open(&now_there[0], proposal.at)?;
    read::add_proposals(tx, &mut now_there).await?;
    if now_there[0].proposals.len() >= MAX_PROPOSALS {
        return Err(Fault::conflict(format!(
            "{MAX_PROPOSALS} answers were proposed already; the host has not taken one"
        )));
    }
    let sql = "INSERT INTO approval_proposals (tenant_id, proposal_id, approval_id, decision, by_user, by_name, \
        reason, at, outcome, send_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'sent', $9)";
    let statement = Statement::new(sql)
        .bind_id(&proposal.proposal_id)
        .bind_id(id)
        .bind(decision_name(proposal.decision))
        .bind_id(&proposal.by)
        .bind(proposal.by_name.as_str())
        .bind(proposal.reason.as_deref())
        .bind(proposal.at)
        .bind(send::overdue_at(proposal.at));
    tx.run(statement).await?;
    let fact = format!("proposal:{}", proposal.proposal_id);
    record::add(tx, id, &fact, proposal.at, caller, proposal).await?;
    let entry = trail_record("approval_proposed", &now_there[0].record)
        .by(caller)
        .about_agent(&now_there[0].agent_id)
        .with("proposalId", proposal.proposal_id.as_str())
        .with("decision", decision_name(proposal.decision));
    trail::record(tx, caller.tenant()?, state.foundation.clock.as_ref(), entry).await
}

/// The host was not given the command, as far as is known here. Should it say otherwise, its word counts.
async fn unsent(
    state: &State,
    caller: &Caller,
    id: &ApprovalId,
    proposal: &ProposalId,
    cause: &Fault,
) -> Result<(), Fault> {
    let refusal = format!("it could not be sent to the host: {}", cause.wire.message);
    let mut tx = state.foundation.database.write(caller).await?;
    let sql = "UPDATE approval_proposals SET outcome = 'unsent', refusal = $3, send_at = NULL \
        WHERE tenant_id = $1 AND proposal_id = $2 AND outcome = 'sent'";
    tx.run(Statement::new(sql).bind_id(proposal).bind(refusal.as_str())).await?;
    let body = serde_json::json!({ "proposalId": proposal, "refusal": refusal });
    let fact = format!("unsent:{proposal}");
    record::add(&mut tx, id, &fact, state.foundation.clock.now(), caller, &body).await?;
    Ok(tx.commit().await?)
}

/// `POST /approvals/{approval_id}/outcome`
pub(crate) async fn outcome(state: State, ask: Ask<ReportOutcome>) -> Result<Nothing, Fault> {
    let id: ApprovalId = ask.path.get("approval_id")?;
    let told = match ask.body.outcome {
        ProposalOutcome::Accepted => "accepted",
        ProposalOutcome::Refused => "refused",
        ProposalOutcome::Sent => return Err(Fault::invalid("outcome is accepted or refused")),
    };
    let proposal = &ask.body.proposal_id;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let info = read::one(&mut tx, &ask.caller, &id, " {lock}").await?;
    let sql = "SELECT outcome FROM approval_proposals WHERE tenant_id = $1 AND approval_id = $2 AND proposal_id = $3";
    let row = tx.one(Statement::new(sql).bind_id(&id).bind_id(proposal)).await?;
    let Some(row) = row else { return Err(Fault::not_found("proposal", proposal)) };
    match row.text("outcome")?.as_str() {
        "sent" | "unsent" => {}
        before if before == told => return Ok(Nothing {}),
        before => {
            return Err(Fault::conflict(format!("the host said before that this proposal was {before}")));
        }
    }
    let sql =
        "UPDATE approval_proposals SET outcome = $3, refusal = $4 WHERE tenant_id = $1 AND proposal_id = $2";
    // The host's words; too many of them must not keep the outcome from being known.
    let mut body = ask.body.clone();
    if let Some(refusal) = &mut body.refusal {
        lanyard_governance_foundation::trail::truncate(refusal, MAX_TEXT_BYTES);
    }
    let refusal = body.refusal.as_deref();
    tx.run(Statement::new(sql).bind_id(proposal).bind(told).bind(refusal)).await?;
    let now = state.foundation.clock.now();
    record::add(&mut tx, &id, &format!("outcome:{proposal}"), now, &ask.caller, &body).await?;
    let entry = trail_record("approval_proposal_settled", &info.record)
        .about_agent(&info.agent_id)
        .with("proposalId", proposal.as_str())
        .with("outcome", told);
    trail::record(&mut tx, ask.caller.tenant()?, state.foundation.clock.as_ref(), entry).await?;
    tx.commit().await?;
    Ok(Nothing {})
}
