//! The session's thread as the loop holds it: the newest part in memory, the older part as a digest.
//!
//! What is loaded is bounded by the model's window, not by the session's length; the store keeps everything.

use lanyard_ports::journal::{Journal, JournalError};
use lanyard_protocol::id::{SessionId, StepId};
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Provenance, Role, Trust};

use crate::budget::thread_tokens;
use crate::compact::{self, Digest};
use crate::turn::record::SOURCE_USER;

/// Messages read at a time.
const PAGE: u64 = 32;

/// Tokens loaded, in windows of the model. More than one, so that masking outputs may keep turns that would not fit as
/// they are; not many more, since the rest would be cut at once.
const WINDOWS_LOADED: u32 = 2;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Thread {
    digest: Option<Digest>,
    messages: Vec<ConversationMessage>,
    /// Position the next message will have in the store.
    next: u64,
}

impl Thread {
    /// Reads the newest part of a session's thread, `window` being the model's, in tokens. What `digest` stands for is
    /// not read again. Yields between pages; cancel-safe.
    pub async fn load(
        journal: &dyn Journal,
        session: &SessionId,
        digest: Option<Digest>,
        window: u32,
    ) -> Result<Self, JournalError> {
        let next = journal.message_count(session)?;
        let floor = digest.as_ref().map_or(0, |digest| digest.through.min(next));
        let mut messages: Vec<ConversationMessage> = Vec::new();
        let mut first = next;
        let mut room = window.saturating_mul(WINDOWS_LOADED);
        while first > floor && room > 0 {
            let from = first.saturating_sub(PAGE).max(floor);
            let mut page = read(journal, session, from, first)?;
            room = room.saturating_sub(thread_tokens(&page));
            page.append(&mut messages);
            messages = page;
            first = from;
            tokio::task::yield_now().await;
        }
        let mut thread = Self { digest, messages, next };
        if first > floor {
            thread.leave_out_orphans(first);
        }
        Ok(thread)
    }

    /// The page before what was loaded stays in the store: results whose calls are there go with them.
    fn leave_out_orphans(&mut self, first: u64) {
        let orphans = self.messages.iter().take_while(|message| message.role == Role::Tool).count();
        let removed: Vec<_> = self.messages.drain(..orphans).collect();
        let through = first.saturating_add(orphans as u64);
        let summary = self.digest.as_mut().and_then(|digest| digest.summary.take());
        self.digest.get_or_insert_default().absorb(&removed, through, summary);
    }

