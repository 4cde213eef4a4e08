//! One question on the screen: how it stands, and how it is answered.
//!
//! An answer is given by pressing a button, or by two strokes of a key while the card has the focus (see
//! [`lanyard_web_state::approvals::Guard`]): no key anywhere else on the page approves anything. What an answer did is
//! shown when the host has said so.

use std::sync::Arc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalRequest, Decision};
use lanyard_protocol::method::{ApproveAction, GetPolicy, ListDevices};
use lanyard_protocol::overview::PolicyOverview;
use lanyard_protocol::policy::Remember;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::approvals::words::{self, Names};
use lanyard_web_state::approvals::{Answering, Guard, NotYours, Press, may_answer};
use lanyard_web_ui::Returns;
use lanyard_web_view::Effect;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Element, HtmlElement, KeyboardEvent};

use crate::store::Store;

/// How one question stands here.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// It waits, with this answer given or not.
    Waits(Answering),
    /// It has ended: what became of it, in a sentence.
    Over(String),
}

/// One question on the screen. `Copy`: handles to signals.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    pub(super) store: Store,
    pub(super) record: StoredValue<Arc<ApprovalRecord>>,
    /// How it stands.
    pub(super) standing: Memo<Standing>,
    /// Who is who, as far as the host tells.
    pub(super) names: RwSignal<Option<Names>>,
    /// Who else may use the host.
    pub(super) policy: RwSignal<Option<PolicyOverview>>,
    /// What a first stroke of a key chose.
    pub(super) chosen: RwSignal<Option<Decision>>,
    /// Whether everything it hands over is shown, however long.
    pub(super) whole: RwSignal<bool>,
    /// Where the two buttons are.
    pub(super) buttons: NodeRef<html::Div>,
    guard: StoredValue<Guard>,
}

impl Asking {
    /// For a question that appears now. `moved` changes whenever the card was moved.
    pub(super) fn new(record: Arc<ApprovalRecord>, moved: Signal<u64>) -> Self {
        let store = Store::take();
        let id = record.request.approval_id.clone();
        let names = RwSignal::new(None);
        let known = record.clone();
        let standing = Memo::new(move |_| {
            let over = |queue: &lanyard_web_state::approvals::Approvals| {
                let names = names.get().or_else(|| me(store).map(Names::new))?;
                Some(words::ending(queue.find_settled(&id)?, &names))
            };
            store.approvals.with(|queue| match queue.find(&id) {
                Some(question) => Standing::Waits(question.answer.clone()),
                None => Standing::Over(over(queue).unwrap_or_else(|| ended_before(&known))),
            })
        });
        let asking = Self {
            store,
            record: StoredValue::new(record),
            standing,
            names,
            policy: RwSignal::new(None),
            chosen: RwSignal::new(None),
            whole: RwSignal::new(false),
            buttons: NodeRef::new(),
            guard: StoredValue::new(Guard::new(js_sys::Date::now())),
        };
        let returns = Returns::take();
        Effect::new(move |_| {
            moved.track();
            returns.count();
            asking.guard.update_value(|guard| guard.moved(js_sys::Date::now()));
            asking.chosen.set(None);
        });
        asking.ask_who();
        asking
    }

    /// The question.
    pub(super) fn request<T>(self, read: impl FnOnce(&ApprovalRequest) -> T) -> T {
        self.record.with_value(|record| read(&record.request))
    }

    /// When its time is up, in milliseconds of this page's clock.
    pub(super) fn until_ms(self) -> f64 {
        let deadline = self.request(|request| request.deadline);
        self.store.approvals.with(|queue| queue.page_time(deadline)).as_millis() as f64
    }

    /// Whether its time is up, by the page's clock set to the host's.
    pub(super) fn is_late(self) -> bool {
        self.store.now_ms.get() >= self.until_ms()
    }

    /// Why nobody can answer here, if so.
    pub(super) fn refused(self) -> Option<NotYours> {
        self.store.me.with(|me| {
            let me = me.as_ref()?;
            self.request(|request| may_answer(request, &me.principal)).err()
        })
    }

    /// Whether an answer can be given at this moment.
    pub(super) fn is_open(self) -> bool {
        let sending =
            matches!(self.standing.get(), Standing::Waits(Answering::Open | Answering::Failed { .. }));
        sending && !self.is_late() && self.refused().is_none() && self.store.me.with(Option::is_some)
    }

