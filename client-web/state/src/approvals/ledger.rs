//! The queue itself: what comes in, and what it makes of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalRequest, ApprovalState, Decision};
use lanyard_protocol::event::{EventBody, HostEvent, HostEventBody, SessionEvent};
use lanyard_protocol::id::{ApprovalId, PrincipalId, SessionId};
use lanyard_protocol::method::{ApprovalOutcome, ListApprovals};
use lanyard_protocol::policy::Remember;

use super::{Answering, Ending, Question, Settled};

/// Questions kept after they have ended: what a person may want to look back at. The host keeps all.
pub const MAX_SETTLED: usize = 50;

/// Most questions that wait. A host asks one a task; more than this is a fault, and the soonest count.
const MAX_WAITING: usize = 500;

/// Ids of ended questions that are remembered so that a late list does not bring them back. Lists are some seconds late at
/// most.
const MAX_OVER: usize = 2_000;

/// Rows asked for to learn what became of a question; the newest of one session.
const OUTCOME_ROWS: u32 = 20;

/// Rows asked for to look back.
const EARLIER_ROWS: u32 = 50;

/// Milliseconds after a connection in which events may be such that were missed before it; what the host has kept for this
/// page comes in less.
const REPLAY_MS: i64 = 3_000;

/// What should be asked of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Everything that waits.
    All,
    /// What waits in one session.
    Pending(SessionId),
    /// What became of the questions of one session.
    Outcome(SessionId),
    /// The newest questions of all sessions, ended ones too: for looking back.
    Earlier,
}

impl Want {
    /// The call. Its result goes to [`Approvals::listed`] with the ticket taken before.
    pub fn call(&self) -> ListApprovals {
        match self {
            Self::All => ListApprovals { session_id: None, include_settled: false, limit: None },
            Self::Pending(session) => {
                ListApprovals { session_id: Some(session.clone()), include_settled: false, limit: None }
            }
            Self::Outcome(session) => ListApprovals {
                session_id: Some(session.clone()),
                include_settled: true,
                limit: Some(OUTCOME_ROWS),
            },
            Self::Earlier => {
                ListApprovals { session_id: None, include_settled: true, limit: Some(EARLIER_ROWS) }
            }
        }
    }
}

/// When a list was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// See the module above.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Approvals {
    /// By deadline.
    waiting: Vec<Question>,
    /// Newest first.
    settled: VecDeque<Settled>,
    /// Ended questions, oldest first.
    over: VecDeque<ApprovalId>,
    /// The same, to be looked up.
    over_set: BTreeSet<ApprovalId>,
    /// A list of everything has come.
    loaded: bool,
    changes: u64,
    /// Milliseconds that this page's clock is ahead of the host's; see [`Approvals::heard_at`].
    ahead_ms: Option<i64>,
    /// When the connection was made, by this page's clock.
    connected: Option<Timestamp>,
}

impl Approvals {
    /// What waits, soonest deadline first.
    pub fn waiting(&self) -> &[Question] {
        &self.waiting
    }

    /// What waited and has ended, newest first.
    pub fn settled(&self) -> impl ExactSizeIterator<Item = &Settled> {
        self.settled.iter()
    }

    /// Whether the host has told what waits; before that an empty queue means nothing.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// A question that waits.
    pub fn find(&self, id: &ApprovalId) -> Option<&Question> {
        self.waiting.iter().find(|question| question.approval_id == *id)
    }

    /// A question that has ended.
    pub fn find_settled(&self, id: &ApprovalId) -> Option<&Settled> {
        self.settled.iter().find(|settled| settled.approval_id == *id)
    }

    /// The questions of one session, soonest first.
    pub fn of_session<'a>(&'a self, session: &'a SessionId) -> impl Iterator<Item = &'a Question> {
        self.waiting.iter().filter(move |question| question.session_id == *session)
    }

    /// The host's time, from this page's: a phone's clock may be minutes off, and a countdown must not be.
    pub fn host_time(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(-self.ahead_ms.unwrap_or(0))
    }

    /// This page's time, from the host's.
    pub fn page_time(&self, host: Timestamp) -> Timestamp {
        host.plus_millis(self.ahead_ms.unwrap_or(0))
    }

