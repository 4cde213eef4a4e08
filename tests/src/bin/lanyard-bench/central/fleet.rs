//! Ten thousand hosts, simulated by as many enrolled keys and open long polls, confirm that a policy was revoked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::command::{Acknowledgement, CommandQuery, CommandResult, Order};
use lanyard_governance_api::endpoint::{
    AcknowledgeCommands, ActivatePolicy, CreateEnrolmentToken, PollCommands, RevokePolicy,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::RevokeRequest;
use lanyard_tests::central::{Admin, Installation, TestAgent, heartbeat};
use tokio::sync::{Barrier, Semaphore, mpsc};

use crate::table::{Samples, Table};

/// Simulated hosts. Each is a connection at both ends.
const HOSTS: usize = 10_000;

/// Requests under way at once while the fleet enrols.
const AT_ONCE: usize = 32;

pub(super) async fn measure(table: &mut Table, central: &Installation) -> Result<()> {
    open_files()?;
    let admin = central.operator().await?;
    let fleet = enrol(&admin).await?;
    let pid = central.replica(0).pid()?;
    // All of them poll, and have done so once.
    let waiting = Arc::new(Barrier::new(HOSTS + 1));
    let (told, mut confirmed) = mpsc::unbounded_channel();
    for agent in fleet {
        let (waiting, told) = (waiting.clone(), told.clone());
        tokio::spawn(async move {
            let done = confirm(&agent, &waiting).await.map(|()| Instant::now());
            // Nobody listens any more when the measurement failed.
            let _ = told.send(done);
        });
    }
    waiting.wait().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    table.memory(&format!("central: memory with {HOSTS} hosts waiting"), super::resident(pid)?, None)?;
    let before = super::processor(pid)?;
    let started = Instant::now();
    let reason = RevokeRequest { reason: "a measurement".to_owned() };
    admin.post::<RevokePolicy>(&[], &reason).await?;
    let mut times = Vec::with_capacity(HOSTS);
    while times.len() < HOSTS {
        let done = tokio::time::timeout(Duration::from_secs(120), confirmed.recv()).await?;
        times.push(done.context("a host ended")??.duration_since(started));
    }
    let last = times.iter().max().copied().unwrap_or_default();
    let busy = super::processor(pid)? - before;
    table.times(
        &format!("central: revocation to acknowledgement, {HOSTS} hosts"),
        &Samples::of(&times)?,
        None,
    );
    table.times("central: revocation to the last acknowledgement (≤ 1,000)", &Samples::of(&[last])?, None);
    table.number("central: processor for it", busy.as_secs_f64() * 1e3, "ms");
    admin.call::<ActivatePolicy>(&["1"], &Nothing {}, &Nothing {}).await?;
    Ok(())
}

/// As many as this user may have: each host is a connection at both ends, and central inherits the limit.
fn open_files() -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = u64::try_from(HOSTS)? + 2_000;
    ensure!(
        limit.maximum.is_none_or(|most| most >= wanted),
        "{HOSTS} hosts need {wanted} open files, and this user may have {:?}: raise `ulimit -Hn`",
        limit.maximum
    );
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).context("the limit of open files")
}

async fn enrol(admin: &Admin) -> Result<Vec<TestAgent>> {
    let (places, mut enrolling) = (Arc::new(Semaphore::new(AT_ONCE)), Vec::new());
    for thousand in 0..HOSTS / 1_000 {
        let wanted = NewEnrolmentToken {
            user_id: None,
            class: "simulated".to_owned(),
            note: None,
            expires_in_seconds: None,
            max_uses: Some(1_000),
        };
        let token = admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token;
        for number in 0..1_000 {
            let nobody = admin.as_somebody(None);
            let (token, places) = (token.clone(), places.clone());
            enrolling.push(tokio::spawn(async move {
                let _place = places.acquire_owned().await?;
                let name = format!("host-{thousand}-{number}");
                let key = TestAgent::fresh_key()?;
                let agent = TestAgent::enrol_as(nobody, &token, &name, key).await?;
                agent.beat(&heartbeat(&name)).await?;
                anyhow::Ok(agent)
            }));
        }
    }
    let mut fleet = Vec::with_capacity(HOSTS);
    for one in enrolling {
        fleet.push(one.await??);
    }
    Ok(fleet)
}

/// Waits for the revocation and confirms it.
async fn confirm(agent: &TestAgent, waiting: &Barrier) -> Result<()> {
    let id = agent.id().as_str();
    let mut after = 0;
    let mut query = CommandQuery { after: Some(after), wait_seconds: Some(0) };
    for command in agent.agent.call::<PollCommands>(&[id], &query, &Nothing {}).await?.commands {
        after = command.number;
    }
    waiting.wait().await;
    let until = Instant::now() + Duration::from_secs(180);
    while Instant::now() < until {
        query = CommandQuery { after: Some(after), wait_seconds: Some(25) };
        for command in agent.agent.call::<PollCommands>(&[id], &query, &Nothing {}).await?.commands {
            after = command.number;
            let results = vec![CommandResult { number: command.number, error: None }];
            agent.agent.post::<AcknowledgeCommands>(&[id], &Acknowledgement { results }).await?;
            if matches!(command.order, Order::PolicyEpoch { revoked: Some(_), .. }) {
                return Ok(());
            }
        }
    }
    ensure!(false, "a host heard nothing");
    Ok(())
}
