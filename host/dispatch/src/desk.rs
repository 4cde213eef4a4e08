//! The approval desk: one task owns every question that waits. The first answer wins because there is nobody to race
//! with; nothing is told before it is on disk.
//!
//! Questions live in the store. The desk holds who waits for which, and one timer for the next deadline. A question
//! whose task is gone (the host restarted) can be answered all the same; the task finds the answer when it resumes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lanyard_policy::approval::{self, Answer, AnswerFault, Entitlement, NotEntitled};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::{Journal, JournalError, Write};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::approval::{
    ApprovalAnswer, ApprovalRecord, ApprovalRequest, ApprovalState, RememberedRule,
};
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{ApprovalExpired, ApprovalRequested, ApprovalResolved, EventBody};
use lanyard_protocol::id::{ApprovalId, PrincipalId, SessionId};
use lanyard_protocol::method::ApprovalOutcome;
use lanyard_protocol::principal::Principal;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::record::{About, Recorder, fresh_id};

/// Requests waiting for the desk; senders wait beyond that.
const MAILBOX: usize = 256;

/// Questions looked at when the host starts. More cannot wait: each belongs to a running call.
const MAX_PENDING: usize = 10_000;

/// Longest sleep of the timer; a wall clock that is set forward is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// A question, who may answer it, and what a remembered answer to it would cover.
pub(crate) struct Question {
    /// The question.
    pub(crate) request: ApprovalRequest,
    /// See [`lanyard_policy::approval::fingerprint`].
    pub(crate) fingerprint: String,
    /// Who may answer: every demand; the record names but one.
    pub(crate) entitlement: Entitlement,
    /// Whoever answers, as of then.
    pub(crate) principals: Arc<dyn Principals>,
}

impl Question {
    /// Whoever wants to answer, with the rights held at this moment, if that is enough to answer.
    fn admit(&self, who: &PrincipalId) -> Result<Principal, NotEntitled> {
        self.entitlement.check_standing(self.principals.standing(who))
    }

    /// Whether an answer may be remembered by now, as it asked to be.
    fn may_remember(&self, answer: &ApprovalAnswer) -> bool {
        self.principals
            .standing(&answer.decided_by)
            .is_some_and(|who| self.entitlement.check_remembering(&who, answer.remember).is_ok())
    }
}

enum Message {
    Open(Box<Question>, oneshot::Sender<Result<ApprovalRecord, JournalError>>),
    Answer {
        session: SessionId,
        approval: ApprovalId,
        answer: Answer,
        by: Box<Principal>,
        reply: oneshot::Sender<Result<ApprovalOutcome, WireError>>,
    },
    Shown {
        session: SessionId,
        approval: ApprovalId,
        to: PrincipalId,
        reply: oneshot::Sender<Result<(), WireError>>,
    },
    Withdraw {
        session: SessionId,
        approval: ApprovalId,
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
}

/// The way to the desk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApprovalDesk {
    mailbox: mpsc::Sender<Message>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Message::Open(..) => "Open",
            Message::Answer { .. } => "Answer",
            Message::Shown { .. } => "Shown",
            Message::Withdraw { .. } => "Withdraw",
        })
    }
}

impl ApprovalDesk {
    /// Starts the desk over the questions the store holds. The task ends after [`ApprovalDesk::stop`].
    pub fn start(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        tenant_id: &str,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), JournalError> {
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let stop = CancellationToken::new();
        let mut waiting = HashMap::new();
        for (session, approval) in journal.pending_approvals(MAX_PENDING)? {
            if let Some(record) = journal.approval(&session, &approval)? {
                waiting.insert((session, approval), Waiting { record, question: None });
            }
        }
        let recorder = Recorder { clock, ids, tenant_id: tenant_id.to_owned() };
        let desk = Desk { journal, recorder, waiting };
        let task = tokio::spawn(desk.run(messages, stop.clone()));
        Ok((Self { mailbox, stop }, task))
    }

    /// Ends the desk's task. Questions stay in the store.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks, and waits until the question is settled. The record returned is on disk. Cancel-safe: a dropped wait
    /// leaves the question where it is.
    pub(crate) async fn ask(&self, question: Question) -> Result<ApprovalRecord, JournalError> {
        let (reply, settled) = oneshot::channel();
        self.send(Message::Open(Box::new(question), reply)).await.map_err(|()| gone())?;
        settled.await.map_err(|_| gone())?
    }

