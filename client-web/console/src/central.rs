//! What the whole page shares: who is signed in, what waits, and short messages. `Copy`: handles to signals.

use lanyard_governance_api::approval::{ApprovalInfo, ApprovalQuery};
use lanyard_governance_api::endpoint::{GetMe, ListCentralApprovals};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{Me, Role};
use lanyard_protocol::approval::ApprovalState;
use lanyard_web_ui::Notes;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::api::{self, Failed};
use crate::poll::Poll;

/// Questions fetched for the count and the page of those that wait; a tenant with more has other worries.
const MAX_WAITING: u32 = 200;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Who {
    /// Central is being asked.
    Asking,
    /// Central could not be asked.
    Unknown(Failed),
    /// Nobody.
    Nobody,
    /// This person.
    Person(Me),
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Central {
    /// Who is signed in.
    pub(crate) who: RwSignal<Who>,
    /// Questions that wait for a person.
    pub(crate) waiting: RwSignal<Option<Poll<Vec<ApprovalInfo>>>>,
    /// Short messages at the edge of the screen.
    pub(crate) notes: Notes,
    /// How often it was asked who is signed in.
    identified: StoredValue<u64>,
}

impl Central {
    /// Makes it, for everything below the current owner.
    pub(crate) fn provide() -> Self {
        let central = Self {
            who: RwSignal::new(Who::Asking),
            waiting: RwSignal::new(None),
            notes: Notes::default(),
            identified: StoredValue::new(0),
        };
        provide_context(central);
        central
    }

    /// The one provided at the root.
    ///
    /// # Panics
    /// Where there is none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "the root provides it before anything else exists")]
    pub(crate) fn take() -> Self {
        use_context().expect("central is provided at the root")
    }

    /// Asks who is signed in. Of several answers the one counts that was asked for last: one from before a sign-in would
    /// undo it.
    pub(crate) fn identify(self) {
        let number = self.identified.get_value() + 1;
        self.identified.set_value(number);
        spawn_local(async move {
            let who = match api::get::<GetMe>(&[], &Nothing {}).await {
                Ok(me) => Who::Person(me),
                Err(failed) if failed.is_signed_out() => Who::Nobody,
                Err(failed) => Who::Unknown(failed),
            };
            if self.identified.get_value() == number {
                self.who.set(who);
            }
        });
    }

    /// Follows what waits, for everything below the current owner.
    pub(crate) fn follow_waiting(self) {
        let poll = Poll::start(|| async {
            let query = ApprovalQuery {
                state: Some(ApprovalState::Pending),
                limit: Some(MAX_WAITING),
                ..ApprovalQuery::default()
            };
            api::get::<ListCentralApprovals>(&[], &query).await.map(|page| page.items)
        });
        self.waiting.set(Some(poll));
    }

    /// Questions that wait, as far as known.
    pub(crate) fn waiting_count(self) -> usize {
        self.waiting
            .get()
            .and_then(|poll| poll.now.with(|now| now.as_ref().map(Vec::len)))
            .unwrap_or_default()
    }

    /// The person's rights, as far as this page offers anything. Central judges by itself.
    pub(crate) fn may(self, role: Role) -> bool {
        self.who.with(|who| matches!(who, Who::Person(me) if me.role >= role))
    }

    /// Whether the person runs the installation.
    pub(crate) fn is_operator(self) -> bool {
        self.who.with(|who| matches!(who, Who::Person(me) if me.operator))
    }

    /// The person.
    pub(crate) fn me(self) -> Option<Me> {
        self.who.with(|who| match who {
            Who::Person(me) => Some(me.clone()),
            _ => None,
        })
    }

    /// The sign-in has ended.
    pub(crate) fn signed_out(self) {
        self.who.maybe_update(|who| {
            let was = !matches!(who, Who::Nobody);
            *who = Who::Nobody;
            was
        });
    }

    /// Carries out something that changes things: `busy` until central has answered; a failure is said at the edge of the
    /// screen.
    pub(crate) fn tell<T: 'static>(
        self,
        busy: RwSignal<bool>,
        what: impl Future<Output = Result<T, Failed>> + 'static,
        then: impl FnOnce(T) + 'static,
    ) {
        self.tell_or(busy, what, then, move |failed| self.warn(failed.said));
    }

    /// The same with something else to be done with a failure.
    pub(crate) fn tell_or<T: 'static>(
        self,
        busy: RwSignal<bool>,
        what: impl Future<Output = Result<T, Failed>> + 'static,
        then: impl FnOnce(T) + 'static,
        otherwise: impl FnOnce(Failed) + 'static,
    ) {
        busy.set(true);
        spawn_local(async move {
            let answer = what.await;
            // What is gone takes nothing any more, and with it whoever asked.
            let here = busy.try_set(false).is_none();
            match answer {
                Ok(result) if here => then(result),
                Ok(_) => {}
                Err(failed) if failed.is_signed_out() => self.signed_out(),
                Err(failed) if here => otherwise(failed),
                Err(failed) => self.warn(failed.said),
            }
        });
    }

    /// A short message.
    pub(crate) fn say(self, text: impl Into<String>) {
        self.notes.note(text.into(), false);
    }

    /// A short message about something that went wrong.
    pub(crate) fn warn(self, text: impl Into<String>) {
        self.notes.note(text.into(), true);
    }
}
