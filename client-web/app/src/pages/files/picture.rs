//! A picture, as the browser shows it. One that would take much of the browser's memory is fetched only after a tap.

use std::sync::Arc;

use lanyard_protocol::method::FilePiece;
use lanyard_web_state::files::{Download, decodes_unasked, name_of, pixels, shown_name};
use lanyard_web_state::words::bytes;
use lanyard_web_ui::{Button, Card, Problem, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::fetch::{self, BlobUrl};
use crate::store::Store;

/// See the module.
#[component]
pub(super) fn Picture(
    /// Where it lies.
    path: String,
    /// Its type, by its first bytes.
    kind: &'static str,
    /// Its first piece.
    first: Arc<FilePiece>,
) -> impl IntoView {
    let wanted = RwSignal::new(decodes_unasked(&first.bytes.0, kind, first.total));
    let extent = match pixels(&first.bytes.0, kind) {
        Some(pixels) => format!("{} megapixels", pixels.div_ceil(1_000_000)),
        None => "it does not say how many pixels it has".to_owned(),
    };
    let said = format!("This picture is large, or may be: {}, {extent}.", bytes(first.total));
    let said = StoredValue::new(said);
    move || match wanted.get() {
        true => view! { <Decoded path=path.clone() kind/> },
        false => view! {
            <Card>
                <p>{said.get_value()}</p>
                <p class="soft">"Pictures with very many pixels can make a browser fail."</p>
                <Button on_press=move || wanted.set(true)>"Show it all the same"</Button>
            </Card>
        },
    }
}

/// A picture, fetched whole.
#[component]
fn Decoded(path: String, kind: &'static str) -> impl IntoView {
    let store = Store::take();
    let name = shown_name(name_of(&path));
    let picture = RwSignal::new_local(None::<Result<BlobUrl, String>>);
    let gone = RwSignal::new(false);
    spawn_local(async move {
        let progress = |_: &Download| gone.try_get_untracked().is_some();
        let fetched = match fetch::whole(store, &path, kind, progress).await {
            Ok(blob) => BlobUrl::new(&blob).ok_or_else(|| "The browser could not show it.".to_owned()),
            Err(error) => Err(error.words().unwrap_or_default()),
        };
        let _ = picture.try_set(Some(fetched));
    });
    move || {
        picture.with(|picture| match picture {
            None => view! { <Waiting what="Fetching the picture"/> },
            Some(Ok(url)) => {
                view! { <img class="picture" src=url.as_str().to_owned() alt=name.clone()/> }
            }
            Some(Err(said)) => {
                view! { <Problem title="The picture could not be fetched" meaning=said.clone()/> }
            }
        })
    }
}
