//! The form: capabilities and their limits, models, rules, redaction, lifetimes.

use lanyard_governance_api::session::WhenAway;
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_web_state::words::{capability as named, sentence};
use lanyard_web_ui::{
    Button, Card, Choice, ChoiceItem, Field, Glyph, Icon, Kind as Look, Section, Select, Switch, TextArea,
};
use lanyard_web_view::{Content, For, View, component, view};
use leptos::prelude::*;
use serde_json::{Value, json};

use super::doc::{self, Holds, Kind};
use super::editor::Editor;
use crate::words;

/// See the module.
#[component]
pub(super) fn Form(editor: Editor) -> impl IntoView {
    let capabilities = Capability::ALL
        .iter()
        .map(|capability| view! { <Grant editor capability=*capability/> })
        .collect_view();
    view! {
        <Section title="What agents may do">
            <p class="soft">"What is not granted is never done. Each machine's own policy is looked at as well; the stricter one counts."</p>
            <div class="cards">{capabilities}</div>
        </Section>
        <Models editor/>
        <Rules editor/>
        <Redaction editor/>
        <Servers editor/>
        <Terms editor/>
    }
}

fn fixed(pointer: impl Into<String>) -> Signal<Option<String>> {
    Signal::stored(Some(pointer.into()))
}

/// A field at a place of the document.
#[component]
fn At(
    editor: Editor,
    #[prop(into)] pointer: Signal<Option<String>>,
    kind: Kind,
    label: &'static str,
    #[prop(optional)] hint: Option<&'static str>,
) -> impl IntoView {
    let (value, error) = editor.field(pointer, kind);
    let hint = MaybeProp::from(hint.map(str::to_owned));
    match kind {
        Kind::Lines | Kind::NeededLines | Kind::Flags => {
            view! { <TextArea label value hint error rows=2/> }
        }
        Kind::Number => view! { <Field label value hint error keyboard="numeric" max=20/> },
        Kind::Text | Kind::NeededText => view! { <Field label value hint error max=2000/> },
    }
}

/// One of several words at a place of the document.
#[component]
fn OneOf<T>(
    editor: Editor,
    pointer: String,
    label: &'static str,
    options: Vec<ChoiceItem<T>>,
    /// Where the document says nothing.
    absent: T,
) -> impl IntoView
where
    T: Clone + PartialEq + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let place = StoredValue::new(pointer);
    let value = Signal::derive(move || {
        let found = editor.doc.with(|doc| doc.pointer(&place.get_value()).cloned());
        found.and_then(|found| serde_json::from_value(found).ok()).unwrap_or_else(|| absent.clone())
    });
    let choose = move |chosen: T| {
        let value = serde_json::to_value(chosen).unwrap_or_default();
        editor.edit(|doc| doc::set(doc, &place.get_value(), Some(value)));
    };
    view! { <Select label options value on_change=choose/> }
}

/// On or off at a place of the document.
#[component]
fn OnOff(editor: Editor, pointer: String, label: &'static str, hint: &'static str) -> impl IntoView {
    let place = StoredValue::new(pointer);
    let on = Signal::derive(move || {
        editor.doc.with(|doc| doc.pointer(&place.get_value()) == Some(&Value::Bool(true)))
    });
    let change = move |on: bool| editor.edit(|doc| doc::set(doc, &place.get_value(), Some(Value::Bool(on))));
    view! { <Switch label hint on on_change=change/> }
}

/// One capability.
#[component]
fn Grant(editor: Editor, capability: Capability) -> impl IntoView {
    let standing = Memo::new(move |_| editor.doc.with(|doc| doc::standing(doc, capability)));
    // What goes to central by itself is sent or not: there is no moment at which somebody could be asked.
    let askable = capability != Capability::WorkspaceUpload;
    let options = move || {
        let asks = askable.then(|| ChoiceItem::new(Standing::Asks, "Asks first"));
        let free = ChoiceItem::new(Standing::Free, "Without asking");
        [Some(free), asks, Some(ChoiceItem::new(Standing::Never, "Never"))]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    let choose = move |chosen| editor.edit(|doc| doc::set_standing(doc, capability, chosen));
    let granted = Memo::new(move |_| standing.get() != Standing::Never);
    let at = Memo::new(move |_| editor.doc.with(|doc| doc::grant(doc, capability)));
    let place = move |member: &'static str| {
        Signal::derive(move || at.get().map(|at| format!("/capabilities/{at}/{member}")))
    };
    let wrong = move || {
        let pointer = format!("/capabilities/{}", at.get()?);
        let said = editor.problems.with(|problems| {
            problems
                .iter()
                .filter(|problem| problem.pointer == pointer)
                .map(|problem| problem.message.clone())
                .collect::<Vec<_>>()
        });
        (!said.is_empty()).then(|| view! { <p class="bad-words">{said.join(" ")}</p> })
    };
    let limits = move || {
        let limits = doc::limits(capability);
        (granted.get() && !limits.is_empty()).then(|| {
            let one = |limit: doc::Limit| {
                let kind = match limit.holds {
                    Holds::Lines => Kind::Lines,
                    Holds::Number => Kind::Number,
                };
                view! { <At editor pointer=place(limit.member) kind label=limit.label hint=limit.hint/> }
            };
            let fields = limits.into_iter().map(one).collect_view();
            view! {
                <details class="limits">
                    <summary>"Limits of “"{named(capability)}"”"</summary>
                    <div class="stack">{fields}</div>
                </details>
            }
        })
    };
    view! {
        <Card>
            <div class="stack">
                <Choice label=named(capability) options=options() value=standing on_change=choose bar=true/>
                {wrong}
                {move || (standing.get() == Standing::Asks).then(|| view! { <RuleOf editor pointer=place("approvalRuleId")/> })}
                {limits}
            </div>
        </Card>
    }
}

