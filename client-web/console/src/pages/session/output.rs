//! The whole of what a call printed: what the result holds.

use lanyard_web_state::ansi::{Keep, Screen};
use lanyard_web_state::timeline::{Entry, Item};
use lanyard_web_state::words;
use lanyard_web_ui::timeline::Read;
use lanyard_web_ui::{Button, Kind, copy, output_line};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

/// Lines of one output that are shown: a result holds at most some hundred kilobytes.
const MAX_LINES: usize = 5_000;

/// See the module.
#[component]
pub(super) fn Whole(#[prop(into)] entry: Read) -> impl IntoView {
    let text = entry.with_untracked(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => call.output.kept.clone(),
        _ => None,
    });
    let Some(text) = text else {
        return view! { <p class="soft">"It was dropped here to save memory. Load the page again to see it."</p> };
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
}
