//! Dispatching a job: a host that takes them, a tool, its arguments, and where it works.

use lanyard_governance_api::agent::{AgentInfo, AgentState};
use lanyard_governance_api::endpoint::{CreateJob, ListAgents};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::job::NewJob as Order;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_protocol::Json;
use lanyard_protocol::id::CommandId;
use lanyard_web_ui::{
    Button, Card, Choice, ChoiceItem, Code, Empty, Field, Kind, Problem, Section, Select, Switch, TextArea,
};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use super::arguments::{self, Form, Typed};
use crate::api::{self, Failed};
use crate::central::Central;
use crate::pages::hosts;
use crate::parts::loaded;
use crate::poll::Poll;
use crate::route::{Route, Routes};
use crate::shell::Page;
use crate::words;

/// Times after which an unclaimed job expires, in seconds.
const PATIENCE: [u32; 4] = [60, 600, 3_600, 86_400];

/// Why a host takes no job now; none where it does.
fn obstacle(host: &AgentInfo) -> Option<&'static str> {
    match (&host.heartbeat, host.state) {
        (_, AgentState::Revoked) => Some("It is revoked."),
        (Some(beat), _) if !beat.accepts_jobs => Some(
            "Its owner has not allowed jobs. That is switched on in the host's configuration, at the machine.",
        ),
        (_, AgentState::Offline | AgentState::Stale) | (None, _) => {
            Some("It is not online. Jobs go to hosts that are there.")
        }
        (Some(_), AgentState::Online) => None,
    }
}

/// See the module.
#[component]
pub(crate) fn NewJob(
    /// The host to begin with.
    host: Option<AgentId>,
) -> impl IntoView {
    let central = Central::take();
    let body = move || match central.may(Role::Admin) {
        true => view! { <Chosen host=host.clone()/> },
        false => view! { <p class="soft">"Dispatching jobs takes an admin."</p> },
    };
    view! { <Page title="Dispatch a job" back=Route::Jobs>{body}</Page> }
}

#[component]
fn Chosen(host: Option<AgentId>) -> impl IntoView {
    let hosts = Poll::once(|| async {
        api::get::<ListAgents>(&[], &PageQuery { limit: Some(500), next_token: None })
            .await
            .map(|page| page.items)
    });
    loaded(hosts, "the hosts", move |hosts| {
        let hosts: Vec<_> = hosts.into_iter().filter(|host| host.state != AgentState::Revoked).collect();
        if hosts.is_empty() {
            return view! {
                <Card><Empty title="There is no host to work">
                    <p>"Enrol one first."</p>
                    <a class="button" href=Route::Enrolment.href()>"Make a token"</a>
                </Empty></Card>
            };
        }
        view! { <Dispatch hosts first=host.clone()/> }
    })
}

#[component]
fn Dispatch(hosts: Vec<AgentInfo>, first: Option<AgentId>) -> impl IntoView {
    let usable = hosts.iter().find(|host| obstacle(host).is_none()).or(hosts.first());
    let chosen = first.filter(|id| hosts.iter().any(|host| host.agent_id == *id));
    let host = RwSignal::new(chosen.or_else(|| usable.map(|host| host.agent_id.clone())));
    let options = hosts.iter().map(|one| {
        let note = if obstacle(one).is_some() { " (takes no jobs now)" } else { "" };
        ChoiceItem::new(Some(one.agent_id.clone()), format!("{}{note}", hosts::name(one)))
    });
    let options: Vec<_> = options.collect();
    let hosts = StoredValue::new(hosts);
    let current = Memo::new(move |_| {
        let id = host.get();
        hosts.with_value(|hosts| hosts.iter().find(|one| Some(&one.agent_id) == id.as_ref()).cloned())
    });
    let reason = move || current.with(|host| host.as_ref().and_then(obstacle));
    let workspaces = Memo::new(move |_| {
        current
            .with(|host| {
                host.as_ref().and_then(|host| host.heartbeat.as_ref()).map(|beat| beat.workspaces.clone())
            })
            .unwrap_or_default()
    });
    view! {
        <Section title="Where">
            <Card>
                <div class="stack">
                    <Select label="Host" options value=host on_change=move |chosen| host.set(chosen)/>
                    {move || reason().map(|why| view! { <Problem waits=true title="This host takes no job now" meaning=why/> })}
                </div>
            </Card>
        </Section>
        <What host workspaces blocked=Signal::derive(move || reason().is_some())/>
    }
}

