//! Puts a text on the clipboard.

use std::time::Duration;

use leptos::leptos_dom::helpers::set_timeout;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// How long "copied" is shown.
const SHOWN: Duration = Duration::from_secs(2);

/// Copies, and says so for a moment. Where the browser offers pages of this address no clipboard, its older way is tried.
pub fn copy(text: &str, copied: RwSignal<bool>) {
    let text = text.to_owned();
    spawn_local(async move {
        if with_clipboard(&text).await || with_selection(&text) {
            let _ = copied.try_set(true);
            set_timeout(
                move || {
                    let _ = copied.try_set(false);
                },
                SHOWN,
            );
        }
    });
}

async fn with_clipboard(text: &str) -> bool {
    let navigator = window().navigator();
    // Absent where the page is not verified.
    let known =
        js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|found| !found.is_undefined());
    known && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}

fn with_selection(text: &str) -> bool {
    let document = document();
    let Some(body) = document.body() else { return false };
    let Ok(field) = document.create_element("textarea") else { return false };
    let Ok(field) = field.dyn_into::<web_sys::HtmlTextAreaElement>() else { return false };
    field.set_class_name("unseen");
    field.set_value(text);
    if body.append_child(&field).is_err() {
        return false;
    }
    field.select();
    // Not in `web-sys`: the browsers keep it for pages like this one.
    let command = js_sys::Reflect::get(&document, &"execCommand".into()).ok();
    let done = command
        .and_then(|command| command.dyn_into::<js_sys::Function>().ok())
        .is_some_and(|command| command.call1(&document, &"copy".into()).is_ok_and(|done| done.is_truthy()));
    field.remove();
    done
}
