//! What the centre asks of this host. Each kind is judged here by what the owner lets the centre do, and then goes the
//! way that the same wish of a paired device would go: the handlers of the API, the desks, the router.
//!
//! A command may come twice. What changes something is remembered by its number, like a command of a device; the rest
//! changes nothing the second time.

use std::sync::Arc;

use lanyard_governance_api::command::{Command, Order};
use lanyard_governance_api::id::{AgentId, UserId};
use lanyard_governance_client::StoreError;
use lanyard_governance_client::commands::CommandHandler;
use lanyard_ports::authority::PolicyNews;
use lanyard_ports::journal::Write;
use lanyard_protocol::approval::{ApprovalRequest, Decision};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{ApprovalId, CommandId, DeviceId, PairingId, SessionId};
use lanyard_protocol::method::{ApproveAction, DecidePairing, Request, Response, RevokeDevice};
use lanyard_protocol::policy::{Approver, Remember};
use lanyard_protocol::principal::{Principal, Scope};
use sha2::{Digest, Sha256};

use super::news::NewsError;
use super::standing::{principal, user_of};
use crate::api::{handle, session_error, store_error};
use crate::host::Host;
use crate::ids::invalid;
use crate::principals::owner;

/// Longest reason of a person that is kept, in characters; the API takes no longer one.
const MAX_REASON: usize = 2_000;

/// Does what the centre asks.
pub(super) struct Orders(pub(super) Arc<Host>);

#[async_trait::async_trait]
impl CommandHandler for Orders {
    async fn handle(&self, command: Command) -> Result<(), WireError> {
        let host = &self.0;
        let number = command.number;
        tracing::info!(number, order = kind(&command.order), "a command of the central services");
        let agent = host.centre.tie().facts().map(|facts| facts.agent_id.clone());
        let by = By { user: command.by, name: command.by_name, agent, number };
        match command.order {
            Order::DecideApproval { session_id, approval_id, decision, reason, .. } => {
                answers(host)?;
                decide(host, &by, session_id, approval_id, decision, reason).await
            }
            Order::DecidePairing { pairing_id, approve, digits } => {
                answers(host)?;
                decide_pairing(host, &by, pairing_id, approve, digits).await
            }
            Order::RevokeDevice { device_id } => {
                answers(host)?;
                revoke_device(host, &by, device_id).await
            }
            Order::PolicyEpoch { epoch, revoked } => {
                let who = by.name.as_deref().unwrap_or("the central services");
                let revoked = revoked.map(|reason| format!("{who}: {reason}"));
                take_epoch(host, PolicyNews { epoch, revoked }).await
            }
            Order::CancelSession { session_id, reason } => cancel_session(host, &session_id, &reason).await,
            Order::Job { job_id } => host.centre.jobs().begin(host, job_id, by.user).await,
            Order::CancelJob { job_id } => {
                host.centre.jobs().cancel(&job_id, "it was cancelled at the centre");
                Ok(())
            }
            Order::Revoked { reason } => {
                host.centre.revoked(reason);
                Ok(())
            }
        }
    }

    async fn handled(&self, number: u64) -> Result<(), StoreError> {
        let kept = self.0.journal.commit(vec![Write::CentralCommand(number)]).await;
        kept.map_err(|error| StoreError(error.to_string()))
    }
}

/// Who asks.
pub(super) struct By {
    pub(super) user: Option<UserId>,
    pub(super) name: Option<String>,
    /// Who this host is there.
    pub(super) agent: Option<AgentId>,
    pub(super) number: u64,
}

impl By {
    fn principal(&self, scopes: Vec<Scope>) -> Result<Principal, WireError> {
        let user = self.user.as_ref().ok_or_else(|| {
            invalid("the command does not say who gives it; this host takes answers of people only")
        })?;
        principal(user, self.name.as_deref(), scopes).map_err(|e| invalid(format!("by: {e}")))
    }

    /// The same command is the same key. Each enrolment numbers from 1, and what was done under an earlier one is still
    /// remembered. Shortened, because an agent's id may be as long as a key.
    pub(super) fn key(&self) -> Result<CommandId, WireError> {
        let agent = self.agent.as_ref().ok_or_else(|| invalid("this host is enrolled nowhere"))?;
        let digest = Sha256::digest(agent.as_str().as_bytes());
        let agent = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        CommandId::new(format!("central-{agent}-{}", self.number)).map_err(|e| invalid(e.to_string()))
    }
}

fn kind(order: &Order) -> &'static str {
    match order {
        Order::DecideApproval { .. } => "decide_approval",
        Order::DecidePairing { .. } => "decide_pairing",
        Order::RevokeDevice { .. } => "revoke_device",
        Order::PolicyEpoch { .. } => "policy_epoch",
        Order::CancelSession { .. } => "cancel_session",
        Order::Job { .. } => "job",
        Order::CancelJob { .. } => "cancel_job",
        Order::Revoked { .. } => "revoked",
    }
}

fn answers(host: &Host) -> Result<(), WireError> {
    if host.centre.tie().consent().accept_answers {
        return Ok(());
    }
    let text = "the owner of this machine does not let the central services answer for it; \
                `lanyard sync consent --answers on` there allows it";
    Err(WireError::new(ErrorCode::Unauthorized, text))
}

