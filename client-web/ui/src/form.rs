//! What people fill in and choose.

use std::sync::atomic::{AtomicU32, Ordering};

use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

/// Ties labels, hints and faults to their fields.
fn fresh_id(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What is said under a field: its fault, else its hint.
fn under(id: &str, hint: MaybeProp<String>, error: Signal<Option<String>>) -> View {
    let id = format!("{id}-said");
    let said = move || error.get().or_else(|| hint.get());
    view! {
        <p class="field-said" class:field-bad=move || error.get().is_some() id=id>
            {said}
        </p>
    }
}

/// One line of text.
#[component]
pub fn Field(
    /// What is asked for.
    #[prop(into)]
    label: Signal<String>,
    /// What is typed.
    value: RwSignal<String>,
    /// More about it, under the field.
    #[prop(optional, into)]
    hint: MaybeProp<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// `text`, `search`, …
    #[prop(default = "text")]
    kind: &'static str,
    /// The keyboard a phone shows: `text`, `numeric`, …
    #[prop(default = "text")]
    keyboard: &'static str,
    /// What browsers may fill in; nothing by default.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// An example, in grey.
    #[prop(optional, into)]
    placeholder: MaybeProp<String>,
    /// Characters taken.
    #[prop(default = 256)]
    max: u32,
    /// The label is for screen readers only.
    #[prop(optional)]
    bare: bool,
    /// Set in the letters of code.
    #[prop(optional)]
    mono: bool,
    /// What Enter does.
    #[prop(optional, into)]
    on_enter: Option<Callback<()>>,
    /// What is typed before it is shown: upper case, dashes.
    #[prop(optional, into)]
    tidy: Option<Callback<(String,), String>>,
) -> impl IntoView {
    let id = fresh_id("field");
    let said = format!("{id}-said");
    let typed = move |event: web_sys::Event| {
        let raw = event_target_value(&event);
        let text = tidy.map_or_else(|| raw.clone(), |tidy| tidy.run((raw.clone(),)));
        value.set(text);
    };
    let key = move |event: web_sys::KeyboardEvent| entered(&event, on_enter);
    view! {
        <div class="field" class:field-bare=bare class:field-mono=mono>
            <label for=id.clone()>{move || label.get()}</label>
            <input
                id=id.clone()
                type=kind
                inputmode=keyboard
                autocomplete=autocomplete
                autocapitalize="off"
                spellcheck="false"
                maxlength=max.to_string()
                placeholder=move || placeholder.get()
                aria-describedby=said
                aria-invalid=move || error.get().is_some().then_some("true")
                prop:value=move || value.get()
                on:input=typed
                on:keydown=key
            />
            {under(&id, hint, error)}
        </div>
    }
}

/// Enter does what the field is for, unless it ends a word that is being composed.
fn entered(event: &web_sys::KeyboardEvent, on_enter: Option<Callback<()>>) {
    if let Some(on_enter) = on_enter
        && event.key() == "Enter"
        && !event.is_composing()
    {
        event.prevent_default();
        on_enter.run(());
    }
}

/// Several lines of text; grows with what is typed.
#[component]
pub fn TextArea(
    /// What is asked for.
    #[prop(into)]
    label: Signal<String>,
    /// What is typed.
    value: RwSignal<String>,
    /// More about it, under the field.
    #[prop(optional, into)]
    hint: MaybeProp<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// An example, in grey.
    #[prop(optional, into)]
    placeholder: MaybeProp<String>,
    /// The label is for screen readers only.
    #[prop(optional)]
    bare: bool,
    /// Lines to begin with.
    #[prop(default = 1)]
    rows: u32,
    /// What Enter does; Shift and Enter begin a new line. On phones Enter always begins one.
    #[prop(optional, into)]
    on_enter: Option<Callback<()>>,
) -> impl IntoView {
    let id = fresh_id("area");
    let said = format!("{id}-said");
    let key = move |event: web_sys::KeyboardEvent| {
        if !event.shift_key() && has_keyboard() {
            entered(&event, on_enter);
        }
    };
    // The mirror behind the field has the same text and so the height that the field needs; without scripts that measure.
    let mirror = move || format!("{} ", value.get());
    view! {
        <div class="field" class:field-bare=bare>
            <label for=id.clone()>{move || label.get()}</label>
            <div class="grows">
                <textarea
                    id=id.clone()
                    rows=rows.to_string()
                    placeholder=move || placeholder.get()
                    aria-describedby=said
                    aria-invalid=move || error.get().is_some().then_some("true")
                    prop:value=move || value.get()
                    on:input=move |event| value.set(event_target_value(&event))
                    on:keydown=key
                ></textarea>
                <div class="grows-mirror" aria-hidden="true">{mirror}</div>
            </div>
            {under(&id, hint, error)}
        </div>
    }
}

/// Whether somebody sits before a keyboard and a pointer, rather than holding glass.
fn has_keyboard() -> bool {
    let query = window().match_media("(hover: hover) and (pointer: fine)");
    query.ok().flatten().is_some_and(|query| query.matches())
}

/// One thing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceItem<T> {
    /// What it stands for.
    pub value: T,
    /// What it says.
    pub title: String,
    /// More about it.
    pub detail: Option<String>,
}

