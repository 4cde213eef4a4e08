//! Enrolled hosts: the list, and one with its sessions, devices and jobs.

use lanyard_governance_api::agent::{
    AgentInfo, AgentState, ClearCloneMark as ClearBody, RevokeAgent as RevokeBody,
};
use lanyard_governance_api::endpoint::{
    ClearCloneMark, CurrentPolicy, GetAgent, ListAgents, ListJobs, ListPairings, ListSessions, RevokeAgent,
};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::job::JobQuery;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::session::SessionQuery;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{bytes, count, exact, span, thousands};
use lanyard_web_ui::{
    Button, Card, Clock, Empty, Glyph, KeyValue, Kind, LinkRow, Pill, Problem, Row, Section, Tone,
};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use super::{jobs, sessions};
use crate::api;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{Reasoned, State, loaded, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::who::Who;
use crate::words;

/// Sessions and jobs shown on a host's page; the rest is in their own lists.
const FEW: u32 = 8;

/// Name of a host for people.
pub(crate) fn name(agent: &AgentInfo) -> String {
    line(&agent.machine.name, Marks::Missing).into_owned()
}

/// What is said of a host in its second line.
fn detail(agent: &AgentInfo) -> String {
    let machine = &agent.machine;
    let mut parts = vec![
        agent.class.clone(),
        format!("{} {}", machine.os_family, machine.os_version),
        format!("host {}", machine.host_version),
    ];
    if let Some(beat) = &agent.heartbeat {
        parts.push(format!("sandbox {}", words::sandbox(beat.sandbox_level)));
        if beat.tasks_running > 0 {
            parts.push(format!("{} running", count(beat.tasks_running.into(), "task")));
        }
        if beat.outbox_depth > 0 {
            parts.push(format!("{} waiting to be sent", count(beat.outbox_depth, "audit record")));
        }
    }
    parts.extend(words::skew(agent.clock_skew_millis));
    line(&parts.join(" · "), Marks::Missing).into_owned()
}

/// What deserves a look before anything else.
fn alarms(agent: &AgentInfo, epoch: Option<u64>) -> Vec<(Tone, &'static str)> {
    let mut alarms = Vec::new();
    if agent.clone_suspected {
        alarms.push((Tone::Bad, "copied?"));
    }
    let beat = agent.heartbeat.as_ref().filter(|_| agent.state == AgentState::Online);
    if beat.is_some_and(|beat| epoch.is_some_and(|epoch| beat.policy_epoch < epoch)) {
        alarms.push((Tone::Plain, "older policy"));
    }
    if beat.is_some_and(|beat| beat.sandbox_level == SandboxLevel::None) {
        alarms.push((Tone::Plain, "no sandbox"));
    }
    alarms
}

/// The list.
#[component]
pub(crate) fn Hosts() -> impl IntoView {
    let central = Central::take();
    let hosts = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        api::get::<ListAgents>(&[], &PageQuery { limit, next_token }).await
    });
    let epoch = epoch();
    let counts = Memo::new(move |_| {
        hosts.of(|hosts| {
            let online = hosts.iter().filter(|host| host.state == AgentState::Online).count();
            (online, hosts.len() as u64)
        })
    });
    let online = move || {
        let (online, all) = counts.get();
        (all > 0).then(|| view! { <p class="soft" role="status">{format!("{online} of {} online", count(all, "host"))}</p> })
    };
    let row = move |host: &AgentInfo| host_row(host, epoch.get());
    let list = hosts.shown("the hosts", || view! { <NoHosts/> }, |_| true, row);
    view! {
        <Page title="Hosts">
            {move || central.may(Role::Admin).then(|| view! {
                <LinkRow title="Enrol a host" detail="Make a one-time token for it" href=Route::Enrolment.href() icon=Glyph::Plus/>
            })}
            {online}
            {list}
        </Page>
    }
}

#[component]
fn NoHosts() -> impl IntoView {
    let central = Central::take();
    view! {
        <Card>
            <Empty title="No host is enrolled yet">
                <p>"A host keeps working by itself until somebody enrols it. Then its sessions come under this policy, and what it does is recorded here."</p>
                {move || central.may(Role::Admin).then(|| view! {
                    <a class="button button-primary" href=Route::Enrolment.href()>"Make a token for the first one"</a>
                })}
            </Empty>
        </Card>
    }
}

/// The tenant's epoch, asked once: how far hosts are behind is all it is for.
fn epoch() -> Memo<Option<u64>> {
    let policy = Poll::once(|| async { api::get::<CurrentPolicy>(&[], &Nothing {}).await });
    Memo::new(move |_| policy.now.with(|now| now.as_ref().map(|policy| policy.epoch)))
}

fn host_row(host: &AgentInfo, epoch: Option<u64>) -> View {
    let alarms = alarms(host, epoch).into_iter().map(pill).collect_view();
    let (tone, word) = words::agent(host.state);
    view! {
        <Row title=name(host) detail=detail(host) href=Route::Host(host.agent_id.clone()).href() icon=Glyph::Host wrap=true>
            {alarms}
            <Pill tone=tone>{word}</Pill>
        </Row>
    }
}

