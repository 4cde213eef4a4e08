//! A dry run: what would this command, path, request or tool get?

use lanyard_governance_api::endpoint::DryRunPolicy;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{DryAction, DryRun as Asked, DryVerdict, PolicyDocument};
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{capability as named, list, sentence};
use lanyard_web_ui::{Button, Card, Choice, ChoiceItem, Field, Kind, Pill, Problem, Select, TextArea, Tone};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::api::{self, Failed};
use crate::central::Central;
use crate::route::Route;
use crate::shell::Page;
use crate::words;

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Command,
    Path,
    Url,
    Tool,
}

/// What was filled in, as what central is asked; a sentence where something is missing.
fn action(
    about: About,
    first: &str,
    second: &str,
    capability: Capability,
) -> Result<DryAction, &'static str> {
    let (first, second) = (first.trim(), second.trim());
    match about {
        _ if first.is_empty() => Err("Fill in what to try."),
        About::Command => Ok(DryAction::Command {
            line: first.to_owned(),
            cwd: Some(second.to_owned()).filter(|cwd| !cwd.is_empty()),
        }),
        About::Path => Ok(DryAction::Path { capability, path: first.to_owned() }),
        About::Url => {
            let method = if second.is_empty() { "GET".to_owned() } else { second.to_ascii_uppercase() };
            Ok(DryAction::Url { method, url: first.to_owned() })
        }
        About::Tool => Ok(DryAction::Tool { name: first.to_owned() }),
    }
}

/// The policy in force, tried.
#[component]
pub(crate) fn Try() -> impl IntoView {
    view! {
        <Page title="Try the policy" back=Route::Policy>
            <DryRun document=Signal::stored(Ok(None)) about="The policy in force"/>
        </Page>
    }
}

/// The form and its answer.
#[component]
pub(super) fn DryRun(
    /// The document; none: the one in force. An error where it is not one.
    document: Signal<Result<Option<PolicyDocument>, String>>,
    /// What is tried, in words.
    about: &'static str,
) -> impl IntoView {
    let central = Central::take();
    let kind = RwSignal::new(About::Command);
    let (first, second) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let workspace = RwSignal::new("/home/alice/project".to_owned());
    let capability = RwSignal::new(Capability::FileRead);
    let sandbox = RwSignal::new(SandboxLevel::Full);
    let busy = RwSignal::new(false);
    let verdict = RwSignal::new(None::<Result<DryVerdict, Failed>>);
    let wrong = RwSignal::new(None::<String>);
    let ask = move || {
        let chosen = action(
            kind.get_untracked(),
            &first.get_untracked(),
            &second.get_untracked(),
            capability.get_untracked(),
        );
        let (action, document) = match (chosen, document.get_untracked()) {
            (Ok(action), Ok(document)) => (action, document),
            (Err(why), _) => return wrong.set(Some(why.to_owned())),
            (_, Err(why)) => return wrong.set(Some(why)),
        };
        wrong.set(None);
        let lines = workspace.get_untracked();
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let body = Asked {
            document,
            version: None,
            workspace: lines.map(str::to_owned).collect(),
            action,
            sandbox_level: sandbox.get_untracked(),
        };
        let what = async move { api::call::<DryRunPolicy>(&[], &Nothing {}, &body).await };
        central.tell_or(
            busy,
            what,
            move |said| verdict.set(Some(Ok(said))),
            move |failed| verdict.set(Some(Err(failed))),
        );
    };
    let kinds = vec![
        ChoiceItem::new(About::Command, "Command"),
        ChoiceItem::new(About::Path, "File"),
        ChoiceItem::new(About::Url, "Request"),
        ChoiceItem::new(About::Tool, "Tool"),
    ];
    let levels = [SandboxLevel::Full, SandboxLevel::Partial, SandboxLevel::None];
    let levels = levels.map(|level| ChoiceItem::new(level, sentence(words::sandbox(level)))).to_vec();
    let choose = move |chosen| {
        kind.set(chosen);
        first.set(String::new());
        second.set(String::new());
        wrong.set(None);
    };
    // A verdict is about what stands here, not about what stood here before.
    Effect::new(move |_| {
        first.track();
        second.track();
        workspace.track();
        capability.track();
        sandbox.track();
        verdict.set(None);
    });
    let answer = move || {
        verdict.get().map(|verdict| match verdict {
            Ok(verdict) => view! { <Said verdict/> },
            Err(failed) => {
                view! { <Problem title="It could not be tried" meaning=failed.said code=failed.code/> }
            }
        })
    };
    view! {
        <p class="soft">{about}". Nothing is run and nobody is asked. The machine's own policy may be stricter."</p>
        <Card>
            <div class="stack">
                <Choice label="What to try" options=kinds value=kind on_change=choose bar=true/>
                <Fields kind first second capability wrong ask/>
                <TextArea label="Directories of the session" value=workspace hint="One a line, absolute."/>
                <Select label="The host's sandbox" options=levels value=sandbox on_change=move |chosen| sandbox.set(chosen)/>
                <Button kind=Kind::Primary busy on_press=ask>"What would it get?"</Button>
            </div>
        </Card>
        <div role="status">{answer}</div>
    }
}