    /// Gives an answer. What it did is shown when the host has said so.
    pub(super) fn answer(self, decision: Decision, remember: Remember, reason: Option<String>) {
        if !untrack(move || self.is_open()) {
            return;
        }
        self.chosen.set(None);
        let (session_id, approval_id) =
            self.request(|request| (request.session_id.clone(), request.approval_id.clone()));
        let queue = self.store.approvals;
        if queue.try_update(|queue| queue.answering(&approval_id, decision, remember)) != Some(true) {
            return;
        }
        let store = self.store;
        spawn_local(async move {
            let call = ApproveAction {
                session_id,
                approval_id: approval_id.clone(),
                decision,
                remember,
                reason,
                command_id: None,
            };
            match store.call(call).await {
                Ok(outcome) => {
                    let now = instant(js_sys::Date::now());
                    queue.update(|queue| queue.answered(&outcome, now));
                    if !outcome.counted {
                        say_beaten(store, &approval_id);
                    }
                }
                Err(failed) => {
                    let unsure = if failed.certain { "" } else { " Whether it took effect is being asked." };
                    let said = format!("{}{unsure}", failed.said);
                    let want = queue.try_update(|queue| queue.not_answered(&approval_id, said)).flatten();
                    if let Some(want) = want {
                        store.want_approvals(want);
                    }
                }
            }
        });
    }

    /// A key, while the card or something in it has the focus.
    pub(super) fn key(self, event: &KeyboardEvent) {
        if event.ctrl_key() || event.alt_key() || event.meta_key() || event.repeat() || event.is_composing() {
            return;
        }
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if target
            .is_some_and(|target| target.matches("input, textarea, select, [contenteditable]") == Ok(true))
        {
            return;
        }
        if !untrack(move || self.is_open()) {
            return;
        }
        let key = event.key();
        let now = js_sys::Date::now();
        match self.guard.try_update_value(|guard| guard.key(&key, now)).unwrap_or(Press::Nothing) {
            Press::Nothing => self.chosen.set(None),
            Press::Chosen(decision) => {
                event.prevent_default();
                self.chosen.set(Some(decision));
                self.focus(decision);
            }
            Press::Answer(decision) => {
                event.prevent_default();
                self.answer(decision, Remember::Once, None);
            }
        }
    }

    fn focus(self, decision: Decision) {
        let Some(buttons) = self.buttons.get_untracked() else { return };
        let which = match decision {
            Decision::Denied => buttons.first_element_child(),
            Decision::Approved => buttons.last_element_child(),
        };
        if let Some(button) = which.and_then(|button| button.dyn_into::<HtmlElement>().ok()) {
            // Refused only by what cannot have the focus; the words say what was chosen all the same.
            let _ = button.focus();
        }
    }

    /// Asks who else can answer, and what devices are called. Both are extras: without them the words are more general.
    fn ask_who(self) {
        let store = self.store;
        self.names.set(me_now(store).map(Names::new));
        store.ask(GetPolicy {}, move |answer| {
            if let Ok(policy) = answer {
                self.policy.set(Some(policy));
            }
        });
        if untrack(move || store.holds(Scope::Admin)) {
            store.ask(ListDevices {}, move |answer| {
                if let Ok(page) = answer {
                    self.names.update(|names| {
                        if let Some(names) = names {
                            page.devices
                                .iter()
                                .for_each(|device| names.add(device.device_id.as_str(), &device.name));
                        }
                    });
                }
            });
        }
    }
}

/// As whom the host knows this page.
pub(super) fn me(store: Store) -> Option<lanyard_protocol::id::PrincipalId> {
    store.me.with(|me| me.as_ref().map(|me| me.principal.id.clone()))
}

/// The same, without following it.
pub(super) fn me_now(store: Store) -> Option<lanyard_protocol::id::PrincipalId> {
    store.me.with_untracked(|me| me.as_ref().map(|me| me.principal.id.clone()))
}

/// What became of a question that this page never saw waiting.
fn ended_before(record: &ApprovalRecord) -> String {
    use lanyard_protocol::approval::ApprovalState;
    match record.state {
        ApprovalState::Pending => "It does not wait any more.",
        ApprovalState::Approved => "It was approved.",
        ApprovalState::Denied => "It was denied.",
        ApprovalState::Expired => "Nobody answered in time, so it was denied.",
        ApprovalState::Cancelled => "The task ended before anybody answered.",
    }
    .to_owned()
}

/// The card may be gone by now: that an answer did not count is said where it is seen.
fn say_beaten(store: Store, id: &lanyard_protocol::id::ApprovalId) {
    let Some(names) = me_now(store).map(Names::new) else { return };
    let said = store
        .approvals
        .with_untracked(|queue| queue.find_settled(id).map(|settled| words::ending(settled, &names)));
    if let Some(said) = said {
        store.warn(said);
    }
}

/// The page's clock as an instant.
pub(super) fn instant(now_ms: f64) -> Timestamp {
    Timestamp::from_millis(now_ms as i64)
}
