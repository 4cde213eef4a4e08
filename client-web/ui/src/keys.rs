//! The keyboard of a page: rows by `j`, `k` and the arrows, search, help, and whatever letters the page has itself.

use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

use crate::{KeyValue, Sheet};

/// Milliseconds in which the letter must follow a `g`.
const CHORD: f64 = 1_500.0;

/// Rows that are moved among.
const ROWS: &str = "a.row, button.row, [data-key-row]";

/// Listens for as long as the current owner lives. `go`: leads to the place behind `g` and a letter; whether there is one.
/// `search`: what `/` does on pages without a field to search in; whether it did something. `help`: opened by `?`.
pub fn listen(
    go: impl Fn(&str) -> bool + 'static,
    search: impl Fn() -> bool + 'static,
    help: RwSignal<bool>,
) {
    let chord = StoredValue::new(None::<f64>);
    let heard = window_event_listener(leptos::ev::keydown, move |event| {
        if is_not_for_us(&event) {
            return;
        }
        let now = event.time_stamp();
        let begun = chord.get_value().is_some_and(|at| now - at < CHORD);
        chord.set_value(None);
        let key = event.key();
        let done = if begun {
            go(&key)
        } else {
            match key.as_str() {
                "g" => {
                    chord.set_value(Some(now));
                    true
                }
                "j" => step(1),
                "k" => step(-1),
                // Elsewhere they scroll.
                "ArrowDown" if is_among_rows() => step(1),
                "ArrowUp" if is_among_rows() => step(-1),
                "/" => focus_search() || search(),
                "?" => {
                    help.set(true);
                    true
                }
                _ => false,
            }
        };
        if done {
            event.prevent_default();
        }
    });
    on_cleanup(move || heard.remove());
}

/// Keys with modifiers are the browser's; keys in a field are text; a dialog has the page to itself.
fn is_not_for_us(event: &KeyboardEvent) -> bool {
    if event.ctrl_key()
        || event.meta_key()
        || event.alt_key()
        || event.is_composing()
        || event.default_prevented()
    {
        return true;
    }
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let Some(target) = target else { return false };
    if target.closest("dialog[open]").is_ok_and(|found| found.is_some()) {
        return true;
    }
    let is_field = target
        .matches("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]")
        == Ok(true);
    if is_field && event.key() == "Escape" {
        leave(&target);
    }
    // The arrows choose another one.
    let chooses = target.matches("input[type=radio]") == Ok(true) && event.key().starts_with("Arrow");
    is_field || chooses
}

fn leave(target: &Element) {
    if let Some(field) = target.dyn_ref::<HtmlElement>() {
        // Refused only by elements that are no longer there.
        let _ = field.blur();
    }
}

fn is_among_rows() -> bool {
    let active = document().active_element();
    active.is_some_and(|active| active.matches(ROWS) == Ok(true))
}

/// Moves the focus to the next row that can be seen, in the column that has it, else in the first that has rows.
fn step(by: i32) -> bool {
    let active = document().active_element();
    let column = active.as_ref().and_then(|active| active.closest(".column").ok().flatten());
    let rows = column.map(|column| rows_in(&column)).filter(|rows| !rows.is_empty());
    let rows = rows.or_else(|| document().body().map(|body| rows_in(&body))).unwrap_or_default();
    let at = active.and_then(|active| rows.iter().position(|row| row.contains(Some(&active))));
    let next = match (at, by > 0) {
        (Some(at), true) => at + 1,
        (Some(at), false) => at.saturating_sub(1),
        (None, _) => 0,
    };
    let Some(row) = rows.get(next.min(rows.len().saturating_sub(1))) else { return false };
    // As above.
    let _ = row.focus();
    row.scroll_into_view_with_scroll_into_view_options(&nearest());
    true
}

fn nearest() -> web_sys::ScrollIntoViewOptions {
    let options = web_sys::ScrollIntoViewOptions::new();
    options.set_block(web_sys::ScrollLogicalPosition::Nearest);
    options
}

fn rows_in(column: &Element) -> Vec<HtmlElement> {
    let Ok(found) = column.query_selector_all(ROWS) else { return Vec::new() };
    let all = (0..found.length()).filter_map(|at| found.item(at));
    all.filter_map(|row| row.dyn_into::<HtmlElement>().ok())
        .filter(|row| row.offset_parent().is_some())
        .collect()
}

/// Goes to the page's field to search in; whether there is one.
pub fn focus_search() -> bool {
    let found = document().query_selector("main input[type=search], input[type=search]").ok().flatten();
    let Some(field) = found.and_then(|found| found.dyn_into::<HtmlElement>().ok()) else { return false };
    field.focus().is_ok()
}

/// What the keyboard can do on a page.
#[component]
pub fn KeyHelp(
    /// Whether it is there.
    open: RwSignal<bool>,
    /// Keys and what they do.
    keys: &'static [(&'static str, &'static str)],
) -> impl IntoView {
    let rows = keys.iter().map(|(keys, what)| ((*keys).to_owned(), (*what).to_owned())).collect::<Vec<_>>();
    view! {
        <Sheet open title="Keyboard" on_close=move || open.set(false)>
            <KeyValue rows=rows.clone()/>
        </Sheet>
    }
}
