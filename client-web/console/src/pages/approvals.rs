//! Questions that hosts put to people: those that wait, answered here as proposals that the host arbitrates, and those
//! that were answered.

use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::approval::{
    ApprovalInfo, ApprovalQuery, DecisionRequest, Proposal, ProposalOutcome,
};
use lanyard_governance_api::endpoint::{GetApproval, ListAgents, ListCentralApprovals, ProposeDecision};
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_protocol::approval::{ApprovalRequest, ApprovalState, Decision};
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::policy::Approver;
use lanyard_web_state::approvals::{hidden_lines, words as ask_words};
use lanyard_web_state::visible::{self, Marks};
use lanyard_web_state::words::{exact, risk, sentence};
use lanyard_web_ui::{
    Ago, Button, Card, Clock, Countdown, Empty, Field, Kind, Pill, Row, Section, Tone, asks,
};
use lanyard_web_view::{For, View, component, view};
use leptos::prelude::*;

use super::hosts;
use crate::api;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{State, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::who::Who;
use crate::words;

/// Why somebody may not answer here; none where they may. `own_job`: the person dispatched the job that asks. `late`: its
/// time is up, which central tells by the same word as that the host takes no answers.
fn obstacle(info: &ApprovalInfo, role: bool, own_job: bool, late: bool) -> Option<&'static str> {
    if info.record.state != ApprovalState::Pending {
        None
    } else if !role {
        Some("Your role sees questions; answering takes an approver.")
    } else if own_job {
        Some("You dispatched the job that asks. Somebody else has to answer.")
    } else if info.record.request.approver == Approver::Local {
        Some("The policy wants an answer from somebody at the machine itself.")
    } else if !info.answerable && late {
        Some("No answer counts any more.")
    } else if !info.answerable {
        Some(
            "The host's owner has not allowed answers from here, so the host would take none. It can be answered at the \
             machine or on a paired device. The owner can allow it in the host's configuration.",
        )
    } else {
        None
    }
}

/// What became of a question, in a sentence.
fn ending(info: &ApprovalInfo, who: Who) -> String {
    let answer = info.record.answer.as_ref();
    let by = answer.map(|answer| {
        // Whose proposal it was, where it came from here.
        let here = info.proposals.iter().find(|proposal| proposal.outcome == ProposalOutcome::Accepted);
        here.map_or_else(|| who.is(&answer.decided_by), |proposal| proposal.by_name.clone())
    });
    let mut said = match (info.record.state, by) {
        (ApprovalState::Pending, _) => "It waits.".to_owned(),
        (ApprovalState::Approved, Some(by)) => format!("Approved by {by}"),
        (ApprovalState::Denied, Some(by)) => format!("Denied by {by}"),
        (ApprovalState::Approved, None) => "Approved".to_owned(),
        (ApprovalState::Denied, None) => "Denied".to_owned(),
        (ApprovalState::Expired, _) => "Nobody answered in time, so it was denied.".to_owned(),
        (ApprovalState::Cancelled, _) => "The task ended before anybody answered.".to_owned(),
    };
    if let Some(reason) = answer.and_then(|answer| answer.reason.as_deref()) {
        said.push_str(&format!(": “{reason}”"));
    }
    visible::line(&said, Marks::Missing).into_owned()
}

/// Names of hosts, asked once.
fn hosts_by_id() -> Signal<Vec<AgentInfo>> {
    let known = Poll::once(|| async {
        api::get::<ListAgents>(&[], &PageQuery { limit: Some(500), next_token: None }).await
    });
    Signal::derive(move || known.now.get().map(|page| page.items).unwrap_or_default())
}

fn host_name(hosts: &[AgentInfo], info: &ApprovalInfo) -> String {
    hosts
        .iter()
        .find(|host| host.agent_id == info.agent_id)
        .map_or_else(|| info.agent_id.to_string(), hosts::name)
}

