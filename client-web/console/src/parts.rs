//! Parts that several pages of the console are made of.

use lanyard_web_ui::{Button, Code, Glyph, Icon, Kind, Pill, Problem, Sheet, TextArea, Tone, Waiting, copy};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use crate::poll::Poll;

/// What central says, once it has: until then that it is asked, and why it says nothing. `what` completes "Fetching …".
pub(crate) fn loaded<T>(
    poll: Poll<T>,
    what: &'static str,
    show: impl Fn(T) -> View + Send + Sync + 'static,
) -> View
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let here = move || poll.now.get().map(&show);
    view! { <State poll what/> {here} }
}

/// The state of a question to central, where it is not simply answered.
#[component]
pub(crate) fn State<T>(
    /// The question.
    poll: Poll<T>,
    /// What is fetched: "the hosts".
    what: &'static str,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let any = Memo::new(move |_| poll.now.with(Option::is_some));
    move || match (poll.failed.get(), any.get()) {
        (None, true) => View::none(),
        (None, false) => view! { <Waiting what=format!("Fetching {what}")/> },
        (Some(failed), false) if failed.is_gone() => view! {
            <Problem
                title="There is nothing at this address"
                meaning="It was removed, or it belongs to another tenant than the one you work in."
                code=failed.code
            />
        },
        (Some(failed), any) => {
            let title = if any {
                format!("What is shown of {what} may be old")
            } else {
                format!("Fetching {what} failed")
            };
            view! {
                <Problem title meaning=failed.said code=failed.code waits=any>
                    <Button on_press=move || poll.again()>"Try again"</Button>
                </Problem>
            }
        }
    }
}

/// A word in a capsule, from its tone and itself.
pub(crate) fn pill((tone, word): (Tone, &'static str)) -> View {
    view! { <Pill tone=tone>{word}</Pill> }
}

/// A second step before something that cannot be taken back: what will happen, and why it is done.
#[component]
pub(crate) fn Reasoned(
    /// Whether it is there.
    open: RwSignal<bool>,
    /// What is about to be done.
    #[prop(into)]
    title: Signal<String>,
    /// What that means, in sentences.
    #[prop(into)]
    meaning: Signal<String>,
    /// The button's words.
    act: &'static str,
    /// Central has not answered yet.
    busy: RwSignal<bool>,
    /// It is done, with the reason.
    #[prop(into)]
    on_act: Callback<(String,)>,
) -> impl IntoView {
    let reason = RwSignal::new(String::new());
    let missing = RwSignal::new(false);
    let press = move || {
        let said = reason.get_untracked().trim().to_owned();
        missing.set(said.is_empty());
        if !said.is_empty() {
            on_act.run((said,));
        }
    };
    let error = Signal::derive(move || {
        (missing.get() && reason.with(|reason| reason.trim().is_empty()))
            .then(|| "Say why: it is told to those concerned, and it is in the audit record.".to_owned())
    });
    view! {
        <Sheet open title on_close=move || open.set(false)>
            <p>{move || meaning.get()}</p>
            <TextArea label="Why" value=reason error rows=2 hint="Told to those concerned, and kept in the audit record."/>
            <div class="buttons">
                <Button on_press=move || open.set(false)>"Keep it"</Button>
                <Button kind=Kind::Danger consequential=true busy on_press=press>{act}</Button>
            </div>
        </Sheet>
    }
}

/// A second step without a reason.
#[component]
pub(crate) fn Sure(
    /// Whether it is there.
    open: RwSignal<bool>,
    /// What is about to be done.
    #[prop(into)]
    title: Signal<String>,
    /// What that means, in sentences.
    #[prop(into)]
    meaning: Signal<String>,
    /// The button's words.
    act: &'static str,
    /// It takes something away.
    #[prop(optional)]
    danger: bool,
    /// Central has not answered yet.
    busy: RwSignal<bool>,
    /// It is done.
    #[prop(into)]
    on_act: Callback<()>,
) -> impl IntoView {
    let kind = if danger { Kind::Danger } else { Kind::Primary };
    view! {
        <Sheet open title on_close=move || open.set(false)>
            <p>{move || meaning.get()}</p>
            <div class="buttons">
                <Button on_press=move || open.set(false)>"Back"</Button>
                <Button kind consequential=true busy on_press=move || on_act.run(())>{act}</Button>
            </div>
        </Sheet>
    }
}

/// Text of a machine with a button that copies it.
#[component]
pub(crate) fn Copied(
    /// The text.
    #[prop(into)]
    text: String,
    /// What it is: "the command".
    what: &'static str,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let source = text.clone();
    view! {
        <div class="copied">
            <Code text=text/>
            <Button kind=Kind::Quiet label=format!("Copy {what}") on_press=move || copy(&source, copied)>
                <Icon name=Glyph::Copy/>
                <span role="status">{move || if copied.get() { "Copied" } else { "Copy" }}</span>
            </Button>
        </div>
    }
}

/// Whether something is chosen, as what opens a sheet: closing it chooses nothing.
pub(crate) fn opened_by<T: Send + Sync + 'static>(chosen: RwSignal<Option<T>>) -> RwSignal<bool> {
    let open = RwSignal::new(false);
    Effect::new(move |_| open.set(chosen.with(Option::is_some)));
    Effect::new(move |_| {
        if !open.get() && chosen.with_untracked(Option::is_some) {
            chosen.set(None);
        }
    });
    open
}