async fn decide(
    host: &Arc<Host>,
    by: &By,
    session_id: SessionId,
    approval_id: ApprovalId,
    decision: Decision,
    reason: Option<String>,
) -> Result<(), WireError> {
    let principal = by.principal(vec![Scope::Observe, Scope::Approve])?;
    if let Some(record) = host.journal.approval(&session_id, &approval_id).map_err(store_error)? {
        somebody_else(host, by, &principal, &record.request)?;
    }
    let answer = ApproveAction {
        session_id,
        approval_id,
        decision,
        remember: Remember::Once,
        reason: reason.map(|reason| reason.chars().take(MAX_REASON).collect()),
        command_id: Some(by.key()?),
    };
    match handle(host, &principal, Request::ApproveAction(answer)).await?.into_response() {
        Response::ApproveAction(outcome) if !outcome.counted && outcome.decided_by != principal.id => {
            let word = match outcome.decision {
                Decision::Approved => "approved",
                Decision::Denied => "denied",
            };
            let text = format!("{} answered first: it was {word}", outcome.decided_by);
            Err(WireError::new(ErrorCode::Conflict, text))
        }
        _ => Ok(()),
    }
}

/// Refuses an answer of whoever began what is asked about, by whichever of their names.
fn somebody_else(
    host: &Host,
    by: &By,
    principal: &Principal,
    asked: &ApprovalRequest,
) -> Result<(), WireError> {
    let refused = |text: &str| Err(WireError::new(ErrorCode::Unauthorized, text));
    // Whoever dispatched a job never approves it, whatever the rule that asks would allow.
    if asked.initiator == principal.id {
        return refused("whoever dispatched a job does not answer its questions; somebody else has to");
    }
    // What was begun at the machine or on a paired device was begun by the user whose host it is at the centre, as its
    // audit records say.
    let theirs = user_of(asked.initiator.as_str()).is_some();
    let owner = host.centre.tie().facts().map(|facts| facts.user_id.clone());
    if asked.approver == Approver::NotInitiator && !theirs && owner.is_some() && owner == by.user {
        return refused(
            "this host is your own, and the question is for somebody who did not begin the task: somebody else at the \
             centre has to answer it",
        );
    }
    Ok(())
}

/// Everything but `admin`: who may answer at the centre may let a device in, and not make it a second owner.
async fn decide_pairing(
    host: &Arc<Host>,
    by: &By,
    pairing_id: PairingId,
    approve: bool,
    digits: Option<String>,
) -> Result<(), WireError> {
    let (_, pending) = host.network.desk().pairings(owner_here()?).await?;
    let asked = pending.iter().find(|pending| pending.pairing_id == pairing_id);
    // Never left open, which would grant what was asked for, `admin` included.
    let scopes = asked.map(|pending| granted(&pending.requested_scopes)).unwrap_or_default();
    let answer = DecidePairing {
        pairing_id,
        decision: if approve { Decision::Approved } else { Decision::Denied },
        digits,
        scopes: approve.then_some(scopes),
        name: None,
        command_id: Some(by.key()?),
    };
    handle(host, &at_the_desk(by)?, Request::DecidePairing(answer)).await.map(drop)
}

/// What a device gets that asks for these rights and is let in by the centre.
pub(super) fn granted(requested: &[Scope]) -> Vec<Scope> {
    requested.iter().copied().filter(|scope| *scope != Scope::Admin).collect()
}

async fn revoke_device(host: &Arc<Host>, by: &By, device_id: DeviceId) -> Result<(), WireError> {
    let revoke = RevokeDevice { device_id, command_id: Some(by.key()?) };
    handle(host, &at_the_desk(by)?, Request::RevokeDevice(revoke)).await.map(drop)
}

fn at_the_desk(by: &By) -> Result<Principal, WireError> {
    by.principal(vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin])
}

fn owner_here() -> Result<Principal, WireError> {
    owner().map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))
}

/// Acknowledged when no live session decides anything by an older policy any more: each looks at the news before every
/// call, and a revocation ends what runs.
async fn take_epoch(host: &Arc<Host>, news: PolicyNews) -> Result<(), WireError> {
    let centre = host.centre.clone();
    let taken = tokio::task::spawn_blocking(move || centre.take_news(news)).await;
    let fault = |text: String| WireError::new(ErrorCode::InternalError, text);
    taken.map_err(|e| fault(e.to_string()))?.map_err(|error| match error {
        NewsError::Leap { .. } => invalid(error.to_string()),
        NewsError::File(error) => fault(error.to_string()),
    })
}

/// Ends a session for good; whoever works in it reads why.
async fn cancel_session(host: &Arc<Host>, id: &SessionId, reason: &str) -> Result<(), WireError> {
    let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
    if record.summary.state.is_final() {
        return Ok(());
    }
    let reason: String = reason.chars().take(MAX_REASON).collect();
    let reason = format!("the central services ended the session: {reason}");
    host.sessions.end(host, id, Some(reason)).await?;
    let (centre, id) = (host.centre.clone(), id.clone());
    drop(tokio::task::spawn_blocking(move || centre.forget(&id)));
    Ok(())
}