/// The lists.
#[component]
pub(crate) fn Approvals() -> impl IntoView {
    let central = Central::take();
    Who::provide();
    let hosts = hosts_by_id();
    let waiting = central.waiting.get_untracked();
    let waits = waiting.map(|poll| {
        let ids = Memo::new(move |_| {
            poll.now.with(|now| now.as_ref().map(|now| now.iter().map(|info| info.record.request.approval_id.clone()).collect::<Vec<_>>()))
        });
        // A card keeps what was typed in it and where the focus is, whatever happens to the others.
        let card = move |id: ApprovalId| {
            let info = Memo::new(move |before: Option<&Option<ApprovalInfo>>| {
                let found = poll.now.with(|now| {
                    now.as_ref()?.iter().find(|info| info.record.request.approval_id == id).cloned()
                });
                found.or_else(|| before.cloned().flatten())
            });
            view! { <Card tone=Tone::Plain><Question info hosts again=move || poll.again()/></Card> }
        };
        let none = move || {
            ids.with(|ids| ids.as_ref().is_some_and(Vec::is_empty)).then(|| view! {
                <Card><Empty title="Nothing waits for a person">
                    <p>"When a host wants to do something that the policy asks about, the question appears here with exactly what would happen. Whoever answers first, here or at the machine, decides."</p>
                </Empty></Card>
            })
        };
        view! {
            <State poll what="what waits"/>
            {none}
            <div class="asks-list">
                <For each=move || ids.get().unwrap_or_default() key=|id| id.clone() children=card/>
            </div>
        }
    });
    view! {
        <Page title="Approvals">
            <Section title="Waiting">{waits}</Section>
            <Answered hosts/>
        </Page>
    }
}

/// Those that do not wait any more, newest first.
#[component]
fn Answered(hosts: Signal<Vec<AgentInfo>>) -> impl IntoView {
    let all = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        let query = ApprovalQuery { limit, next_token, ..ApprovalQuery::default() };
        api::get::<ListCentralApprovals>(&[], &query).await
    });
    let none = || view! { <p class="soft">"Nothing was answered yet."</p> };
    let settled = |info: &ApprovalInfo| info.record.state != ApprovalState::Pending;
    let row = move |info: &ApprovalInfo| hosts.with(|hosts| answered_row(info, hosts));
    let list = all.shown("what was answered", none, settled, row);
    view! { <Section title="Answered">{list}</Section> }
}

fn answered_row(info: &ApprovalInfo, hosts: &[AgentInfo]) -> View {
    let request = &info.record.request;
    let title = visible::line(&request.action_summary, Marks::Written).into_owned();
    let detail = format!("{} · {}", host_name(hosts, info), ending(info, Who::take()));
    let href = Route::Approval(request.approval_id.clone()).href();
    let at = info.settled_at.unwrap_or(info.received_at);
    let state = words::approval(info.record.state);
    view! {
        <Row title detail href wrap=true>
            <span class="small"><Ago at/></span>
            {pill(state)}
        </Row>
    }
}

/// One question.
#[component]
pub(crate) fn Approval(id: ApprovalId) -> impl IntoView {
    Who::provide();
    let hosts = hosts_by_id();
    let info = Poll::start(move || {
        let id = id.clone();
        async move { api::get::<GetApproval>(&[id.as_str()], &Nothing {}).await }
    });
    let known = Memo::new(move |_| info.now.get());
    let here = Memo::new(move |_| known.with(Option::is_some));
    view! {
        <Page title="Approval" back=Route::Approvals>
            <State poll=info what="the question"/>
            <h2 class="unseen">"The question"</h2>
            {move || here.get().then(|| view! {
                <Card><Question info=known hosts again=move || info.again()/></Card>
            })}
        </Page>
    }
}

/// A question: what will happen, on whose behalf, until when, and the answer.
#[component]
fn Question(
    info: Memo<Option<ApprovalInfo>>,
    hosts: Signal<Vec<AgentInfo>>,
    #[prop(into)] again: Callback<()>,
) -> impl IntoView {
    let whole = RwSignal::new(false);
    // What is asked never changes under its id.
    let body = info.get_untracked().map(|info| body(&info.record.request, whole));
    let place = move || {
        info.get().map(|info| {
            let session = Route::Session(info.record.request.session_id.clone()).href();
            let host = Route::Host(info.agent_id.clone()).href();
            let name = hosts.with(|hosts| host_name(hosts, &info));
            view! {
                <p class="soft">
                    "On "<a href=host>{name}</a>" · "<a href=session>"the session"</a>" · asked "<Ago at=info.record.request.requested_at/>
                </p>
            }
        })
    };
    view! {
        <article class="ask">
            {body}
            {place}
            <Proposals info/>
            <Answer info whole again/>
        </article>
    }
}

