//! What is done to be noticed while the page is open: the number on its icon, a vibration, a notification. (The window's
//! title counts too; the shell writes it.)
//!
//! A question is announced once, when it is new, whatever else goes on: that a session runs, or that another question
//! waits already, holds nothing back. A notification is for who does not look at the page; what the page shows anyway needs
//! none. What it asks is not on a locked screen unless the person wants it there.

use std::collections::BTreeSet;

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ApprovalId, SessionId};

use crate::approvals::{Approvals, Question};
use crate::visible::{self, Marks};
use crate::words;

/// One short and one long: told from other vibrations, not an alarm. Milliseconds on, off, on.
pub const VIBRATION: [u32; 3] = [60, 80, 160];

/// Most characters of a command on a notification; systems show two lines.
const MAX_SUMMARY: usize = 120;

/// Most notifications for questions that came at once: more are one sentence.
const MAX_AT_ONCE: usize = 3;

/// What the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// The phone vibrates when a question comes.
    pub vibrate: bool,
    /// Notifications are shown when nobody looks at the page.
    pub notify: bool,
    /// A notification says what is asked.
    pub show_content: bool,
}

/// How things are at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Situation {
    /// The page is on the screen and has the focus.
    pub looking: bool,
    /// The system asks for less motion.
    pub still: bool,
    /// The browser allows notifications.
    pub allowed: bool,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Names it; a second one of the same name takes the place of the first.
    pub tag: String,
    /// First line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// The question it is for: where a tap leads, and what the host is told was shown.
    pub about: (SessionId, ApprovalId),
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The number on the icon; 0 for none.
    Badge(usize),
    /// Vibrate with [`VIBRATION`].
    Vibrate,
    /// Show a notification.
    Show(Notice),
    /// Take the notification of this name away.
    Close(String),
}

/// What was done already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// Questions that were announced, of those that wait.
    told: BTreeSet<ApprovalId>,
    /// Those of them with a notification.
    shown: BTreeSet<ApprovalId>,
    count: Option<usize>,
}

impl Notices {
    /// What is to be done now that the queue stands so. `now` is the host's time.
    pub fn plan(
        &mut self,
        queue: &Approvals,
        host: &str,
        wishes: Wishes,
        situation: Situation,
        now: Timestamp,
    ) -> Vec<Act> {
        if !queue.is_loaded() {
            return Vec::new();
        }
        let waiting: BTreeSet<&ApprovalId> =
            queue.waiting().iter().map(|question| &question.approval_id).collect();
        let mut acts = Vec::new();
        self.shown.retain(|id| {
            let waits = waiting.contains(id);
            if !waits {
                acts.push(Act::Close(tag(id)));
            }
            waits
        });
        self.told.retain(|id| waiting.contains(id));
        let before = self.count.replace(waiting.len());
        if before != Some(waiting.len()) {
            acts.push(Act::Badge(waiting.len()));
        }
        let new: Vec<&Question> = queue
            .waiting()
            .iter()
            .filter(|question| self.told.insert(question.approval_id.clone()))
            .collect();
        // Who has just opened the page sees what waits.
        let opened = before.is_none() && situation.looking;
        if new.is_empty() || opened {
            return acts;
        }
        if wishes.vibrate && !situation.still {
            acts.push(Act::Vibrate);
        }
        if wishes.notify && situation.allowed && !situation.looking {
            for question in new.iter().take(MAX_AT_ONCE) {
                self.shown.insert(question.approval_id.clone());
                acts.push(Act::Show(notice(question, host, wishes, now)));
            }
        }
        acts
    }
}

fn tag(id: &ApprovalId) -> String {
    format!("approval-{id}")
}

