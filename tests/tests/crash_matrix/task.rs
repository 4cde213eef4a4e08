//! The task that is interrupted, and what must be true afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::{ApprovalId, SessionId, TaskId};
use lanyard_protocol::method::{ListApprovals, ListSessions, StartTask, Subscribe};
use lanyard_protocol::session::{TaskOptions, TaskState};
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::gateway::{Recorded, Script, ScriptedGateway, Turn, call, say};
use lanyard_tests::host::{Connection, HostOptions, TestHost};
use lanyard_tests::look;
use lanyard_tests::newcomer::{Signal, kill};
use lanyard_tests::stage::{gapless, history, unasked};
use serde_json::json;

const TASK: &str = "task-1";

/// Content large enough that a torn write would show.
const LINES: usize = 4_000;

/// How the first host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was killed.
    Killed,
    /// Its task completed first.
    Completed,
}

/// Whether a person is asked about the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nobody is.
    Unasked,
    /// One is, and says yes to everything.
    Asked,
}

/// A host that is interrupted in its task.
#[derive(Debug)]
pub(crate) struct CrashHost {
    host: TestHost,
    gateway: ScriptedGateway,
    mode: Mode,
    seen: Seen,
}

/// What a client was told before the blow.
#[derive(Debug, Default)]
struct Seen {
    session: Option<SessionId>,
    accepted: bool,
    events: Vec<SessionEvent>,
    /// Answers the host has acknowledged.
    approved: BTreeSet<ApprovalId>,
}

/// The next call follows from the results there are, so that a model asked twice says the same twice.
fn script(request: &Recorded) -> Turn {
    match request.tool_results().len() {
        0 => call("ReadFile", json!({"path": "input"})),
        1 => call("WriteFile", json!({"path": "written", "content": "line\n".repeat(LINES)})),
        2 => call("EditFile", json!({"path": "edited", "oldText": "before", "newText": "after"})),
        3 => call("RunCommand", json!({"argv": ["sh", "-c", "echo ran >> ran"]})),
        4 => call("MoveFile", json!({"path": "from", "newPath": "to"})),
        _ => say("all done"),
    }
}