impl<T> ChoiceItem<T> {
    /// Without detail.
    pub fn new(value: T, title: impl Into<String>) -> Self {
        Self { value, title: title.into(), detail: None }
    }

    /// With more about it.
    #[must_use]
    pub fn about(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// One of several.
#[component]
pub fn Choice<T>(
    /// What is chosen.
    #[prop(into)]
    label: Signal<String>,
    /// What there is to choose from.
    #[prop(into)]
    options: Vec<ChoiceItem<T>>,
    /// What is chosen now.
    #[prop(into)]
    value: Signal<T>,
    /// Somebody chose otherwise.
    #[prop(into)]
    on_change: Callback<(T,)>,
    /// Side by side in one bar instead of below each other: for two or three short words.
    #[prop(optional)]
    bar: bool,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let name = fresh_id("choice");
    let items = options
        .into_iter()
        .map(|ChoiceItem { value: own, title, detail }| {
            let (shown, chosen) = (own.clone(), own);
            view! {
                <label class="choice-item">
                    <input
                        type="radio"
                        name=name.clone()
                        prop:checked=move || value.get() == shown
                        on:change=move |_| on_change.run((chosen.clone(),))
                    />
                    <span class="choice-words">
                        <span class="choice-title">{title}</span>
                        {detail.map(|detail| view! { <span class="choice-detail">{detail}</span> })}
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <fieldset class="choice" class:choice-bar=bar>
            <legend>{move || label.get()}</legend>
            <div class="choice-items">{items}</div>
        </fieldset>
    }
}

/// One of many, in the browser's own list.
#[component]
pub fn Select<T>(
    /// What is chosen.
    #[prop(into)]
    label: Signal<String>,
    /// What there is to choose from, in order.
    #[prop(into)]
    options: Signal<Vec<ChoiceItem<T>>>,
    /// What is chosen now.
    #[prop(into)]
    value: Signal<T>,
    /// Somebody chose otherwise.
    #[prop(into)]
    on_change: Callback<(T,)>,
    /// More about it, under the field.
    #[prop(optional, into)]
    hint: MaybeProp<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let id = fresh_id("select");
    let said = format!("{id}-said");
    let changed = move |event: web_sys::Event| {
        let chosen = event_target_value(&event).parse::<usize>().ok();
        let chosen = chosen
            .and_then(|at| options.with_untracked(|options| options.get(at).map(|item| item.value.clone())));
        if let Some(chosen) = chosen {
            on_change.run((chosen,));
        }
    };
    let items = move || {
        let now = value.get();
        let one = |(at, item): (usize, ChoiceItem<T>)| {
            view! { <option value=at.to_string() selected=item.value == now>{item.title}</option> }
        };
        options.get().into_iter().enumerate().map(one).collect_view()
    };
    view! {
        <div class="field">
            <label for=id.clone()>{move || label.get()}</label>
            <select
                id=id.clone()
                aria-describedby=said
                aria-invalid=move || error.get().is_some().then_some("true")
                on:change=changed
            >
                {items}
            </select>
            {under(&id, hint, error)}
        </div>
    }
}

/// On or off.
#[component]
pub fn Switch(
    /// What is switched.
    #[prop(into)]
    label: Signal<String>,
    /// More about it.
    #[prop(optional, into)]
    hint: MaybeProp<String>,
    /// How it stands.
    #[prop(into)]
    on: Signal<bool>,
    /// It cannot be changed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Somebody wants it otherwise. It changes only when `on` does.
    #[prop(into)]
    on_change: Callback<(bool,)>,
) -> impl IntoView {
    let id = fresh_id("switch");
    let said = format!("{id}-said");
    let changed = move |event: web_sys::Event| {
        let wanted = event_target_checked(&event);
        on_change.run((wanted,));
    };
    view! {
        <div class="switch">
            <label class="switch-line" for=id.clone()>
                <span class="switch-words">
                    <span>{move || label.get()}</span>
                    <span class="switch-hint" id=said.clone()>{move || hint.get()}</span>
                </span>
                <input
                    id=id.clone()
                    type="checkbox"
                    role="switch"
                    aria-describedby=said
                    disabled=move || disabled.get()
                    prop:checked=move || on.get()
                    on:change=changed
                />
            </label>
        </div>
    }
}