    /// Takes back a question whose task ended.
    pub(crate) async fn withdraw(
        &self,
        session: SessionId,
        approval: ApprovalId,
    ) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.send(Message::Withdraw { session, approval, reply }).await.map_err(|()| gone())?;
        done.await.map_err(|_| gone())?
    }

    /// A person's answer. Returns when the answer that counts is on disk; that may be an earlier one.
    pub async fn answer(
        &self,
        session: SessionId,
        approval: ApprovalId,
        answer: Answer,
        by: Principal,
    ) -> Result<ApprovalOutcome, WireError> {
        let (reply, outcome) = oneshot::channel();
        let by = Box::new(by);
        self.send(Message::Answer { session, approval, answer, by, reply }).await.map_err(|()| closed())?;
        outcome.await.map_err(|_| closed())?
    }

    /// Records that a question was put before a person.
    pub async fn shown(
        &self,
        session: SessionId,
        approval: ApprovalId,
        to: PrincipalId,
    ) -> Result<(), WireError> {
        let (reply, done) = oneshot::channel();
        self.send(Message::Shown { session, approval, to, reply }).await.map_err(|()| closed())?;
        done.await.map_err(|_| closed())?
    }

    async fn send(&self, message: Message) -> Result<(), ()> {
        self.mailbox.send(message).await.map_err(|_| ())
    }
}

fn gone() -> JournalError {
    JournalError::Refused("the host is stopping".to_owned())
}

fn closed() -> WireError {
    WireError::new(ErrorCode::InternalError, "the host is stopping; the question is kept and asked again")
}

type Key = (SessionId, ApprovalId);

fn key(request: &ApprovalRequest) -> Key {
    (request.session_id.clone(), request.approval_id.clone())
}

/// A question that waits, and the call that waits for it, if it runs.
struct Waiting {
    record: ApprovalRecord,
    question: Option<(Question, oneshot::Sender<Result<ApprovalRecord, JournalError>>)>,
}

struct Desk {
    journal: Arc<dyn Journal>,
    recorder: Recorder,
    waiting: HashMap<Key, Waiting>,
}

