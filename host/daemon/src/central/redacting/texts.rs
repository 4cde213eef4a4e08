//! Where in what is sent there is text that somebody has written.

use lanyard_governance_api::job::JobProgress;
use lanyard_governance_api::session::{EventBatch, SessionRequest, StateReport, TaskCompletion, TaskReport};
use lanyard_policy::redact::Redactor;
use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRequest, CommandDetail, FileChangeDetail, HttpDetail, OtherDetail,
};
use lanyard_protocol::error::WireError;
use lanyard_protocol::event::{EventBody, ToolCompleted, ToolRequested};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::method::PatchPreview;
use lanyard_protocol::tool::ToolResult;
use serde_json::Value;

/// What is done to a text.
pub(super) type Do<'d> = &'d mut dyn FnMut(&mut String);

/// Something that holds texts.
pub(super) trait Texts {
    /// Does something to each.
    fn each(&mut self, todo: Do<'_>);
}

/// Takes out of a text what the rules name.
pub(super) fn text(rules: &Redactor, one: &mut String) {
    if let std::borrow::Cow::Owned(passed) = rules.apply(one) {
        *one = passed;
    }
}

fn all<'t>(texts: impl IntoIterator<Item = &'t mut String>, todo: Do<'_>) {
    texts.into_iter().for_each(todo);
}

impl Texts for SessionRequest {
    fn each(&mut self, todo: Do<'_>) {
        all(&mut self.name, todo);
    }
}

impl Texts for StateReport {
    fn each(&mut self, todo: Do<'_>) {
        all(&mut self.reason, todo);
    }
}

impl Texts for TaskReport {
    fn each(&mut self, todo: Do<'_>) {
        all(&mut self.prompt, todo);
    }
}

impl Texts for TaskCompletion {
    fn each(&mut self, todo: Do<'_>) {
        self.error.iter_mut().for_each(|error| error.each(todo));
    }
}

impl Texts for JobProgress {
    fn each(&mut self, todo: Do<'_>) {
        all(&mut self.reason, todo);
        self.result.iter_mut().for_each(|result| result.each(todo));
    }
}

impl Texts for EventBatch {
    fn each(&mut self, todo: Do<'_>) {
        self.events.iter_mut().for_each(|event| event.body.each(todo));
    }
}

impl Texts for PatchPreview {
    fn each(&mut self, todo: Do<'_>) {
        for file in &mut self.files {
            all([&mut file.path, &mut file.diff], todo);
        }
    }
}

impl Texts for ConversationMessage {
    fn each(&mut self, todo: Do<'_>) {
        todo(&mut self.content);
        self.tool_calls.iter_mut().for_each(|call| call.arguments.0.each(todo));
        all(self.provenance.iter_mut().map(|from| &mut from.source), todo);
    }
}

impl Texts for Value {
    fn each(&mut self, todo: Do<'_>) {
        match self {
            Value::String(one) => todo(one),
            Value::Array(values) => values.iter_mut().for_each(|value| value.each(todo)),
            Value::Object(members) => members.values_mut().for_each(|value| value.each(todo)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Texts for WireError {
    fn each(&mut self, todo: Do<'_>) {
        todo(&mut self.message);
        self.details.0.each(todo);
    }
}

impl Texts for ToolResult {
    fn each(&mut self, todo: Do<'_>) {
        all(&mut self.output_text, todo);
        self.error.iter_mut().for_each(|error| error.each(todo));
    }
}

/// Every event says what of it is text.
impl Texts for EventBody {
    fn each(&mut self, todo: Do<'_>) {
        match self {
            Self::SessionCreated(created) => {
                todo(&mut created.name);
                all(&mut created.workspace_roots, todo);
            }
            Self::TaskStarted(started) => {
                todo(&mut started.prompt);
                all(&mut started.instructions, todo);
            }
            Self::LlmRequestCompleted(done) => todo(&mut done.text),
            Self::LlmRetry(retry) => retry.error.each(todo),
            Self::TextDelta(delta) => todo(&mut delta.text),
            Self::ToolOutputDelta(delta) => todo(&mut delta.text),
            Self::ToolRequested(asked) => {
                let ToolRequested { arguments, summary, .. } = asked;
                arguments.0.each(todo);
                todo(summary);
            }
            Self::PolicyDecided(decided) => todo(&mut decided.reason),
            Self::ApprovalRequested(asked) => asked.approval.each(todo),
            Self::ApprovalResolved(settled) => all(&mut settled.answer.reason, todo),
            Self::ToolCompleted(done) => {
                let ToolCompleted { result, changes, .. } = done;
                result.each(todo);
                all(changes.iter_mut().map(|change| &mut change.path), todo);
            }
            Self::TaskCompleted(done) => todo(&mut done.text),
            Self::TaskFailed(failed) => failed.error.each(todo),
            Self::SessionPaused(paused) => todo(&mut paused.reason),
            Self::SessionResumed(resumed) => todo(&mut resumed.reason),
            Self::SessionFailed(failed) => failed.error.each(todo),
            Self::SessionStarted(_)
            | Self::SessionCompleted(_)
            | Self::StepStarted(_)
            | Self::StepCompleted(_)
            | Self::StepLimitNear(_)
            | Self::LlmRequestStarted(_)
            | Self::TaskCancelled(_)
            | Self::ContextCompacted(_)
            | Self::PolicyExpired(_)
            | Self::ApprovalExpired(_) => {}
        }
    }
}

impl Texts for ApprovalRequest {
    fn each(&mut self, todo: Do<'_>) {
        todo(&mut self.action_summary);
        all(&mut self.reasons, todo);
        todo(&mut self.remember_scope);
        self.detail.each(todo);
    }
}

impl Texts for ApprovalDetail {
    fn each(&mut self, todo: Do<'_>) {
        match self {
            Self::Command(CommandDetail { argv, shell, opaque_reason, cwd, stdin, environment, .. }) => {
                all(argv.iter_mut().flatten(), todo);
                all(shell.iter_mut().chain(opaque_reason).chain(stdin), todo);
                todo(cwd);
                all(environment, todo);
            }
            Self::FileChange(FileChangeDetail { path, new_path, diff, .. }) => {
                all([path, diff], todo);
                all(new_path, todo);
            }
            Self::Http(HttpDetail { url, headers, body, .. }) => {
                todo(url);
                all(headers.iter_mut().chain(body), todo);
            }
            Self::Other(OtherDetail { text }) => todo(text),
        }
    }
}
