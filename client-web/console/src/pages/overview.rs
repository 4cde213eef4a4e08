//! Everything at a glance, what waits for a person first.

use lanyard_governance_api::agent::{AgentInfo, AgentState};
use lanyard_governance_api::endpoint::{
    CurrentPolicy, GetTelemetrySummary, ListAgents, ListJobs, ListPairings, ListSessions,
};
use lanyard_governance_api::job::JobQuery;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::policy::PolicyState;
use lanyard_governance_api::session::SessionQuery;
use lanyard_governance_api::telemetry::SummaryQuery;
use lanyard_protocol::session::SessionState;
use lanyard_web_state::words::{count, left};
use lanyard_web_ui::{Card, Clock, Empty, Glyph, Icon, LinkRow, Pill, Row, Section, Sparkline, Tone};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use super::{jobs, pairings, sessions};
use crate::api;
use crate::central::Central;
use crate::parts::{State, loaded};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::words;

/// Jobs looked at for those under way, sessions for those that stand still.
const LOOKED_AT: u32 = 50;

/// Hosts one of which is counted.
const HOSTS: u32 = 500;

/// What is wrong with hosts, each as a sentence with its tone.
fn troubles(hosts: &[AgentInfo]) -> Vec<(Tone, String)> {
    let counted = |test: &dyn Fn(&AgentInfo) -> bool| hosts.iter().filter(|host| test(host)).count() as u64;
    let said = |tone: Tone, number: u64, what: &str| {
        (number > 0).then(|| (tone, format!("{} {what}", count(number, "host"))))
    };
    [
        said(
            Tone::Bad,
            counted(&|host| host.clone_suspected && host.state != AgentState::Revoked),
            "may have been copied",
        ),
        said(
            Tone::Plain,
            counted(&|host| host.state == AgentState::Stale),
            "not heard of for over 15 minutes",
        ),
        said(
            Tone::Plain,
            counted(&|host| {
                host.state == AgentState::Online && words::skew(host.clock_skew_millis).is_some()
            }),
            "with a wrong clock",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// See the module.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let hosts = Poll::start(|| async {
        let query = PageQuery { limit: Some(HOSTS), next_token: None };
        api::get::<ListAgents>(&[], &query).await
    });
    let policy = Poll::start(|| async { api::get::<CurrentPolicy>(&[], &Nothing {}).await });
    let hosts_shown = loaded(hosts, "the hosts", |page| hosts_view(page.items, page.next_token.is_some()));
    let policy_shown = loaded(policy, "the policy", |state| policy_view(&state));
    view! {
        <Page title="Overview">
            <Waits/>
            <Still/>
            <Section title="Hosts">{hosts_shown}</Section>
            <Section title="Policy">{policy_shown}</Section>
            <Working/>
            <Lately/>
        </Page>
    }
}

/// Approvals and pairings that wait: first and largest.
#[component]
fn Waits() -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let paired = Poll::start(|| async { api::get::<ListPairings>(&[], &pairings::all()).await });
    let asking = Memo::new(move |_| {
        paired.now.with(|now| now.as_ref().map_or(0, |page| pairings::asking(&page.items, clock.now()).len()))
    });
    let soonest = Memo::new(move |_| {
        central.waiting.get().and_then(|poll| {
            poll.now.with(|now| now.as_ref()?.iter().map(|info| info.record.request.deadline).min())
        })
    });
    let approvals = Memo::new(move |_| central.waiting_count() as u64);
    let shown = move || {
        let (approvals, asking) = (approvals.get(), asking.get() as u64);
        if approvals == 0 && asking == 0 {
            return view! { <p class="soft" role="status">"Nothing waits for a person."</p> };
        }
        let questions = (approvals > 0).then(|| {
            let rest = move || soonest.get().map(|deadline| format!("the first ends in {}", left(deadline.millis_since(clock.now())))).unwrap_or_default();
            let verb = if approvals == 1 { "waits" } else { "wait" };
            view! {
                <Row title=format!("{} {verb}", count(approvals, "approval")) detail=Signal::derive(rest) href=Route::Approvals.href() tone=Tone::Ask>
                    <Pill tone=Tone::Ask>"Review"</Pill>
                </Row>
            }
        });
        let devices = (asking > 0).then(|| {
            let verb = if asking == 1 { "asks" } else { "ask" };
            view! {
                <Row title=format!("{} {verb} to be let in", count(asking, "device")) href=Route::Pairings.href() tone=Tone::Ask>
                    <Pill tone=Tone::Ask>"Review"</Pill>
                </Row>
            }
        });
        view! { <div class="asks rows" role="status">{questions}{devices}</div> }
    };
    view! {
        <h2 class="unseen">"Waiting for a person"</h2>
        <State poll=paired what="pairings"/>
        {shown}
    }
}

/// Sessions that stand still.
#[component]
fn Still() -> impl IntoView {
    let open = Poll::start(|| async {
        let query = SessionQuery { open: Some(true), limit: Some(LOOKED_AT), ..SessionQuery::default() };
        api::get::<ListSessions>(&[], &query).await
    });
    let shown = move || {
        let page = open.now.get()?;
        let paused: Vec<_> =
            page.items.into_iter().filter(|session| session.state == SessionState::SessionPaused).collect();
        (!paused.is_empty()).then(|| view! {
            <Section title="Paused sessions"><div class="rows">{paused.iter().map(sessions::row).collect_view()}</div></Section>
        })
    };
    view! { {shown} }
}

