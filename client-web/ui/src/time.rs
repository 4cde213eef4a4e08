//! Time that passes: how long ago, how long still, and waiting.

use std::time::Duration;

use lanyard_protocol::Timestamp;
use lanyard_web_state::words;
use lanyard_web_view::{component, view};
use leptos::leptos_dom::helpers::set_timeout_with_handle;
use leptos::prelude::*;

use crate::clock::Clock;

/// What takes less is not worth a word; a word that comes and goes is only unrest.
const PATIENCE: Duration = Duration::from_millis(300);

/// When something was: "4 min ago", later the day and the hour. The exact instant is its tip.
#[component]
pub fn Ago(
    /// The instant.
    #[prop(into)]
    at: Signal<Timestamp>,
) -> impl IntoView {
    let clock = Clock::take();
    // Most seconds change nothing to be shown.
    let said = Memo::new(move |_| words::ago(at.get(), clock.now(), clock.zone()));
    view! {
        <time datetime=move || at.get().to_string() title=move || words::exact(at.get(), clock.zone())>
            {move || said.get()}
        </time>
    }
}

/// How much time is left, as a bar and in words.
#[component]
pub fn Countdown(
    /// When it ends: milliseconds of `Date.now()`.
    #[prop(into)]
    until_ms: Signal<f64>,
    /// How long the whole is, in milliseconds.
    #[prop(into)]
    total_ms: Signal<f64>,
    /// Milliseconds of `Date.now()`; the page's clock where absent.
    #[prop(optional, into)]
    now: Option<Signal<f64>>,
    /// Around the words "3:36": what happens then.
    #[prop(optional, into)]
    before: MaybeProp<String>,
    /// After the words.
    #[prop(optional, into)]
    after: MaybeProp<String>,
) -> impl IntoView {
    let now = now.unwrap_or_else(|| Clock::take().signal());
    let left = Signal::derive(move || (until_ms.get() - now.get()).clamp(0.0, total_ms.get().max(0.0)));
    let share = move || (left.get() / total_ms.get().max(1.0)).clamp(0.0, 1.0);
    let said = move || words::left(left.get() as u64);
    view! {
        <div class="countdown">
            <div class="bar" aria-hidden="true">
                <div class="bar-fill bar-ask" style:transform=move || scaled(share())></div>
            </div>
            <p class="countdown-words">
                {move || before.get().map(|before| format!("{before} "))}
                <span class="tabular" role="timer" aria-live="off">{said}</span>
                {move || after.get().map(|after| format!(" {after}"))}
            </p>
        </div>
    }
}

/// How far something is, of which the end is known.
#[component]
pub fn Progress(
    /// From 0 to 1.
    #[prop(into)]
    share: Signal<f64>,
    /// What it is about.
    #[prop(into)]
    label: Signal<String>,
) -> impl IntoView {
    let percent = move || (share.get().clamp(0.0, 1.0) * 100.0).round();
    view! {
        <div
            class="bar"
            role="progressbar"
            aria-label=move || label.get()
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || (percent() as u32).to_string()
        >
            <div class="bar-fill" style:transform=move || scaled(percent() / 100.0)></div>
        </div>
    }
}

/// As a style: the share, from 0 to 1, of a bar's length.
fn scaled(share: f64) -> String {
    let parts = (share * 10_000.0).round() as u32;
    format!("scaleX({}.{:04})", parts / 10_000, parts % 10_000)
}

/// Something is under way: said only once it has taken a moment.
#[component]
pub fn Waiting(
    /// What is waited for: "Asking the host".
    #[prop(into)]
    what: Signal<String>,
) -> impl IntoView {
    let shown = RwSignal::new(false);
    let timer = set_timeout_with_handle(
        move || {
            // What was waited for came first.
            let _ = shown.try_set(true);
        },
        PATIENCE,
    );
    on_cleanup(move || {
        if let Ok(timer) = timer {
            timer.clear();
        }
    });
    view! {
        <p class="waiting" class:waiting-shown=move || shown.get()>
            <span class="spinner" aria-hidden="true"></span>
            <span>{move || shown.get().then(|| format!("{} …", what.get()))}</span>
        </p>
    }
}
