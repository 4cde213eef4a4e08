//! The tenant's policy: what is in force, how far hosts have heard of it, its versions, and the ways to change it.

pub(crate) mod compare;
mod doc;
pub(crate) mod dry;
pub(crate) mod edit;
mod editor;
mod form;
mod json;
mod textdiff;

use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::endpoint::{
    ActivatePolicy, CurrentPolicy, ListAgents, ListPolicies, RevokePolicy,
};
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::policy::{
    PolicyDocument, PolicyState, PolicyVersionSummary, RevokeRequest, Rollout,
};
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::Capability;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{capability as named, count, exact};
use lanyard_web_ui::{
    Ago, Button, Card, Clock, Empty, Glyph, KeyValue, Kind, LinkRow, Pill, Problem, Progress, Section, Tone,
};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use super::hosts;
use crate::api;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{Reasoned, Sure, loaded, opened_by, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::who::Who;
use crate::words;

/// See the module.
#[component]
pub(crate) fn Policy() -> impl IntoView {
    let central = Central::take();
    Who::provide();
    let state = Poll::start(|| async { api::get::<CurrentPolicy>(&[], &Nothing {}).await });
    let hosts = Poll::once(|| async {
        api::get::<ListAgents>(&[], &PageQuery { limit: Some(500), next_token: None })
            .await
            .map(|page| page.items)
    });
    let names = Signal::derive(move || hosts.now.get().unwrap_or_default());
    let shown = loaded(state, "the policy", move |state| view! { <InForce state names/> });
    let active =
        Memo::new(move |_| state.now.with(|now| now.as_ref().is_some_and(|now| now.active.is_some())));
    let epoch = Memo::new(move |_| state.now.with(|now| now.as_ref().map(|now| now.epoch)));
    let ways = move || {
        let admin = central.may(Role::Admin);
        view! {
            {(admin && active.get()).then(|| view! {
                <LinkRow title="Edit it" detail="As a form or as text, and try it before it is in force" href=Route::PolicyEdit(None).href() icon=Glyph::Settings/>
            })}
            <LinkRow title="Try it" detail="What would this command, file, request or tool get?" href=Route::PolicyTry.href() icon=Glyph::Search/>
            <LinkRow title="Compare versions" href=Route::PolicyCompare(None, None).href() icon=Glyph::Files/>
        }
    };
    view! {
        <Page title="Policy">
            {shown}
            <div class="rows">{ways}</div>
            <Versions epoch again=move || state.again()/>
            <Revoke state/>
        </Page>
    }
}

/// What is in force, or why nothing is.
#[component]
fn InForce(state: PolicyState, names: Signal<Vec<AgentInfo>>) -> impl IntoView {
    let (clock, who) = (Clock::take(), Who::take());
    let revoked = state.revoked.clone().map(|revoked| {
        let reason = line(&revoked.reason, Marks::Missing).into_owned();
        let meaning = format!(
            "{}, {}: {reason} — Sessions on enrolled hosts are paused and new ones get no policy, until a version is put in \
             force again.",
            exact(revoked.at, clock.zone()),
            revoked.by.map_or_else(|| "by central".to_owned(), |by| format!("by {}", who.person(&by))),
        );
        view! { <Problem title="No policy is in force: it was revoked" meaning/> }
    });
    let active = state.active.clone().map(|active| {
        let comment = line(&active.comment, Marks::Missing).into_owned();
        view! {
            <Card>
                <div class="stack">
                    <div class="beside"><h2 class="grow">"Version "{active.version}</h2><Pill tone=Tone::Good>"in force"</Pill></div>
                    <p>{comment}</p>
                    <p class="soft">"Since "<Ago at=state.changed_at/>" · epoch "{state.epoch}</p>
                    <Summary document=active.document/>
                </div>
            </Card>
        }
    });
    view! { {revoked} {active} <Told rollout=state.rollout names/> }
}

/// What it comes to, in a few lines.
#[component]
fn Summary(document: PolicyDocument) -> impl IntoView {
    let standing = |capability: Capability| {
        let grant = document.capabilities.iter().find(|grant| grant.name == capability);
        match grant {
            None => Standing::Never,
            Some(grant) if grant.requires_approval => Standing::Asks,
            Some(_) => Standing::Free,
        }
    };
    let of = |wanted: Standing| {
        let those = Capability::ALL.iter().filter(|capability| standing(**capability) == wanted);
        let names: Vec<String> = those.map(|capability| named(*capability).to_lowercase()).collect();
        if names.is_empty() { "nothing".to_owned() } else { lanyard_web_state::words::list(&names) }
    };
    let rows = vec![
        ("Without asking".to_owned(), of(Standing::Free)),
        ("Asks first".to_owned(), of(Standing::Asks)),
        ("Never".to_owned(), of(Standing::Never)),
        (
            "Models".to_owned(),
            line(&document.llm_policy.allowed_models.join(", "), Marks::Missing).into_owned(),
        ),
        ("Live timeline".to_owned(), if document.timeline { "sent" } else { "not sent" }.to_owned()),
        ("While central is away".to_owned(), words::when_away(document.when_away).to_owned()),
        ("Offline grace".to_owned(), words::seconds(document.offline_grace_seconds)),
    ];
    view! { <KeyValue rows/> }
}

/// How far hosts have heard of it.
#[component]
fn Told(rollout: Rollout, names: Signal<Vec<AgentInfo>>) -> impl IntoView {
    if rollout.online == 0 {
        return view! { <p class="soft">"No host is online: each hears of it when it comes back."</p> };
    }
    let said = format!("{} of {} online have confirmed it", rollout.confirmed, count(rollout.online, "host"));
    let share = rollout.confirmed as f64 / rollout.online as f64;
    let more = rollout.online.saturating_sub(rollout.confirmed).saturating_sub(rollout.waiting.len() as u64);
    let waiting = StoredValue::new(rollout.waiting);
    let missing = move || {
        let one = |id: &lanyard_governance_api::id::AgentId| {
            let known = names.with(|names| names.iter().find(|host| host.agent_id == *id).map(hosts::name));
            let name = known.unwrap_or_else(|| id.to_string());
            view! { <li><a href=Route::Host(id.clone()).href()>{name}</a></li> }
        };
        waiting.with_value(|waiting| {
            (!waiting.is_empty()).then(|| {
                view! {
                    <p>"Not confirmed yet:"</p>
                    <ul class="plain-list">{waiting.iter().map(one).collect_view()}{(more > 0).then(|| view! { <li>{format!("and {more} more")}</li> })}</ul>
                }
            })
        })
    };
    view! {
        <Section title="Rollout">
            <Card>
                <div class="stack">
                    <p role="status">{said}</p>
                    <Progress share=share label="Hosts that have confirmed the policy"/>
                    {missing}
                </div>
            </Card>
        </Section>
    }
}

/// All versions, newest first; an older one can be put in force again.
#[component]
fn Versions(
    /// What is in force has changed when it has.
    epoch: Memo<Option<u64>>,
    #[prop(into)] again: Callback<()>,
) -> impl IntoView {
    let central = Central::take();
    let versions = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        api::get::<ListPolicies>(&[], &PageQuery { limit, next_token }).await
    });
    Effect::new(move |_| {
        epoch.track();
        versions.again();
    });
    let chosen = RwSignal::new(None::<u64>);
    let open = opened_by(chosen);
    let busy = RwSignal::new(false);
    let active = Memo::new(move |_| {
        versions.of(|rows| rows.iter().find(|version| version.active).map(|version| version.version))
    });
    let none = || {
        view! { <Card><Empty title="No versions"><p>"The first is made with the tenant."</p></Empty></Card> }
    };
    let row = move |version: &PolicyVersionSummary| version_view(version.clone(), active.get(), chosen);
    let list = versions.shown("the versions", none, |_| true, row);
    let act = move || {
        let Some(version) = chosen.get_untracked() else { return };
        let number = version.to_string();
        let what = async move { api::call::<ActivatePolicy>(&[&number], &Nothing {}, &Nothing {}).await };
        central.tell(busy, what, move |state| {
            open.set(false);
            central.say(format!(
                "Version {version} is in force, as epoch {}. Hosts hear of it now.",
                state.epoch
            ));
            versions.again();
            again.run(());
        });
    };
    let title = Signal::derive(move || format!("Put version {} in force?", chosen.get().unwrap_or_default()));
    let meaning = "It replaces what is in force now, for every session of every host, as soon as the host hears of it. Calls \
                   that run go on to their end; to stop them, revoke the policy. Compare it with the one in force first if you \
                   are not sure what differs.";
    view! {
        <Section title="Versions">{list}</Section>
        <Sure open title meaning act="Put it in force" busy on_act=act/>
    }
}

