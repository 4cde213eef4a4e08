//! What a page of the log means for the centre. Pure: which calls are made, in which order, from events alone.

use lanyard_governance_api::session::{StateReport, TaskReport};
use lanyard_protocol::error::WireError;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::{ApprovalId, StepId, TaskId, ToolCallId};
use lanyard_protocol::session::{SessionState, TaskState};
use lanyard_protocol::{Timestamp, tool::artifact_uri};

/// A task that ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) task: TaskId,
    pub(crate) state: TaskState,
    pub(crate) steps: u32,
    /// As the event tells; absent where the log has to be asked.
    pub(crate) tokens: Option<u64>,
    pub(crate) error: Option<WireError>,
    pub(crate) at: Timestamp,
    pub(crate) seq: u64,
}

/// The whole of an output that was cut for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) uri: String,
    pub(crate) task: Option<TaskId>,
    pub(crate) step: Option<StepId>,
    pub(crate) call: ToolCallId,
}

/// Everything that a page asks for. Carried out in the order of the fields: the centre hears of a task before its events
/// and of its end after them, and of a history last, because that says that the rest is there.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The session has got its name by its first prompt, and the tenant may know that.
    pub(crate) named: bool,
    pub(crate) begun: Vec<TaskReport>,
    /// The events themselves, where they are wanted.
    pub(crate) timeline: bool,
    /// Questions whose record changed, each once.
    pub(crate) approvals: Vec<ApprovalId>,
    pub(crate) ended: Vec<Ended>,
    /// Where the session stands after the page.
    pub(crate) state: Option<StateReport>,
    pub(crate) outputs: Vec<Output>,
    /// What tasks that ended changed in files goes with them.
    pub(crate) changes: bool,
    /// The history covers the log up to this number.
    pub(crate) history: Option<(TaskId, u64)>,
}

/// The plan of a page. `timeline`: the tenant wants to see what is said, not only that it was. `upload`: its policy lets
/// this host upload artifacts.
pub(crate) fn plan(events: &[SessionEvent], timeline: bool, upload: bool) -> Plan {
    let mut plan = Plan { timeline, changes: timeline && upload, ..Plan::default() };
    for event in events {
        let seq = event.seq.unwrap_or_default();
        plan.task(event, seq);
        plan.named |= timeline && matches!(event.body, EventBody::SessionStarted(_));
        plan.question(&event.body);
        if let Some((state, reason)) = standing(&event.body) {
            plan.state = Some(StateReport { state, reason, seq });
        }
        if timeline && upload {
            plan.outputs(event);
        }
    }
    plan.history = plan.history.filter(|_| upload);
    plan
}

impl Plan {
    fn task(&mut self, event: &SessionEvent, seq: u64) {
        let Some(task) = &event.task_id else { return };
        if let EventBody::TaskStarted(started) = &event.body {
            let prompt = self.timeline.then(|| started.prompt.clone());
            self.begun.push(TaskReport { task_id: task.clone(), prompt, started_at: event.timestamp });
        }
        let (state, steps, tokens, error) = match &event.body {
            EventBody::TaskCompleted(done) => {
                let tokens = done.usage.input_tokens.saturating_add(done.usage.output_tokens);
                (TaskState::Completed, done.steps, Some(tokens), None)
            }
            EventBody::TaskFailed(failed) => {
                (TaskState::Failed, failed.steps, None, Some(failed.error.clone()))
            }
            EventBody::TaskCancelled(cancelled) => (TaskState::Cancelled, cancelled.steps, None, None),
            _ => return,
        };
        let at = event.timestamp;
        self.ended.push(Ended { task: task.clone(), state, steps, tokens, error, at, seq });
        self.history = Some((task.clone(), seq));
    }

    fn question(&mut self, body: &EventBody) {
        let approval = match body {
            EventBody::ApprovalRequested(asked) => &asked.approval.approval_id,
            EventBody::ApprovalResolved(settled) => &settled.approval_id,
            EventBody::ApprovalExpired(expired) => &expired.approval_id,
            _ => return,
        };
        if !self.approvals.contains(approval) {
            self.approvals.push(approval.clone());
        }
    }

    fn outputs(&mut self, event: &SessionEvent) {
        let EventBody::ToolCompleted(done) = &event.body else { return };
        self.outputs.extend(done.result.artifact_uris.iter().map(|uri| Output {
            uri: uri.clone(),
            task: event.task_id.clone(),
            step: event.step_id.clone(),
            call: done.result.tool_call_id.clone(),
        }));
    }
}

/// Where the session stands after an event (seed 004 §7); `None` where that does not change.
fn standing(body: &EventBody) -> Option<(SessionState, Option<String>)> {
    let state = match body {
        EventBody::SessionCreated(_) => SessionState::SessionCreated,
        EventBody::SessionStarted(_)
        | EventBody::TaskStarted(_)
        | EventBody::SessionResumed(_)
        | EventBody::LlmRequestCompleted(_)
        | EventBody::ToolCompleted(_)
        | EventBody::TaskCompleted(_)
        | EventBody::TaskFailed(_)
        | EventBody::TaskCancelled(_) => SessionState::SessionRunning,
        EventBody::LlmRequestStarted(_) => SessionState::WaitingForLlm,
        EventBody::ApprovalRequested(_) => SessionState::WaitingForApproval,
        EventBody::ApprovalResolved(_) | EventBody::ApprovalExpired(_) => SessionState::WaitingForTool,
        EventBody::SessionPaused(paused) => {
            return Some((SessionState::SessionPaused, Some(paused.reason.clone())));
        }
        EventBody::SessionCompleted(_) => SessionState::SessionCompleted,
        EventBody::SessionFailed(failed) => {
            return Some((SessionState::SessionFailed, Some(failed.error.message.clone())));
        }
        _ => return None,
    };
    Some((state, None))
}

