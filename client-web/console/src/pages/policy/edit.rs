//! A new version of the policy: the form and the text, what is wrong with it, what it would do, and putting it in force.

use std::sync::Arc;

use lanyard_governance_api::endpoint::{CreatePolicy, CurrentPolicy, GetPolicyVersion};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::Role;
use lanyard_governance_api::policy::{NewPolicy, PolicyDocument, PolicyState, PolicyVersion};
use lanyard_web_state::diff;
use lanyard_web_state::visible::Marks;
use lanyard_web_ui::{Button, Card, Choice, ChoiceItem, DiffView, Field, Kind, Pill, Problem, Section, Tone};
use lanyard_web_view::{View, component, view};
use leptos::html;
use leptos::prelude::*;

use super::editor::{Checked, Editor};
use super::{doc, dry, form, json, textdiff};
use crate::api;
use crate::central::Central;
use crate::parts::loaded;
use crate::poll::Poll;
use crate::route::{Route, Routes};
use crate::shell::Page;

/// Which side of the document is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Form,
    Text,
    Changes,
    Try,
}

/// What the edit began from.
#[derive(Debug, Clone, PartialEq)]
struct Begun {
    /// The document to begin with.
    version: Option<PolicyVersion>,
    /// What was in force then.
    state: PolicyState,
}

/// See the module.
#[component]
pub(crate) fn Edit(
    /// The version to begin from; absent: the one in force.
    from: Option<u64>,
) -> impl IntoView {
    let central = Central::take();
    let begun = Poll::once(move || async move {
        let state = api::get::<CurrentPolicy>(&[], &Nothing {}).await?;
        let version = match from {
            Some(number) => Some(api::get::<GetPolicyVersion>(&[&number.to_string()], &Nothing {}).await?),
            None => state.active.clone(),
        };
        Ok(Begun { version, state })
    });
    let body = loaded(begun, "the policy", |begun| match begun.version.clone() {
        Some(version) => view! { <Editing version state=begun.state/> },
        None => view! {
            <Problem waits=true title="No policy is in force" meaning="Begin from one of the saved versions: open it in the list, and edit it from there.">
                <a class="button" href=Route::Policy.href()>"To the versions"</a>
            </Problem>
        },
    });
    let shown = move || match central.may(Role::Admin) {
        true => View::none(),
        false => {
            view! { <p class="soft">"Your role sees the policy; changing it takes an admin. What you change here is not saved, but you can try what it would do."</p> }
        }
    };
    view! { <Page title="Edit the policy" back=Route::Policy>{shown}{body}</Page> }
}

#[component]
fn Editing(version: PolicyVersion, state: PolicyState) -> impl IntoView {
    let editor = Editor::open(&version.document);
    let side = RwSignal::new(Side::Form);
    let sides = vec![
        ChoiceItem::new(Side::Form, "Form"),
        ChoiceItem::new(Side::Text, "Text"),
        ChoiceItem::new(Side::Changes, "Changes"),
        ChoiceItem::new(Side::Try, "Try it"),
    ];
    let began = json::pretty(&serde_json::to_value(&version.document).unwrap_or_default());
    let name = format!("version {}", version.version);
    let part = move || match side.get() {
        Side::Form => view! { <FormSide editor/> },
        Side::Text => view! { <TextSide editor/> },
        Side::Changes => view! { <Changes editor began=began.clone() name=name.clone()/> },
        Side::Try => view! {
            <dry::DryRun document=Signal::derive(move || editor.doc.with(doc::typed).map(Some)) about="This document, as it is edited"/>
        },
    };
    view! {
        <p class="soft">"From version "{version.version}". Versions are never changed: saving makes a new one."</p>
        <Choice label="Look at it as" options=sides value=side on_change=move |chosen| side.set(chosen) bar=true/>
        <Verdict editor to_text=move || side.set(Side::Text)/>
        {part}
        <Save editor state/>
    }
}

/// Not while the text cannot be read.
#[component]
fn FormSide(editor: Editor) -> impl IntoView {
    let broken = Memo::new(move |_| editor.bad.with(Option::is_some));
    move || match broken.get() {
        true => view! { <p class="soft">"The form waits until the text can be read again."</p> },
        false => view! { <form::Form editor/> },
    }
}

