//! What a task has changed in the workspace so far, file by file.

use std::sync::Arc;

use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::id::TaskId;
use lanyard_protocol::method::{GetPatchPreview, PatchFile};
use lanyard_web_state::diff::{self, Diff};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words;
use lanyard_web_ui::{Button, DiffView, Empty, Layout, Problem, Sheet, Waiting};
use leptos::prelude::*;

use super::feed::Feed;
use crate::store::{Failed, Store};

/// Which changes are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Of which task.
    pub(super) task: TaskId,
    /// Only this file; none: all of them.
    pub(super) path: Option<String>,
}

/// One changed file, read.
#[derive(Debug, Clone)]
struct Changed {
    path: String,
    change: ChangeKind,
    diff: Arc<Diff>,
    truncated: bool,
}

impl Changed {
    fn of(file: PatchFile) -> Self {
        Self {
            path: line(&file.path, Marks::Missing).into_owned(),
            change: file.change,
            // The host has written the marks.
            diff: Arc::new(diff::parse(&file.diff, Marks::Written)),
            truncated: file.truncated,
        }
    }
}

/// See the module.
#[component]
pub(super) fn Changes(shown: RwSignal<Option<Shown>>) -> impl IntoView {
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
fn Preview(shown: Shown) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let found = RwSignal::new(None::<Result<Vec<Changed>, Failed>>);
    let path = shown.path.clone();
    let task = StoredValue::new(shown.task);
    let fetch = move || {
        found.set(None);
        let call = GetPatchPreview { session_id: feed.id(), task_id: task.get_value() };
        store.ask(call, move |answer| {
            found.set(Some(answer.map(|preview| preview.files.into_iter().map(Changed::of).collect())));
        });
    };
    fetch();
    let layout = RwSignal::new(Layout::Auto);
    let only = RwSignal::new(path);
    let files = move |files: Vec<Changed>| {
        let count = files.len();
        let wanted = only.get().filter(|path| files.iter().any(|file| file.path == *path));
        let others = wanted.is_some() && count > 1;
        let shown = files.into_iter().filter(|file| wanted.as_ref().is_none_or(|path| file.path == *path));
        let shown = shown.map(|file| view! { <FileView file layout/> }).collect_view();
        let all = others.then(|| {
            view! { <Button on_press=move || only.set(None)>"All " {count} " files"</Button> }
        });
        view! { {shown} {all} }
    };
    move || {
        match found.get() {
        None => view! { <Waiting what="Comparing with the state before the task"/> }.into_any(),
        Some(Ok(none)) if none.is_empty() => view! {
            <Empty title="Nothing is different">
                <p>"The files are as they were when the task began, or it changed none through its file tools."</p>
            </Empty>
        }
        .into_any(),
        Some(Ok(changed)) => files(changed).into_any(),
        Some(Err(failed)) => view! {
            <Problem title="The changes could not be read" meaning=failed.said.clone() code=failed.code_text()>
                <Button on_press=fetch>"Try again"</Button>
            </Problem>
        }
        .into_any(),
    }
    }
}

#[component]
fn FileView(file: Changed, layout: RwSignal<Layout>) -> impl IntoView {
    let what = match file.change {
        ChangeKind::Created => "new",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Moved => "moved",
    };
    let label = format!("Changes to {}", file.path);
    let counts = file.diff.counts();
    view! {
        <section class="change">
            <h3 class="change-head"><code class="mono">{file.path}</code> <span class="soft tabular">{what} " " {counts}</span></h3>
            <DiffView diff=Signal::stored(file.diff) label mode=layout truncated=file.truncated/>
        </section>
    }
}
