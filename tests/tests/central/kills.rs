//! SIGKILL of the host, of central and of PostgreSQL, cuts of the network, wrong clocks, replicas: what arrives is what
//! happened, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::approval::ApprovalQuery;
use lanyard_governance_api::audit::VerifyQuery;
use lanyard_governance_api::endpoint::{ListCentralApprovals, ListEvents, VerifyAudit};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::session::EventQuery;
use lanyard_protocol::approval::{ApprovalState, Decision};
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{ApproveAction, GetSessionState, ListApprovals};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{Installation, Records, RoundRobin, until};
use lanyard_tests::gateway::{Script, calls, say};
use lanyard_tests::host::{Connection, TestHost};
use serde_json::{Value, json};

/// Rounds of a storm; LANYARD_LONG=1 for hundreds.
fn rounds(few: u64) -> u64 {
    if std::env::var_os("LANYARD_LONG").is_some() { 300 } else { few }
}

fn policy() -> Value {
    document(json!([
        {"name": "LLM.Call", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "File.Write", "allowedPaths": ["${workspace}"], "requiresApproval": true, "approvalRuleId": "ask"},
    ]))
}

/// Two reads and a write a task; the write asks.
fn busy() -> Script {
    Script::by(|request| match request.messages().last().map(|message| message["role"] == "tool") {
        Some(true) => say("done"),
        _ => calls(&[
            ("ReadFile", json!({"path": "notes.txt"})),
            ("ListDirectory", json!({"path": "."})),
            ("WriteFile", json!({"path": "out.txt", "content": "written\n"})),
        ]),
    })
}

/// Somebody at the machine who says yes to everything, whatever happens to the host meanwhile.
struct Yes {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Yes {
    fn at(state_dir: std::path::PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                // The host may be dead at any moment; the next look finds the question again.
                let _ = answer_all(&state_dir).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, task }
    }

    async fn ends(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await?)
    }
}

async fn answer_all(state_dir: &std::path::Path) -> Result<()> {
    let manifest: Value = serde_json::from_slice(&std::fs::read(state_dir.join("server.json"))?)?;
    let socket = manifest["socket"].as_str().context("no socket")?;
    let mut peer = Connection::open(std::path::Path::new(socket)).await?;
    let waiting =
        peer.call(ListApprovals { session_id: None, include_settled: false, limit: Some(500) }).await?;
    for record in waiting.approvals {
        let request = record.request;
        peer.try_call(ApproveAction {
            session_id: request.session_id,
            approval_id: request.approval_id,
            decision: Decision::Approved,
            remember: Remember::Once,
            reason: None,
            command_id: None,
        })
        .await?
        .ok();
    }
    Ok(())
}

/// Whether nothing runs in a session any more.
async fn quiet(host: &TestHost, session: &SessionId) -> Result<bool> {
    let mut peer = host.connect().await?;
    let state = peer.call(GetSessionState { session_id: session.clone() }).await?;
    Ok(state.task_id.is_none())
}

async fn whole_timeline(team: &Team, session: &SessionId) -> Result<Vec<SessionEvent>> {
    let mut all = Vec::new();
    loop {
        let query = EventQuery { after: Some(all.len() as u64), limit: Some(500) };
        let page = team.admin.call::<ListEvents>(&[session.as_str()], &query, &Nothing {}).await?;
        if page.events.is_empty() {
            return Ok(all);
        }
        all.extend(page.events);
    }
}

/// What the host has on record is what the centre has, each once.
async fn equal(team: &Team, sessions: &[SessionId]) -> Result<()> {
    team.everything_sent().await?;
    let mut peer = team.host.connect().await?;
    let mut finished = BTreeSet::new();
    for session in sessions {
        let here = lanyard_tests::stage::history(&mut peer, session).await?;
        let there = until("the timeline is whole", || async {
            let there = whole_timeline(team, session).await?;
            Ok((there.len() >= here.len()).then_some(there))
        })
        .await?;
        ensure!(here == there, "session {session}: {} events here, {} there", here.len(), there.len());
        finished.extend(here.iter().filter_map(|event| match &event.body {
            EventBody::ToolCompleted(done) => Some(done.result.tool_call_id.to_string()),
            _ => None,
        }));
    }
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for record in team.audited(None).await? {
        ensure!(
            ids.insert(record.event.event_id.to_string()),
            "audit record {} twice",
            record.event.event_id
        );
        if record.event.event_type == "tool_completed"
            && let Some(call) = &record.event.tool_call_id
        {
            *told.entry(call.to_string()).or_default() += 1;
        }
    }
    let lost: Vec<_> = finished.iter().filter(|call| !told.contains_key(*call)).collect();
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(lost.is_empty() && twice.is_empty(), "lost {lost:?}, more than once {twice:?}");
    approvals_equal(team, &mut peer).await?;
    let proof = team.admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await?;
    ensure!(proof.whole, "{proof:?}");
    Ok(())
}

async fn approvals_equal(team: &Team, peer: &mut Connection) -> Result<()> {
    let here = peer
        .call(ListApprovals { session_id: None, include_settled: true, limit: Some(500) })
        .await?
        .approvals;
    let here: BTreeMap<String, ApprovalState> =
        here.into_iter().map(|record| (record.request.approval_id.to_string(), record.state)).collect();
    let mut there = BTreeMap::new();
    let mut query = ApprovalQuery { limit: Some(500), ..ApprovalQuery::default() };
    loop {
        let page = team.admin.call::<ListCentralApprovals>(&[], &query, &Nothing {}).await?;
        for known in page.items {
            let id = known.record.request.approval_id.to_string();
            ensure!(there.insert(id.clone(), known.record.state).is_none(), "approval {id} twice");
        }
        match page.next_token {
            Some(token) => query.next_token = Some(token),
            None => break,
        }
    }
    let missing: Vec<_> = here.iter().filter(|(id, state)| there.get(*id) != Some(*state)).collect();
    ensure!(missing.is_empty(), "approvals that are otherwise at the centre: {missing:?}");
    Ok(())
}