impl CrashHost {
    pub(crate) fn new(mode: Mode) -> Result<Self> {
        let gateway = ScriptedGateway::start(Script::by(script));
        let host = TestHost::idle(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
        let work = host.workspace();
        std::fs::write(work.join("input"), "read me\n")?;
        std::fs::write(work.join("edited"), format!("before\n{}", "line\n".repeat(LINES)))?;
        std::fs::write(work.join("from"), "moved\n")?;
        Ok(Self { host, gateway, mode, seen: Seen::default() })
    }

    pub(crate) fn log(&self) -> String {
        self.host.log()
    }

    /// Runs the task in a host that kills itself at a point.
    pub(crate) async fn run_until(&mut self, fault: &str) -> Result<Fate> {
        self.host.options_mut().env = vec![("LANYARD_FAULT".to_owned(), fault.to_owned())];
        // The first commits come before anybody can connect; a host that dies there has acknowledged nothing.
        let fate = match self.host.boot().await {
            Err(_) => Fate::Killed,
            Ok(()) => match follow(&self.host, self.mode, &mut self.seen).await {
                Ok(()) => Fate::Completed,
                Err(_) => Fate::Killed,
            },
        };
        if fate == Fate::Killed {
            let status = self.host.wait().await?;
            ensure!(killed(status), "the host was not killed, it ended: {status}\n{}", self.host.log());
        }
        Ok(fate)
    }

    /// Runs the task and kills the host after a while.
    pub(crate) async fn run_for(&mut self, after: Duration) -> Result<Fate> {
        self.host.boot().await?;
        let pid = self.host.pid()?;
        let fate = {
            let following = follow(&self.host, self.mode, &mut self.seen);
            tokio::pin!(following);
            let early = tokio::time::timeout(after, &mut following).await;
            kill(pid, Signal::KILL)?;
            match early {
                Ok(done) => done.map(|()| Fate::Completed)?,
                // What was on its way when the blow came was told, too.
                Err(_) => following.await.map_or(Fate::Killed, |()| Fate::Completed),
            }
        };
        self.host.wait().await?;
        Ok(fate)
    }

    /// Starts the host again and checks that all is well in the end. Returns the tools whose outcome is unknown.
    pub(crate) async fn recovers(&mut self) -> Result<Vec<String>> {
        self.host.options_mut().env.clear();
        self.host.boot().await?;
        let mut peer = self.host.connect().await?;
        let sessions = peer.call(ListSessions::default()).await?.sessions;
        let Some(summary) = sessions.first() else {
            ensure!(self.seen.session.is_none(), "the session was acknowledged and is gone");
            return Ok(Vec::new());
        };
        let session = summary.session_id.clone();
        ensure!(self.seen.session.as_ref().is_none_or(|seen| *seen == session), "another session");
        let Some(task) = &summary.last_task else {
            ensure!(!self.seen.accepted, "the task was acknowledged and is gone");
            self.kept(&history(&mut peer, &session).await?)?;
            return Ok(Vec::new());
        };
        let ended = task.state != TaskState::Running;
        peer.call(Subscribe { session_id: session.clone(), after_seq: 0 }).await?;
        let mut again = Seen::default();
        to_the_end(&mut peer, &mut again).await?;
        let durable: Vec<_> = again.events.into_iter().filter(|event| event.seq.is_some()).collect();
        let list = ListApprovals { session_id: None, include_settled: true, limit: None };
        let settled = peer.call(list).await?.approvals;
        for id in self.seen.approved.iter().chain(&again.approved) {
            let record = settled.iter().find(|record| record.request.approval_id == *id);
            ensure!(
                record.is_some_and(|r| r.state == ApprovalState::Approved),
                "an answer is lost: {record:?}"
            );
        }
        let kept = history(&mut peer, &session).await?;
        ensure!(kept.starts_with(&durable), "what is followed is not what is kept");
        self.kept(&kept)?;
        self.came_to_its_end(&kept).with_context(|| {
            let names = look::names(&kept).join(", ");
            format!("ended before the restart: {ended}; {names}")
        })?;
        let unknown =
            look::completed(&kept).into_iter().filter(|done| done.result.status == ToolStatus::Indeterminate);
        Ok(unknown.map(|done| done.result.tool_name.clone()).collect())
    }

    /// Everything told is kept, the same, under the same number.
    fn kept(&self, kept: &[SessionEvent]) -> Result<()> {
        gapless(kept, 1)?;
        for told in self.seen.events.iter().filter(|event| event.seq.is_some()) {
            let same = kept.iter().find(|event| event.seq == told.seq);
            ensure!(same == Some(told), "told {told:?}\nkept {same:?}");
        }
        Ok(())
    }

    fn came_to_its_end(&self, kept: &[SessionEvent]) -> Result<()> {
        ensure!(look::count(kept, "task_completed") == 1, "{:?}", look::failure(kept));
        ensure!(look::answer(kept) == "all done", "{}", look::answer(kept));
        let mut ends: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (tool, status, code) in look::outcomes(kept) {
            ends.entry(tool).or_default().push((status, code));
        }
        for (tool, ends) in &ends {
            ensure!(ends.len() == 1, "{tool} ended {} times: {ends:?}", ends.len());
        }
        let end =
            |tool: &str| ends.get(tool).map(|ends| ends[0]).with_context(|| format!("{tool} never ended"));
        for tool in ["ReadFile", "WriteFile", "EditFile"] {
            ensure!(end(tool)? == (ToolStatus::Succeeded, None), "{tool}: {:?}", end(tool)?);
        }
        self.program_ran(end("RunCommand")?)?;
        self.files_are_whole(end("MoveFile")?)?;
        let unknown = look::outcomes(kept).iter().any(|(_, status, _)| *status == ToolStatus::Indeterminate);
        let told =
            self.gateway.requests().iter().any(|request| {
                request.tool_results().iter().any(|result| result.starts_with("outcome unknown"))
            });
        ensure!(
            unknown == told,
            "the model is told exactly what is recorded: recorded {unknown}, told {told}"
        );
        Ok(())
    }

    fn content(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.host.workspace().join(name)).ok()
    }

    /// The program counts its own runs.
    fn program_ran(&self, end: (ToolStatus, Option<ErrorCode>)) -> Result<()> {
        let runs = self.content("ran").unwrap_or_default().lines().count();
        match end {
            (ToolStatus::Succeeded, None) => ensure!(runs == 1, "it ran {runs} times and succeeded"),
            (ToolStatus::Indeterminate, Some(ErrorCode::OutcomeUnknown)) => {
                ensure!(runs <= 1, "it ran {runs} times")
            }
            other => bail!("RunCommand: {other:?}"),
        }
        Ok(())
    }

