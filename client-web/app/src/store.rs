//! What the whole page shares: the connection, who we are, and what is known of the host, as signals.
//!
//! One [`Store`] is provided at the root; pages take it with [`Store::take`]. The link's events arrive in
//! [`live`], which hands each to the part that cares; a page that follows a session of its own listens with
//! [`Store::hear`]. Nothing here is optimistic: what a call changes is shown when the host has said so.

mod failed;
mod live;
mod opening;
mod sessions;

use lanyard_client::Incoming;
use lanyard_pairing::device::Secret;
use lanyard_pairing::link::LinkError;
use lanyard_protocol::device::KeyStorage;
use lanyard_protocol::health::HealthReport;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{Call, Health, Identity, Request, Response};
use lanyard_protocol::principal::Scope;
use lanyard_web_link::{Joining, Link, Profiles, Status};
use lanyard_web_state::approvals::Approvals;
use lanyard_web_state::sessions::Sessions;
use lanyard_web_ui::{Clock, Notes};
use leptos::prelude::*;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

pub(crate) use failed::Failed;

use crate::prefs::Prefs;

/// What the page is at.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// It looks for what it has stored.
    Opening,
    /// It is not paired, or about to be paired anew.
    Join(Invitation),
    /// It is paired; [`Store::status`] says how the connection stands.
    Paired,
    /// The browser's storage is of no use: a sentence.
    Broken(String),
}

/// What an unpaired page was opened with.
#[derive(Debug, Clone)]
pub(crate) enum Invitation {
    /// Nothing: a code is typed.
    None,
    /// A pairing link.
    Link(Secret),
    /// A pairing link, although this page is paired already.
    Again(Secret),
    /// Nothing: it was closed or loaded again while a person at the host had not decided yet. See [`Store::joining`].
    Begun,
    /// Something that was a pairing link.
    Damaged(LinkError),
}

/// What is known of the pairing beside its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pairing {
    /// What the host called itself when they were paired; [`Store::me`] is newer.
    pub(crate) host_name: String,
    /// What the host called this device.
    pub(crate) device_name: String,
    /// As which the host lists this device.
    pub(crate) device_id: String,
    /// How the keys are kept.
    pub(crate) storage: KeyStorage,
}

/// The beginning of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// What stands in the box; the person goes on writing.
    pub(crate) prompt: String,
    /// The workspace it is about.
    pub(crate) workspace: Option<String>,
}

/// Somebody who listens to everything the link tells.
type Listener = Rc<dyn Fn(&Incoming)>;

/// See the module. `Copy`: handles to signals.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    /// The connection; none before pairing.
    link: StoredValue<Option<Link>, LocalStorage>,
    profiles: StoredValue<Option<Profiles>, LocalStorage>,
    /// The pairing that was under way when the page was closed, to be taken up by the page that shows it.
    pub(crate) joining: StoredValue<Option<Joining>, LocalStorage>,
    listeners: StoredValue<Vec<(u32, Listener)>, LocalStorage>,
    next_id: StoredValue<u32>,
    /// The host's log is followed; the link goes on with it after each reconnect.
    followed: StoredValue<bool>,
    /// What the page is at.
    pub(crate) phase: RwSignal<Phase>,
    /// How the connection stands.
    pub(crate) status: RwSignal<Status>,
    /// The host, and as whom it knows us; after the first connection.
    pub(crate) me: RwSignal<Option<Identity>>,
    /// What was stored of the pairing.
    pub(crate) pairing: RwSignal<Option<Pairing>>,
    /// Whether the browser has checked the page's certificate (or it is this machine's own page). False until that is
    /// known.
    pub(crate) verified: RwSignal<bool>,
    /// The list of sessions, kept current by the host's log.
    pub(crate) sessions: RwSignal<Sessions>,
    /// Questions that wait, of all sessions, kept current by the host's log.
    pub(crate) approvals: RwSignal<Approvals>,
    /// Counts up whenever devices or pairings have changed: pages that show them ask again.
    pub(crate) devices_changed: RwSignal<u64>,
    /// Counts up with each new connection: pages that show what no log tells ask again.
    pub(crate) connections: RwSignal<u64>,
    /// The last health report; see [`Store::refresh_health`].
    pub(crate) health: RwSignal<Option<HealthReport>>,
    /// Milliseconds of `Date.now()`, once a second while somebody looks: for "3 min ago" and countdowns.
    pub(crate) now_ms: Signal<f64>,
    /// Short messages at the edge of the screen.
    pub(crate) notes: Notes,
    /// The session that is open, followed by its own subscription.
    pub(crate) open: RwSignal<Option<SessionId>>,
    /// What a new task begins with, handed over by another page: "About the file …: ". Whoever shows the box takes it.
    pub(crate) draft: RwSignal<Option<Draft>>,
    /// What this page looks like here.
    pub(crate) prefs: Prefs,
}

/// Handles to signals say nothing by themselves.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What became of a call, whichever it was.
type Answer = Result<Response, Failed>;

/// An answer as that of the call.
fn read<C: Call>(answer: Answer) -> Result<C::Result, Failed> {
    answer.and_then(|response| Link::read::<C>(response).map_err(Failed::from))
}

