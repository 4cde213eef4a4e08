//! Remembered answers: each covers exactly one call, word for word and content for content.

use lanyard_protocol::{
    approval::{ApprovalRecord, ApprovalState, RememberedRule},
    id::RuleId,
    policy::Remember,
    tool::ToolRequest,
};

/// The rule an approved record asks to be remembered, if it does. `fingerprint` is that of the question
/// ([`crate::permit::Ask::fingerprint`]), which the caller keeps with it.
pub fn remembered_rule(
    record: &ApprovalRecord,
    fingerprint: &str,
    rule_id: RuleId,
) -> Option<RememberedRule> {
    let answer = record.answer.as_ref().filter(|_| record.state == ApprovalState::Approved)?;
    let request = &record.request;
    if answer.remember == Remember::Once || answer.remember > request.max_remember {
        return None;
    }
    let in_session = answer.remember <= Remember::Session;
    Some(RememberedRule {
        rule_id,
        remember: answer.remember,
        session_id: in_session.then(|| request.session_id.clone()),
        task_id: (answer.remember == Remember::Task).then(|| request.task_id.clone()),
        workspace_id: request.workspace_id.clone(),
        tool_name: request.tool_name.clone(),
        fingerprint: fingerprint.to_owned(),
        scope_text: request.remember_scope.clone(),
        created_by: answer.decided_by.clone(),
        created_at: answer.decided_at,
    })
}

/// Whether a rule covers a call: same fingerprint and tool, in the workspace, session and task it holds in. A rule
/// whose limits are missing covers nothing.
pub fn rule_applies(rule: &RememberedRule, request: &ToolRequest, fingerprint: &str) -> bool {
    let session = rule.session_id.as_ref() == Some(&request.session_id);
    let task = rule.task_id.as_ref() == Some(&request.task_id);
    let holds = match rule.remember {
        Remember::Once => false,
        Remember::Task => session && task,
        Remember::Session => session,
        Remember::Always => true,
    };
    holds
        && rule.fingerprint == fingerprint
        && rule.tool_name == request.tool_name
        && rule.workspace_id == request.workspace_id
}
