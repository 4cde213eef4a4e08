//! The events of the open session: the newest page first, then live, older pages when the reader scrolls up.

use lanyard_client::{Channel, Incoming};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{GetHistory, GetSessionState, Subscribe, Unsubscribe};
use lanyard_web_state::approvals::words::Names;
use lanyard_web_state::timeline::{Activity, Course, Item, ItemNo, Timeline, Touched};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_ui::timeline::Items;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::store::{Failed, Store};

/// Events asked for at a time: some screens full, in tens of kilobytes.
const PAGE_EVENTS: u32 = 200;

/// How far it is.
#[derive(Debug, Clone)]
pub(super) enum Loading {
    /// Nothing is here yet.
    Awaited,
    /// The newest page is here.
    Here,
    /// It could not be read.
    Failed(Failed),
    /// There is no such session.
    Gone,
}

/// The same without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Awaited,
    Here,
    Failed,
    Gone,
}

impl Loading {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Awaited => Kind::Awaited,
            Self::Here => Kind::Here,
            Self::Failed(_) => Kind::Failed,
            Self::Gone => Kind::Gone,
        }
    }
}

/// See the module. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Feed {
    store: Store,
    id: StoredValue<SessionId>,
    items: Items,
    /// The items, oldest first.
    pub(super) order: RwSignal<Vec<ItemNo>>,
    /// Where the task under way stands.
    pub(super) course: RwSignal<Course>,
    /// What happens at this moment.
    pub(super) activity: RwSignal<Activity>,
    /// How far loading is.
    pub(super) loading: RwSignal<Loading>,
    /// There are older events.
    pub(super) earlier: RwSignal<bool>,
    /// Older events are on their way.
    pub(super) fetching: RwSignal<bool>,
    /// The end is not among the items.
    pub(super) detached: RwSignal<bool>,
    /// Counts up with everything that happens.
    pub(super) news: RwSignal<u64>,
    /// What the session is called, as its own state says.
    pub(super) name: RwSignal<Option<String>>,
    /// The model that answers.
    pub(super) model: RwSignal<Option<String>>,
    /// The end is followed: older items may go.
    pub(super) following: RwSignal<bool>,
}

impl Feed {
    /// Begins to follow a session, until the current owner is gone.
    pub(super) fn open(store: Store, id: SessionId) -> Self {
        let names = move || store.me.with(|me| me.as_ref().map(|me| Names::new(me.principal.id.clone())));
        let items = Items::provide(Signal::derive(names));
        let feed = Self {
            store,
            id: StoredValue::new(id.clone()),
            items,
            order: items.order,
            course: items.course,
            activity: items.activity,
            loading: RwSignal::new(Loading::Awaited),
            earlier: items.earlier,
            fetching: RwSignal::new(false),
            detached: items.detached,
            news: items.news,
            name: RwSignal::new(None),
            model: RwSignal::new(None),
            following: items.following,
        };
        let own = Channel::Session(id.clone());
        store.hear(move |incoming| feed.hear(incoming, &id, &own));
        on_cleanup(move || {
            let Some(session_id) = feed.id.try_get_value() else { return };
            spawn_local(async move {
                // Whether the host still sends events makes no difference to who no longer looks.
                let _ = store.call(Unsubscribe { session_id }).await;
            });
        });
        feed.load();
        feed
    }

    /// The one provided by the page.
    ///
    /// # Panics
    /// Where there is none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "the page provides it before any of its parts exists")]
    pub(super) fn take() -> Self {
        use_context().expect("the session's page provides its feed")
    }

    /// Which session.
    pub(super) fn id(self) -> SessionId {
        self.id.get_value()
    }

    /// Begins anew with the newest page.
    pub(super) fn load(self) {
        self.detached.set(false);
        spawn_local(async move {
            let answer = self.fetch_newest().await;
            let loading = match answer {
                Ok(()) => Loading::Here,
                Err(failed) if failed.code == Some(ErrorCode::SessionNotFound) => Loading::Gone,
                Err(failed) => Loading::Failed(failed),
            };
            let _ = self.loading.try_set(loading);
        });
    }

    async fn fetch_newest(self) -> Result<(), Failed> {
        let Some(session_id) = self.id.try_get_value() else { return Ok(()) };
        let newest = GetHistory {
            session_id: session_id.clone(),
            after_seq: None,
            before_seq: None,
            limit: Some(PAGE_EVENTS),
            query: None,
        };
        let page = self.store.call(newest).await?;
        let Some(after_seq) = self.items.begin(&page) else { return Ok(()) };
        self.store.call(Subscribe { session_id: session_id.clone(), after_seq }).await?;
        let snapshot = self.store.call(GetSessionState { session_id }).await?;
        let _ = self
            .name
            .try_set(Some(line(&snapshot.name, Marks::Missing).into_owned()).filter(|name| !name.is_empty()));
        let _ = self.model.try_set(Some(line(&snapshot.model.name, Marks::Missing).into_owned()));
        Ok(())
    }

    /// Fetches the page before what is here. `measure` runs when it has come, `then` once it is in the document and not
    /// painted yet.
    pub(super) fn fetch_earlier(self, measure: impl FnOnce() + 'static, then: impl FnOnce() + 'static) {
        let before = self.items.read(Timeline::earlier).flatten();
        let (Some(before), Some(session_id), false) =
            (before, self.id.try_get_value(), self.fetching.get_untracked())
        else {
            return;
        };
        self.fetching.set(true);
        spawn_local(async move {
            let page = GetHistory {
                session_id,
                after_seq: None,
                before_seq: Some(before),
                limit: Some(PAGE_EVENTS),
                query: None,
            };
            match self.store.call(page).await {
                Ok(page) => {
                    // What else has changed meanwhile is shown first, so that only the page makes a difference.
                    self.items.flush();
                    let touched = self.items.put_before(&page, before);
                    request_animation_frame(move || {
                        measure();
                        self.items.note_now(touched);
                        // The frame that was asked for in this one comes after painting; this one is before it.
                        queue_microtask(then);
                    });
                }
                Err(failed) => self.store.warn(failed.said),
            }
            let _ = self.fetching.try_set(false);
        });
    }

    fn hear(self, incoming: &Incoming, id: &SessionId, own: &Channel) {
        let change = |change: &dyn Fn(&mut Timeline) -> Touched| self.items.hear(change);
        match incoming {
            Incoming::Event(event) if event.session_id == *id => change(&|timeline| timeline.event(event)),
            Incoming::Delta { event, missing } if event.session_id == *id => {
                change(&|timeline| timeline.delta(event, *missing));
            }
            Incoming::Skipped { channel, count } if channel == own => {
                change(&|timeline| timeline.skipped(*count))
            }
            Incoming::Ended { channel, error } if channel == own => match error.code {
                ErrorCode::SessionNotFound => self.loading.set(Loading::Gone),
                // The log does not reach back that far, or the reader was too slow: begin anew.
                _ => self.load(),
            },
            _ => {}
        }
    }

    /// The last task, for what it changed.
    pub(super) fn last_task(self) -> Option<lanyard_protocol::id::TaskId> {
        let last = self.items.read(|timeline| {
            let mut order = timeline.order();
            order.reverse();
            order.into_iter().find_map(|no| {
                let entry = timeline.entry(no)?;
                if matches!(entry.item, Item::Note(_)) { None } else { entry.task.clone() }
            })
        });
        last.flatten()
    }
}