/// Exactly what will happen, and where.
fn body(request: &ApprovalRequest, whole: RwSignal<bool>) -> View {
    let tone = asks::tone(request);
    let (content, reasons) = (asks::content(request, whole), asks::reasons(request));
    let (title, level) = (ask_words::title(request), risk(request.risk_level));
    let hidden = hidden_lines(request);
    let more = move || {
        (hidden > 0 && !whole.get()).then(|| {
            view! {
                <div class="ask-hidden">
                    <p>{format!("{hidden} lines are not shown.")}</p>
                    <Button on_press=move || whole.set(true)>"Show all of it"</Button>
                </div>
            }
        })
    };
    view! {
        <div class="ask-body">
            <div class="ask-head">
                <h3 class="ask-title">{title}</h3>
                <Pill tone>{level}</Pill>
            </div>
            {content}
            {more}
            {reasons}
        </div>
    }
}

/// What was proposed from here, and what the host made of it.
#[component]
fn Proposals(info: Memo<Option<ApprovalInfo>>) -> impl IntoView {
    let clock = Clock::take();
    let proposals = Memo::new(move |_| {
        info.with(|info| info.as_ref().map(|info| info.proposals.clone()).unwrap_or_default())
    });
    let list = move || {
        let one = |proposal: Proposal| {
            let said = words::proposal(
                &proposal.by_name,
                proposal.decision,
                proposal.outcome,
                proposal.refusal.as_deref(),
            );
            let reason = proposal.reason.as_deref().map(|reason| format!(" “{reason}”")).unwrap_or_default();
            let said = visible::line(&format!("{said}{reason}"), Marks::Missing).into_owned();
            view! { <li title=exact(proposal.at, clock.zone())>{said}</li> }
        };
        proposals.get().into_iter().map(one).collect_view()
    };
    view! { <div role="status"><ul class="ask-reasons" aria-label="Proposed from here">{list}</ul></div> }
}

/// Deny and approve; why not, where it cannot be answered here; what it came to, where it was answered.
#[component]
fn Answer(info: Memo<Option<ApprovalInfo>>, whole: RwSignal<bool>, again: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let who = Who::take();
    let busy = RwSignal::new(false);
    let reason = RwSignal::new(String::new());
    let state = Memo::new(move |_| info.with(|info| info.as_ref().map(|info| info.record.state)));
    let own_job = own_job(info);
    let late = Memo::new(move |_| {
        info.with(|info| info.as_ref().is_some_and(|info| clock.now() >= info.record.request.deadline))
    });
    let obstacle = Memo::new(move |_| {
        info.with(|info| obstacle(info.as_ref()?, central.may(Role::Approver), own_job.get(), late.get()))
    });
    // On its way to the host, or taken there: that the question has ended is told a moment later.
    let under_way = |one: &Proposal| matches!(one.outcome, ProposalOutcome::Sent | ProposalOutcome::Accepted);
    let sent = Memo::new(move |_| {
        info.with(|info| info.as_ref().is_some_and(|info| info.proposals.iter().any(under_way)))
    });
    let propose = move |decision: Decision| {
        let Some(id) =
            info.with_untracked(|info| info.as_ref().map(|info| info.record.request.approval_id.clone()))
        else {
            return;
        };
        let said = Some(reason.get_untracked().trim().to_owned()).filter(|said| !said.is_empty());
        let body = DecisionRequest { decision, reason: said };
        let what = async move { api::call::<ProposeDecision>(&[id.as_str()], &Nothing {}, &body).await };
        central.tell_or(
            busy,
            what,
            move |_| again.run(()),
            move |failed| {
                central.warn(failed.said);
                again.run(());
            },
        );
    };
    let request = move || info.get().map(|info| info.record.request);
    let times = move || {
        let request = request()?;
        let total = request.deadline.millis_since(request.requested_at) as f64;
        let until = request.deadline.as_millis() as f64;
        Some(match late.get() {
            false => {
                view! { <Countdown until_ms=until total_ms=total before="Answer within" after="else it is denied."/> }
            }
            true => {
                view! { <p class="ask-over">"Its time is up. The host counts it as denied; central has not heard of it yet."</p> }
            }
        })
    };
    let hidden = Memo::new(move |_| {
        info.with(|info| info.as_ref().map_or(0, |info| hidden_lines(&info.record.request)))
    });
    let unseen = Signal::derive(move || hidden.get() > 0 && !whole.get());
    let label = move || request().map(|request| ask_words::approve_label(&request)).unwrap_or("Approve");
    let waits = move || {
        let fixed = obstacle.get();
        let buttons = fixed.is_none().then(|| view! {
            <Field label="Why (if you like)" value=reason max=500/>
            <div class="buttons">
                <Button kind=Kind::Danger consequential=true busy disabled=sent on_press=move || propose(Decision::Denied)>"Deny"</Button>
                <Button
                    kind=Kind::Primary
                    consequential=true
                    busy
                    disabled=Signal::derive(move || sent.get() || unseen.get())
                    on_press=move || propose(Decision::Approved)
                >{label}</Button>
            </div>
            <p class="soft">"This is a proposal: the host checks it against what would really run, and the first answer counts."</p>
        });
        view! { {times} {fixed.map(|why| view! { <p class="ask-over">{why}</p> })} {buttons} }
    };
    move || match state.get() {
        Some(ApprovalState::Pending) => view! { <div class="ask-answer-here">{waits}</div> },
        Some(_) => {
            let said = info.get().map(|info| sentence(&ending(&info, who))).unwrap_or_default();
            view! { <p class="ask-over" role="status">{said}</p> }
        }
        None => View::none(),
    }
}