    /// A connection was made at `now` of this page's clock. What comes in the next seconds may have happened long before,
    /// and tells nothing of the clocks.
    pub fn connected(&mut self, now: Timestamp) {
        self.connected = Some(now);
    }

    /// An event stamped `host` arrived at `now` of this page's clock. The smallest distance seen is the nearest to the
    /// truth: events take time to arrive, never less than none.
    pub fn heard_at(&mut self, host: Timestamp, now: Timestamp) {
        let settled = self.connected.is_some_and(|since| now.as_millis() - since.as_millis() >= REPLAY_MS);
        let distance = now.as_millis().saturating_sub(host.as_millis());
        // Nothing arrives before it happened: a negative distance tells of the clocks at any time.
        if settled || distance < 0 {
            self.ahead_ms = Some(self.ahead_ms.map_or(distance, |known| known.min(distance)));
        }
    }

    /// To be taken before a list is asked for.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.changes)
    }

    /// A list has come: of `want`, asked for at `ticket`. Says what to ask next.
    pub fn listed(&mut self, want: &Want, ticket: Ticket, records: Vec<ApprovalRecord>) -> Option<Want> {
        let oldest = records.iter().map(|record| record.request.requested_at).min();
        // Not collected: that would sort them first, with 5 KB of program.
        let mut listed = BTreeSet::new();
        listed.extend(records.iter().map(|record| record.request.approval_id.clone()));
        for record in records {
            self.take(record);
        }
        let session = match want {
            Want::All => {
                self.loaded = true;
                None
            }
            Want::Pending(session) => Some(session.clone()),
            // It holds few rows on purpose; what it lacks means nothing.
            Want::Outcome(_) | Want::Earlier => return None,
        };
        // A page holds the newest and may be cut: only what is newer than its oldest row would be in it.
        let reached = |question: &Question| match (&question.record, oldest) {
            (_, None) => true,
            (Some(record), Some(oldest)) => record.request.requested_at >= oldest,
            (None, Some(_)) => false,
        };
        let gone: Vec<_> = self
            .waiting
            .iter()
            .filter(|question| session.as_ref().is_none_or(|session| question.session_id == *session))
            .filter(|question| question.heard <= ticket.0 && reached(question))
            .filter(|question| !listed.contains(&question.approval_id))
            .map(|question| (question.approval_id.clone(), question.session_id.clone()))
            .collect();
        for (id, _) in &gone {
            self.end(id, Ending::Unknown, None);
        }
        gone.into_iter().next().map(|(_, session)| Want::Outcome(session))
    }

    /// The next event of the host's log. Says what to ask.
    pub fn host_event(&mut self, event: &HostEvent) -> Option<Want> {
        match &event.body {
            HostEventBody::ApprovalPending(asked) => {
                if self.is_over(&asked.approval_id) {
                    return None;
                }
                self.changes += 1;
                let heard = self.changes;
                if let Some(known) = self.waiting.iter_mut().find(|q| q.approval_id == asked.approval_id) {
                    known.heard = heard;
                    return known.record.is_none().then(|| Want::Pending(asked.session_id.clone()));
                }
                self.insert(Question {
                    approval_id: asked.approval_id.clone(),
                    session_id: asked.session_id.clone(),
                    summary: asked.action_summary.clone(),
                    risk: asked.risk_level,
                    deadline: asked.deadline,
                    record: None,
                    answer: Answering::Open,
                    told: false,
                    heard,
                });
                Some(Want::Pending(asked.session_id.clone()))
            }
            HostEventBody::ApprovalSettled(settled) => {
                let at = Some(event.timestamp);
                let known = self.end(&settled.approval_id, Ending::Unknown, at);
                let unclear = self
                    .find_settled(&settled.approval_id)
                    .is_some_and(|settled| settled.ending == Ending::Unknown);
                (known && unclear).then(|| Want::Outcome(settled.session_id.clone()))
            }
            HostEventBody::SessionDeleted(deleted) => {
                self.changes += 1;
                self.waiting.retain(|question| question.session_id != deleted.session_id);
                self.settled.retain(|settled| settled.session_id != deleted.session_id);
                None
            }
            _ => None,
        }
    }

    /// The next event of a session that is followed: it has the question whole, and says what became of it.
    pub fn session_event(&mut self, event: &SessionEvent) {
        let at = Some(event.timestamp);
        match &event.body {
            EventBody::ApprovalRequested(asked) => self.asked(asked.approval.clone()),
            EventBody::ApprovalResolved(resolved) => {
                let answer = resolved.answer.clone();
                let ending = Ending::Answered {
                    decision: answer.decision,
                    by: answer.decided_by,
                    remember: answer.remember,
                    reason: answer.reason,
                };
                self.end(&resolved.approval_id, ending, at);
            }
            EventBody::ApprovalExpired(expired) => {
                self.end(&expired.approval_id, Ending::Expired, at);
            }
            _ => {}
        }
    }

    /// A person answers here. Whether the answer may be sent: not when the question has ended, or one is on its way.
    pub fn answering(&mut self, id: &ApprovalId, decision: Decision, remember: Remember) -> bool {
        let Some(question) = self.question(id) else { return false };
        if matches!(question.answer, Answering::Sending { .. }) {
            return false;
        }
        question.answer = Answering::Sending { decision, remember };
        true
    }

    /// The host has taken the answer given here, or says which one came before it.
    /// `now` is this page's time.
    pub fn answered(&mut self, outcome: &ApprovalOutcome, now: Timestamp) {
        // The log may have told of the end before this reply.
        let given = match self.question(&outcome.approval_id).map(|question| &question.answer) {
            Some(Answering::Sending { remember, .. }) => Some(*remember),
            _ => self
                .find_settled(&outcome.approval_id)
                .and_then(|settled| settled.mine)
                .map(|(_, remember)| remember),
        };
        let remember = given.filter(|_| outcome.counted && outcome.decision == Decision::Approved);
        let remember = remember.unwrap_or(Remember::Once);
        let (decision, by) = (outcome.decision, outcome.decided_by.clone());
        let ending = Ending::Answered { decision, by, remember, reason: None };
        // Whoever came first did so a moment ago; a list would tell to the second.
        let at = self.host_time(now);
        self.end(&outcome.approval_id, ending, Some(at));
        if let Some(settled) = self.settled.iter_mut().find(|s| s.approval_id == outcome.approval_id) {
            settled.counted = Some(outcome.counted);
        }
    }

    /// The answer did not get through, or the host did not take it. What stands is asked of the host: an answer whose
    /// reply was lost may have counted.
    pub fn not_answered(&mut self, id: &ApprovalId, why: String) -> Option<Want> {
        let Some(question) = self.question(id) else {
            let unclear = self.find_settled(id).filter(|settled| settled.ending == Ending::Unknown)?;
            return Some(Want::Outcome(unclear.session_id.clone()));
        };
        if let Answering::Sending { decision, .. } = question.answer {
            question.answer = Answering::Failed { decision, why };
        }
        Some(Want::Outcome(question.session_id.clone()))
    }

    /// The question has stood before a person here. Whether the host is to be told: once, and only while it waits.
    pub fn shown(&mut self, id: &ApprovalId, me: &PrincipalId) -> bool {
        let Some(question) = self.question(id) else { return false };
        let known = question
            .record
            .as_ref()
            .is_some_and(|record| record.receipts.iter().any(|receipt| receipt.principal == *me));
        !std::mem::replace(&mut question.told, true) && !known
    }

    /// Telling the host did not get through; the next time it is shown it is told again.
    pub fn not_told(&mut self, id: &ApprovalId) {
        if let Some(question) = self.question(id) {
            question.told = false;
        }
    }

    /// Forgets an ended question that was shown long enough.
    pub fn dismiss(&mut self, id: &ApprovalId) {
        self.settled.retain(|settled| settled.approval_id != *id);
    }

    fn question(&mut self, id: &ApprovalId) -> Option<&mut Question> {
        self.waiting.iter_mut().find(|question| question.approval_id == *id)
    }

    fn is_over(&self, id: &ApprovalId) -> bool {
        self.over_set.contains(id)
    }

    fn asked(&mut self, request: ApprovalRequest) {
        self.take(ApprovalRecord {
            request,
            state: ApprovalState::Pending,
            answer: None,
            receipts: Vec::new(),
        });
    }

    /// A record, from wherever.
    fn take(&mut self, record: ApprovalRecord) {
        let request = &record.request;
        let id = request.approval_id.clone();
        if record.state != ApprovalState::Pending {
            let at = record.answer.as_ref().map_or(request.deadline, |answer| answer.decided_at);
            let ending = ending(&record);
            if !self.end(&id, ending.clone(), Some(at)) {
                self.earlier(Arc::new(record), ending, at);
            }
            return;
        }
        if self.is_over(&id) {
            return;
        }
        if let Some(question) = self.question(&id) {
            // The question never changes; a record that is kept is a card that is not built anew under a finger.
            question.record.get_or_insert_with(|| Arc::new(record));
            return;
        }
        let heard = self.changes;
        self.insert(Question {
            session_id: request.session_id.clone(),
            summary: request.action_summary.clone(),
            risk: request.risk_level,
            deadline: request.deadline,
            approval_id: id,
            record: Some(Arc::new(record)),
            answer: Answering::Open,
            told: false,
            heard,
        });
    }

    fn insert(&mut self, question: Question) {
        let key = |question: &Question| (question.deadline, question.approval_id.clone());
        let wanted = key(&question);
        let at = self.waiting.partition_point(|other| key(other) < wanted);
        self.waiting.insert(at, question);
        self.waiting.truncate(MAX_WAITING);
    }

    /// The question has ended. Whether it was known here, waiting or ended.
    fn end(&mut self, id: &ApprovalId, ending: Ending, at: Option<Timestamp>) -> bool {
        self.changes += 1;
        self.remember_over(id);
        if let Some(at_index) = self.waiting.iter().position(|question| question.approval_id == *id) {
            let question = self.waiting.remove(at_index);
            let mine = match question.answer {
                Answering::Sending { decision, remember } => Some((decision, remember)),
                Answering::Open | Answering::Failed { .. } => None,
            };
            self.settled.push_front(Settled {
                approval_id: question.approval_id,
                session_id: question.session_id,
                summary: question.summary,
                ending,
                mine,
                counted: None,
                at: at.unwrap_or(question.deadline),
                here: true,
                record: question.record,
            });
            self.settled.truncate(MAX_SETTLED);
            return true;
        }
        let Some(known) = self.settled.iter_mut().find(|settled| settled.approval_id == *id) else {
            return false;
        };
        if known.ending == Ending::Unknown && ending != Ending::Unknown {
            known.ending = ending;
            known.at = at.unwrap_or(known.at);
        }
        true
    }

    /// One that ended before this page knew of it: for looking back.
    fn earlier(&mut self, record: Arc<ApprovalRecord>, ending: Ending, at: Timestamp) {
        let settled = Settled {
            approval_id: record.request.approval_id.clone(),
            session_id: record.request.session_id.clone(),
            summary: record.request.action_summary.clone(),
            ending,
            mine: None,
            counted: None,
            at,
            here: false,
            record: Some(record),
        };
        let place = self.settled.iter().position(|other| other.at <= at).unwrap_or(self.settled.len());
        self.settled.insert(place, settled);
        self.settled.truncate(MAX_SETTLED);
    }

    fn remember_over(&mut self, id: &ApprovalId) {
        if !self.over_set.insert(id.clone()) {
            return;
        }
        self.over.push_back(id.clone());
        if self.over.len() > MAX_OVER
            && let Some(oldest) = self.over.pop_front()
        {
            self.over_set.remove(&oldest);
        }
    }
}

fn ending(record: &ApprovalRecord) -> Ending {
    match (record.state, &record.answer) {
        (ApprovalState::Expired, _) => Ending::Expired,
        (ApprovalState::Cancelled, _) => Ending::Cancelled,
        (_, Some(answer)) => Ending::Answered {
            decision: answer.decision,
            by: answer.decided_by.clone(),
            remember: answer.remember,
            reason: answer.reason.clone(),
        },
        (_, None) => Ending::Unknown,
    }
}