/// What is filled in about the tool. `Copy`: handles to signals.
#[derive(Debug, Clone, Copy)]
struct Filled {
    form: RwSignal<Form>,
    tool: RwSignal<String>,
    json: RwSignal<String>,
    command: RwSignal<String>,
    shell: RwSignal<bool>,
    cwd: RwSignal<String>,
    seconds: RwSignal<String>,
    path: RwSignal<String>,
}

impl Filled {
    fn new() -> Self {
        let text = || RwSignal::new(String::new());
        Self {
            form: RwSignal::new(Form::RunCommand),
            tool: text(),
            json: text(),
            command: text(),
            shell: RwSignal::new(false),
            cwd: text(),
            seconds: text(),
            path: text(),
        }
    }

    /// The tool and its arguments; a sentence where something is missing. Follows.
    fn arguments(self) -> Result<(String, serde_json::Value), String> {
        let typed = Typed {
            tool: self.tool.get(),
            json: self.json.get(),
            command: self.command.get(),
            shell: self.shell.get(),
            cwd: self.cwd.get(),
            seconds: self.seconds.get(),
            path: self.path.get(),
        };
        arguments::of(self.form.get(), &typed)
    }
}

/// The job itself.
#[component]
fn What(
    host: RwSignal<Option<AgentId>>,
    workspaces: Memo<Vec<String>>,
    blocked: Signal<bool>,
) -> impl IntoView {
    let filled = Filled::new();
    let (title, below) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let workspace = RwSignal::new(None::<String>);
    let patience = RwSignal::new(3_600_u32);
    let tried = RwSignal::new(false);
    Effect::new(move |_| {
        let known = workspaces.get();
        workspace.set(known.first().cloned());
    });
    let order = Signal::derive(move || {
        let (tool_name, value) = filled.arguments().ok()?;
        let root = workspace.get()?;
        let extra = below.get();
        let place = match extra.trim() {
            "" => root,
            extra => format!("{}/{extra}", root.trim_end_matches('/')),
        };
        let named = title.get().trim().to_owned();
        Some(Order {
            agent_id: host.get()?,
            title: if named.is_empty() { tool_name.clone() } else { named },
            tool_name,
            arguments: Json(value),
            workspace: place,
            // One key for one dispatch: pressing again after an answer was lost makes no second job, and what differs is
            // another job.
            idempotency_key: CommandId::new(api::fresh_key()).ok()?,
            expires_in_seconds: Some(patience.get()),
        })
    });
    let order = Memo::new_with_compare(move |_| order.get(), |_, _| true);
    let places = Signal::derive(move || {
        workspaces
            .get()
            .into_iter()
            .map(|place| ChoiceItem::new(Some(place.clone()), place))
            .collect::<Vec<_>>()
    });
    let times = PATIENCE.map(|seconds| ChoiceItem::new(seconds, words::seconds(seconds.into()))).to_vec();
    let none = move || {
        (workspaces.with(Vec::is_empty) && !blocked.get()).then(|| view! {
            <Problem waits=true title="The host names no directory for jobs" meaning="Its owner lists the directories in which jobs may work in the host's configuration."/>
        })
    };
    let stuck = Signal::derive(move || blocked.get() || workspace.with(Option::is_none));
    view! {
        <Section title="What">
            <Card>
                <div class="stack">
                    <Arguments filled/>
                    {none}
                    <Select label="Workspace" options=places value=workspace on_change=move |chosen| workspace.set(chosen) hint="One of the directories that the host's owner has named for jobs."/>
                    <Field label="Directory below it" value=below max=1000 hint="Empty: that directory itself."/>
                    <Field label="What it is for" value=title max=200 hint="Shown to whoever is asked to approve it."/>
                    <Select label="Expires unless claimed within" options=times value=patience on_change=move |chosen| patience.set(chosen)/>
                    <Preview filled tried/>
                    <Send order tried blocked=stuck/>
                </div>
            </Card>
        </Section>
    }
}

