//! What a task has changed in the workspace, file by file.

use std::sync::Arc;

use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::id::TaskId;
use lanyard_protocol::method::PatchFile;
use lanyard_web_state::diff::{self, Diff};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::{Button, DiffView, Empty, Layout};

/// Which changes are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Of which task.
    pub task: TaskId,
    /// Only this file; none: all of them.
    pub path: Option<String>,
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

/// The files that a task changed, each with its difference. Where one was asked for, that one, and the way to the others.
#[component]
pub fn ChangedFiles(
    /// As the host compared them.
    files: Vec<PatchFile>,
    /// Only this file at first.
    path: Option<String>,
    /// What it means that there are none.
    none: &'static str,
) -> impl IntoView {
    if files.is_empty() {
        return view! { <Empty title="Nothing is different"><p>{none}</p></Empty> };
    }
    let files: Vec<Changed> = files.into_iter().map(Changed::of).collect();
    let files = StoredValue::new(files);
    let layout = RwSignal::new(Layout::Auto);
    let only = RwSignal::new(path.map(|path| line(&path, Marks::Missing).into_owned()));
    move || {
        let files = files.get_value();
        let count = files.len();
        let wanted = only.get().filter(|path| files.iter().any(|file| file.path == *path));
        let others = wanted.is_some() && count > 1;
        let shown = files.into_iter().filter(|file| wanted.as_ref().is_none_or(|path| file.path == *path));
        let shown = shown.map(|file| view! { <FileView file layout/> }).collect_view();
        let all = others.then(|| {
            view! { <Button on_press=move || only.set(None)>"All " {count} " files"</Button> }
        });
        view! { {shown} {all} }
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
            <h3 class="change-head"><code class="mono">{file.path}</code> " " <span class="soft tabular">{what} " " {counts}</span></h3>
            <DiffView diff=Signal::stored(file.diff) label mode=layout truncated=file.truncated/>
        </section>
    }
}
