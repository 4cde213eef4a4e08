//! Sessions across hosts.

use lanyard_governance_api::endpoint::{ListAgents, ListSessions};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::page::PageQuery;
use lanyard_governance_api::session::{SessionInfo, SessionQuery};
use lanyard_protocol::session::CompatibilityStatus;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::count;
use lanyard_web_ui::{Ago, Card, Choice, ChoiceItem, Empty, Row, Select, Tone};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use super::hosts;
use crate::api;
use crate::listing::Listing;
use crate::parts::pill;
use crate::poll::Poll;
use crate::route::{Route, Routes};
use crate::shell::Page;
use crate::words;

/// Name of a session for people.
pub(crate) fn name(session: &SessionInfo) -> String {
    let named = Some(session.name.trim()).filter(|name| !name.is_empty());
    let prompt = || session.last_task.as_ref().and_then(|task| task.prompt.as_deref());
    let text = named.or_else(prompt).unwrap_or("Session without a name");
    line(text.lines().next().unwrap_or_default(), Marks::Missing).into_owned()
}

/// What is said of it in the second line.
fn detail(session: &SessionInfo) -> String {
    let mut parts = vec![count(session.tasks.into(), "task")];
    if session.job_id.is_some() {
        parts.push("a job".to_owned());
    }
    if session.compatibility_status != CompatibilityStatus::Compatible {
        parts.push("host and policy do not fit".to_owned());
    }
    parts.extend(session.reason.clone());
    line(&parts.join(" · "), Marks::Missing).into_owned()
}

/// One line of the list.
pub(crate) fn row(session: &SessionInfo) -> View {
    let failed =
        session.last_task.as_ref().is_some_and(|task| task.error.is_some()) && !session.state.is_final();
    let (at, state) = (session.updated_at, words::session(session.state));
    view! {
        <Row title=name(session) detail=detail(session) href=Route::Session(session.session_id.clone()).href() wrap=true>
            <span class="small"><Ago at/></span>
            {failed.then(|| pill((Tone::Bad, "last task failed")))}
            {pill(state)}
        </Row>
    }
}

/// Hosts to choose from, with "all" first.
pub(crate) fn host_choice(all: &'static str) -> Signal<Vec<ChoiceItem<Option<AgentId>>>> {
    let known = Poll::once(|| async {
        api::get::<ListAgents>(&[], &PageQuery { limit: Some(500), next_token: None }).await
    });
    Signal::derive(move || {
        let none = ChoiceItem::new(None, all);
        let known = known.now.get().map(|page| page.items).unwrap_or_default();
        let known = known.iter().map(|host| ChoiceItem::new(Some(host.agent_id.clone()), hosts::name(host)));
        std::iter::once(none).chain(known).collect()
    })
}

/// See the module.
#[component]
pub(crate) fn Sessions(
    /// Only of this host.
    host: Option<AgentId>,
) -> impl IntoView {
    let routes = Routes::take();
    let open = RwSignal::new(None::<bool>);
    let (agent_id, filtered) = (host.clone(), host.is_some());
    let filter = Signal::derive(move || (agent_id.clone(), open.get()));
    let sessions = Listing::start(filter, |(agent_id, open), limit, next_token| async move {
        let query = SessionQuery { agent_id, open, limit, next_token, ..SessionQuery::default() };
        api::get::<ListSessions>(&[], &query).await
    });
    let none = move || view! { <Nowhere filtered=filtered || open.get_untracked().is_some()/> };
    let list = sessions.shown("the sessions", none, |_| true, row);
    let states = vec![
        ChoiceItem::new(None, "All"),
        ChoiceItem::new(Some(true), "Open"),
        ChoiceItem::new(Some(false), "Ended"),
    ];
    let choose = move |host: Option<AgentId>| routes.go(&Route::Sessions(host));
    view! {
        <Page title="Sessions">
            <div class="filters">
                <Choice label="Which sessions" options=states value=open on_change=move |chosen| open.set(chosen) bar=true/>
                <Select label="Host" options=host_choice("All hosts") value=host on_change=choose/>
            </div>
            {list}
        </Page>
    }
}

#[component]
fn Nowhere(filtered: bool) -> impl IntoView {
    let title = if filtered { "No such sessions" } else { "No sessions yet" };
    view! {
        <Card>
            <Empty title>
                <p>{if filtered {
                    "Choose other filters to see more."
                } else {
                    "A session is what somebody has a host do, task by task. It appears here when the first one begins on an enrolled host, under the policy that is in force then."
                }}</p>
            </Empty>
        </Card>
    }
}