    /// Makes sure that the prompt of the task at hand is in the part held, which a long task may have left behind.
    pub fn ensure_prompt(&mut self, prompt: &str) {
        if self.messages.iter().any(compact::is_prompt) {
            return;
        }
        let Some(first) = self.messages.first() else { return };
        let message = ConversationMessage {
            role: Role::User,
            content: prompt.to_owned(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            token_count: None,
            provenance: Some(Provenance { source: SOURCE_USER.to_owned(), trust: Trust::Trusted }),
            ..first.clone()
        };
        self.messages.insert(0, message);
    }

    /// The part held, oldest first.
    pub fn messages(&self) -> &[ConversationMessage] {
        &self.messages
    }

    /// The part held, to be masked or shortened in place.
    pub(crate) fn messages_mut(&mut self) -> &mut [ConversationMessage] {
        &mut self.messages
    }

    /// What stands for the rest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Gives the digest up, for the session's next task.
    pub fn into_digest(self) -> Option<Digest> {
        self.digest
    }

    /// Adds a message that is being recorded.
    pub fn push(&mut self, message: ConversationMessage) {
        self.messages.push(message);
        self.next += 1;
    }

    /// Estimated tokens of the part held and of the digest.
    pub fn tokens(&self) -> u32 {
        self.digest.as_ref().map_or(0, Digest::tokens).saturating_add(thread_tokens(&self.messages))
    }

    /// Moves the messages before a cut point into the digest; returns how many.
    pub fn condense(&mut self, cut_point: usize, summary: Option<String>) -> usize {
        let through = self.next.saturating_sub((self.messages.len() - cut_point) as u64);
        let removed = compact::split_off(&mut self.messages, cut_point);
        self.digest.get_or_insert_default().absorb(&removed, through, summary);
        removed.len()
    }

    /// The calls of a step's answer that have no result yet.
    pub fn open_calls(&self, step: &StepId) -> Vec<MessageToolCall> {
        let of_step = |message: &&ConversationMessage| message.step_id.as_ref() == Some(step);
        let answer = self.messages.iter().rev().filter(of_step).find(|m| m.role == Role::Assistant);
        let results: Vec<_> =
            self.messages.iter().filter(of_step).filter_map(|m| m.tool_call_id.as_ref()).collect();
        let calls = answer.map(|answer| answer.tool_calls.as_slice()).unwrap_or_default();
        calls.iter().filter(|call| !results.contains(&&call.tool_call_id)).cloned().collect()
    }
}

/// Messages `from..to`; a store may return fewer than asked for at a time.
fn read(
    journal: &dyn Journal,
    session: &SessionId,
    from: u64,
    to: u64,
) -> Result<Vec<ConversationMessage>, JournalError> {
    let mut messages = Vec::new();
    let mut at = from;
    while at < to {
        let limit = usize::try_from(to - at).unwrap_or(usize::MAX);
        let page = journal.messages(session, at, limit)?;
        if page.is_empty() {
            return Err(JournalError::Corrupt(format!("message {at} of session {session} is missing")));
        }
        at += page.len() as u64;
        messages.extend(page);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::fakes::{self, MemoryJournal};

    fn stored(steps: u32) -> MemoryJournal {
        let journal = MemoryJournal::default();
        journal.seed_message(fakes::prompt("go"));
        for n in 1..=steps {
            let call = fakes::message_call(n, "ReadFile", json!({}));
            journal.seed_message(fakes::assistant("", vec![call]));
            journal.seed_message(fakes::tool_message(n, &format!("succeeded\n{}", "x".repeat(400))));
        }
        journal
    }

    #[tokio::test]
    async fn a_short_thread_is_loaded_whole() {
        let thread = Thread::load(&stored(20), &fakes::session_id(), None, 100_000).await.unwrap();
        assert_eq!((thread.messages().len(), thread.digest()), (41, None));
    }

    #[tokio::test]
    async fn of_a_long_thread_only_the_newest_windows_are_loaded() {
        let journal = stored(5_000);
        let mut thread = Thread::load(&journal, &fakes::session_id(), None, 2_000).await.unwrap();
        assert!(thread.messages().len() < 100, "{}", thread.messages().len());
        assert!(fakes::pairs_are_whole(thread.messages()), "no result without its call");
        let left_out = thread.digest().unwrap().through;
        assert_eq!(left_out + thread.messages().len() as u64, 10_001);
        thread.ensure_prompt("go");
        assert_eq!(thread.messages()[0].content, "go");
        thread.ensure_prompt("go");
        assert_eq!(thread.messages().iter().filter(|m| compact::is_prompt(m)).count(), 1);
    }

    #[tokio::test]
    async fn what_a_digest_stands_for_is_not_read_again() {
        let journal = stored(50);
        let mut thread = Thread::load(&journal, &fakes::session_id(), None, 100_000).await.unwrap();
        let at = compact::cut_point(thread.messages(), 2_000).unwrap();
        thread.condense(at, Some("did things".into()));
        let held = thread.messages().to_vec();
        let digest = thread.into_digest();
        let again = Thread::load(&journal, &fakes::session_id(), digest, 100_000).await.unwrap();
        assert_eq!(again.messages(), &held[1..], "all but the prompt, which was kept out of its place");
        assert_eq!(again.digest().unwrap().summary.as_deref(), Some("did things"));
    }

    #[tokio::test]
    async fn open_calls_are_those_without_a_result() {
        let journal = stored(1);
        let calls = vec![
            fakes::message_call(7, "ReadFile", json!({})),
            fakes::message_call(8, "RunCommand", json!({})),
        ];
        let answer = fakes::assistant("", calls);
        let step = answer.step_id.clone().unwrap();
        journal.seed_message(answer);
        journal.seed_message(fakes::tool_message(7, "succeeded"));
        let thread = Thread::load(&journal, &fakes::session_id(), None, 100_000).await.unwrap();
        let open: Vec<_> = thread.open_calls(&step).into_iter().map(|call| call.tool_name).collect();
        assert_eq!(open, ["RunCommand"]);
    }
}
