//! Directories and files of the workspaces, as far as the host's tools may read them.

mod directory;
mod fetch;
mod file;
mod picture;

use std::sync::Arc;

use lanyard_protocol::ErrorCode;
use lanyard_protocol::limits::MAX_FILE_PIECE_BYTES;
use lanyard_protocol::method::{FilePage, FilePiece, GetFile, ListFiles, ListWorkspaces, WorkspaceEntry};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::files::{crumbs, is_above, name_of, problem, shown_name, workspace_of};
use lanyard_web_ui::{Ago, Button, Empty, Glyph, Kind, Problem, Row, Waiting};
use lanyard_web_view::{Effect, component, view};
use leptos::prelude::*;

use crate::route::{Route, Routes};
use crate::shell::Page;
use crate::store::{Failed, Store};

use directory::Directory;
use file::File;

/// What lies at a path.
#[derive(Debug, Clone)]
enum Found {
    Directory(Arc<FilePage>),
    /// The file's first piece.
    File(Arc<FilePiece>),
    Nothing(Failed),
}

/// See the module.
#[component]
pub(crate) fn Files(
    /// A directory or a file; none: the workspaces.
    path: Option<String>,
) -> impl IntoView {
    let store = Store::take();
    let may =
        Memo::new(move |_| store.me.with(|me| me.as_ref().map(|me| me.principal.holds(Scope::Operate))));
    let title = path.as_deref().map_or_else(|| "Files".to_owned(), |path| shown_name(name_of(path)));
    let workspaces = RwSignal::new(None::<Result<Vec<WorkspaceEntry>, Failed>>);
    let above = path.as_ref().map(|path| Route::Files(parent_of(path)));
    let body = move || match (may.get(), path.clone()) {
        (None, _) => view! { <Waiting what="Asking the host"/> },
        (Some(false), _) => view! { <NoRight/> },
        (Some(true), None) => {
            load_workspaces(store, workspaces);
            view! { <Workspaces workspaces/> }
        }
        (Some(true), Some(path)) => {
            load_workspaces(store, workspaces);
            view! { <Place path workspaces/> }
        }
    };
    match above {
        Some(back) => view! { <Page title back>{body}</Page> },
        None => view! { <Page title>{body}</Page> },
    }
}

/// The way back by the path alone. From a workspace it leads above all of them, and from there to their list.
fn parent_of(path: &str) -> Option<String> {
    let name = name_of(path);
    let parent = path.strip_suffix(name)?.trim_end_matches(['/', '\\']);
    (!parent.is_empty()).then(|| parent.to_owned())
}

fn load_workspaces(store: Store, into: RwSignal<Option<Result<Vec<WorkspaceEntry>, Failed>>>) {
    store.ask(ListWorkspaces {}, move |answer| into.set(Some(answer.map(|page| page.workspaces))));
}

#[component]
fn NoRight() -> impl IntoView {
    view! {
        <Empty title="This device may not look into files">
            <p>
                "That takes the right to start tasks: whoever may have the host's agent read files may read them here, \
                 nobody else. Somebody who manages this host can give this device that right under Host, Devices."
            </p>
        </Empty>
    }
}

/// Where sessions may be about something.
#[component]
fn Workspaces(workspaces: RwSignal<Option<Result<Vec<WorkspaceEntry>, Failed>>>) -> impl IntoView {
    let store = Store::take();
    move || match workspaces.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Err(failed)) => {
            view! { <Trouble failed on_again=move || load_workspaces(store, workspaces)/> }
        }
        Some(Ok(known)) if known.is_empty() => view! {
            <Empty title="No workspace yet">
                <p>"Give this machine a task about a directory, and it is listed here."</p>
            </Empty>
        },
        Some(Ok(known)) => {
            let rows = known.into_iter().map(|workspace| {
                let href = Route::Files(Some(workspace.path.clone())).href();
                let used = workspace.last_used.map(|at| view! { <Ago at/> });
                view! {
                    <Row title=shown_name(&workspace.name) detail=shown_name(&workspace.path) href icon=Glyph::Folder>
                        {used}
                    </Row>
                }
            });
            view! { <div class="stack">{rows.collect_view()}</div> }
        }
    }
}

/// A directory or a file: only the host knows which.
#[component]
fn Place(path: String, workspaces: RwSignal<Option<Result<Vec<WorkspaceEntry>, Failed>>>) -> impl IntoView {
    let store = Store::take();
    let found = RwSignal::new(None::<Found>);
    let look = {
        let path = path.clone();
        move || look_at(store, path.clone(), found)
    };
    look();
    {
        let (path, routes) = (path.clone(), Routes::take());
        Effect::new(move |_| {
            let nothing = found.with(|found| matches!(found, Some(Found::Nothing(_))));
            let above = workspaces.with(|known| matches!(known, Some(Ok(known)) if is_above(&path, known)));
            if nothing && above {
                routes.replace(&Route::Files(None));
            }
        });
    }
    let way = {
        let path = path.clone();
        move || {
            let known = workspaces.get().and_then(Result::ok).unwrap_or_default();
            crumbs(&path, &known)
        }
    };
    let workspace = {
        let path = path.clone();
        Signal::derive(move || {
            let known = workspaces.get().and_then(Result::ok).unwrap_or_default();
            workspace_of(&path, &known).map(|workspace| workspace.path.clone())
        })
    };
    let body = move || match found.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Found::Directory(page)) => view! { <Directory page/> },
        Some(Found::File(first)) => view! { <File path=path.clone() first workspace/> },
        Some(Found::Nothing(failed)) => view! { <Trouble failed on_again=look.clone()/> },
    };
    view! {
        <nav class="crumbs" aria-label="Where this is">
            <a href=Route::Files(None).href()>"Files"</a>
            {move || {
                let links = way().into_iter().map(|crumb| {
                    let href = Route::Files(Some(crumb.path)).href();
                    view! { <span aria-hidden="true">"/"</span><a href=href>{shown_name(&crumb.name)}</a> }
                });
                links.collect_view()
            }}
        </nav>
        {body}
    }
}

/// Asks what lies at a path: its entries, or else its first piece.
fn look_at(store: Store, path: String, found: RwSignal<Option<Found>>) {
    let call = ListFiles { path: path.clone() };
    store.ask(call, move |answer| match answer {
        Ok(page) => found.set(Some(Found::Directory(Arc::new(page)))),
        // Not a directory, or not there: the second question tells which.
        Err(failed) if failed.code == Some(ErrorCode::InvalidRequest) => {
            let call = GetFile { path, offset: 0, length: Some(MAX_FILE_PIECE_BYTES) };
            store.ask(call, move |answer| {
                let what = answer.map_or_else(Found::Nothing, |piece| Found::File(Arc::new(piece)));
                found.set(Some(what));
            });
        }
        Err(failed) => found.set(Some(Found::Nothing(failed))),
    });
}

/// Why there is nothing to be seen, and what can be done.
#[component]
fn Trouble(failed: Failed, #[prop(into)] on_again: Callback<()>) -> impl IntoView {
    let (title, meaning) = problem(failed.code, &failed.said);
    let code = failed.code_text();
    view! {
        <Problem title meaning code=code>
            <Button kind=Kind::Plain on_press=move || on_again.run(())>"Try again"</Button>
        </Problem>
    }
}