/// Which rule a capability asks by.
#[component]
fn RuleOf(editor: Editor, pointer: Signal<Option<String>>) -> impl IntoView {
    let (value, error) = editor.field(pointer, Kind::Text);
    let rules = Memo::new(move |_| editor.doc.with(|doc| doc::ids(doc, "/approvalRules", "approvalRuleId")));
    let options = Signal::derive(move || {
        let mut ids = rules.get();
        let now = value.get();
        if !now.is_empty() && !ids.contains(&now) {
            ids.push(now);
        }
        let none = ChoiceItem::new(String::new(), "anybody with the right to approve, asked each time");
        let titles = editor.doc.with(|doc| doc::ids(doc, "/approvalRules", "title"));
        let named = ids.into_iter().enumerate().map(|(at, id)| {
            let title = titles.get(at).filter(|title| !title.is_empty());
            let says = title.map_or_else(|| id.clone(), |title| format!("{title} ({id})"));
            ChoiceItem::new(id, says)
        });
        std::iter::once(none).chain(named).collect::<Vec<_>>()
    });
    view! { <Select label="Asks by the rule" options value error on_change=move |chosen| value.set(chosen)/> }
}

#[component]
fn Models(editor: Editor) -> impl IntoView {
    view! {
        <Section title="Models">
            <Card>
                <div class="form-grid">
                    <At editor pointer=fixed("/llmPolicy/allowedModels") kind=Kind::NeededLines label="Allowed models" hint="One a line; * allows any."/>
                    <At editor pointer=fixed("/llmPolicy/maxInputTokens") kind=Kind::Number label="Most tokens of one request"/>
                    <At editor pointer=fixed("/llmPolicy/maxOutputTokens") kind=Kind::Number label="Most tokens of one answer"/>
                    <At editor pointer=fixed("/llmPolicy/maxSessionTokens") kind=Kind::Number label="Most tokens of one session"/>
                </div>
            </Card>
        </Section>
    }
}

/// A list of things that can be added and taken away.
#[component]
fn Listed<V: Content + 'static>(
    editor: Editor,
    /// Its member in the document.
    member: &'static str,
    /// What one of it is called: "rule".
    noun: &'static str,
    /// A new one.
    fresh: fn(&Value) -> Value,
    /// One, at its place.
    item: fn(Editor, usize) -> V,
) -> impl IntoView {
    let count = Memo::new(move |_| editor.doc.with(|doc| doc::length(doc, &format!("/{member}"))));
    let one = move |at: usize| {
        let label = format!("Remove {noun} {}", at + 1);
        view! {
            <Card>
                <div class="stack">
                    {item(editor, at)}
                    <div class="form-end">
                        <Button kind=Look::Quiet label=label on_press=move || editor.edit(|doc| doc::remove(doc, member, at))>"Remove"</Button>
                    </div>
                </div>
            </Card>
        }
    };
    let add = move || {
        editor.edit(|doc| {
            let new = fresh(doc);
            doc::push(doc, member, new);
        })
    };
    view! {
        <div class="cards">
            <For each=move || 0..count.get() key=|at| *at children=one/>
        </div>
        <Button on_press=add><Icon name=Glyph::Plus/>{format!("Add a {noun}")}</Button>
    }
}

#[component]
fn Rules(editor: Editor) -> impl IntoView {
    view! {
        <Section title="Rules for asking">
            <Listed editor member="approvalRules" noun="rule" fresh=doc::fresh_rule item=rule/>
        </Section>
    }
}

