//! The box in which a task is given: for a new session, or as the next task of one.
//!
//! Starting is three steps (a session where there is none, its files, the task). What has been done stays done: after a
//! failure the next press goes on from there, with the same words in the box.

use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{CreateSession, StartTask};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::WorkspaceHint;
use lanyard_web_state::sessions::draft::{Example, prompt_problem};
use lanyard_web_ui::{Glyph, IconButton, Problem, TextArea};
use lanyard_web_view::{Effect, component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::attach::{Chips, Files, Pickers};
use super::options::{Chosen, Offers, Options, summary};
use crate::route::{Route, Routes};
use crate::store::{Failed, Store};

/// What is in a box. `Copy`.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    store: Store,
    prompt: RwSignal<String>,
    chosen: Chosen,
    files: Files,
    /// What the host offers, for a new session.
    pub(super) offers: Option<Offers>,
    /// The session that a start which failed has made already, and its directory.
    made: StoredValue<Option<(SessionId, Option<String>)>>,
    busy: RwSignal<bool>,
    failed: RwSignal<Option<Failed>>,
}

impl Start {
    /// An empty box for a new session; its directory is the one last used, until another is chosen.
    pub(crate) fn fresh() -> Self {
        let store = Store::take();
        let offers = Offers::fetch(store);
        let start = Self { offers: Some(offers), ..Self::next() };
        Effect::new(move |_| {
            let last =
                offers.workspaces.with(|known| known.as_ref()?.first().map(|entry| entry.path.clone()));
            if last.is_some() && start.chosen.workspace.with_untracked(Option::is_none) {
                start.chosen.workspace.set(last);
            }
        });
        start
    }

    /// An empty box for the next task of a session.
    pub(crate) fn next() -> Self {
        let store = Store::take();
        Self {
            store,
            prompt: RwSignal::new(String::new()),
            chosen: Chosen::default(),
            offers: None,
            files: Files::new(store),
            made: StoredValue::new(None),
            busy: RwSignal::new(false),
            failed: RwSignal::new(None),
        }
    }

    /// Puts an example into the box.
    pub(crate) fn take_example(self, example: &Example) {
        self.prompt.set(example.prompt.clone());
        self.chosen.workspace.set(example.workspace.clone());
    }

    fn ready(self) -> bool {
        self.prompt.with(|prompt| !prompt.trim().is_empty() && prompt_problem(prompt).is_none())
    }

    fn send(self, session: Option<SessionId>, routes: Routes) {
        if !untrack(move || self.ready()) || self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.failed.set(None);
        spawn_local(async move {
            let leads = session.is_none();
            match self.give(session).await {
                Ok(session) => {
                    let _ = self.prompt.try_set(String::new());
                    self.files.clear();
                    let _ = self.made.try_set_value(None);
                    // Who is elsewhere by now stays there.
                    if leads && self.busy.try_get_untracked().is_some() {
                        routes.go(&Route::Session(session));
                    }
                }
                Err(failed) => {
                    if let Some(Some(untold)) = self.failed.try_set(Some(failed)) {
                        self.store.warn(untold.said);
                    }
                }
            }
            let _ = self.busy.try_set(false);
        });
    }

    async fn give(self, session: Option<SessionId>) -> Result<SessionId, Failed> {
        // Taken before anything is waited for: the box may be gone when the host answers.
        let prompt = self.prompt.get_untracked().trim().to_owned();
        let task_options = self.chosen.options.get_untracked();
        let (model, files) = (self.chosen.model.get_untracked(), self.files.all());
        let session = match session {
            Some(session) => session,
            None => self.session().await?,
        };
        let attachments = self.files.put(files, &session).await?;
        let session_id = session.clone();
        let call = StartTask { session_id, task_id: None, prompt, task_options, model, attachments };
        self.store.call(call).await?;
        Ok(session)
    }

