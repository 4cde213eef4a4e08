//! What a call printed: ten lines in the timeline, the whole in a sheet of its own, as the page gives it.

use lanyard_web_state::timeline::{self, Call, CallState, Entry, Item};
use lanyard_web_state::words;
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::{Extras, Read};
use crate::{Sheet, output_line};

/// See the module.
#[component]
pub fn Output(
    /// The call.
    entry: Read,
) -> impl IntoView {
    let extras = Extras::take();
    let open = RwSignal::new(false);
    let output = Memo::new(move |_| of(entry, |call| call.output.clone()).unwrap_or_default());
    let running = Memo::new(move |_| {
        of(entry, |call| matches!(call.state(), CallState::Running | CallState::Asks)).unwrap_or_default()
    });
    let any = Memo::new(move |_| !output.with(timeline::Output::is_empty));
    let quiet = Memo::new(move |_| of(entry, Call::is_quiet).unwrap_or_default());
    let lines = move || output.with(|output| output.folded.iter().map(output_line).collect_view());
    let more = move || {
        let (hidden, tail, incomplete) =
            output.with(|output| (output.hidden, output.tail, output.incomplete));
        let says = match (hidden, tail) {
            _ if quiet.get() => {
                let lines = output.with(|output| output.hidden + output.folded.len());
                Some(words::count(lines as u64, "line") + " read")
            }
            (0, _) => None,
            (hidden, true) => Some(words::count(hidden as u64, "line") + " above"),
            (hidden, false) => Some(words::count(hidden as u64, "line") + " below"),
        };
        // The whole is with the result.
        let whole = (!running.get() && (hidden > 0 || quiet.get() || of(entry, has_artifact).unwrap_or_default())).then(|| {
            view! { <button type="button" class="text-button" on:click=move |_| open.set(true)>"whole output"</button> }
        });
        let missed = incomplete.then_some("a piece was missed, the result will have all of it");
        (says.is_some() || whole.is_some() || incomplete).then(|| {
            let between = (says.is_some() && whole.is_some()).then_some(" · ");
            view! { <p class="call-facts tabular">{says}{between}{whole}{missed}</p> }
        })
    };
    move || {
        any.get().then(|| {
            view! {
                {move || (!quiet.get()).then(|| view! {
                    <pre class="output" class:output-runs=running><code>{lines}</code></pre>
                })}
                {more}
                <Sheet open title="Whole output" on_close=move || open.set(false)>
                    {extras.whole.run((entry,))}
                </Sheet>
            }
        })
    }
}

fn of<T>(entry: Read, read: impl FnOnce(&Call) -> T) -> Option<T> {
    entry.with(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => Some(read(call)),
        _ => None,
    })
}

fn has_artifact(call: &Call) -> bool {
    call.finished().is_some_and(|finished| finished.artifact.is_some())
}