fn rule(editor: Editor, at: usize) -> View {
    let place = |member: &str| format!("/approvalRules/{at}/{member}");
    let approvers = [Approver::Any, Approver::NotInitiator, Approver::Local];
    let approvers = approvers.map(|one| ChoiceItem::new(one, sentence(words::approver(one)))).to_vec();
    let lengths = [Remember::Once, Remember::Task, Remember::Session, Remember::Always];
    let lengths = lengths.map(|one| ChoiceItem::new(one, sentence(words::remember(one)))).to_vec();
    view! {
        <At editor pointer=fixed(place("approvalRuleId")) kind=Kind::NeededText label="Id" hint="Named by the capabilities that ask by it."/>
        <At editor pointer=fixed(place("title")) kind=Kind::NeededText label="Title"/>
        <At editor pointer=fixed(place("description")) kind=Kind::NeededText label="What to consider before answering"/>
        <OneOf editor pointer=place("approver") label="Who may answer" options=approvers absent=Approver::Any/>
        <OneOf editor pointer=place("maxRemember") label="How long an answer may be remembered" options=lengths absent=Remember::Once/>
        <OnOff editor pointer=place("mustAsk") label="A person must answer each time" hint="Neither a remembered answer nor a task that asks nothing is enough."/>
    }
}

#[component]
fn Redaction(editor: Editor) -> impl IntoView {
    let fresh = |_: &Value| json!({ "name": "", "pattern": "", "replacement": "[redacted]" });
    view! {
        <Section title="Redaction: text replaced before anything leaves for the model">
            <Listed editor member="redactionRules" noun="redaction" fresh item=redaction/>
        </Section>
    }
}

fn redaction(editor: Editor, at: usize) -> View {
    let place = |member: &str| fixed(format!("/redactionRules/{at}/{member}"));
    view! {
        <At editor pointer=place("name") kind=Kind::NeededText label="Name"/>
        <At editor pointer=place("pattern") kind=Kind::NeededText label="Pattern" hint="A regular expression, RE2 syntax."/>
        <At editor pointer=place("replacement") kind=Kind::NeededText label="What stands instead"/>
    }
}

#[component]
fn Servers(editor: Editor) -> impl IntoView {
    let fresh = |_: &Value| json!({ "name": "", "command": [] });
    view! {
        <Section title="MCP servers that hosts may start">
            <Listed editor member="mcpServers" noun="server" fresh item=server/>
        </Section>
    }
}

fn server(editor: Editor, at: usize) -> View {
    let place = |member: &str| fixed(format!("/mcpServers/{at}/{member}"));
    view! {
        <At editor pointer=place("name") kind=Kind::NeededText label="Name" hint="Stands before the names of its tools."/>
        <At editor pointer=place("command") kind=Kind::NeededLines label="Program and arguments" hint="One a line, no shell."/>
    }
}

/// Lifetimes, and what hosts need.
#[component]
fn Terms(editor: Editor) -> impl IntoView {
    let levels = [SandboxLevel::None, SandboxLevel::Partial, SandboxLevel::Full];
    let levels = levels.map(|level| ChoiceItem::new(level, sentence(words::sandbox(level)))).to_vec();
    let when_away = [WhenAway::Continue, WhenAway::Pause];
    let when_away = when_away.map(|away| ChoiceItem::new(away, sentence(words::when_away(away)))).to_vec();
    view! {
        <Section title="Hosts and lifetimes">
            <Card>
                <div class="form-grid">
                    <OneOf editor pointer="/requiredSandboxLevel".to_owned() label="Programs need a sandbox of at least" options=levels absent=SandboxLevel::None/>
                    <At editor pointer=fixed("/bundleSeconds") kind=Kind::Number label="A policy issued to a session holds, seconds" hint="60 to 86,400. Hosts fetch it anew before it runs out."/>
                    <At editor pointer=fixed("/offlineGraceSeconds") kind=Kind::Number label="Offline grace, seconds" hint="How long it may be used while central is out of reach."/>
                    <OneOf editor pointer="/whenAway".to_owned() label="While central is away, hosts" options=when_away absent=WhenAway::Continue/>
                    <At editor pointer=fixed("/minHostVersion") kind=Kind::Text label="Least host version" hint="Like 0.1.0. Empty: any."/>
                    <At editor pointer=fixed("/requiredTools") kind=Kind::NeededLines label="Tools a host must have" hint="One a line."/>
                    <At editor pointer=fixed("/featureFlags") kind=Kind::Flags label="Feature flags" hint="One a line: name, or name = off."/>
                    <OnOff editor pointer="/timeline".to_owned() label="Hosts send the live timeline" hint="Prompts, answers and what tools did are then seen here as it happens; the output of a command once it has ended. Off: only the history after each task."/>
                </div>
            </Card>
        </Section>
    }
}