/// The text, in the letters of code.
#[component]
fn TextSide(editor: Editor) -> impl IntoView {
    let place = NodeRef::<html::Textarea>::new();
    let rows = move || editor.text.with(|text| text.lines().count().clamp(12, 60) + 1).to_string();
    let go = move |line: usize| {
        let Some(area) = place.get_untracked() else { return };
        let text = editor.text.get_untracked();
        let before: usize =
            text.lines().take(line.saturating_sub(1)).map(|line| line.encode_utf16().count() + 1).sum();
        let length = text.lines().nth(line.saturating_sub(1)).map_or(0, |line| line.encode_utf16().count());
        let (from, to) =
            (u32::try_from(before).unwrap_or(u32::MAX), u32::try_from(before + length).unwrap_or(u32::MAX));
        // Refused only by elements that are no longer there.
        let _ = area.focus();
        let _ = area.set_selection_range(from, to);
    };
    let lines = move || {
        let text = editor.text.get();
        let found = editor.problems.with(|problems| {
            let one = |problem: &lanyard_governance_api::policy::PolicyProblem| {
                Some((json::line_of(&text, &problem.pointer)?, problem.message.clone()))
            };
            problems.iter().filter_map(one).collect::<Vec<_>>()
        });
        let bad = editor.bad.get().map(|bad| (bad.line, bad.message));
        let all = bad.map_or(found, |bad| vec![bad]);
        let one = |(line, said): (usize, String)| {
            view! { <li><button type="button" class="text-button" on:click=move |_| go(line)>"Line "{line}</button>" "{said}</li> }
        };
        all.into_iter().map(one).collect_view()
    };
    view! {
        <div class="field">
            <label for="policy-text">"The document as JSON"</label>
            <textarea
                id="policy-text"
                class="json"
                node_ref=place
                rows=rows
                spellcheck="false"
                autocapitalize="off"
                autocomplete="off"
                wrap="off"
                aria-describedby="policy-text-said"
                aria-invalid=move || editor.bad.with(Option::is_some).then_some("true")
                prop:value=move || editor.text.get()
                on:input=move |event| editor.typed(event_target_value(&event))
            ></textarea>
            <ul class="plain-list json-said" id="policy-text-said">{lines}</ul>
        </div>
    }
}

/// What central says of it.
#[component]
fn Verdict(editor: Editor, #[prop(into)] to_text: Callback<()>) -> impl IntoView {
    let problems = move || {
        let one = |problem: lanyard_governance_api::policy::PolicyProblem| {
            let place = editor.doc.with(|doc| doc::place(doc, &problem.pointer));
            let (tone, word) =
                if problem.fatal { (Tone::Bad, "must be mended") } else { (Tone::Plain, "advice") };
            view! { <li><Pill tone>{word}</Pill>" "<strong>{place}</strong>": "{problem.message}</li> }
        };
        editor.problems.get().into_iter().map(one).collect_view()
    };
    let said = move || match (editor.bad.get(), editor.checked.get()) {
        (Some(bad), _) => view! {
            <Problem title="The text cannot be read" meaning=bad.message>
                <Button on_press=move || to_text.run(())>"To the text"</Button>
            </Problem>
        },
        (None, Checked::Asking) => {
            view! { <p class="soft">"Central is asked whether it can be put in force …"</p> }
        }
        (None, Checked::No(why)) => {
            view! { <Problem waits=true title="It could not be checked" meaning=why/> }
        }
        (None, Checked::Yes) if editor.problems.with(Vec::is_empty) => {
            view! { <p class="good-words">"It can be put in force as it is."</p> }
        }
        (None, Checked::Yes) => {
            view! { <Card><ul class="plain-list" aria-label="What is wrong with it">{problems}</ul></Card> }
        }
    };
    view! { <div role="status">{said}</div> }
}

/// What was changed so far.
#[component]
fn Changes(editor: Editor, began: String, name: String) -> impl IntoView {
    let began = StoredValue::new((began, name));
    let diff = Memo::new(move |_| {
        let now = editor.doc.with(json::pretty);
        began.with_value(|(began, name)| textdiff::unified(began, &now, name, "now"))
    });
    move || match diff.with(String::is_empty) {
        true => view! { <p class="soft">"Nothing is changed yet."</p> },
        false => {
            let parsed = Arc::new(diff::parse(&diff.get(), Marks::Missing));
            view! { <DiffView diff=Signal::stored(parsed) label="Changes to the policy"/> }
        }
    }
}

