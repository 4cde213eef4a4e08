//! Long lists: only the rows in sight, and some around them, exist.
//!
//! Rows may have different heights; what they measure is remembered, what was never seen is estimated. What the reader
//! looks at stays where it is, whatever is measured, added before or added behind. The list scrolls with the nearest
//! element around it that carries `data-scroll`.

mod heights;

use std::collections::HashMap;

use lanyard_web_view::{Content, Effect, For, component, view};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, ResizeObserver, ResizeObserverEntry};

use heights::Heights;

/// Pixels made above and below what is in sight: a flick of a finger moves that far between two frames.
const OVERSCAN: f64 = 600.0;

/// The row an element shows.
const ROW: &str = "data-row";

/// Everything one list knows; on the page's own thread.
struct Inner {
    heights: Heights,
    /// The first row's number.
    first: i64,
    observer: Option<ResizeObserver>,
    /// Kept for as long as the observer calls it.
    _measured: Option<Closure<dyn FnMut(js_sys::Array)>>,
    elements: HashMap<i64, Element>,
    /// Pixels put before the first row that the scroller does not know of yet.
    put_before: f64,
}

/// See the module. Rows are numbered; `first` falls when older rows are put before, `end` rises when newer ones come.
#[component]
pub fn VirtualList<F, V>(
    /// Number of the first row.
    #[prop(into)]
    first: Signal<i64>,
    /// One past the last row's number.
    #[prop(into)]
    end: Signal<i64>,
    /// Pixels a row takes that was never seen.
    #[prop(default = 32.0)]
    estimate: f64,
    /// What the list holds, for screen readers.
    #[prop(into)]
    label: Signal<String>,
    /// Makes a row. It may change its height at any time.
    row: F,
) -> impl IntoView
where
    F: Fn(i64) -> V + Clone + Send + Sync + 'static,
    V: Content + 'static,
{
    let list = Windowed::new(first, end, estimate);
    let Windowed { frame, span, .. } = list;
    let rows = move || {
        let span = span.get();
        (span.from..span.to).collect::<Vec<i64>>()
    };
    let one = move |number: i64| {
        let row = row.clone();
        let place = NodeRef::<html::Div>::new();
        list.row(number, place);
        let known = move || (end.get() - first.get()).to_string();
        let position = move || (number - first.get() + 1).to_string();
        view! {
            <div class="list-row" role="listitem" node_ref=place data-row=number.to_string() aria-setsize=known aria-posinset=position>
                {row(number)}
            </div>
        }
    };
    view! {
        <div class="list" role="list" node_ref=frame aria-label=move || label.get()>
            <div class="list-space" aria-hidden="true" style:height=move || pixels(span.get().above)></div>
            <For each=rows key=|number| *number children=one/>
            <div class="list-space" aria-hidden="true" style:height=move || pixels(span.get().below)></div>
        </div>
    }
}

/// A length as a style, written by the browser: what the library has for that is 8 KB of program.
fn pixels(length: f64) -> String {
    let length = js_sys::Number::from(length).to_string_with_radix(10).map(String::from).unwrap_or_default();
    format!("{length}px")
}

/// What a list's element, rows and observers share. `Copy`.
#[derive(Clone, Copy)]
struct Windowed {
    frame: NodeRef<html::Div>,
    inner: StoredValue<Inner, LocalStorage>,
    span: Memo<Span>,
}

impl Windowed {
    /// Begins to watch the scroller and the rows, for as long as the current owner lives.
    fn new(first: Signal<i64>, end: Signal<i64>, estimate: f64) -> Self {
        let frame = NodeRef::<html::Div>::new();
        let inner = StoredValue::new_local(Inner {
            heights: Heights::new(estimate),
            first: first.get_untracked(),
            observer: None,
            _measured: None,
            elements: HashMap::new(),
            put_before: 0.0,
        });
        // Rises when heights or the place of the window have changed.
        let moved = RwSignal::new(0_u64);
        let sight = RwSignal::new((0.0_f64, 0.0_f64));
        let look = move || {
            if let Some(seen) = frame.get_untracked().and_then(|frame| in_sight(&frame)) {
                let _ = sight.try_set(seen);
            }
        };
        follow_scroll(frame, look);
        let measure = move |entries: Vec<ResizeObserverEntry>| {
            let shift = inner
                .try_update_value(|inner| inner.measured(&entries, sight.get_untracked().0))
                .unwrap_or_default();
            if shift.changed {
                moved.update(|moved| *moved += 1);
            }
            scroll_by(frame, shift.above);
            look();
        };
        observe(inner, measure);
        let span = Memo::new(move |_| {
            moved.track();
            let (first, end) = (first.get(), end.get());
            let (top, height) = sight.get();
            inner.try_update_value(|inner| inner.span(first, end, top, height)).unwrap_or_default()
        });
        Effect::new(move |_| {
            span.track();
            // After the elements were changed, before they are painted.
            queue_microtask(move || {
                let added =
                    inner.try_update_value(|inner| std::mem::take(&mut inner.put_before)).unwrap_or_default();
                scroll_by(frame, added);
            });
        });
        Self { frame, inner, span }
    }

