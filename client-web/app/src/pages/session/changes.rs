//! What a task has changed in the workspace so far, file by file.

use lanyard_protocol::method::{GetPatchPreview, PatchFile};
use lanyard_web_state::words;
use lanyard_web_ui::timeline::{ChangedFiles, Look};
use lanyard_web_ui::{Button, Problem, Sheet, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::feed::Feed;
use crate::store::{Failed, Store};

/// What it means that nothing is different.
const NONE: &str =
    "The files are as they were when the task began, or it changed none through its file tools.";

/// See the module.
#[component]
pub(super) fn Changes(shown: RwSignal<Option<Look>>) -> impl IntoView {
    let open = Memo::new(move |_| shown.with(Option::is_some));
    let title = Signal::derive(move || {
        let path = shown.with(|shown| shown.as_ref().and_then(|shown| shown.path.clone()));
        path.map_or_else(|| "Changes".to_owned(), |path| words::path_end(&path))
    });
    view! {
        <Sheet open title on_close=move || shown.set(None)>
            {move || shown.get().map(|shown| view! { <Preview shown/> })}
        </Sheet>
    }
}

#[component]
fn Preview(shown: Look) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let found = RwSignal::new(None::<Result<Vec<PatchFile>, Failed>>);
    let Look { task, path } = shown;
    let task = StoredValue::new(task);
    let fetch = move || {
        found.set(None);
        let call = GetPatchPreview { session_id: feed.id(), task_id: task.get_value() };
        store.ask(call, move |answer| found.set(Some(answer.map(|preview| preview.files))));
    };
    fetch();
    move || match found.get() {
        None => view! { <Waiting what="Comparing with the state before the task"/> },
        Some(Ok(files)) => view! { <ChangedFiles files path=path.clone() none=NONE/> },
        Some(Err(failed)) => view! {
            <Problem title="The changes could not be read" meaning=failed.said.clone() code=failed.code_text()>
                <Button on_press=fetch>"Try again"</Button>
            </Problem>
        },
    }
}
