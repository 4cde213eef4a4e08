//! Questions, answers and what is remembered of them.

use std::sync::Arc;

use lanyard_policy::approval::Answer as Words;
use lanyard_ports::journal::Write;
use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{
    AcknowledgeApproval, ApprovalPage, ApproveAction, Done, ListApprovals, Method, Response, RevokeRule,
    RulePage,
};
use lanyard_protocol::principal::Principal;

use super::{Answer, blocking, page_size, session_error, store_error};
use crate::command::Command;
use crate::host::Host;
use crate::ids::invalid;

/// Longest reason a person may give, in characters.
const MAX_REASON: usize = 2_000;

/// `ApproveAction`.
pub(super) async fn answer(
    host: &Arc<Host>,
    principal: &Principal,
    params: ApproveAction,
) -> Result<Answer, WireError> {
    let command =
        match Command::begin(host, principal, Method::ApproveAction, params.command_id.as_ref(), &params)? {
            Command::Known(response) => return Ok((*response).into()),
            Command::New(command) => command,
        };
    if params.reason.as_ref().is_some_and(|r| r.chars().count() > MAX_REASON) {
        return Err(invalid(format!("reason: at most {MAX_REASON} characters")));
    }
    host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    let words = Words { decision: params.decision, remember: params.remember, reason: params.reason };
    let outcome = host.desk.answer(params.session_id, params.approval_id, words, principal.clone()).await?;
    let response = Response::ApproveAction(outcome);
    if let Some(kept) = command.remember(&response) {
        // The answer itself is on disk. Losing this row means that a repetition is told who answered first: itself.
        host.journal.append(vec![kept]).await.map_err(store_error)?;
    }
    Ok(response.into())
}

/// `ListApprovals`.
pub(super) async fn list(host: &Arc<Host>, params: ListApprovals) -> Result<Answer, WireError> {
    let limit = page_size(params.limit)?;
    if let Some(session) = &params.session_id {
        host.journal.session(session).map_err(|e| session_error(session, e))?;
    }
    let journal = host.journal.clone();
    let read = move || journal.approvals(params.session_id.as_ref(), params.include_settled, limit);
    let approvals = blocking(read).await?;
    Ok(Response::ListApprovals(ApprovalPage { approvals }).into())
}

/// `AcknowledgeApproval`.
pub(super) async fn acknowledge(
    host: &Arc<Host>,
    principal: &Principal,
    params: AcknowledgeApproval,
) -> Result<Answer, WireError> {
    host.desk.shown(params.session_id, params.approval_id, principal.id.clone()).await?;
    Ok(Response::AcknowledgeApproval(Done {}).into())
}

/// `ListRules`.
pub(super) fn rules(host: &Arc<Host>) -> Result<Answer, WireError> {
    let rules = host.journal.rules().map_err(store_error)?;
    Ok(Response::ListRules(RulePage { rules }).into())
}

/// `RevokeRule`.
pub(super) async fn revoke_rule(host: &Arc<Host>, params: RevokeRule) -> Result<Answer, WireError> {
    let known = host.journal.rules().map_err(store_error)?;
    if !known.iter().any(|rule| rule.rule_id == params.rule_id) {
        return Err(invalid(format!(
            "there is no remembered rule {}; `lanyard rules` lists them",
            params.rule_id
        )));
    }
    host.journal.commit(vec![Write::RemoveRule(params.rule_id)]).await.map_err(store_error)?;
    Ok(Response::RevokeRule(Done {}).into())
}