/// One host.
#[component]
pub(crate) fn Host(id: AgentId) -> impl IntoView {
    let agent_id = id.clone();
    let host = Poll::start(move || {
        let id = id.clone();
        async move { api::get::<GetAgent>(&[id.as_str()], &Nothing {}).await }
    });
    let title = Signal::derive(move || {
        host.now.with(|now| now.as_ref().map(name)).unwrap_or_else(|| "Host".to_owned())
    });
    let end = move || {
        move || {
            host.now.with(|now| now.as_ref().map(|host| host.state)).map(|state| pill(words::agent(state)))
        }
    };
    Who::provide();
    let epoch = epoch();
    let about = move || host.now.get().map(|agent| view! { <About agent epoch=epoch.get()/> });
    view! {
        <Page title back=Route::Hosts end=end>
            <State poll=host what="the host"/>
            <Copied id=agent_id.clone() host/>
            {about}
            <Recent id=agent_id.clone()/>
            <Revoke id=agent_id host/>
        </Page>
    }
}

/// A second machine tried to be this host, until an administrator has found out why.
#[component]
fn Copied(id: AgentId, host: Poll<AgentInfo>) -> impl IntoView {
    let central = Central::take();
    let (open, busy) = (RwSignal::new(false), RwSignal::new(false));
    let is = Memo::new(move |_| host.now.with(|now| now.as_ref().is_some_and(|host| host.clone_suspected)));
    let shown = move || {
        is.get().then(|| view! {
            <Problem
                title="A second machine tried to use this host's identity"
                meaning="Its files may have been copied, or the machine was restored from an image. The other key was refused. If nobody did that on purpose, revoke this host and enrol it anew."
            >
                {move || central.may(Role::Admin).then(|| view! {
                    <Button on_press=move || open.set(true)>"It is explained"</Button>
                })}
            </Problem>
        })
    };
    let act = Callback::new(move |(reason,): (String,)| {
        let id = id.clone();
        let what = async move {
            api::call::<ClearCloneMark>(&[id.as_str()], &Nothing {}, &ClearBody { reason }).await
        };
        central.tell(busy, what, move |agent| {
            open.set(false);
            host.told(agent);
        });
    });
    view! {
        {shown}
        <Reasoned
            open
            title="Take the mark away?"
            meaning="The host keeps its identity, and the warning is gone until another machine tries the same. What was found is in the audit record."
            act="Take it away"
            busy
            on_act=act
        />
    }
}

/// Warnings, and everything that is known.
#[component]
fn About(agent: AgentInfo, epoch: Option<u64>) -> impl IntoView {
    let clock = Clock::take();
    let silent = agent.heartbeat.is_none();
    let gone = agent.revoked.clone().map(|revoked| {
        let when = exact(revoked.at, clock.zone());
        let reason = line(&revoked.reason, Marks::Missing).into_owned();
        view! {
            <Problem title="This host was revoked" meaning=format!("{when}: {reason}. It gets no more policy and can send nothing. To bring it back, enrol it with a new token.")/>
        }
    });
    let behind = alarms(&agent, epoch).iter().any(|(_, word)| *word == "older policy").then(|| {
        view! {
            <Problem
                waits=true
                title="It has not confirmed the policy in force"
                meaning="Until it does, its sessions decide nothing by the old one. It is asked with every heartbeat."
            />
        }
    });
    let skew = words::skew(agent.clock_skew_millis).map(|said| {
        let meaning =
            "Central's time counts for certificates and policies; nothing breaks. Records carry both times.";
        view! { <Problem waits=true title=lanyard_web_state::words::sentence(&said) meaning=meaning/> }
    });
    let who = Who::take();
    let rows = Signal::derive(move || facts(&agent, who, clock));
    view! {
        {gone}
        {behind}
        {skew}
        <Section title="The machine"><Card><KeyValue rows/></Card></Section>
        {silent.then(|| view! { <p class="soft">"It has enrolled and not sent a heartbeat yet. The first comes within a minute of its start."</p> })}
    }
}