    /// The session for the task: the one that was made for it before, if its directory is still the one chosen.
    async fn session(self) -> Result<SessionId, Failed> {
        let place = self.chosen.workspace.get_untracked();
        if let Some((session, at)) = self.made.get_value() {
            if at == place {
                return Ok(session);
            }
            self.files.put_anew();
        }
        let hint = WorkspaceHint { local_paths: place.iter().cloned().collect(), workspace_id: None };
        let opened =
            self.store.call(CreateSession { workspace_hint: hint, ..CreateSession::default() }).await?;
        self.made.set_value(Some((opened.session_id.clone(), place)));
        Ok(opened.session_id)
    }
}

/// See the module. With a session: its next task.
#[component]
pub(crate) fn Composer(
    /// What is in it.
    start: Start,
    /// The session that is to go on.
    #[prop(optional)]
    session: Option<SessionId>,
) -> impl IntoView {
    let store = Store::take();
    let may = Memo::new(move |_| store.me.with(Option::is_none) || store.holds(Scope::Operate));
    if session.is_none() {
        // Another page may have begun it: "About the file …: ".
        Effect::new(move |_| {
            if let Some(draft) = store.draft.get() {
                store.draft.set(None);
                start.prompt.set(draft.prompt);
                start.chosen.workspace.set(draft.workspace);
            }
        });
    }
    let target = StoredValue::new(session);
    move || {
        if !may.get() {
            return view! { <p class="composer-none soft">"This device may look at sessions, not give tasks."</p> };
        }
        view! {
            <Drop files=start.files>
                <Failure start/>
                <Chips files=start.files busy=start.busy/>
                <Words start target/>
            </Drop>
        }
    }
}

/// Takes files that are dropped on it, or pasted into it.
#[component]
fn Drop(files: Files, children: Children) -> impl IntoView {
    let above = RwSignal::new(false);
    let dropped = move |event: web_sys::DragEvent| {
        event.prevent_default();
        above.set(false);
        if let Some(list) = event.data_transfer().and_then(|data| data.files()) {
            files.take(&list);
        }
    };
    let over = move |event: web_sys::DragEvent| {
        event.prevent_default();
        above.set(true);
    };
    let pasted = move |event: web_sys::ClipboardEvent| {
        let list = event.clipboard_data().and_then(|data| data.files()).filter(|list| list.length() > 0);
        if let Some(list) = list {
            event.prevent_default();
            files.take(&list);
        }
    };
    view! {
        <div
            class="composer"
            class:composer-drop=above
            on:drop=dropped
            on:dragover=over
            on:dragleave=move |_| above.set(false)
            on:paste=pasted
        >
            {children()}
        </div>
    }
}

/// Why the last press did not start a task.
#[component]
fn Failure(start: Start) -> impl IntoView {
    move || {
        start.failed.get().map(|failed| {
            // Whether it took effect is not known: the session tells.
            let title = if failed.certain {
                "The task was not started"
            } else {
                "It is not known whether the task was started"
            };
            view! { <Problem title meaning=failed.said.clone() code=failed.code_text()/> }
        })
    }
}

/// The box itself, with what goes before and after it.
#[component]
fn Words(start: Start, target: StoredValue<Option<SessionId>>) -> impl IntoView {
    let routes = Routes::take();
    let options = RwSignal::new(false);
    let follows = target.with_value(Option::is_some);
    let send = move || start.send(target.get_value(), routes);
    let problem = Signal::derive(move || start.prompt.with(|prompt| prompt_problem(prompt)));
    let label = if follows { "What next?" } else { "Give this machine a task" };
    view! {
        <div class="composer-line">
            <Pickers files=start.files disabled=start.busy/>
            <div class="composer-text">
                <TextArea
                    label
                    value=start.prompt
                    placeholder=label
                    bare=true
                    error=problem
                    on_enter=Callback::new(move |()| send())
                />
            </div>
            <IconButton
                label=if follows { "Give the next task" } else { "Start the task" }
                icon=Glyph::Send
                primary=true
                busy=start.busy
                disabled=Signal::derive(move || !start.ready())
                on_press=send
            />
        </div>
        <button type="button" class="composer-options" on:click=move |_| options.set(true)>
            {move || summary(start.chosen, start.offers)}
        </button>
        <Options open=options chosen=start.chosen offers=start.offers/>
    }
}
