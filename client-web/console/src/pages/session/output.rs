//! What a call printed: ten lines in the timeline, all that the result holds in a sheet.

use std::sync::Arc;

use lanyard_web_state::ansi::{Keep, Screen};
use lanyard_web_state::timeline::{self, Call, CallState, Entry, Item};
use lanyard_web_state::words;
use lanyard_web_ui::{Button, Kind, Sheet, copy, output_line};
use leptos::prelude::*;

/// Lines of one output that are shown: a result holds at most some hundred kilobytes.
const MAX_LINES: usize = 5_000;

/// See the module.
#[component]
pub(super) fn Output(#[prop(into)] entry: Signal<Option<Arc<Entry>>>) -> impl IntoView {
    let open = RwSignal::new(false);
    let output = Memo::new(move |_| of(entry, |call| call.output.clone()).unwrap_or_default());
    let running =
        Memo::new(move |_| of(entry, |call| call.state() == CallState::Running).unwrap_or_default());
    let any = Memo::new(move |_| !output.with(timeline::Output::is_empty));
    let quiet = Memo::new(move |_| of(entry, Call::is_quiet).unwrap_or_default());
    let lines = move || output.with(|output| output.folded.iter().map(output_line).collect_view());
    let more = move || {
        let (hidden, tail) = output.with(|output| (output.hidden, output.tail));
        let says = match (hidden, tail) {
            _ if quiet.get() => {
                let lines = output.with(|output| output.hidden + output.folded.len());
                Some(words::count(lines as u64, "line") + " read")
            }
            (0, _) => None,
            (hidden, true) => Some(words::count(hidden as u64, "line") + " above"),
            (hidden, false) => Some(words::count(hidden as u64, "line") + " below"),
        };
        let whole = (!running.get() && (hidden > 0 || quiet.get())).then(|| {
            view! { " " <button type="button" class="text-button" on:click=move |_| open.set(true)>"whole output"</button> }
        });
        says.map(|says| view! { <p class="call-facts tabular">{says}{whole}</p> })
    };
    move || {
        any.get().then(|| {
            view! {
                {move || (!quiet.get()).then(|| view! {
                    <pre class="output" class:output-runs=running><code>{lines}</code></pre>
                })}
                {more}
                <Sheet open title="Whole output" on_close=move || open.set(false)>
                    <Whole entry/>
                </Sheet>
            }
        })
    }
}

fn of<T>(entry: Signal<Option<Arc<Entry>>>, read: impl FnOnce(&Call) -> T) -> Option<T> {
    entry.with(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => Some(read(call)),
        _ => None,
    })
}

#[component]
fn Whole(#[prop(into)] entry: Signal<Option<Arc<Entry>>>) -> impl IntoView {
    let text = entry.with_untracked(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => call.output.kept.clone(),
        _ => None,
    });
    let Some(text) = text else {
        return view! { <p class="soft">"It was dropped here to save memory. Load the page again to see it."</p> }.into_any();
    };
    let mut screen = Screen::new(Keep::First(MAX_LINES));
    screen.push(&text);
    let hidden = screen.hidden();
    let lines = screen.lines().iter().map(output_line).collect_view();
    let left_out = (hidden > 0).then(|| {
        view! { <p class="soft">{words::count(hidden as u64, "further line")} " are not shown."</p> }
    });
    let copied = RwSignal::new(false);
    view! {
        <pre class="output output-tall" tabindex="0"><code>{lines}</code></pre>
        {left_out}
        <Button kind=Kind::Quiet on_press=move || copy(&text, copied)>
            {move || if copied.get() { "Copied" } else { "Copy all of it" }}
        </Button>
    }
    .into_any()
}