/// The comment, and the two ways to save.
#[component]
fn Save(editor: Editor, state: PolicyState) -> impl IntoView {
    let central = Central::take();
    let routes = Routes::take();
    let comment = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let based_on = RwSignal::new(state.active.as_ref().map(|active| active.version));
    let conflict = RwSignal::new(None::<PolicyState>);
    let failure = RwSignal::new(None::<api::Failed>);
    let save = move |activate: bool| {
        let document: PolicyDocument = match editor.doc.with_untracked(doc::typed) {
            Ok(document) => document,
            Err(why) => return central.warn(why),
        };
        failure.set(None);
        conflict.set(None);
        let body = NewPolicy {
            document,
            comment: comment.get_untracked().trim().to_owned(),
            activate,
            based_on: based_on.get_untracked(),
        };
        let what = async move { api::call::<CreatePolicy>(&[], &Nothing {}, &body).await };
        let saved = move |version: PolicyVersion| {
            central.say(match activate {
                true => format!("Version {} is in force. Hosts hear of it now.", version.version),
                false => format!("Version {} is saved, and not in force.", version.version),
            });
            routes.go(&Route::Policy);
        };
        let refused = move |failed: api::Failed| {
            if failed.is_conflict() {
                wasm_bindgen_futures::spawn_local(async move {
                    if let Ok(state) = api::get::<CurrentPolicy>(&[], &Nothing {}).await {
                        let _ = conflict.try_set(Some(state));
                    }
                });
            }
            failure.set(Some(failed));
        };
        central.tell_or(busy, what, saved, refused);
    };
    let blocked =
        Signal::derive(move || !editor.is_sound() || comment.with(|comment| comment.trim().is_empty()));
    let unsaved = Signal::derive(move || {
        editor.bad.with(Option::is_some) || comment.with(|comment| comment.trim().is_empty())
    });
    let said = move || {
        failure.get().map(|failed| match conflict.get() {
            Some(now) => view! { <Conflict now editor based_on failure/> },
            None => {
                view! { <Problem title="It was not saved" meaning=failed.said code=failed.code/> }
            }
        })
    };
    move || {
        central.may(Role::Admin).then(|| {
            view! {
                <Section title="Save">
                    <Card>
                        <div class="stack">
                            {said}
                            <Field label="What changes, and why" value=comment max=2000 hint="Stands in the list of versions and in the audit record."/>
                            <div class="buttons">
                                <Button busy disabled=unsaved on_press=move || save(false)>"Save only"</Button>
                                <Button kind=Kind::Primary consequential=true busy disabled=blocked on_press=move || save(true)>"Save and put in force"</Button>
                            </div>
                        </div>
                    </Card>
                </Section>
            }
        })
    }
}

/// Somebody else put another version in force meanwhile.
#[component]
fn Conflict(
    now: PolicyState,
    editor: Editor,
    based_on: RwSignal<Option<u64>>,
    failure: RwSignal<Option<api::Failed>>,
) -> impl IntoView {
    let active = now.active.clone();
    let number = active.as_ref().map(|active| active.version);
    let title = match number {
        Some(number) => format!("Somebody put version {number} in force meanwhile"),
        None => "Somebody took the policy out of force meanwhile".to_owned(),
    };
    let diff = active.map(|active| {
        let theirs = json::pretty(&serde_json::to_value(&active.document).unwrap_or_default());
        let mine = editor.doc.with_untracked(json::pretty);
        let text = textdiff::unified(&theirs, &mine, &format!("version {}", active.version), "yours");
        let parsed = Arc::new(diff::parse(&text, Marks::Missing));
        view! { <p class="soft">"From theirs to yours:"</p><DiffView diff=Signal::stored(parsed) label="From the version in force to yours"/> }
    });
    let go_on = move || {
        based_on.set(number);
        failure.set(None);
    };
    view! {
        <Problem
            title
            meaning="Nothing of yours was saved, and nothing is lost: it is still here. Take over what they changed, or go on; saving again then replaces theirs."
        >
            <Button on_press=go_on>"Go on from theirs"</Button>
        </Problem>
        {diff}
    }
}
