//! Where a task runs, which model answers, and how it may run: behind one button, because the host's own choice is right
//! most of the time.

use lanyard_protocol::method::{ListModels, ListWorkspaces, ModelPage, WorkspaceEntry};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::{ApprovalMode, TaskOptions};
use lanyard_web_state::sessions::draft::{STEP_CHOICES, shown_name};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words;
use lanyard_web_ui::{Choice, ChoiceItem, Problem, Sheet, Switch, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::store::{Failed, Store};

/// Models offered; gateways list hundreds.
const MAX_MODELS: usize = 60;

/// What the host offers, once it was asked. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Offers {
    /// Directories, last used first.
    pub(super) workspaces: RwSignal<Option<Vec<WorkspaceEntry>>>,
    /// Models.
    pub(super) models: RwSignal<Option<ModelPage>>,
    /// Why either is missing.
    failed: RwSignal<Option<Failed>>,
}

impl Offers {
    /// Asks the host.
    pub(super) fn fetch(store: Store) -> Self {
        let offers = Self {
            workspaces: RwSignal::new(None),
            models: RwSignal::new(None),
            failed: RwSignal::new(None),
        };
        store.ask(ListWorkspaces {}, move |answer| match answer {
            Ok(page) => offers.workspaces.set(Some(page.workspaces)),
            Err(failed) => offers.failed.set(Some(failed)),
        });
        store.ask(ListModels {}, move |answer| match answer {
            Ok(page) => offers.models.set(Some(page)),
            Err(failed) => offers.failed.set(Some(failed)),
        });
        offers
    }

    /// The host has answered, or will not.
    pub(super) fn are_here(self) -> bool {
        (self.workspaces.with(Option::is_some) && self.models.with(Option::is_some))
            || self.failed.with(Option::is_some)
    }

    /// No AI answers here.
    pub(super) fn is_demo(self) -> bool {
        self.models.with(|models| models.as_ref().is_some_and(|models| models.current.demo))
    }
}

/// What is chosen. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    /// The directory; none: the host's first one, or where it has none an empty one for this session.
    pub(super) workspace: RwSignal<Option<String>>,
    /// The model; none: the host's choice.
    pub(super) model: RwSignal<Option<String>>,
    /// How it may run.
    pub(super) options: RwSignal<TaskOptions>,
}

impl Default for Chosen {
    fn default() -> Self {
        Self {
            workspace: RwSignal::new(None),
            model: RwSignal::new(None),
            options: RwSignal::new(TaskOptions::default()),
        }
    }
}

/// The choices in a few words, for the button that opens them.
pub(super) fn summary(chosen: Chosen, offers: Option<Offers>) -> String {
    let mut parts = Vec::new();
    if let Some(offers) = offers {
        let none = offers.workspaces.with(|known| known.as_ref().is_some_and(Vec::is_empty));
        let otherwise =
            || if none { "in a directory of its own" } else { "where the host chooses" }.to_owned();
        let shown = |path: String| line(&words::path_end(&path), Marks::Missing).into_owned();
        parts.push(chosen.workspace.get().map_or_else(otherwise, shown));
    }
    if let Some(model) = chosen.model.get() {
        parts.push(shown_name(&model));
    }
    let options = chosen.options.get();
    let usual = TaskOptions::default();
    if options.max_steps != usual.max_steps {
        parts.push(format!("at most {}", words::count(options.max_steps.into(), "step")));
    }
    if !options.allow_network {
        parts.push("no network".to_owned());
    }
    match options.approval_mode {
        ApprovalMode::OnRiskyActions => {}
        ApprovalMode::Always => parts.push("asks for every change".to_owned()),
        ApprovalMode::Never => parts.push("asks nothing".to_owned()),
    }
    if parts.is_empty() { "Options".to_owned() } else { parts.join(" · ") }
}