/// Whether the person dispatched the job that asks: such a one never approves it.
fn own_job(info: Memo<Option<ApprovalInfo>>) -> Signal<bool> {
    use lanyard_governance_api::endpoint::GetJob;
    let central = Central::take();
    let job = info.with_untracked(|info| info.as_ref().and_then(|info| info.job_id.clone()));
    let Some(job) = job else { return Signal::stored(false) };
    let found = Poll::once(move || {
        let job = job.clone();
        async move { api::get::<GetJob>(&[job.as_str()], &Nothing {}).await }
    });
    Signal::derive(move || {
        let by = found.now.with(|now| now.as_ref().map(|job| job.created_by.clone()));
        by.is_some_and(|by| central.me().is_some_and(|me| me.user_id == by))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_that_ran_out_is_not_laid_at_its_owners_door() {
        let info = |answerable: bool| -> ApprovalInfo {
            let request = json!({
                "approvalId": "a", "workspaceId": "w", "sessionId": "s", "taskId": "t", "stepId": "st", "toolCallId": "c",
                "toolName": "RunCommand", "capability": "Shell.Exec", "title": "Run this?", "actionSummary": "make",
                "riskLevel": "high", "reasons": [], "detail": { "other": { "text": "make" } }, "sandboxLevel": "full",
                "layer": "central", "approver": "any", "maxRemember": "once", "rememberScope": "", "initiator": "p",
                "requestedAt": "2026-02-21T15:04:22.000Z", "deadline": "2026-02-21T15:09:22.000Z", "policyEpoch": 1,
            });
            serde_json::from_value(json!({
                "record": { "request": request, "state": "pending" }, "agentId": "agent_1", "answerable": answerable,
                "receivedAt": "2026-02-21T15:04:23.000Z", "proposals": [],
            }))
            .unwrap()
        };
        let why = |answerable, late| obstacle(&info(answerable), true, false, late);
        assert_eq!(why(true, false), None);
        assert_eq!(why(true, true), None, "only this machine's clock says so");
        assert!(why(false, false).is_some_and(|why| why.contains("owner has not allowed")));
        assert_eq!(why(false, true), Some("No answer counts any more."));
        assert!(obstacle(&info(true), false, false, false).is_some_and(|why| why.contains("Your role")));
        assert!(obstacle(&info(true), true, true, false).is_some_and(|why| why.contains("You dispatched")));
    }
}