    /// A row is on the page, in `place`, until the current owner is gone.
    fn row(self, number: i64, place: NodeRef<html::Div>) {
        let inner = self.inner;
        Effect::new(move |_| {
            if let Some(element) = place.get() {
                let _ = inner.try_update_value(|inner| inner.appeared(number, element.into()));
            }
        });
        on_cleanup(move || {
            let _ = inner.try_update_value(|inner| inner.went(number));
        });
    }
}

/// The rows that exist, and the space the others take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Span {
    from: i64,
    to: i64,
    above: f64,
    below: f64,
}

/// What measuring changed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Shift {
    changed: bool,
    /// Pixels that were added above what the reader looks at.
    above: f64,
}

impl Inner {
    /// The window for a list that now reaches from `first` to `end`, scrolled by `top` in a box of `height` pixels.
    fn span(&mut self, first: i64, end: i64, top: f64, height: f64) -> Span {
        if first < self.first {
            self.put_before += self.heights.put_before(usize::try_from(self.first - first).unwrap_or(0));
        } else if first > self.first {
            self.heights.drop_first(usize::try_from(first - self.first).unwrap_or(0));
        }
        self.first = first;
        self.heights.resize(usize::try_from(end - first).unwrap_or(0));
        let from = self.heights.at(top - OVERSCAN);
        let to = (self.heights.at(top + height + OVERSCAN) + 1).min(self.heights.len());
        let above = self.heights.before(from);
        Span {
            from: first + from as i64,
            to: first + to as i64,
            above,
            below: (self.heights.total() - self.heights.before(to)).max(0.0),
        }
    }

    fn measured(&mut self, entries: &[ResizeObserverEntry], top: f64) -> Shift {
        let mut shift = Shift::default();
        for entry in entries {
            let element = entry.target();
            let row = element.get_attribute(ROW).and_then(|row| row.parse::<i64>().ok());
            let Some(at) = row.and_then(|row| usize::try_from(row - self.first).ok()) else { continue };
            let height = element.get_bounding_client_rect().height();
            if height <= 0.0 {
                // Hidden with its page, or on its way out: it will be as high as before.
                continue;
            }
            let ends_above = self.heights.before(at) + self.heights.height(at) <= top;
            let grown = self.heights.set(at, height);
            shift.changed |= grown != 0.0;
            if ends_above {
                shift.above += grown;
            }
        }
        shift
    }

    fn appeared(&mut self, row: i64, element: Element) {
        if let Some(observer) = &self.observer {
            observer.observe(&element);
        }
        self.elements.insert(row, element);
    }

    fn went(&mut self, row: i64) {
        if let (Some(element), Some(observer)) = (self.elements.remove(&row), &self.observer) {
            observer.unobserve(&element);
        }
    }
}

/// What scrolls around a list.
fn scroller(frame: &Element) -> Option<Element> {
    frame.closest("[data-scroll]").ok().flatten()
}

/// Keeps what is looked at in its place after `pixels` were added above it.
fn scroll_by(frame: NodeRef<html::Div>, pixels: f64) {
    if pixels != 0.0
        && let Some(scroller) = frame.get_untracked().and_then(|frame| scroller(&frame))
    {
        scroller.set_scroll_top(scroller.scroll_top() + pixels.round() as i32);
    }
}

/// How far the list is scrolled within its scroller, and how much of it can be seen, in pixels.
fn in_sight(frame: &Element) -> Option<(f64, f64)> {
    let scroller = scroller(frame)?;
    let top = scroller.get_bounding_client_rect().top() - frame.get_bounding_client_rect().top();
    Some((top, f64::from(scroller.client_height())))
}

/// Calls `look` now and whenever the scroller moves or changes its size.
fn follow_scroll(frame: NodeRef<html::Div>, look: impl Fn() + Copy + 'static) {
    Effect::new(move |_| {
        let Some(scroller) = frame.get().and_then(|frame| scroller(&frame)) else { return };
        look();
        let scrolled = Closure::<dyn FnMut()>::new(look);
        let heard = scroller.add_event_listener_with_callback("scroll", scrolled.as_ref().unchecked_ref());
        let turned = window_event_listener(leptos::ev::resize, move |_| look());
        let kept = StoredValue::new_local(Some((scroller, scrolled, heard.is_ok())));
        on_cleanup(move || {
            turned.remove();
            if let Some((scroller, scrolled, true)) = kept.try_update_value(Option::take).flatten() {
                // Gone with its element at the latest.
                let _ =
                    scroller.remove_event_listener_with_callback("scroll", scrolled.as_ref().unchecked_ref());
            }
        });
    });
}

/// Lets the browser tell how high rows are, and when that changes.
fn observe(
    inner: StoredValue<Inner, LocalStorage>,
    measure: impl Fn(Vec<ResizeObserverEntry>) + Copy + 'static,
) {
    Effect::new(move |_| {
        let called = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            measure(entries.iter().map(|entry| entry.unchecked_into()).collect());
        });
        // Without it (browsers before 2020) the list works on estimates.
        let Ok(observer) = ResizeObserver::new(called.as_ref().unchecked_ref()) else { return };
        let _ = inner.try_update_value(|inner| {
            for element in inner.elements.values() {
                observer.observe(element);
            }
            inner.observer = Some(observer);
            inner._measured = Some(called);
        });
    });
    on_cleanup(move || {
        if let Some(observer) = inner.try_update_value(|inner| inner.observer.take()).flatten() {
            observer.disconnect();
        }
    });
}
