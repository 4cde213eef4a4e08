//! The events of the open session: the newest page first, then live, older pages when they are asked for.
//!
//! The browser connects the stream again by itself, from the last event it has had; central closes it when the session
//! has ended.

use std::time::Duration;

use lanyard_governance_api::endpoint::{ListEvents, StreamEvents};
use lanyard_governance_api::session::EventQuery;
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::SessionEvent;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::HistoryPage;
use lanyard_web_state::timeline::{ItemNo, Timeline};
use lanyard_web_ui::timeline::Items;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{EventSource, MessageEvent};

use crate::api::{self, Failed, address};
use crate::central::Central;
use crate::who::Who;

/// Events asked for at a time: some screens full, in tens of kilobytes.
const PAGE_EVENTS: u64 = 200;

/// Until a stream that was refused is asked for again: central may be starting.
const AGAIN: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Loading {
    /// Nothing is here yet.
    Awaited,
    /// The newest page is here.
    Here,
    /// It could not be read.
    Failed(Failed),
}

/// The stream, and what it calls.
struct Stream {
    source: EventSource,
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _state: Closure<dyn FnMut()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.close();
    }
}

/// See the module. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Feed {
    central: Central,
    id: StoredValue<SessionId>,
    items: Items,
    stream: StoredValue<Option<Stream>, LocalStorage>,
    /// The items, oldest first.
    pub(super) order: RwSignal<Vec<ItemNo>>,
    /// How far loading is.
    pub(super) loading: RwSignal<Loading>,
    /// The stream is connected.
    pub(super) live: RwSignal<bool>,
    /// The session has ended: nothing more comes.
    pub(super) over: RwSignal<bool>,
    /// There are older events.
    pub(super) earlier: RwSignal<bool>,
    /// Older events are on their way.
    pub(super) fetching: RwSignal<bool>,
    /// Counts up with everything that comes.
    pub(super) news: RwSignal<u64>,
    /// The end is looked at: older items may go.
    pub(super) following: RwSignal<bool>,
}

impl Feed {
    /// Begins to follow a session, until the current owner is gone.
    pub(super) fn open(id: SessionId) -> Self {
        let items = Items::provide(Who::take().names);
        let feed = Self {
            central: Central::take(),
            id: StoredValue::new(id),
            items,
            stream: StoredValue::new_local(None),
            order: items.order,
            loading: RwSignal::new(Loading::Awaited),
            live: RwSignal::new(false),
            over: RwSignal::new(false),
            earlier: items.earlier,
            fetching: RwSignal::new(false),
            news: items.news,
            following: items.following,
        };
        on_cleanup(move || {
            let _ = feed.stream.try_update_value(Option::take);
        });
        feed.load();
        feed
    }

    /// When the last thing happened that was sent.
    pub(super) fn last_at(self) -> Option<Timestamp> {
        self.items.read(|timeline| timeline.entry(*timeline.order().last()?).map(|entry| entry.at)).flatten()
    }

    /// Whether nothing has ever been sent of the timeline.
    pub(super) fn is_empty(self) -> bool {
        self.loading.with(|loading| *loading == Loading::Here) && self.order.with(Vec::is_empty)
    }

    /// Reads the newest page, and follows from there.
    pub(super) fn load(self) {
        self.loading.set(Loading::Awaited);
        spawn_local(async move {
            let Some(id) = self.id.try_get_value() else { return };
            match newest(&id).await {
                Ok(page) => {
                    let Some(last) = self.items.begin(&page) else { return };
                    self.loading.set(Loading::Here);
                    self.news.update(|news| *news += 1);
                    self.follow(&id, last);
                }
                Err(failed) => {
                    let _ = self.loading.try_set(Loading::Failed(failed));
                }
            }
        });
    }

    /// Fetches the page before the oldest that is here.
    pub(super) fn fetch_earlier(self) {
        let before = self.items.read(Timeline::earlier).flatten();
        let Some(before) = before.filter(|_| !self.fetching.get_untracked()) else { return };
        self.fetching.set(true);
        self.following.set(false);
        spawn_local(async move {
            let Some(id) = self.id.try_get_value() else { return };
            let after = before.saturating_sub(PAGE_EVENTS + 1);
            match page(&id, after, before - 1 - after).await {
                Ok(page) => self.items.note(self.items.put_before(&page, before)),
                // What is read stays.
                Err(failed) => self.central.warn(failed.said),
            }
            let _ = self.fetching.try_set(false);
        });
    }

    /// Goes back to the end: begins anew where somebody has read so far back that it is not here any more.
    pub(super) fn to_end(self) {
        self.following.set(true);
        if self.items.read(Timeline::is_detached).unwrap_or_default() {
            self.load();
        }
    }

    fn follow(self, id: &SessionId, after: u64) {
        let query = EventQuery { after: Some(after), limit: None };
        let address = format!("{}{}", address::path::<StreamEvents>(&[id.as_str()]), address::query(&query));
        // Refused only for addresses that are none.
        let Ok(source) = EventSource::new(&crate::api::key::in_address(&address)) else { return };
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
            let text = message.data().as_string().unwrap_or_default();
            match serde_json::from_str::<SessionEvent>(&text) {
                Ok(event) => self.items.hear(|timeline| timeline.event(&event)),
                // Of a newer host than this page: said in its place, so that nobody takes the rest for all.
                Err(_) => self.items.hear(|timeline| timeline.skipped(1)),
            }
        });
        let of = source.clone();
        let state = Closure::<dyn FnMut()>::new(move || {
            let _ = self.live.try_set(of.ready_state() == EventSource::OPEN);
            // The browser connects again by itself after a break, but not after a refusal.
            if of.ready_state() == EventSource::CLOSED {
                set_timeout(move || self.again(), AGAIN);
            }
        });
        if source.add_event_listener_with_callback("event", heard.as_ref().unchecked_ref()).is_err() {
            return;
        }
        source.set_onopen(Some(state.as_ref().unchecked_ref()));
        source.set_onerror(Some(state.as_ref().unchecked_ref()));
        self.stream.set_value(Some(Stream { source, _heard: heard, _state: state }));
    }

    /// Follows again, unless the session has ended or nobody looks any more.
    fn again(self) {
        let last = self.items.read(Timeline::last_seq);
        if let (Some(id), Some(last), Some(false)) =
            (self.id.try_get_value(), last, self.over.try_get_untracked())
        {
            self.follow(&id, last);
        }
    }
}

/// The newest page. How far the session has come is told by any page of it.
async fn newest(id: &SessionId) -> Result<HistoryPage, Failed> {
    let first = page(id, 0, PAGE_EVENTS).await?;
    if first.last_seq <= PAGE_EVENTS {
        return Ok(first);
    }
    page(id, first.last_seq - PAGE_EVENTS, PAGE_EVENTS).await
}

/// Events after a number, in the form that the timeline takes.
async fn page(id: &SessionId, after: u64, limit: u64) -> Result<HistoryPage, Failed> {
    let query = EventQuery { after: Some(after), limit: u32::try_from(limit.clamp(1, PAGE_EVENTS)).ok() };
    let page = api::get::<ListEvents>(&[id.as_str()], &query).await?;
    // The host sends it without holes from the event on with which the tenant began to want it.
    let none = page.events.is_empty();
    let first_seq = if none { after + limit + 1 } else { 1 };
    let has_more = after > 0 && !none;
    Ok(HistoryPage { events: page.events, first_seq, last_seq: page.last_seq, has_more, next_seq: None })
}