/// The artifact that a result names; `None` for what is kept elsewhere.
pub(crate) fn artifact_of(uri: &str) -> Option<lanyard_protocol::id::ArtifactId> {
    let id = lanyard_protocol::id::ArtifactId::new(uri.strip_prefix("artifact:")?).ok()?;
    (artifact_uri(&id) == uri).then_some(id)
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::event::{
        SessionPaused, TaskCancelled, TaskCompleted, TaskStarted, ToolCompleted, Usage,
    };
    use lanyard_protocol::id::{ArtifactId, EventId, SessionId, WorkspaceId};
    use lanyard_protocol::policy::SandboxLevel;
    use lanyard_protocol::session::{ModelInfo, TaskOptions};
    use lanyard_protocol::tool::{ToolResult, ToolStatus};

    use super::*;
    use crate::principals::owner;

    fn event(seq: u64, task: &str, body: EventBody) -> SessionEvent {
        SessionEvent {
            event_id: EventId::new(format!("evt_{seq}")).unwrap(),
            seq: Some(seq),
            workspace_id: WorkspaceId::new("ws").unwrap(),
            session_id: SessionId::new("sess").unwrap(),
            task_id: Some(TaskId::new(task).unwrap()),
            step_id: None,
            timestamp: Timestamp::from_millis(1),
            body,
        }
    }

    fn page() -> Vec<SessionEvent> {
        let model =
            ModelInfo { name: "m".into(), endpoint: String::new(), demo: true, source: "demo".into() };
        let started = TaskStarted {
            prompt: "hush".to_owned(),
            options: TaskOptions::default(),
            initiator: owner().unwrap(),
            model,
            instructions: Vec::new(),
        };
        let id = ArtifactId::new("a".repeat(64)).unwrap();
        let result = ToolResult {
            tool_name: "RunCommand".to_owned(),
            workspace_id: WorkspaceId::new("ws").unwrap(),
            session_id: SessionId::new("sess").unwrap(),
            task_id: TaskId::new("one").unwrap(),
            step_id: StepId::new("step").unwrap(),
            tool_call_id: ToolCallId::new("call").unwrap(),
            status: ToolStatus::Succeeded,
            output_text: None,
            artifact_uris: vec![artifact_uri(&id)],
            error: None,
        };
        let completed = ToolCompleted {
            result,
            exit_code: Some(0),
            duration_ms: 1,
            sandbox_level: SandboxLevel::Full,
            changes: Vec::new(),
            replayed: false,
        };
        let usage = Usage { input_tokens: 3, output_tokens: 4 };
        vec![
            event(1, "one", EventBody::TaskStarted(started)),
            event(2, "one", EventBody::ToolCompleted(completed)),
            event(3, "one", EventBody::TaskCompleted(TaskCompleted { text: "x".into(), steps: 2, usage })),
            event(4, "two", EventBody::SessionPaused(SessionPaused { reason: "why".into() })),
        ]
    }

    #[test]
    fn a_page_names_its_tasks_their_ends_its_last_state_and_one_history() {
        let plan = plan(&page(), true, true);
        assert_eq!(plan.begun[0].prompt.as_deref(), Some("hush"));
        assert_eq!((plan.ended[0].tokens, plan.ended[0].steps), (Some(7), 2));
        let state = plan.state.unwrap();
        assert_eq!((state.state, state.seq), (SessionState::SessionPaused, 4));
        assert_eq!(state.reason.as_deref(), Some("why"));
        assert_eq!(plan.history, Some((TaskId::new("one").unwrap(), 3)));
        assert_eq!(artifact_of(&plan.outputs[0].uri).unwrap().as_str(), "a".repeat(64));
    }

    #[test]
    fn without_the_timeline_neither_prompts_nor_outputs_are_sent() {
        let plan = plan(&page(), false, true);
        assert_eq!(plan.begun[0].prompt, None);
        assert!(plan.outputs.is_empty() && !plan.timeline);
    }

    #[test]
    fn what_may_not_be_uploaded_is_in_no_plan() {
        let plan = plan(&page(), true, false);
        assert!(plan.timeline && !plan.begun.is_empty());
        assert!(plan.outputs.is_empty() && !plan.changes && plan.history.is_none());
    }

    #[test]
    fn an_end_that_does_not_tell_its_tokens_leaves_them_to_the_log() {
        let end = EventBody::TaskCancelled(TaskCancelled { by: None, steps: 1 });
        assert_eq!(plan(&[event(9, "one", end)], false, true).ended[0].tokens, None);
    }

    #[test]
    fn only_artifacts_of_this_host_are_fetched() {
        assert_eq!(artifact_of("file:///etc/passwd"), None);
        assert_eq!(artifact_of("artifact:../x"), None);
    }
}