impl Desk {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>, stop: CancellationToken) {
        loop {
            let pause = self.until_next_deadline();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => self.expire().await,
                message = messages.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
        }
    }

    fn until_next_deadline(&self) -> Duration {
        let now = self.recorder.clock.now();
        let next = self.waiting.values().map(|w| w.record.request.deadline).min();
        // One millisecond later: at the deadline itself an answer still counts.
        let pause = next.map(|deadline| Duration::from_millis(deadline.millis_since(now) + 1));
        pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    async fn take(&mut self, message: Message) {
        // A reply that cannot be delivered belongs to a caller that no longer waits.
        match message {
            Message::Open(question, reply) => self.open(*question, reply).await,
            Message::Answer { session, approval, answer, by, reply } => {
                let _ = reply.send(self.answer((session, approval), answer, &by).await);
            }
            Message::Shown { session, approval, to, reply } => {
                let _ = reply.send(self.shown(&(session, approval), &to).await);
            }
            Message::Withdraw { session, approval, reply } => {
                let _ = reply.send(self.withdraw(&(session, approval)).await);
            }
        }
    }

    async fn open(
        &mut self,
        question: Question,
        reply: oneshot::Sender<Result<ApprovalRecord, JournalError>>,
    ) {
        let key = key(&question.request);
        let settled = match self.find_or_ask(&key, &question.request).await {
            Ok(record) if record.state == ApprovalState::Pending => {
                let question = Some((question, reply));
                self.waiting.insert(key, Waiting { record, question });
                return;
            }
            Ok(record) => self.late_rule(record, &question).await,
            Err(error) => Err(error),
        };
        // See `take` for the ignored result.
        let _ = reply.send(settled);
    }

    /// The stored question, asked before a restart perhaps, or a new one.
    async fn find_or_ask(
        &self,
        key: &Key,
        request: &ApprovalRequest,
    ) -> Result<ApprovalRecord, JournalError> {
        if let Some(held) = self.journal.approval(&key.0, &key.1)? {
            return Ok(held);
        }
        let record = approval::pending(request.clone());
        let body = EventBody::ApprovalRequested(ApprovalRequested { approval: request.clone() });
        let batch = vec![Write::Approval(Box::new(record.clone())), self.recorder.event(request, body)?];
        self.journal.commit(batch).await?;
        Ok(record)
    }

    /// Remembers an answer that was given while no call waited for it, if whoever gave it still may have it remembered.
    async fn late_rule(
        &self,
        record: ApprovalRecord,
        question: &Question,
    ) -> Result<ApprovalRecord, JournalError> {
        if !record.answer.as_ref().is_some_and(|answer| question.may_remember(answer)) {
            return Ok(record);
        }
        let known = self.journal.rules()?;
        let rule = self.rule(&record, &question.fingerprint)?;
        if let Some(rule) = rule.filter(|rule| !known.iter().any(|k| k.fingerprint == rule.fingerprint)) {
            self.journal.commit(vec![Write::Rule(Box::new(rule))]).await?;
        }
        Ok(record)
    }

    async fn answer(
        &mut self,
        key: Key,
        answer: Answer,
        by: &Principal,
    ) -> Result<ApprovalOutcome, WireError> {
        let store = |e: JournalError| WireError::new(ErrorCode::InternalError, e.to_string());
        let held = match self.waiting.get(&key) {
            Some(waiting) => waiting.record.clone(),
            None => self.journal.approval(&key.0, &key.1).map_err(store)?.ok_or_else(|| not_found(&key))?,
        };
        // Where a call waits, the answer counts for what its giver may do now: it may have queued behind a revocation.
        let question = self.waiting.get(&key).and_then(|w| w.question.as_ref());
        let admitted = match question {
            Some((question, _)) => question.admit(&by.id).map_err(AnswerFault::from),
            None => Ok(by.clone()),
        };
        let now = self.recorder.clock.now();
        let record = match admitted.and_then(|by| approval::answer(&held, answer, &by, now)) {
            Ok(record) => record,
            Err(AnswerFault::Settled(_)) => return already(&held),
            Err(AnswerFault::Late(_)) => {
                self.expire().await;
                return Err(WireError::new(
                    ErrorCode::ApprovalDenied,
                    "the question was not answered in time",
                ));
            }
            Err(fault) => return Err(fault.to_wire()),
        };
        let outcome = already(&record)?;
        self.record_answer(&key, record).await.map_err(store)?;
        Ok(ApprovalOutcome { counted: true, ..outcome })
    }

    /// Writes a settled record with its event, its rule and its audit record, then wakes the call.
    async fn record_answer(&mut self, key: &Key, record: ApprovalRecord) -> Result<(), JournalError> {
        let request = &record.request;
        let mut batch = vec![Write::Approval(Box::new(record.clone()))];
        if let Some(answer) = &record.answer {
            let body = EventBody::ApprovalResolved(ApprovalResolved {
                approval_id: request.approval_id.clone(),
                tool_call_id: request.tool_call_id.clone(),
                answer: answer.clone(),
                by_rule: false,
            });
            batch.push(self.audit(&record, body.name())?);
            batch.push(self.recorder.event(request, body)?);
        }
        let fingerprint = self
            .waiting
            .get(key)
            .and_then(|w| w.question.as_ref())
            .map(|(question, _)| question.fingerprint.clone());
        if let Some(fingerprint) = fingerprint {
            let rule = self.rule(&record, &fingerprint)?;
            batch.extend(rule.map(|rule| Write::Rule(Box::new(rule))));
        }
        self.journal.commit(batch).await?;
        self.settle(key, record);
        Ok(())
    }

    fn settle(&mut self, key: &Key, record: ApprovalRecord) {
        if let Some((_, reply)) = self.waiting.remove(key).and_then(|w| w.question) {
            // See `take` for the ignored result.
            let _ = reply.send(Ok(record));
        }
    }

    async fn expire(&mut self) {
        let now = self.recorder.clock.now();
        let due: Vec<_> = self
            .waiting
            .iter()
            .filter_map(|(key, w)| approval::expire(&w.record, now).map(|record| (key.clone(), record)))
            .collect();
        for (key, record) in due {
            let request = &record.request;
            let body = EventBody::ApprovalExpired(ApprovalExpired {
                approval_id: request.approval_id.clone(),
                tool_call_id: request.tool_call_id.clone(),
            });
            let written = async {
                let batch = vec![
                    Write::Approval(Box::new(record.clone())),
                    self.audit(&record, body.name())?,
                    self.recorder.event(request, body)?,
                ];
                self.journal.commit(batch).await
            };
            match written.await {
                Ok(()) => self.settle(&key, record),
                Err(error) => self.fail(&key, error),
            }
        }
    }

    /// The question cannot be settled; its call ends with the store's error rather than wait for ever.
    fn fail(&mut self, key: &Key, error: JournalError) {
        tracing::error!(%error, approval = %key.1, "an approval could not be recorded");
        if let Some((_, reply)) = self.waiting.remove(key).and_then(|w| w.question) {
            // See `take` for the ignored result.
            let _ = reply.send(Err(error));
        }
    }

    async fn withdraw(&mut self, key: &Key) -> Result<(), JournalError> {
        let Some(waiting) = self.waiting.get(key) else { return Ok(()) };
        if let Some(record) = approval::cancel(&waiting.record) {
            // A question that cannot be taken back stays, and its deadline with it.
            self.journal.commit(vec![Write::Approval(Box::new(record))]).await?;
        }
        self.waiting.remove(key);
        Ok(())
    }

    async fn shown(&mut self, key: &Key, to: &PrincipalId) -> Result<(), WireError> {
        let now = self.recorder.clock.now();
        let Some(waiting) = self.waiting.get_mut(key) else {
            return match self.journal.approval(&key.0, &key.1) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(not_found(key)),
                Err(error) => Err(WireError::new(ErrorCode::InternalError, error.to_string())),
            };
        };
        let Some(record) = approval::record_delivery(&waiting.record, to, now) else { return Ok(()) };
        waiting.record = record.clone();
        let write = self.journal.append(vec![Write::Approval(Box::new(record))]).await;
        write.map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))
    }

    fn rule(
        &self,
        record: &ApprovalRecord,
        fingerprint: &str,
    ) -> Result<Option<RememberedRule>, JournalError> {
        let id = fresh_id(&*self.recorder.ids, "rule")?;
        Ok(approval::remembered_rule(record, fingerprint, id))
    }

    /// What became of a question, for the centre.
    fn audit(&self, record: &ApprovalRecord, event_type: &str) -> Result<Write, JournalError> {
        let request = &record.request;
        let about = About {
            component: Component::LocalApprovalUi,
            context: BoundedContext::Approval,
            severity: Severity::Info,
        };
        let payload = json!({
            "approvalId": request.approval_id,
            "toolName": request.tool_name,
            "capability": request.capability,
            "riskLevel": request.risk_level,
            "actionSummary": request.action_summary,
            "state": record.state,
            "decidedBy": record.answer.as_ref().map(|a| a.decided_by.as_str()),
            "remember": record.answer.as_ref().map(|a| a.remember),
        });
        self.recorder.audit(request, request.initiator.as_str(), event_type, about, payload)
    }
}

fn not_found(key: &Key) -> WireError {
    let text =
        format!("session {} has no approval {}; `lanyard approvals` lists those that wait", key.0, key.1);
    WireError::new(ErrorCode::ApprovalNotFound, text)
}

/// The answer that counted, for somebody whose own did not.
fn already(record: &ApprovalRecord) -> Result<ApprovalOutcome, WireError> {
    match (&record.answer, record.state) {
        (Some(answer), _) => Ok(ApprovalOutcome {
            approval_id: record.request.approval_id.clone(),
            decision: answer.decision,
            counted: false,
            decided_by: answer.decided_by.clone(),
        }),
        (None, ApprovalState::Expired) => {
            Err(WireError::new(ErrorCode::ApprovalDenied, "the question was not answered in time"))
        }
        (None, _) => Err(WireError::new(ErrorCode::ApprovalDenied, "the task of this question has ended")),
    }
}

#[cfg(test)]
mod tests;
