//! How a task begins: what is checked, and the batch that must be on disk before the request is acknowledged. Pure.

use lanyard_ports::journal::{Checkpoint, SessionRecord};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionStarted, TaskStarted, Usage};
use lanyard_protocol::id::{StepId, TaskId};
use lanyard_protocol::limits::{MAX_MAX_STEPS, MAX_PROMPT_BYTES};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::{ApprovalMode, ModelInfo, SessionState};

use super::{NewTask, StartError};
use crate::attached;
use crate::gate::InForce;
use crate::instructions::Instruction;
use crate::recorder::prompt_line;
use crate::turn::record::{Draft, Record};
use crate::turn::{Asking, Moved};

/// Refuses what no session would accept.
pub(super) fn check(task: &NewTask) -> Result<(), StartError> {
    if task.prompt.trim().is_empty() {
        return Err(StartError::EmptyPrompt);
    }
    if task.prompt.len() > MAX_PROMPT_BYTES {
        return Err(StartError::LongPrompt(task.prompt.len()));
    }
    if !(1..=MAX_MAX_STEPS).contains(&task.options.max_steps) {
        return Err(StartError::BadMaxSteps(task.options.max_steps));
    }
    let may_waive = task.initiator.local || task.initiator.holds(Scope::Admin);
    if task.options.approval_mode == ApprovalMode::Never && !may_waive {
        return Err(StartError::MayNotWaiveApprovals);
    }
    Ok(())
}

/// What a beginning task is told about its surroundings.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) session: &'a SessionRecord,
    pub(super) terms: &'a InForce,
    pub(super) model: ModelInfo,
    pub(super) instructions: &'a [Instruction],
    pub(super) attachments: &'a [String],
}

/// The first checkpoint of a task.
pub(super) fn mark(
    task: NewTask,
    session: &SessionRecord,
    (task_id, step_id): (TaskId, StepId),
    now: Timestamp,
) -> Checkpoint {
    Checkpoint {
        session_id: session.summary.session_id.clone(),
        task_id,
        prompt: task.prompt,
        options: task.options,
        initiator: task.initiator,
        step_id,
        step_number: 1,
        calls_under_way: false,
        usage: Usage::default(),
        started_at: now,
        resumes: 0,
    }
}

/// Everything that must be on disk before `StartTask` is acknowledged, in one batch: the task's events, its prompt, its
/// first step and the checkpoint that lets a restart take it up.
pub(super) fn open(mark: Checkpoint, around: Surroundings<'_>) -> Moved<Asking> {
    let mut records = Vec::new();
    let mut event = |body| records.push(Record::of_task(body));
    if around.session.summary.state == SessionState::SessionCreated {
        let policy_bundle_version = around.terms.bundle_version.clone();
        event(EventBody::SessionStarted(SessionStarted { policy_bundle_version }));
    }
    event(EventBody::TaskStarted(TaskStarted {
        prompt: mark.prompt.clone(),
        options: mark.options.clone(),
        initiator: mark.initiator.clone(),
        model: around.model,
        instructions: around.instructions.iter().map(|one| one.path.display().to_string()).collect(),
    }));
    records.push(Record::Message(Draft::prompt(&attached::told(&mark.prompt, around.attachments))));
    let name = around.session.summary.name.is_empty().then(|| prompt_line(&mark.prompt));
    let begun = Asking::begin(mark, around.session.summary.workspace_id.clone());
    records.extend(begun.records);
    records.push(Record::TaskBegun { name });
    records.push(Record::State(SessionState::SessionRunning));
    Moved { records, next: begun.next }
}