fn facts(agent: &AgentInfo, who: Who, clock: Clock) -> Vec<(String, String)> {
    let zone = clock.zone();
    let machine = &agent.machine;
    let mut rows: Vec<(&str, String)> = vec![
        ("System", format!("{} {}, {}", machine.os_family, machine.os_version, machine.architecture)),
        ("Host version", machine.host_version.clone()),
        ("Class", agent.class.clone()),
        ("Of", who.person(&agent.user_id)),
    ];
    if let Some(seen) = agent.last_seen_at {
        rows.push(("Last heard of", exact(seen, zone)));
    }
    if let Some(beat) = &agent.heartbeat {
        let yes_no = |yes| if yes { "yes" } else { "no: its owner has not switched that on" };
        rows.extend([
            ("Programs are confined", words::sandbox(beat.sandbox_level).to_owned()),
            ("Policy epoch", beat.policy_epoch.to_string()),
            ("Audit records waiting to be sent", thousands(beat.outbox_depth)),
            ("Up for", span(beat.uptime_seconds.saturating_mul(1_000))),
            ("Tasks running", beat.tasks_running.to_string()),
            ("Sessions", thousands(beat.sessions)),
            ("Paired devices", thousands(beat.devices)),
            ("Takes jobs", yes_no(beat.accepts_jobs).to_owned()),
            ("Takes answers from here", yes_no(beat.accepts_answers).to_owned()),
        ]);
        rows.extend(beat.rss_bytes.map(|rss| ("Memory", bytes(rss))));
    }
    rows.extend([
        ("Enrolled", exact(agent.enrolled_at, zone)),
        ("Certificate runs out", exact(agent.certificate_not_after, zone)),
        ("Id", agent.agent_id.to_string()),
    ]);
    rows.into_iter()
        .map(|(name, value)| (name.to_owned(), line(&value, Marks::Missing).into_owned()))
        .collect()
}

/// Its sessions, devices and jobs.
#[component]
fn Recent(id: AgentId) -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let agent_id = id.clone();
    let opened = Poll::start(move || {
        let query =
            SessionQuery { agent_id: Some(agent_id.clone()), limit: Some(FEW), ..SessionQuery::default() };
        async move { api::get::<ListSessions>(&[], &query).await }
    });
    let agent_id = id.clone();
    let given = Poll::start(move || {
        let query = JobQuery { agent_id: Some(agent_id.clone()), limit: Some(FEW), ..JobQuery::default() };
        async move { api::get::<ListJobs>(&[], &query).await }
    });
    let paired = Poll::start(|| async { api::get::<ListPairings>(&[], &super::pairings::all()).await });
    let list = loaded(opened, "its sessions", |page| {
        if page.items.is_empty() {
            return view! { <p class="soft">"None yet. They appear here as soon as somebody gives the host a task."</p> };
        }
        view! { <div class="rows">{page.items.iter().map(sessions::row).collect_view()}</div> }
    });
    let tasks = loaded(given, "its jobs", |page| {
        if page.items.is_empty() {
            return view! { <p class="soft">"None yet."</p> };
        }
        view! { <div class="rows">{page.items.iter().map(jobs::row).collect_view()}</div> }
    });
    let agent_id = id.clone();
    let devices = loaded(paired, "its devices", move |page| {
        let own = page.items.into_iter().find(|host| host.agent_id == agent_id);
        let devices = own.map(|host| host.snapshot.devices).unwrap_or_default();
        if devices.is_empty() {
            return view! { <p class="soft">"No phone or other computer is paired with it."</p> };
        }
        let one = |device: lanyard_governance_api::pairing::PairedDevice| {
            let title = line(&device.name, Marks::Missing).into_owned();
            let detail = super::pairings::detail(&device, clock);
            view! {
                <Row title detail icon=Glyph::Phone wrap=true>
                    {device.connected.then(|| pill((Tone::Good, "connected")))}
                </Row>
            }
        };
        let all = view! { <a href=Route::Pairings.href()>"All pairings, and how to end one"</a> };
        view! { <div class="rows">{devices.into_iter().map(one).collect_view()}</div> <p>{all}</p> }
    });
    let new = Route::NewJob(Some(id.clone())).href();
    let all = Route::Sessions(Some(id)).href();
    view! {
        <Section title="Sessions">{list}<p><a href=all>"All sessions of this host"</a></p></Section>
        <Section title="Jobs">
            {tasks}
            {move || central.may(Role::Admin).then(|| view! { <a class="button" href=new.clone()>"Dispatch a job to it"</a> })}
        </Section>
        <Section title="Devices">{devices}</Section>
    }
}

/// Ends the enrolment, in two steps.
#[component]
fn Revoke(id: AgentId, host: Poll<AgentInfo>) -> impl IntoView {
    let central = Central::take();
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let revoked = move || host.now.with(|now| now.as_ref().is_none_or(|host| host.revoked.is_some()));
    let offered = Memo::new(move |_| central.may(Role::Admin) && !revoked());
    let act = Callback::new(move |(reason,): (String,)| {
        let id = id.clone();
        let what = async move {
            api::call::<RevokeAgent>(&[id.as_str()], &Nothing {}, &RevokeBody { reason }).await
        };
        central.tell(busy, what, move |agent| {
            open.set(false);
            central.say(format!("{} is revoked.", name(&agent)));
            host.told(agent);
        });
    });
    let meaning = "It is refused from its next request on, and stops cleanly as soon as it hears of it: running calls end, \
                   sessions pause. What it has recorded so far stays here; records it has not sent yet stay on the machine. To \
                   bring it back it must be enrolled anew.";
    view! {
        {move || offered.get().then(|| view! {
            <Section title="End its enrolment">
                <Button kind=Kind::Danger on_press=move || open.set(true)>"Revoke this host"</Button>
            </Section>
        })}
        <Reasoned open title="Revoke this host?" meaning act="Revoke it" busy on_act=act/>
    }
}
