//! Questions while a task is followed: queue, prompt, answer.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRequest, Decision};
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::method::{AcknowledgeApproval, ApproveAction};
use lanyard_protocol::policy::Remember;

use super::prompt::{Pressed, Prompt};
use super::{ASKED_DIFF_LINES, Answering, Asking, Follower, Sent, View};
use crate::exit::Failure;
use crate::keys::Keys;
use crate::render;

impl Follower<'_> {
    /// Questions that were asked before this command came.
    pub(crate) fn already_asked(&mut self, requests: Vec<ApprovalRequest>) -> Result<(), Failure> {
        for request in requests {
            if let View::Pretty(_) = self.view {
                let lines = ASKED_DIFF_LINES;
                let text =
                    render::approval(self.invocation.terminal.paint, &request, Timestamp::now(), lines);
                self.invocation.terminal.print(&text)?;
            }
            self.asked(request)?;
        }
        Ok(())
    }

    /// A question of this session has come up.
    pub(super) fn asked(&mut self, request: ApprovalRequest) -> Result<(), Failure> {
        if self.interrupted
            || request.task_id != self.outcome.task
            || self.questions.iter().any(|q| q.approval_id == request.approval_id)
        {
            return Ok(());
        }
        match (self.answering, self.asking) {
            (Answering::Always, _) => self.answer(&request, Decision::Approved, Remember::Once, None),
            (Answering::Never, _) => {
                let reason = "lanyard run --approve never".to_owned();
                self.answer(&request, Decision::Denied, Remember::Once, Some(reason))
            }
            (Answering::Ask, Asking::Nowhere) => {
                let id = &request.approval_id;
                let approve = self.invocation.command(&format!("approve {id}"));
                let deny = self.invocation.command(&format!("deny {id}"));
                let text = format!(
                    "Waiting for an approval that cannot be asked for here. Answer it from another terminal:\n  \
                     {approve}\n  {deny}"
                );
                Ok(self.invocation.terminal.note(&text)?)
            }
            (Answering::Ask, _) => {
                self.questions.push_back(request);
                Ok(())
            }
        }
    }

    /// A question has its answer, from here or elsewhere.
    pub(super) fn settled(&mut self, id: &ApprovalId) {
        self.questions.retain(|question| question.approval_id != *id);
        if self.prompt.as_ref().is_some_and(|prompt| prompt.request.approval_id == *id) {
            self.prompt = None;
        }
    }

    fn answer(
        &mut self,
        request: &ApprovalRequest,
        decision: Decision,
        remember: Remember,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let id = self.connection.send(ApproveAction {
            session_id: request.session_id.clone(),
            approval_id: request.approval_id.clone(),
            decision,
            remember,
            reason,
            command_id: None,
        })?;
        self.sent.push((id, Sent::Answer(request.approval_id.clone())));
        Ok(())
    }

    /// Puts the oldest open question before the person, if none is.
    pub(super) fn next_question(&mut self) -> Result<(), Failure> {
        if self.prompt.is_some() {
            return Ok(());
        }
        let Some(request) = self.questions.pop_front() else {
            self.keys = None;
            return Ok(());
        };
        let prompt = Prompt::new(request);
        match &mut self.keys {
            Some(keys) => keys.new_question()?,
            None => self.keys = Some(Keys::open()?),
        }
        if self.asking == Asking::OnStderr {
            let lines = ASKED_DIFF_LINES;
            let question = render::approval(
                self.invocation.terminal.error_paint,
                &prompt.request,
                Timestamp::now(),
                lines,
            );
            self.invocation.terminal.note(&format!("{question}{}", prompt.keys()))?;
        }
        // The host keeps who was shown it; that nobody hears the answer to this is no loss.
        self.connection.send(AcknowledgeApproval {
            session_id: prompt.request.session_id.clone(),
            approval_id: prompt.request.approval_id.clone(),
        })?;
        self.prompt = Some(prompt);
        Ok(())
    }

    pub(super) fn key(&mut self, key: std::io::Result<char>) -> Result<(), Failure> {
        let Some(mut prompt) = self.prompt.take() else { return Ok(()) };
        let Ok(key) = key else {
            // The terminal is gone; somebody else may still answer.
            self.keys = None;
            self.asking = Asking::Nowhere;
            return self.asked(prompt.request);
        };
        match prompt.press(key) {
            // The prompt is gone with the answer; the event that follows says which answer counted.
            Pressed::Answer(decision, remember) => {
                return self.answer(&prompt.request, decision, remember, None);
            }
            Pressed::ShowDiff => {
                let on_stderr = self.asking == Asking::OnStderr;
                let paint = if on_stderr {
                    self.invocation.terminal.error_paint
                } else {
                    self.invocation.terminal.paint
                };
                let text = render::diff_of(&prompt.request)
                    .map(|diff| render::diff(paint, diff, "    ", usize::MAX))
                    .unwrap_or_default();
                self.view.note(&mut self.invocation.terminal, text.trim_end_matches('\n'))?;
            }
            Pressed::Say(text) => {
                self.view.note(&mut self.invocation.terminal, &text)?;
                if self.asking == Asking::OnStderr {
                    self.invocation.terminal.note(&prompt.keys())?;
                }
            }
            Pressed::Ignored => {}
        }
        self.prompt = Some(prompt);
        Ok(())
    }
}