/// The fields of a tool.
#[component]
fn Arguments(filled: Filled) -> impl IntoView {
    let Filled { form, tool, json, command, shell, cwd, seconds, path } = filled;
    let forms = vec![
        ChoiceItem::new(Form::RunCommand, "Run a command"),
        ChoiceItem::new(Form::ReadFile, "Read a file"),
        ChoiceItem::new(Form::GitStatus, "Git status"),
        ChoiceItem::new(Form::Other, "Other tool"),
    ];
    let fields = move || match form.get() {
        Form::RunCommand => view! {
            <Field label="Command" value=command max=4000 placeholder="cargo test" hint="Program and arguments; quotes keep words together."/>
            <Switch label="Let a shell run it" hint="Pipes, variables and wildcards work then; approvers see the text." on=shell on_change=move |on| shell.set(on)/>
            <Field label="Directory it starts in" value=cwd max=1000 hint="Within the workspace. Empty: the workspace itself."/>
            <Field label="Longest run, seconds" value=seconds keyboard="numeric" max=4 hint="Empty: 120."/>
        },
        Form::ReadFile => {
            view! { <Field label="File" value=path max=1000 placeholder="README.md" hint="Within the workspace."/> }
        }
        Form::GitStatus => {
            view! { <Field label="Repository" value=path max=1000 hint="Within the workspace. Empty: the workspace itself."/> }
        }
        Form::Other => view! {
            <Field label="Tool" value=tool max=200/>
            <TextArea label="Arguments as JSON" value=json rows=4 placeholder="{ \"path\": \"src\" }"/>
        },
    };
    view! {
        <Choice label="Tool" options=forms value=form on_change=move |chosen| form.set(chosen)/>
        {fields}
    }
}

/// What the tool gets, or what is missing.
#[component]
fn Preview(filled: Filled, tried: RwSignal<bool>) -> impl IntoView {
    move || match filled.arguments() {
        Ok((tool, value)) => {
            let text = serde_json::to_string_pretty(&value).unwrap_or_default();
            view! { <p class="soft">{tool}" gets exactly this:"</p><Code text=text/> }
        }
        Err(why) if tried.get() => view! { <p class="bad-words" role="alert">{why}</p> },
        Err(_) => View::none(),
    }
}

/// The button, and why central did not take it.
#[component]
fn Send(order: Memo<Option<Order>>, tried: RwSignal<bool>, blocked: Signal<bool>) -> impl IntoView {
    let (central, routes) = (Central::take(), Routes::take());
    let busy = RwSignal::new(false);
    let failed = RwSignal::new(None::<Failed>);
    let send = move || {
        tried.set(true);
        let Some(order) = order.get_untracked() else { return };
        failed.set(None);
        let what = async move { api::call::<CreateJob>(&[], &Nothing {}, &order).await };
        central.tell_or(
            busy,
            what,
            move |job| routes.go(&Route::Job(job.job_id)),
            move |why| failed.set(Some(why)),
        );
    };
    view! {
        {move || failed.get().map(|failed| view! { <Problem title="It was not dispatched" meaning=failed.said code=failed.code/> })}
        <Button kind=Kind::Primary consequential=true busy disabled=blocked on_press=send>"Dispatch"</Button>
        <p class="soft">"It goes through the machine's own policy, this policy, and approvals. You cannot approve your own job."</p>
    }
}
