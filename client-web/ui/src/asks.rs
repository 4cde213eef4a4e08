//! What a question asks about: exactly what would happen, and the circumstances.

use std::sync::Arc;

use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRequest, CommandDetail, FileChangeDetail, HttpDetail,
};
use lanyard_web_state::approvals::SHOWN_LINES;
use lanyard_web_state::approvals::words::{self, Fact};
use lanyard_web_state::diff;
use lanyard_web_state::visible::{self, Marks};
use lanyard_web_view::{Content, View, component, view};
use leptos::prelude::*;

use crate::{Code, DiffView, Long, Tone};

/// How loud a question is.
pub fn tone(request: &ApprovalRequest) -> Tone {
    if words::is_grave(request.risk_level) { Tone::Bad } else { Tone::Ask }
}

/// What would happen and the circumstances, in the order in which they are read: which file it is stands before what
/// changes in it; what runs stands before where. `whole`: all of it is shown, not only its beginning.
pub fn content(request: &ApprovalRequest, whole: RwSignal<bool>) -> View {
    let what = what(&request.detail, whole);
    let facts = view! { <Facts facts=words::circumstances(request)/> };
    let names_first = matches!(request.detail, ApprovalDetail::FileChange(_));
    View::all(if names_first { vec![facts, what] } else { vec![what, facts] })
}

/// Why it is asked.
pub fn reasons(request: &ApprovalRequest) -> View {
    let reasons = request.reasons.iter().map(|reason| {
        view! { <li>{visible::line(reason, Marks::Written).into_owned()}</li> }
    });
    view! { <ul class="ask-reasons" aria-label="Why it is asked">{reasons.collect_view()}</ul> }
}

fn what(detail: &ApprovalDetail, whole: RwSignal<bool>) -> View {
    match detail {
        ApprovalDetail::Command(command) => command_view(command, whole),
        ApprovalDetail::FileChange(change) => change_view(change),
        ApprovalDetail::Http(http) => http_view(http, whole),
        ApprovalDetail::Other(other) => {
            let text = visible::block(&other.text, Marks::Written).into_owned();
            view! { <Code text=text/> }
        }
    }
}

fn command_view(command: &CommandDetail, whole: RwSignal<bool>) -> View {
    let shell = command.shell.as_ref().map(|shell| {
        let text = visible::block(shell, Marks::Written).into_owned();
        view! { <pre class="code ask-shell"><code>{text}</code></pre> }
    });
    let opaque = command.opaque_reason.as_ref().map(|reason| {
        let reason = visible::line(reason, Marks::Written).into_owned();
        view! { <p class="ask-opaque">"What it runs could not be made out: "{reason}</p> }
    });
    // What the shell text comes to is worth showing when it is more than the text itself says.
    let listed = command.shell.is_none() || command.argv.len() > 1;
    let before = (command.shell.is_some() && listed)
        .then(|| view! { <p class="soft">"which runs, in this order:"</p> });
    let lines = listed.then(|| command.argv.iter().map(|argv| argv_view(argv)).collect_view());
    let stdin = command.stdin.as_ref().map(|stdin| {
        let text = visible::block(stdin, Marks::Written).into_owned();
        view! { <p class="soft">"It reads:"</p><Long text label="What it reads" most=SHOWN_LINES whole/> }
    });
    view! {
        <div class="ask-what">
            {shell}
            {opaque}
            {before}
            {lines}
            {stdin}
        </div>
    }
}

/// One command: every word a box of its own, so that it is seen where it begins and ends.
fn argv_view(argv: &[String]) -> View {
    let words = words::arguments(argv).into_iter().enumerate().map(|(at, word)| {
        let space = (at > 0).then_some(" ");
        view! { {space}<span class="arg" class:arg-quoted=word.quoted>{word.text}</span> }
    });
    view! { <pre class="code ask-argv"><code>{words.collect_view()}</code></pre> }
}

fn change_view(change: &FileChangeDetail) -> View {
    let parsed = Arc::new(diff::parse(&change.diff, Marks::Written));
    let label = format!("Changes to {}", change.path);
    view! { <DiffView diff=Signal::stored(parsed) label truncated=change.truncated/> }
}

fn http_view(http: &HttpDetail, whole: RwSignal<bool>) -> View {
    let line = |text: &str| visible::line(text, Marks::Written).into_owned();
    let headers = http.headers.iter().map(|header| line(header)).collect::<Vec<_>>().join("\n");
    let headers = (!headers.is_empty()).then(|| {
        view! { <p class="soft">"with these headers:"</p><Long text=headers label="Headers" most=SHOWN_LINES whole/> }
    });
    let request = format!("{} {}", line(&http.method), line(&http.url));
    let body = http.body.as_ref().map(|body| {
        let text = visible::block(body, Marks::Written).into_owned();
        view! { <p class="soft">"with this body:"</p><Long text label="Body" most=SHOWN_LINES whole/> }
    });
    view! {
        <div class="ask-what">
            <pre class="code ask-shell"><code>{request}</code></pre>
            {headers}
            {body}
        </div>
    }
}

/// Names and what they stand for; what deserves a second look stands out.
#[component]
pub fn Facts(
    /// The facts.
    facts: Vec<Fact>,
) -> impl IntoView {
    let lines = facts.into_iter().map(|fact| {
        let value = if fact.code {
            view! { <code>{fact.value}</code> }
        } else {
            fact.value.view()
        };
        view! {
            <div class:fact-grave=fact.grave>
                <dt>{fact.label}</dt>
                <dd>{value}</dd>
            </div>
        }
    });
    view! { <dl class="facts">{lines.collect_view()}</dl> }
}