/// See the module. Without offers the session is there already, and with it its directory.
#[component]
pub(super) fn Options(open: RwSignal<bool>, chosen: Chosen, offers: Option<Offers>) -> impl IntoView {
    view! {
        <Sheet open title="How it runs" on_close=move || open.set(false)>
            <Choices chosen offers/>
        </Sheet>
    }
}

#[component]
fn Choices(chosen: Chosen, #[prop(into)] offers: Option<Offers>) -> impl IntoView {
    let store = Store::take();
    let place = offers.map(|offers| view! { <Places offers chosen/> });
    let offers = offers.unwrap_or_else(|| Offers::fetch(store));
    let failed = move || {
        offers.failed.get().map(|failed| {
            view! { <Problem title="The host did not say what it offers" meaning=failed.said.clone() code=failed.code_text()/> }
        })
    };
    let steps = STEP_CHOICES.map(|steps| ChoiceItem::new(steps, steps.to_string())).to_vec();
    let mut modes = vec![
        ChoiceItem::new(ApprovalMode::OnRiskyActions, "Where policy asks").about("the usual way"),
        ChoiceItem::new(ApprovalMode::Always, "For every change").about("also for what policy lets pass"),
    ];
    // What a person did not choose is not offered to those who may not.
    if untrack(move || store.holds(Scope::Admin)) {
        let about = "except where a rule says it must; policy still refuses what it refuses";
        modes.push(ChoiceItem::new(ApprovalMode::Never, "Never").about(about));
    }
    view! {
        {failed}
        {place}
        <Models offers chosen/>
        <Choice
            label="Asks for approval"
            options=modes
            value=Signal::derive(move || chosen.options.with(|options| options.approval_mode))
            on_change=move |mode| chosen.options.update(|options| options.approval_mode = mode)
        />
        <Choice
            label="Steps at most"
            options=steps
            value=Signal::derive(move || chosen.options.with(|options| options.max_steps))
            on_change=move |steps| chosen.options.update(|options| options.max_steps = steps)
            bar=true
        />
        <Switch
            label="Tools may use the network"
            hint="Policy still decides which addresses."
            on=Signal::derive(move || chosen.options.with(|options| options.allow_network))
            on_change=move |on| chosen.options.update(|options| options.allow_network = on)
        />
    }
}

#[component]
fn Places(offers: Offers, chosen: Chosen) -> impl IntoView {
    let places = move |workspaces: Vec<WorkspaceEntry>| {
        if workspaces.is_empty() {
            return view! {
                <p class="soft">"The host has no directories to work in; each session gets an empty one. `lanyard up --workspace DIR` on the machine adds one."</p>
            };
        }
        let named = workspaces.into_iter().map(|entry| {
            let name = shown_name(&entry.name);
            let path = line(&words::path_end(&entry.path), Marks::Missing).into_owned();
            ChoiceItem::new(Some(entry.path), name).about(path)
        });
        let options: Vec<ChoiceItem<Option<String>>> = named.collect();
        view! {
            <Choice label="Where" options value=chosen.workspace on_change=move |path| chosen.workspace.set(path)/>
        }
    };
    move || match offers.workspaces.get() {
        Some(workspaces) => places(workspaces),
        None => view! { <Waiting what="Asking for directories"/> },
    }
}

#[component]
fn Models(offers: Offers, chosen: Chosen) -> impl IntoView {
    let models = move |page: ModelPage| {
        let current = shown_name(&page.current.name);
        let own = ChoiceItem::new(None, format!("The host's choice: {current}"));
        let own = if page.current.demo { own.about("built in, no AI") } else { own };
        let others = page.models.into_iter().take(MAX_MODELS).map(|model| {
            let name = shown_name(&model);
            ChoiceItem::new(Some(model), name)
        });
        let options: Vec<ChoiceItem<Option<String>>> = std::iter::once(own).chain(others).collect();
        view! { <Choice label="Model" options value=chosen.model on_change=move |model| chosen.model.set(model)/> }
    };
    move || match offers.models.get() {
        Some(page) => models(page),
        None => view! { <Waiting what="Asking for models"/> },
    }
}
