//! One file: text with numbers, a picture, or its size; and what can be done with it.

use std::sync::Arc;

use lanyard_protocol::limits::MAX_FILE_PIECE_BYTES;
use lanyard_protocol::method::{FilePiece, GetFile};
use lanyard_web_state::files::{
    Download, Lines, MAX_VIEW_BYTES, Shown, name_of, prompt_about, shown_as, shown_name,
};
use lanyard_web_state::words::{bytes, count};
use lanyard_web_ui::{Button, Card, Kind, Problem, Progress, VirtualList, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::fetch;
use super::picture::Picture;
use crate::route::{Route, Routes};
use crate::store::{Draft, Store};

/// Largest picture that is shown: more than a camera makes.
const MAX_IMAGE_BYTES: u64 = 32 << 20;

/// See the module.
#[component]
pub(super) fn File(
    /// Where it lies.
    path: String,
    /// Its first piece.
    first: Arc<FilePiece>,
    /// The workspace it lies in, once that is known.
    workspace: Signal<Option<String>>,
) -> impl IntoView {
    let total = first.total;
    let shown = shown_as(&first.bytes.0, first.text);
    let body = match shown {
        Shown::Text => view! { <Text path=path.clone() first/> },
        Shown::Image(kind) if total <= MAX_IMAGE_BYTES => {
            view! { <Picture path=path.clone() kind first/> }
        }
        Shown::Image(_) | Shown::Data => view! {
            <Card>
                <p>{format!("This is data, not text: {}.", bytes(total))}</p>
                <p class="soft">"It can be downloaded, or given to a task to look at."</p>
            </Card>
        },
    };
    view! {
        <div class="stack">
            <Actions path total workspace/>
            {body}
        </div>
    }
}

/// What can be done with a file.
#[component]
fn Actions(path: String, total: u64, workspace: Signal<Option<String>>) -> impl IntoView {
    let store = Store::take();
    let routes = Routes::take();
    let under_way = RwSignal::new(None::<Download>);
    let stopped = RwSignal::new(false);
    let trouble = RwSignal::new(None::<String>);
    let download = {
        let path = path.clone();
        move || {
            stopped.set(false);
            trouble.set(None);
            under_way.set(Some(Download::new(path.clone())));
            let path = path.clone();
            spawn_local(async move {
                // Another page ends it: its signals are gone then.
                let progress = |download: &Download| {
                    under_way.try_set(Some(download.clone())).is_none()
                        && stopped.try_get_untracked() == Some(false)
                };
                let fetched = fetch::whole(store, &path, "application/octet-stream", progress).await;
                let said = match fetched {
                    Ok(blob) if fetch::save(&blob, name_of(&path)) => None,
                    Ok(_) => Some("This browser does not take downloads from this page.".to_owned()),
                    Err(error) => error.words(),
                };
                let _ = under_way.try_set(None);
                let _ = trouble.try_set(said);
            });
        }
    };
    let copy = {
        let path = path.clone();
        move || copy(store, path.clone())
    };
    let ask = move || {
        let draft = Draft { prompt: prompt_about(&path), workspace: workspace.get_untracked() };
        store.draft.set(Some(draft));
        routes.go(&Route::Sessions);
    };
    let busy = Memo::new(move |_| under_way.with(Option::is_some));
    let going = move || {
        busy.get().then(|| {
            let share = Signal::derive(move || under_way.with(|d| d.as_ref().map_or(0.0, Download::share)));
            let said = move || under_way.with(|d| d.as_ref().map(Download::words));
            view! {
                <div class="fetching">
                    <Progress share label="Download"/>
                    <p class="soft tabular">{said}</p>
                    <Button kind=Kind::Danger on_press=move || stopped.set(true)>"Stop"</Button>
                </div>
            }
        })
    };
    view! {
        <div class="file-actions">
            <span class="soft tabular">{bytes(total)}</span>
            <Button kind=Kind::Quiet on_press=copy>"Copy path"</Button>
            <Button kind=Kind::Quiet on_press=ask>"Ask about this file"</Button>
            <Button kind=Kind::Quiet busy on_press=download>"Download"</Button>
        </div>
        {going}
        {move || trouble.get().map(|said| view! { <Problem title="The file was not downloaded" meaning=said/> })}
    }
}

/// Puts the path where it can be pasted from; says so.
fn copy(store: Store, path: String) {
    // Only secure pages have one.
    let has =
        js_sys::Reflect::get(&window().navigator(), &"clipboard".into()).is_ok_and(|found| found.is_object());
    if !has {
        return store
            .warn(format!("This browser does not let the page copy. The path is {}", shown_name(&path)));
    }
    spawn_local(async move {
        match JsFuture::from(window().navigator().clipboard().write_text(&path)).await {
            Ok(_) => store.say("Copied"),
            Err(_) => store
                .warn(format!("The browser did not let the page copy. The path is {}", shown_name(&path))),
        }
    });
}

/// Text with numbers. The first piece is here; more is fetched up to what a page can show.
#[component]
fn Text(path: String, first: Arc<FilePiece>) -> impl IntoView {
    let store = Store::take();
    let total = first.total;
    let wanted = total.min(MAX_VIEW_BYTES);
    let held = RwSignal::new(first.bytes.0.clone());
    let trouble = RwSignal::new(None::<String>);
    let whole = Memo::new(move |_| held.with(|held| held.len() as u64 >= wanted));
    fetch_rest(store, path, wanted, total, held, trouble);
    // Read once, when everything is there: lines would be cut at the pieces' ends.
    let lines = Memo::new(move |_| {
        let ready = whole.get() || trouble.with(Option::is_some);
        // A text that is cut is cut between lines, so that no half line passes for a whole one.
        let cut = move |held: &Vec<u8>| {
            let ends = if total > wanted {
                held.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
            } else {
                None
            };
            Lines::read(&held[..ends.unwrap_or(held.len())])
        };
        ready.then(|| Arc::new(held.with(cut)))
    });
    let wrap = RwSignal::new(false);
    let cut = (total > wanted).then(|| {
        let said = format!(
            "The first {} of {} are shown. Download it to see the rest.",
            bytes(wanted),
            bytes(total)
        );
        view! { <p class="soft">{said}</p> }
    });
    let rows = move || match lines.get() {
        None => view! { <Waiting what="Fetching the file"/> },
        Some(lines) if lines.rows.is_empty() => {
            view! { <p class="soft">"This file is empty."</p> }
        }
        Some(lines) => view! { <Numbered lines wrap/> },
    };
    view! {
        {move || trouble.get().map(|said| view! { <Problem title="Not all of the file could be fetched" meaning=said/> })}
        {rows}
        {cut}
    }
}

/// Fetches the pieces after the first, in order.
fn fetch_rest(
    store: Store,
    path: String,
    wanted: u64,
    total: u64,
    held: RwSignal<Vec<u8>>,
    trouble: RwSignal<Option<String>>,
) {
    spawn_local(async move {
        while let Some(offset) = held.try_with_untracked(Vec::len).map(|length| length as u64) {
            if offset >= wanted {
                return;
            }
            let length = u64::from(MAX_FILE_PIECE_BYTES).min(wanted - offset) as u32;
            let said = match store.call(GetFile { path: path.clone(), offset, length: Some(length) }).await {
                Ok(piece) if piece.total != total => "It was changed while it was fetched.".to_owned(),
                Ok(piece) if piece.bytes.0.is_empty() => {
                    "The host stopped sending in the middle of it.".to_owned()
                }
                Ok(piece) => {
                    if held.try_update(|held| held.extend_from_slice(&piece.bytes.0)).is_none() {
                        return;
                    }
                    continue;
                }
                Err(failed) => failed.said,
            };
            let _ = trouble.try_set(Some(said));
            return;
        }
    });
}

/// Rows with numbers in a box of their own.
#[component]
fn Numbered(lines: Arc<Lines>, wrap: RwSignal<bool>) -> impl IntoView {
    let ends = if lines.crlf { " · lines end with carriage return and line feed" } else { "" };
    let about = format!("{}{ends}", count(u64::from(lines.count), "line"));
    let digits = format!("{}ch", lines.count.to_string().len().max(2));
    let end = i64::try_from(lines.rows.len()).unwrap_or(i64::MAX);
    let row = move |at: i64| {
        let (number, text) =
            usize::try_from(at).ok().and_then(|at| lines.rows.get(at).cloned()).unwrap_or_default();
        let number = number.map(|number| number.to_string()).unwrap_or_else(|| "\u{21aa}".to_owned());
        view! {
            <div class="text-line">
                <span class="diff-no" data-no=number aria-hidden="true"></span>
                <code class="diff-text">{text}</code>
            </div>
        }
    };
    view! {
        <div class="diff text-file" class:diff-whole=move || !wrap.get()>
            <div class="diff-bar">
                <span class="soft grow">{about}</span>
                <button type="button" class="diff-turn" on:click=move |_| wrap.update(|wrap| *wrap = !*wrap)>
                    {move || if wrap.get() { "Do not wrap" } else { "Wrap lines" }}
                </button>
            </div>
            <div
                class="diff-box diff-long"
                data-scroll=""
                tabindex="0"
                role="region"
                aria-label="Text of the file"
                style:--diff-digits=digits
            >
                <div class="diff-rows">
                    <VirtualList first=0 end estimate=20.0 label="Lines" row/>
                </div>
            </div>
        </div>
    }
}
