//! The few things of a browser that more than one module needs. A JavaScript exception becomes words.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{EventTarget, Window};

/// The page's window.
///
/// # Errors
/// This is not a page (a worker). A sentence.
pub(crate) fn window() -> Result<Window, String> {
    web_sys::window().ok_or_else(|| "this program runs in a page only".to_owned())
}

/// What a JavaScript exception says.
pub(crate) fn words(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    match message.or_else(|| error.as_string()) {
        Some(words) if !words.is_empty() => words,
        _ => match Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string()) {
            Some(name) if !name.is_empty() => name,
            _ => "the browser does not say why".to_owned(),
        },
    }
}

/// For whoever looks into the browser's console. Holds nothing secret.
pub(crate) fn warn(message: &str) {
    web_sys::console::warn_1(&message.into());
}

/// Milliseconds since the page was loaded; never runs backwards.
pub(crate) fn uptime_ms() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or_else(js_sys::Date::now, |it| it.now())
}

/// When the page was loaded, on the wall's clock as it goes now: in milliseconds of `Date.now()`, rounded to tenths of a
/// second, so that two looks at it agree.
pub(crate) fn loaded_ms() -> f64 {
    ((js_sys::Date::now() - uptime_ms()) / 100.0).round() * 100.0
}

/// Where the page was loaded from: `https://192.168.1.7:7717`.
///
/// # Errors
/// This is not a page. A sentence.
pub(crate) fn origin() -> Result<String, String> {
    window()?.location().origin().map_err(|error| words(&error))
}

/// Whether the page came over TLS. The host serves others on its own machine only.
pub(crate) fn is_https() -> bool {
    origin().is_ok_and(|origin| origin.starts_with("https:"))
}

/// Calls something once, after a time, unless it is dropped before.
#[derive(Debug)]
pub(crate) struct Timer {
    id: i32,
    _run: Closure<dyn FnMut()>,
}

impl Timer {
    /// `None` when the browser sets no timer, which it always does.
    pub(crate) fn after(millis: u64, run: impl FnOnce() + 'static) -> Option<Self> {
        let run = Closure::once(run);
        // Browsers count in 31 bits: 24 days.
        let millis = i32::try_from(millis).unwrap_or(i32::MAX);
        let window = window().ok()?;
        let set = window
            .set_timeout_with_callback_and_timeout_and_arguments_0(run.as_ref().unchecked_ref(), millis);
        Some(Self { id: set.ok()?, _run: run })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Ok(window) = window() {
            window.clear_timeout_with_handle(self.id);
        }
    }
}

/// Waits.
pub(crate) async fn sleep(millis: u64) {
    let (wake, woken) = futures_channel::oneshot::channel();
    let timer = Timer::after(millis, move || {
        // Nobody waits any more.
        let _ = wake.send(());
    });
    if timer.is_some() {
        // The timer lives until here, so that its end is always told.
        let _ = woken.await;
    }
}

/// Calls something whenever an event happens, until it is dropped.
pub(crate) struct Listener {
    target: EventTarget,
    event: &'static str,
    run: Closure<dyn FnMut(JsValue)>,
}

impl Listener {
    /// An event that the browser does not know never happens.
    pub(crate) fn on(target: &EventTarget, event: &'static str, run: impl FnMut(JsValue) + 'static) -> Self {
        let run = Closure::wrap(Box::new(run) as Box<dyn FnMut(JsValue)>);
        // Fails for a callback that is no function; this one is.
        let _ = target.add_event_listener_with_callback(event, function(&run));
        Self { target: target.clone(), event, run }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Fails as adding does.
        let _ = self.target.remove_event_listener_with_callback(self.event, function(&self.run));
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("event", &self.event).finish_non_exhaustive()
    }
}

fn function(run: &Closure<dyn FnMut(JsValue)>) -> &Function {
    run.as_ref().unchecked_ref()
}

/// Calls something whenever the page may have been away: it is looked at again, taken up again, or has network again.
pub(crate) fn on_wake(run: impl Fn() + 'static) -> Vec<Listener> {
    let Ok(window) = window() else { return Vec::new() };
    let Some(document) = window.document() else { return Vec::new() };
    let run = Rc::new(run);
    let seen = run.clone();
    let visible = document.clone();
    let mut listeners = vec![Listener::on(&document, "visibilitychange", move |_| {
        if visible.visibility_state() == web_sys::VisibilityState::Visible {
            seen();
        }
    })];
    for event in ["pageshow", "online", "focus"] {
        let run = run.clone();
        listeners.push(Listener::on(&window, event, move |_| run()));
    }
    // Chromium says it when a frozen page goes on.
    listeners.push(Listener::on(&document, "resume", move |_| run()));
    listeners
}

/// Tells a sleep of the whole machine, through which the page's own clock stands still while that on the wall goes on. A
/// clock that was set looks the same; the question that follows does no harm.
#[derive(Debug, Default)]
pub(crate) struct SleepWatch(Cell<Option<f64>>);

/// Milliseconds: far above what throttled timers and a busy machine make of it.
pub(crate) const PAUSE_MS: u32 = 20_000;

impl SleepWatch {
    /// Whether the machine slept since the last call.
    pub(crate) fn look(&self) -> bool {
        let apart = js_sys::Date::now() - uptime_ms();
        let before = self.0.replace(Some(apart));
        before.is_some_and(|before| (apart - before).abs() > f64::from(PAUSE_MS))
    }
}