    fn files_are_whole(&self, moved: (ToolStatus, Option<ErrorCode>)) -> Result<()> {
        ensure!(self.content("written") == Some("line\n".repeat(LINES)), "the written file is not whole");
        let edited = format!("after\n{}", "line\n".repeat(LINES));
        ensure!(self.content("edited") == Some(edited), "the edited file is not whole");
        let places = (self.content("from"), self.content("to"));
        let is = |place: &Option<String>| place.as_deref() == Some("moved\n");
        match moved {
            (ToolStatus::Succeeded, None) => ensure!(places.0.is_none() && is(&places.1), "{places:?}"),
            (ToolStatus::Indeterminate, Some(ErrorCode::OutcomeUnknown)) => {
                ensure!(is(&places.0) != is(&places.1), "{places:?}");
            }
            other => bail!("MoveFile: {other:?}"),
        }
        let mut names: Vec<_> = std::fs::read_dir(self.host.workspace())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        // A blow in the middle of a write leaves the unfinished file under a name of its own, never under the real one.
        names.retain(|name| !(name.starts_with(".lanyard-") && name.ends_with(".tmp")));
        names.retain(|name| !["input", "written", "edited", "ran", "from", "to"].contains(&name.as_str()));
        ensure!(names.is_empty(), "left behind: {names:?}");
        Ok(())
    }

    /// Kills the host while a person is asked.
    pub(crate) async fn question_survives(mut self) -> Result<()> {
        self.host.boot().await?;
        let mut peer = self.host.connect().await?;
        let session = peer.session(&self.host.workspace()).await?.session_id;
        peer.call(start(&session, self.mode)?).await?;
        let asked = peer.question().await?;
        self.host.kill().await?;
        self.host.boot().await?;
        let mut peer = self.host.connect().await?;
        let list = ListApprovals { session_id: None, include_settled: false, limit: None };
        let waiting = peer.call(list).await?.approvals;
        ensure!(waiting.len() == 1 && waiting[0].request == asked, "{waiting:?}");
        ensure!(peer.approve(&asked).await?.counted);
        ensure!(!peer.approve(&asked).await?.counted, "an answer counts once");
        peer.call(Subscribe { session_id: session.clone(), after_seq: 0 }).await?;
        to_the_end(&mut peer, &mut self.seen).await?;
        let kept = history(&mut peer, &session).await?;
        let ids: Vec<_> = look::questions(&kept).iter().map(|question| &question.approval_id).collect();
        let once: BTreeSet<_> = ids.iter().collect();
        ensure!(ids.len() == once.len(), "a question was asked twice: {ids:?}");
        self.came_to_its_end(&kept).map(drop)
    }
}

fn start(session: &SessionId, mode: Mode) -> Result<StartTask> {
    let task_options = match mode {
        Mode::Unasked => unasked(),
        Mode::Asked => TaskOptions::default(),
    };
    let task_id = Some(TASK.parse::<TaskId>()?);
    Ok(StartTask {
        session_id: session.clone(),
        task_id,
        prompt: "do all of it".into(),
        task_options,
        model: None,
        attachments: Vec::new(),
    })
}

/// Does what a client does, and writes down what it was told. An error is the end of the connection.
async fn follow(host: &TestHost, mode: Mode, seen: &mut Seen) -> Result<()> {
    let mut peer: Connection = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    seen.session = Some(session.clone());
    peer.call(start(&session, mode)?).await?;
    seen.accepted = true;
    to_the_end(&mut peer, seen).await
}

/// Follows the task and says yes to every question.
async fn to_the_end(peer: &mut Connection, seen: &mut Seen) -> Result<()> {
    loop {
        let event = peer.event().await?;
        let ended = event.body.ends_task();
        let asked = match &event.body {
            EventBody::ApprovalRequested(asked) => Some(asked.approval.clone()),
            _ => None,
        };
        seen.events.push(event);
        if let Some(asked) = asked {
            peer.approve(&asked).await?;
            seen.approved.insert(asked.approval_id);
        }
        if ended {
            return Ok(());
        }
    }
}

/// By SIGKILL, and not by a fault of its own.
fn killed(status: std::process::ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}