impl Store {
    /// Makes it, for everything below the current owner, and begins to look for a pairing.
    pub(crate) fn provide() -> Self {
        let store = Self {
            link: StoredValue::new_local(None),
            profiles: StoredValue::new_local(None),
            joining: StoredValue::new_local(None),
            listeners: StoredValue::new_local(Vec::new()),
            next_id: StoredValue::new(0),
            followed: StoredValue::new(false),
            phase: RwSignal::new(Phase::Opening),
            status: RwSignal::new(Status::Connecting),
            me: RwSignal::new(None),
            pairing: RwSignal::new(None),
            verified: RwSignal::new(false),
            sessions: RwSignal::new(Sessions::default()),
            approvals: RwSignal::new(Approvals::default()),
            devices_changed: RwSignal::new(0),
            connections: RwSignal::new(0),
            health: RwSignal::new(None),
            now_ms: Clock::take().signal(),
            notes: Notes::default(),
            open: RwSignal::new(None),
            draft: RwSignal::new(None),
            prefs: Prefs::load(),
        };
        provide_context(store);
        opening::follow_links(store);
        spawn_local(opening::open(store));
        store
    }

    /// The one provided at the root.
    ///
    /// # Panics
    /// Where there is none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "the root provides it before anything else exists")]
    pub(crate) fn take() -> Self {
        use_context().expect("the store is provided at the root")
    }

    /// Carries out a call. While there is no connection it waits for the next one.
    ///
    /// # Errors
    /// In words; see [`Failed`].
    pub(crate) async fn call<C: Call + 'static>(self, call: C) -> Result<C::Result, Failed> {
        read::<C>(self.carry(call.into_request()).await)
    }

    /// Carries out a call and hands what became of it to `then`, unless whatever asked is gone by then.
    pub(crate) fn ask<C: Call + 'static>(
        self,
        call: C,
        then: impl FnOnce(Result<C::Result, Failed>) + 'static,
    ) {
        self.ask_any(call.into_request(), Box::new(move |answer| then(read::<C>(answer))));
    }

    /// The same for what is done rather than asked: a failure is said at the edge of the screen. `busy` is true until the
    /// host has answered.
    pub(crate) fn tell<C: Call + 'static>(
        self,
        busy: RwSignal<bool>,
        call: C,
        then: impl FnOnce(C::Result) + 'static,
    ) {
        let then = move |answer| read::<C>(answer).map(then);
        self.tell_any(busy, call.into_request(), Box::new(then));
    }

    // Calls without their types: there are many methods, and what follows is compiled once instead of for each.

    async fn carry(self, request: Request) -> Answer {
        let link = self.link.try_get_value().flatten();
        match link {
            Some(link) => link.carry(request).await.map_err(Failed::from),
            None => Err(Failed::ended()),
        }
    }

    fn ask_any(self, request: Request, then: Box<dyn FnOnce(Answer)>) {
        let asker = StoredValue::new(());
        spawn_local(async move {
            let answer = self.carry(request).await;
            if asker.try_get_value().is_some() {
                then(answer);
            }
        });
    }

    fn tell_any(
        self,
        busy: RwSignal<bool>,
        request: Request,
        then: Box<dyn FnOnce(Answer) -> Result<(), Failed>>,
    ) {
        busy.set(true);
        let asker = StoredValue::new(());
        spawn_local(async move {
            let answer = self.carry(request).await;
            let _ = busy.try_set(false);
            let done = match answer {
                Ok(_) if asker.try_get_value().is_none() => Ok(()),
                answer => then(answer),
            };
            if let Err(failed) = done {
                self.warn(failed.said);
            }
        });
    }

    /// Listens to everything the link tells, until the current owner is gone.
    pub(crate) fn hear(self, listener: impl Fn(&Incoming) + 'static) {
        let id = self.fresh_id();
        self.listeners.update_value(|listeners| listeners.push((id, Rc::new(listener))));
        on_cleanup(move || {
            // The store itself goes with the page.
            let _ = self.listeners.try_update_value(|listeners| listeners.retain(|(other, _)| *other != id));
        });
    }

    /// Whether this device holds a right now; follows changes. False until the host has said so.
    pub(crate) fn holds(self, scope: Scope) -> bool {
        self.me.with(|me| me.as_ref().is_some_and(|me| me.principal.holds(scope)))
    }

    /// What the host is called.
    pub(crate) fn host_name(self) -> String {
        let now = self.me.with(|me| me.as_ref().map(|me| me.host_name.clone()));
        let then = || self.pairing.with(|pairing| pairing.as_ref().map(|pairing| pairing.host_name.clone()));
        now.or_else(then).unwrap_or_else(|| "Lanyard".to_owned())
    }

    /// Whether there is a connection at this moment.
    pub(crate) fn is_connected(self) -> bool {
        self.status.with(|status| matches!(status, Status::Connected { .. }))
    }

    /// Tries to connect now.
    pub(crate) fn nudge(self) {
        self.link.with_value(|link| {
            if let Some(link) = link {
                link.nudge();
            }
        });
    }

    /// Asks how the host is.
    pub(crate) fn refresh_health(self) {
        spawn_local(async move {
            // Pages show how old the report is; the connection state says why there is no newer one.
            if let Ok(report) = self.call(Health {}).await {
                self.health.set(Some(report));
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

    fn fresh_id(self) -> u32 {
        self.next_id
            .try_update_value(|id| {
                *id = id.wrapping_add(1);
                *id
            })
            .unwrap_or_default()
    }
}
