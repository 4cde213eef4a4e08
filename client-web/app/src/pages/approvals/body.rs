//! What a question is about: exactly what will happen, then where and with what, then on whose behalf.

use std::sync::Arc;

use lanyard_protocol::approval::{ApprovalDetail, CommandDetail, FileChangeDetail, HttpDetail};
use lanyard_web_state::approvals::SHOWN_LINES;
use lanyard_web_state::approvals::words::{self, Fact, Names};
use lanyard_web_state::diff;
use lanyard_web_state::visible::{self, Marks};
use lanyard_web_state::words::risk;
use lanyard_web_ui::{Ago, Code, DiffView, Long, Pill, Tone};
use leptos::prelude::*;

use super::asking::{Asking, me};
use super::seen;
use crate::route::Route;

/// See the module.
#[component]
pub(super) fn Body(
    /// The question.
    asking: Asking,
    /// The heading is on the page already.
    #[prop(optional)]
    bare: bool,
) -> impl IntoView {
    let head = NodeRef::new();
    let (id, session) = asking.request(|request| (request.approval_id.clone(), request.session_id.clone()));
    seen::tell_when_seen(head, asking.store, session, id);
    let level = asking.request(|request| request.risk_level);
    let tone = if words::is_grave(level) { Tone::Bad } else { Tone::Ask };
    let title = asking.request(words::title);
    let reasons = asking.request(|request| request.reasons.clone());
    let reasons = reasons.iter().map(|reason| {
        view! { <li>{visible::line(reason, Marks::Written).into_owned()}</li> }
    });
    // Which file it is stands before what changes in it; what runs stands before where.
    let facts = view! { <Facts facts=asking.request(words::circumstances)/> };
    let names_first = asking.request(|request| matches!(request.detail, ApprovalDetail::FileChange(_)));
    let content =
        if names_first { (facts, what(asking)).into_any() } else { (what(asking), facts).into_any() };
    view! {
        <div class="ask-body">
            <div class="ask-head" node_ref=head>
                <h2 class="ask-title" class:unseen=bare>{title}</h2>
                <Pill tone>{risk(level)}</Pill>
            </div>
            {content}
            <ul class="ask-reasons" aria-label="Why it is asked">{reasons.collect_view()}</ul>
            <Background asking/>
        </div>
    }
}

/// Exactly what will happen.
fn what(asking: Asking) -> AnyView {
    asking.request(|request| match &request.detail {
        ApprovalDetail::Command(command) => command_view(command, asking.whole),
        ApprovalDetail::FileChange(change) => change_view(change),
        ApprovalDetail::Http(http) => http_view(http, asking.whole),
        ApprovalDetail::Other(other) => {
            let text = visible::block(&other.text, Marks::Written).into_owned();
            view! { <Code text=text/> }.into_any()
        }
    })
}

fn command_view(command: &CommandDetail, whole: RwSignal<bool>) -> AnyView {
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
    .into_any()
}

/// One command: every word a box of its own, so that it is seen where it begins and ends.
fn argv_view(argv: &[String]) -> impl IntoView + use<> {
    let words = words::arguments(argv).into_iter().enumerate().map(|(at, word)| {
        let space = (at > 0).then_some(" ");
        view! { {space}<span class="arg" class:arg-quoted=word.quoted>{word.text}</span> }
    });
    view! { <pre class="code ask-argv"><code>{words.collect_view()}</code></pre> }
}

fn change_view(change: &FileChangeDetail) -> AnyView {
    let parsed = Arc::new(diff::parse(&change.diff, Marks::Written));
    let label = format!("Changes to {}", change.path);
    view! { <DiffView diff=Signal::stored(parsed) label truncated=change.truncated/> }.into_any()
}

fn http_view(http: &HttpDetail, whole: RwSignal<bool>) -> AnyView {
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
    .into_any()
}

/// Names and what they stand for; what deserves a second look stands out.
#[component]
pub(super) fn Facts(
    /// The facts.
    facts: Vec<Fact>,
) -> impl IntoView {
    let lines = facts.into_iter().map(|fact| {
        let value =
            if fact.code { view! { <code>{fact.value}</code> }.into_any() } else { fact.value.into_any() };
        view! {
            <div class:fact-grave=fact.grave>
                <dt>{fact.label}</dt>
                <dd>{value}</dd>
            </div>
        }
    });
    view! { <dl class="facts">{lines.collect_view()}</dl> }
}

/// On whose behalf, who asks, who can answer: folded, because it is rarely what decides.
#[component]
fn Background(asking: Asking) -> impl IntoView {
    let store = asking.store;
    let facts = move || {
        let names = asking.names.get().or_else(|| me(store).map(Names::new));
        let Some(names) = names else { return Vec::new() };
        let mut facts = asking
            .policy
            .with(|policy| asking.request(|request| words::background(request, &names, policy.as_ref())));
        facts.extend(asking.record.with_value(|record| words::shown_to(record, &names)));
        facts
    };
    let (session, asked) = asking.request(|request| (request.session_id.clone(), request.requested_at));
    let asked = Signal::derive(move || store.approvals.with(|queue| queue.page_time(asked)));
    view! {
        <details class="ask-more">
            <summary>"Who asks, and who can answer"</summary>
            {move || view! { <Facts facts=facts()/> }}
            <p class="soft">
                "Asked " <Ago at=asked/> " · " <a href=Route::Session(session).href()>"Open the session"</a>
            </p>
        </details>
    }
}