/// What is filled in about it.
#[component]
fn Fields(
    kind: RwSignal<About>,
    first: RwSignal<String>,
    second: RwSignal<String>,
    capability: RwSignal<Capability>,
    wrong: RwSignal<Option<String>>,
    #[prop(into)] ask: Callback<()>,
) -> impl IntoView {
    let error = Signal::derive(move || wrong.get());
    move || match kind.get() {
        About::Command => view! {
            <Field label="Command" value=first max=4000 placeholder="cargo test -p atlas" error on_enter=ask hint="As a person would type it in a shell."/>
            <Field label="Where it runs" value=second max=1000 hint="Empty: in the first directory of the session." on_enter=ask/>
        },
        About::Path => {
            let ways = [Capability::FileRead, Capability::FileWrite, Capability::FileDelete];
            let ways = ways.map(|way| ChoiceItem::new(way, named(way))).to_vec();
            view! {
                <Field label="File" value=first max=1000 placeholder="/home/alice/.ssh/id_ed25519" error on_enter=ask hint="Absolute."/>
                <Select label="To" options=ways value=capability on_change=move |chosen| capability.set(chosen)/>
            }
        }
        About::Url => view! {
            <Field label="Address" value=first max=2000 placeholder="https://example.com/upload" error on_enter=ask/>
            <Field label="Method" value=second max=16 placeholder="GET" on_enter=ask/>
        },
        About::Tool => view! {
            <Field label="Tool" value=first max=200 placeholder="tickets__create" error on_enter=ask hint="As the MCP server or the backend names it."/>
        },
    }
}

#[component]
fn Said(verdict: DryVerdict) -> impl IntoView {
    let (tone, word) = words::standing(verdict.standing);
    let tone_of_card = if tone == Tone::Bad { Tone::Bad } else { Tone::Plain };
    let needs: Vec<String> = verdict.needs.iter().map(|need| named(*need).to_lowercase()).collect();
    let reasons = verdict
        .reasons
        .iter()
        .map(|reason| view! { <li>{line(reason, Marks::Missing).into_owned()}</li> })
        .collect_view();
    let rule = verdict.rule.map(|rule| {
        let title = if rule.title.is_empty() { rule.approval_rule_id.to_string() } else { rule.title };
        let title = line(&title, Marks::Missing).into_owned();
        view! { <p class="soft">"By the rule “"{title}"”: asked is "{words::approver(rule.approver)}"; an answer is remembered "{words::remember(rule.max_remember)}"."</p> }
    });
    view! {
        <Card tone=tone_of_card>
            <div class="stack">
                <div class="beside"><strong class="grow">"It would be done: "{word}</strong><Pill tone>{word}</Pill></div>
                {(!needs.is_empty()).then(|| view! { <p>"It needs to "{list(&needs)}"."</p> })}
                <ul class="plain-list">{reasons}</ul>
                {rule}
            </div>
        </Card>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_what_is_asked() {
        let any = Capability::FileRead;
        assert_eq!(
            action(About::Command, " ls ", "", any),
            Ok(DryAction::Command { line: "ls".to_owned(), cwd: None })
        );
        assert_eq!(
            action(About::Url, "https://a.example", "post", any),
            Ok(DryAction::Url { method: "POST".to_owned(), url: "https://a.example".to_owned() })
        );
        assert_eq!(
            action(About::Path, "/etc/passwd", "ignored", Capability::FileWrite),
            Ok(DryAction::Path { capability: Capability::FileWrite, path: "/etc/passwd".to_owned() })
        );
        assert_eq!(action(About::Tool, "t", "", any), Ok(DryAction::Tool { name: "t".to_owned() }));
        assert!(action(About::Tool, "  ", "", any).is_err());
    }
}
