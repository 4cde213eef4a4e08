//! What a question is about: exactly what will happen, then where and with what, then on whose behalf.

use lanyard_web_state::approvals::words::{self, Names};
use lanyard_web_state::words::risk;
use lanyard_web_ui::{Ago, Facts, Pill, asks};
use lanyard_web_view::{component, view};
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
    let (tone, title) = (asking.request(asks::tone), asking.request(words::title));
    let content = asking.request(|request| asks::content(request, asking.whole));
    view! {
        <div class="ask-body">
            <div class="ask-head" node_ref=head>
                <h2 class="ask-title" class:unseen=bare>{title}</h2>
                <Pill tone>{risk(level)}</Pill>
            </div>
            {content}
            {asking.request(asks::reasons)}
            <Background asking/>
        </div>
    }
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
