//! The usual stage of a scenario: a scripted gateway, a host behind it, a connection and a session.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::approval::{ApprovalRequest, Decision};
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::{ApprovalId, SessionId};
use lanyard_protocol::method::{
    ApprovalOutcome, ApproveAction, GetHistory, GetSessionState, Subscribe, TaskAccepted,
};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::session::{ApprovalMode, TaskOptions};

use crate::gateway::{Script, ScriptedGateway};
use crate::host::{Connection, HostOptions, PATIENCE, TestHost};

/// See the module.
#[derive(Debug)]
pub struct Stage {
    /// What the model says.
    pub gateway: ScriptedGateway,
    /// The host.
    pub host: TestHost,
    /// A connection subscribed to the session.
    pub peer: Connection,
    /// The session, in the host's own workspace.
    pub session: SessionId,
}

impl Stage {
    /// Sets it up.
    pub async fn with(script: impl Into<Script>) -> Result<Self> {
        Self::under(script, &[]).await
    }

    /// [`Stage::with`] further environment for the host.
    pub async fn under(script: impl Into<Script>, env: &[(&str, &str)]) -> Result<Self> {
        let gateway = ScriptedGateway::start(script);
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = HostOptions { gateway: Some(gateway.url()), env, ..HostOptions::default() };
        let host = TestHost::with(options).await?;
        let mut peer = host.connect().await?;
        let session = peer.session(&host.workspace()).await?.session_id;
        Ok(Self { gateway, host, peer, session })
    }

    /// Writes a file into the workspace.
    pub fn file(&self, name: &str, content: &str) -> Result<()> {
        Ok(std::fs::write(self.host.workspace().join(name), content)?)
    }

    /// Reads a file of the workspace.
    pub fn content(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.host.workspace().join(name)).with_context(|| name.to_owned())
    }

    /// Starts a task with default options.
    pub async fn start(&mut self, prompt: &str) -> Result<TaskAccepted> {
        self.peer.start(&self.session, prompt, TaskOptions::default()).await
    }

    /// Runs a task that asks nobody to its end.
    pub async fn run(&mut self, prompt: &str) -> Result<Vec<SessionEvent>> {
        self.peer.start(&self.session, prompt, unasked()).await?;
        self.peer.until_task_ends().await
    }

    /// A second connection that follows the session from a cursor.
    pub async fn follower(&self, after_seq: u64) -> Result<Connection> {
        let mut peer = self.host.connect().await?;
        peer.call(Subscribe { session_id: self.session.clone(), after_seq }).await?;
        Ok(peer)
    }

    /// Every durable event of the session, page by page.
    pub async fn history(&mut self) -> Result<Vec<SessionEvent>> {
        history(&mut self.peer, &self.session).await
    }
}

/// Options of a task that asks nobody.
pub fn unasked() -> TaskOptions {
    TaskOptions { approval_mode: ApprovalMode::Never, ..TaskOptions::default() }
}

/// Every durable event of a session, page by page.
pub async fn history(peer: &mut Connection, session: &SessionId) -> Result<Vec<SessionEvent>> {
    let mut events = Vec::new();
    let mut after_seq = Some(0);
    while after_seq.is_some() {
        let session_id = session.clone();
        let page = peer
            .call(GetHistory { session_id, after_seq, before_seq: None, limit: None, query: None })
            .await?;
        events.extend(page.events);
        after_seq = page.next_seq.filter(|_| page.has_more);
    }
    Ok(events)
}

/// Waits for something that must happen; the limit only turns a hang into a failure.
pub async fn eventually(what: &str, happened: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        ensure!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

impl Connection {
    /// The last number written in a session.
    pub async fn last_seq(&mut self, session: &SessionId) -> Result<u64> {
        Ok(self.call(GetSessionState { session_id: session.clone() }).await?.last_seq)
    }

    /// The next question, with the events before it dropped.
    pub async fn question(&mut self) -> Result<ApprovalRequest> {
        let seen = self.events_until(|body| matches!(body, EventBody::ApprovalRequested(_))).await?;
        match seen.into_iter().next_back().map(|event| event.body) {
            Some(EventBody::ApprovalRequested(asked)) => Ok(asked.approval),
            other => anyhow::bail!("expected a question, got {other:?}"),
        }
    }

    /// Answers a question.
    pub async fn answer(
        &mut self,
        session: &SessionId,
        approval: &ApprovalId,
        decision: Decision,
        remember: Remember,
    ) -> Result<ApprovalOutcome> {
        let (session_id, approval_id) = (session.clone(), approval.clone());
        self.call(ApproveAction {
            session_id,
            approval_id,
            decision,
            remember,
            reason: None,
            command_id: None,
        })
        .await
    }

    /// Approves a question, this once.
    pub async fn approve(&mut self, request: &ApprovalRequest) -> Result<ApprovalOutcome> {
        self.answer(&request.session_id, &request.approval_id, Decision::Approved, Remember::Once).await
    }
}

/// Checks that the numbered events among these are `first`, `first + 1`, … and returns how many there are.
pub fn gapless(events: &[SessionEvent], first: u64) -> Result<u64> {
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.seq).collect();
    let expected: Vec<u64> = (first..).take(numbers.len()).collect();
    ensure!(numbers == expected, "the events are numbered {numbers:?}");
    Ok(numbers.len() as u64)
}