/// Starts a task in a session of its own; with a dead host, again.
async fn begin(host: &TestHost) -> Result<Option<SessionId>> {
    let Ok(mut peer) = host.connect().await else { return Ok(None) };
    let Ok(opened) = peer.session(&host.workspace()).await else { return Ok(None) };
    // It may be killed right now: the session is on record either way.
    let _ = peer.start(&opened.session_id, "go", TaskOptions::default()).await;
    Ok(Some(opened.session_id))
}

#[tokio::test]
async fn a_storm_of_kills_loses_nothing_and_doubles_nothing() -> Result<()> {
    let mut team = Team::start(Installation::prepare_with_own_postgres()?, busy()).await?;
    team.put_in_force(&policy()).await?;
    std::fs::write(team.host.workspace().join("notes.txt"), "notes\n")?;
    let robot = Yes::at(team.host.state_dir());
    let mut sessions = Vec::new();
    for round in 0..rounds(6) {
        sessions.extend(begin(&team.host).await?);
        // Spread over the length of a task, in an order that does not depend on a random source.
        tokio::time::sleep(Duration::from_millis((round * 37 + 11) % 400)).await;
        match round % 3 {
            0 => {
                team.central.kill(0).await?;
                sessions.extend(begin(&team.host).await?);
                team.central.revive(0).await?;
            }
            1 => {
                team.host.kill().await?;
                team.host.boot().await?;
            }
            _ => team.central.kill_database()?,
        }
    }
    for session in &sessions {
        until("the task ends", || async { Ok(quiet(&team.host, session).await?.then_some(())) }).await?;
    }
    ensure!(!sessions.is_empty());
    let compared = equal(&team, &sessions).await;
    robot.ends().await?;
    compared.with_context(|| format!("the host said:\n{}", tail(&team.host.log())))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[tokio::test]
async fn a_cut_network_is_made_up_for_and_replicas_share_the_work() -> Result<()> {
    let mut central = Installation::prepare(Records::Postgres)?;
    let gateway = lanyard_tests::gateway::ScriptedGateway::start(busy());
    central.flag(&["--llm-endpoint", &gateway.url(), "--llm-model", "scripted"]);
    central.add().await?;
    central.add().await?;
    let proxy =
        RoundRobin::before(vec![central.replica(0).address()?, central.replica(1).address()?]).await?;
    let admin = central.operator().await?;
    let host = TestHost::start().await?;
    let agent = lanyard_tests::central::team::enrol(&host, &admin, &proxy.url()).await?;
    let mut team = Team { central, gateway, host, admin, agent };
    team.put_in_force(&policy()).await?;
    std::fs::write(team.host.workspace().join("notes.txt"), "notes\n")?;
    let mut sessions: Vec<SessionId> = begin(&team.host).await?.into_iter().collect();
    proxy.cut();
    // Until here nobody has agreed to the write: the task cannot have ended before the network was cut.
    let robot = Yes::at(team.host.state_dir());
    let offline = sessions[0].clone();
    until("the task goes on without the centre", || async {
        Ok(quiet(&team.host, &offline).await?.then_some(()))
    })
    .await?;
    let waiting = team.status().await?.waiting;
    ensure!(waiting.audit_records > 0 || waiting.events > 0, "nothing waits although the network is cut");
    proxy.mend();
    sessions.extend(begin(&team.host).await?);
    // One replica is enough.
    team.central.kill(1).await?;
    sessions.extend(begin(&team.host).await?);
    for session in &sessions {
        until("the task ends", || async { Ok(quiet(&team.host, session).await?.then_some(())) }).await?;
    }
    let compared = equal(&team, &sessions).await;
    robot.ends().await?;
    compared.with_context(|| format!("the host said:\n{}", tail(&team.host.log())))
}

/// Central's clock, not the host's, is moved: what differs is the same.
async fn skewed(seconds: &str) -> Result<()> {
    let mut central = Installation::prepare(Records::Sqlite)?;
    central.set("LANYARD_CENTRAL_CLOCK_OFFSET_SECONDS", seconds);
    let team = Team::start(central, busy()).await?;
    team.put_in_force(&policy()).await?;
    std::fs::write(team.host.workspace().join("notes.txt"), "notes\n")?;
    let robot = Yes::at(team.host.state_dir());
    let session = begin(&team.host).await?.context("no session")?;
    until("the task ends", || async { Ok(quiet(&team.host, &session).await?.then_some(())) }).await?;
    let compared = equal(&team, &[session]).await;
    robot.ends().await?;
    let link = team.status().await?.enrolment.context("enrolled")?;
    let wanted: i64 = -seconds.parse::<i64>()? * 1_000;
    ensure!((link.clock_ahead_millis - wanted).abs() < 60_000, "{link:?}");
    compared
}

#[tokio::test]
async fn a_clock_a_day_behind() -> Result<()> {
    skewed("86400").await
}

#[tokio::test]
async fn a_clock_a_day_ahead() -> Result<()> {
    skewed("-86400").await
}
