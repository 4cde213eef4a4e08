//! Follows the end of the timeline until the reader scrolls up; keeps what is read in its place when older rows come.

use lanyard_web_view::Effect;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, HtmlElement, ResizeObserver};

use super::feed::Feed;

/// Pixels from the end that still count as the end: half a line of a zoomed page.
const NEAR_END: i32 = 24;

/// Pixels from the beginning at which older rows are fetched: before the reader arrives there.
const NEAR_BEGINNING: i32 = 800;

/// See the module. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Follow {
    feed: Feed,
    scroller: NodeRef<html::Div>,
    content: NodeRef<html::Div>,
    /// Something came that lies below what is in sight.
    unseen: RwSignal<bool>,
    last_top: StoredValue<i32>,
    /// What lies over the end.
    cover: NodeRef<html::Div>,
    /// How high that is, in pixels.
    covered: RwSignal<i32>,
}

impl Follow {
    pub(super) fn new(feed: Feed, scroller: NodeRef<html::Div>) -> Self {
        let follow = Self {
            feed,
            scroller,
            content: NodeRef::new(),
            unseen: RwSignal::new(false),
            last_top: StoredValue::new(0),
            cover: NodeRef::new(),
            covered: RwSignal::new(0),
        };
        follow.measure_cover();
        let content = follow.content;
        let observer = StoredValue::new_local(None::<Observed>);
        Effect::new(move |_| {
            if let (Some(scroller), Some(content)) = (scroller.get(), content.get()) {
                observer.set_value(follow.observe(&scroller, &content));
            }
        });
        on_cleanup(move || {
            drop(observer.try_update_value(Option::take));
        });
        Effect::new(move |_| {
            feed.news.track();
            if !feed.following.get_untracked() {
                follow.unseen.set(true);
            }
        });
        follow
    }

    /// What grows.
    pub(super) fn content(self) -> NodeRef<html::Div> {
        self.content
    }

    /// What lies over the end while it is there.
    pub(super) fn cover(self) -> NodeRef<html::Div> {
        self.cover
    }

    /// How much of the end it covers, in pixels.
    pub(super) fn covered(self) -> i32 {
        self.covered.get()
    }

    /// Nothing lies over the end any more.
    pub(super) fn uncovered(self) {
        let _ = self.covered.try_set(0);
    }

    fn measure_cover(self) {
        let observer = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn FnMut()>)>);
        let stop = move || {
            if let Some((observer, _)) = observer.try_update_value(Option::take).flatten() {
                observer.disconnect();
            }
        };
        Effect::new(move |_| {
            stop();
            let Some(cover) = self.cover.get() else { return };
            let measured = cover.clone();
            let resized = Closure::<dyn FnMut()>::new(move || {
                // What is below the timeline anyway covers nothing of it.
                let below = measured.parent_element().map_or(0, |foot| foot.client_height());
                let high = if measured.is_connected() { measured.offset_height() - below } else { 0 };
                let _ = self.covered.try_set(high.max(0));
            });
            if let Ok(observing) = ResizeObserver::new(resized.as_ref().unchecked_ref()) {
                observing.observe(&cover);
                observer.set_value(Some((observing, resized)));
            }
        });
        on_cleanup(stop);
    }

    /// There is something new below, and the reader is elsewhere.
    pub(super) fn behind(self) -> bool {
        !self.feed.following.get() && (self.unseen.get() || self.feed.detached.get())
    }

    /// Goes to the end and follows it.
    pub(super) fn to_end(self) {
        self.feed.following.set(true);
        self.unseen.set(false);
        if self.feed.detached.get_untracked() {
            self.feed.load();
        }
        self.stick();
    }

    /// Fetches older rows; what is read stays where it is.
    pub(super) fn load_earlier(self) {
        let anchor = StoredValue::new_local(None::<(Element, f64)>);
        // Rows may come below while the older ones are on their way: measured as late as can be.
        self.feed.following.set(false);
        self.feed.fetch_earlier(
            move || anchor.set_value(self.first_in_sight()),
            move || {
                // The page may have been left before they came. The height says nothing: as rows come above, others may
                // have gone below.
                let scroller = self.scroller.try_get_untracked().flatten();
                let (Some(scroller), Some((row, top))) = (scroller, anchor.try_get_value().flatten()) else {
                    return;
                };
                if row.is_connected() {
                    let moved = row.get_bounding_client_rect().top() - top;
                    scroller.set_scroll_top(scroller.scroll_top() + moved.round() as i32);
                }
            },
        );
    }

    /// The first row that is seen, and where.
    fn first_in_sight(self) -> Option<(Element, f64)> {
        let scroller = self.scroller.try_get_untracked().flatten()?;
        let edge = scroller.get_bounding_client_rect().top();
        let rows = self.content.try_get_untracked().flatten()?.query_selector_all("article").ok()?;
        (0..rows.length()).find_map(|at| {
            let row: Element = rows.item(at)?.dyn_into().ok()?;
            let place = row.get_bounding_client_rect();
            (place.bottom() > edge).then(|| (row, place.top()))
        })
    }

    fn stick(self) {
        if let Some(scroller) = self.scroller.try_get_untracked().flatten()
            && self.feed.following.get_untracked()
        {
            scroller.set_scroll_top(scroller.scroll_height());
        }
    }

    fn scrolled(self, scroller: &HtmlElement) {
        let top = scroller.scroll_top();
        let left = scroller.scroll_height() - top - scroller.client_height();
        let upwards = top < self.last_top.try_get_value().unwrap_or_default();
        self.last_top.set_value(top);
        if left <= NEAR_END && !self.feed.detached.get_untracked() {
            if !self.feed.following.get_untracked() {
                self.feed.following.set(true);
            }
            self.unseen.set(false);
        } else if upwards && self.feed.following.get_untracked() {
            self.feed.following.set(false);
        }
        if upwards && top < NEAR_BEGINNING && self.feed.earlier.get_untracked() {
            self.load_earlier();
        }
    }

    fn observe(self, scroller: &HtmlElement, content: &HtmlElement) -> Option<Observed> {
        // Called after layout and before painting: the end is followed without a jump.
        let resized = Closure::<dyn FnMut()>::new(move || self.stick());
        let observer = ResizeObserver::new(resized.as_ref().unchecked_ref()).ok()?;
        observer.observe(scroller);
        observer.observe(content);
        let of = scroller.clone();
        let scrolled = Closure::<dyn FnMut()>::new(move || self.scrolled(&of));
        let options = web_sys::AddEventListenerOptions::new();
        options.set_passive(true);
        let listens = scroller.add_event_listener_with_callback_and_add_event_listener_options(
            "scroll",
            scrolled.as_ref().unchecked_ref(),
            &options,
        );
        listens.ok()?;
        Some(Observed { scroller: scroller.clone(), observer, _resized: resized, scrolled })
    }
}

/// Kept for as long as the page looks.
struct Observed {
    scroller: HtmlElement,
    observer: ResizeObserver,
    _resized: Closure<dyn FnMut()>,
    scrolled: Closure<dyn FnMut()>,
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.observer.disconnect();
        // Refused only where nobody listens.
        let _ = self
            .scroller
            .remove_event_listener_with_callback("scroll", self.scrolled.as_ref().unchecked_ref());
    }
}