fn notice(question: &Question, host: &str, wishes: Wishes, now: Timestamp) -> Notice {
    let host = visible::line(host, Marks::Missing);
    let left = words::left(question.left_ms(now).unwrap_or(0));
    let body = if wishes.show_content {
        let summary: String = question.summary.chars().take(MAX_SUMMARY).collect();
        format!(
            "{}\n{}, {left} left to answer",
            visible::line(&summary, Marks::Written),
            words::risk(question.risk)
        )
    } else {
        format!("A question waits for you. {left} left to answer")
    };
    Notice {
        tag: tag(&question.approval_id),
        title: format!("{host} asks"),
        body,
        about: (question.session_id.clone(), question.approval_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, Notices, Situation, Wishes};
    use crate::approvals::samples::{asks, at, pending, settles};
    use crate::approvals::{Approvals, Want};

    const ALL: Wishes = Wishes { vibrate: true, notify: true, show_content: false };
    const AWAY: Situation = Situation { looking: false, still: false, allowed: true };
    const HERE: Situation = Situation { looking: true, still: false, allowed: true };

    fn loaded(names: &[&str]) -> Approvals {
        let mut queue = Approvals::default();
        let ticket = queue.ticket();
        queue.listed(&Want::All, ticket, names.iter().map(|name| pending(name, 10)).collect());
        queue
    }

    fn shown(acts: &[Act]) -> Vec<String> {
        let tag = |act: &Act| match act {
            Act::Show(notice) => Some(notice.tag.clone()),
            _ => None,
        };
        acts.iter().filter_map(tag).collect()
    }

    #[test]
    fn a_new_question_is_announced_once() {
        let (mut notices, mut queue) = (Notices::default(), loaded(&[]));
        let plan = |notices: &mut Notices, queue: &Approvals| notices.plan(queue, "Study", ALL, AWAY, at(10));
        assert_eq!(plan(&mut notices, &queue), [Act::Badge(0)]);
        queue.host_event(&asks("a", 10));
        let acts = plan(&mut notices, &queue);
        assert_eq!(acts[..2], [Act::Badge(1), Act::Vibrate]);
        assert_eq!(shown(&acts), ["approval-a"]);
        assert_eq!(plan(&mut notices, &queue), []);
        // Another one while the first still waits: nothing holds it back.
        queue.host_event(&asks("b", 10));
        assert_eq!(shown(&plan(&mut notices, &queue)), ["approval-b"]);
        queue.host_event(&settles("a", 20));
        let acts = plan(&mut notices, &queue);
        assert_eq!(acts, [Act::Close("approval-a".into()), Act::Badge(1)]);
    }

    #[test]
    fn who_looks_needs_no_notification_and_who_opens_the_page_no_vibration() {
        let (mut notices, mut queue) = (Notices::default(), loaded(&["a"]));
        let acts = notices.plan(&queue, "Study", ALL, HERE, at(10));
        assert_eq!(acts, [Act::Badge(1)]);
        queue.host_event(&asks("b", 10));
        let acts = notices.plan(&queue, "Study", ALL, HERE, at(10));
        assert_eq!(acts, [Act::Badge(2), Act::Vibrate]);
        // Looking away later does not announce what was seen.
        assert_eq!(notices.plan(&queue, "Study", ALL, AWAY, at(10)), []);
    }

    #[test]
    fn what_waits_when_the_page_opens_in_the_background_is_announced() {
        let mut notices = Notices::default();
        let acts = notices.plan(&loaded(&["a"]), "Study", ALL, AWAY, at(10));
        assert_eq!(shown(&acts), ["approval-a"]);
        assert_eq!(
            Notices::default().plan(&Approvals::default(), "Study", ALL, AWAY, at(10)),
            [],
            "not known yet"
        );
    }

    #[test]
    fn wishes_count() {
        let quiet = Wishes { vibrate: false, notify: false, show_content: false };
        for (wishes, situation) in [
            (quiet, AWAY),
            (Wishes { notify: true, ..quiet }, Situation { allowed: false, ..AWAY }),
            (Wishes { vibrate: true, ..quiet }, Situation { still: true, ..AWAY }),
        ] {
            let acts = Notices::default().plan(&loaded(&["a"]), "Study", wishes, situation, at(10));
            assert_eq!(acts, [Act::Badge(1)], "{wishes:?} {situation:?}");
        }
    }

    #[test]
    fn what_is_asked_is_on_the_screen_only_when_wanted() {
        for (wishes, holds) in [(ALL, false), (Wishes { show_content: true, ..ALL }, true)] {
            let acts = Notices::default().plan(&loaded(&["a"]), "Study\u{202e}", wishes, AWAY, at(10));
            let Some(Act::Show(notice)) = acts.last() else { panic!("{acts:?}") };
            assert_eq!(format!("{notice:?}").contains("cargo"), holds, "{notice:?}");
            assert_eq!(notice.title, "Study⟦U+202E⟧ asks");
            assert!(notice.body.contains("5:00 left"), "{}", notice.body);
        }
    }
}