fn hosts_view(items: Vec<AgentInfo>, more: bool) -> View {
    let known: Vec<_> = items.into_iter().filter(|host| host.state != AgentState::Revoked).collect();
    if known.is_empty() {
        return view! { <First/> };
    }
    let online = known.iter().filter(|host| host.state == AgentState::Online).count();
    let waiting: u64 =
        known.iter().filter_map(|host| host.heartbeat.as_ref()).map(|beat| beat.outbox_depth).sum();
    let least = if more { "at least " } else { "" };
    let title = format!("{online} of {least}{} online", count(known.len() as u64, "host"));
    let detail = if waiting > 0 {
        format!("{} wait on hosts to be sent", count(waiting, "audit record"))
    } else {
        "No audit record waits on hosts to be sent".to_owned()
    };
    let troubles = troubles(&known).into_iter().map(|(tone, said)| {
        view! { <Row title=said href=Route::Hosts.href() tone icon=Glyph::Warning wrap=true/> }
    });
    view! {
        <div class="rows">
            <LinkRow title detail href=Route::Hosts.href() icon=Glyph::Host/>
            {troubles.collect_view()}
        </div>
    }
}

/// Before the first host.
#[component]
fn First() -> impl IntoView {
    let central = Central::take();
    view! {
        <Card>
            <Empty title="Begin with a host">
                <p>"1. Make an enrolment token. 2. Run the command it gives you on the machine. 3. Its sessions, approvals and records appear here."</p>
                {move || central.may(Role::Admin).then(|| view! { <a class="button button-primary" href=Route::Enrolment.href()>"Make a token"</a> })}
            </Empty>
        </Card>
    }
}

fn policy_view(state: &PolicyState) -> View {
    let rollout = &state.rollout;
    let confirmed = match rollout.online {
        0 => "No host is online".to_owned(),
        online => format!("{} of {} online have confirmed it", rollout.confirmed, count(online, "host")),
    };
    let (title, tone) = match &state.active {
        Some(active) => (format!("Version {} is in force", active.version), Tone::Plain),
        None => ("No policy is in force: enrolled hosts stand still".to_owned(), Tone::Bad),
    };
    view! {
        <Row title detail=confirmed href=Route::Policy.href() icon=Glyph::Shield tone wrap=true>
            <Icon name=Glyph::Forward/>
        </Row>
    }
}

/// Jobs under way.
#[component]
fn Working() -> impl IntoView {
    let all = Poll::start(|| async {
        let query = JobQuery { limit: Some(LOOKED_AT), ..JobQuery::default() };
        api::get::<ListJobs>(&[], &query).await
    });
    let shown = loaded(all, "the jobs", |page| {
        let under_way: Vec<_> = page.items.iter().filter(|job| !job.state.is_final()).collect();
        match under_way.is_empty() {
            true => {
                view! { <p class="soft">"None is under way. "<a href=Route::Jobs.href()>"All jobs"</a></p> }
            }
            false => view! { <div class="rows">{under_way.into_iter().map(jobs::row).collect_view()}</div> },
        }
    });
    view! { <Section title="Jobs under way">{shown}</Section> }
}

/// The last day in one line and one curve.
#[component]
fn Lately() -> impl IntoView {
    let summary = Poll::start(|| async {
        let query = SummaryQuery { agent_id: None, hours: Some(24) };
        api::get::<GetTelemetrySummary>(&[], &query).await
    });
    let shown = loaded(summary, "the last day", |summary| {
        let tasks: u64 = summary.buckets.iter().map(|bucket| bucket.tasks).sum();
        let failed: u64 = summary.buckets.iter().map(|bucket| bucket.tasks_failed).sum();
        let points: Vec<f64> = summary.buckets.iter().map(|bucket| bucket.tasks as f64).collect();
        let title = if tasks == 0 {
            "No task ended".to_owned()
        } else {
            match failed {
                0 => format!("{} ended, none failed", count(tasks, "task")),
                failed => format!("{} ended, {failed} failed", count(tasks, "task")),
            }
        };
        let curve = (tasks > 0).then(|| view! { <Sparkline points=points label="Tasks over the last day"/> });
        view! { <LinkRow title href=Route::Telemetry.href() icon=Glyph::Chart/> {curve} }
    });
    view! { <Section title="Last 24 hours">{shown}</Section> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::hosts;
    use lanyard_governance_api::enrolment::MachineInfo;
    use lanyard_governance_api::id::{AgentId, UserId};
    use lanyard_protocol::Timestamp;

    fn host(state: AgentState, skew: i64, copied: bool) -> AgentInfo {
        AgentInfo {
            agent_id: AgentId::new("a-1").unwrap(),
            user_id: UserId::new("u-1").unwrap(),
            class: "laptop".to_owned(),
            state,
            machine: MachineInfo {
                name: "study\u{202e}".to_owned(),
                os_family: "linux".to_owned(),
                os_version: "6".to_owned(),
                architecture: "x86_64".to_owned(),
                host_version: "0.1.0".to_owned(),
                host_id: None,
            },
            heartbeat: None,
            last_seen_at: None,
            clock_skew_millis: skew,
            enrolled_at: Timestamp::from_millis(0),
            certificate_not_after: Timestamp::from_millis(0),
            revoked: None,
            clone_suspected: copied,
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_well_is_not() {
        assert!(
            troubles(&[host(AgentState::Online, 0, false), host(AgentState::Offline, 900_000, false)])
                .is_empty()
        );
        let bad = [
            host(AgentState::Online, 3_600_000, true),
            host(AgentState::Stale, 0, false),
            host(AgentState::Revoked, 0, true),
        ];
        let said: Vec<_> = troubles(&bad).into_iter().map(|(_, said)| said).collect();
        assert_eq!(
            said,
            [
                "1 host may have been copied",
                "1 host not heard of for over 15 minutes",
                "1 host with a wrong clock"
            ]
        );
        assert_eq!(hosts::name(&bad[0]), "study⟦U+202E⟧");
    }
}