fn version_view(version: PolicyVersionSummary, active: Option<u64>, chosen: RwSignal<Option<u64>>) -> View {
    let (central, who) = (Central::take(), Who::take());
    let number = version.version;
    let by = version.created_by.map(|by| format!(" · {}", who.person(&by))).unwrap_or_default();
    let comment = line(&version.comment, Marks::Missing).into_owned();
    let admin = central.may(Role::Admin);
    let compare = active.filter(|active| *active != number).map(|active| {
        let href = Route::PolicyCompare(Some(active.min(number)), Some(active.max(number))).href();
        view! { <a class="button button-quiet" href=href aria-label=format!("Compare version {number} with the one in force")>"Compare"</a> }
    });
    let edit = admin.then(|| view! {
        <a class="button button-quiet" href=Route::PolicyEdit(Some(number)).href() aria-label=format!("Edit from it: version {number}")>"Edit from it"</a>
    });
    let back = (admin && !version.active).then(|| view! {
        <Button kind=Kind::Quiet label=format!("Put in force: version {number}") on_press=move || chosen.set(Some(number))>"Put in force"</Button>
    });
    view! {
        <Card>
            <div class="stack-tight">
                <div class="beside"><h3 class="grow">"Version "{number}</h3>{version.active.then(|| pill((Tone::Good, "in force")))}</div>
                <p>{comment}</p>
                <p class="soft"><Ago at=version.created_at/>{by}</p>
                <div class="beside">{compare}{edit}{back}</div>
            </div>
        </Card>
    }
}

/// Takes the policy out of force, in two steps.
#[component]
fn Revoke(state: Poll<PolicyState>) -> impl IntoView {
    let central = Central::take();
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let active =
        Memo::new(move |_| state.now.with(|now| now.as_ref().is_some_and(|now| now.active.is_some())));
    let act = move |(reason,): (String,)| {
        let what =
            async move { api::call::<RevokePolicy>(&[], &Nothing {}, &RevokeRequest { reason }).await };
        central.tell(busy, what, move |now| {
            open.set(false);
            central.say("The policy is revoked. Hosts hear of it now.");
            state.told(now);
        });
    };
    let meaning = "Nothing is in force then. Every enrolled host is told at once: running calls end, tasks pause, and new \
                   sessions get no policy, until a version is put in force again. Hosts that cannot be reached go on until \
                   their offline grace runs out.";
    view! {
        {move || (active.get() && central.may(Role::Admin)).then(|| view! {
            <Section title="Emergency">
                <Button kind=Kind::Danger on_press=move || open.set(true)>"Revoke the policy"</Button>
            </Section>
        })}
        <Reasoned open title="Revoke the policy, for everybody, now?" meaning act="Revoke it" busy on_act=act/>
    }
}
