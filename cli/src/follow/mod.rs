//! Follows one task to its end: shows what happens, answers or asks what is to be approved, passes Ctrl-C on.

mod outcome;
mod prompt;
mod questions;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use lanyard_client::{Channel, Incoming};
use lanyard_protocol::approval::ApprovalRequest;
use lanyard_protocol::event::{ApprovalExpired, ApprovalResolved, EventBody, SessionEvent};
use lanyard_protocol::id::{ApprovalId, SessionId, TaskId};
use lanyard_protocol::method::{CancelTask, Response};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Happening};
use crate::invocation::Invocation;
use crate::keys::Keys;
use crate::render::{self, Timeline, Tone};
use outcome::Outcome;
use prompt::Prompt;
pub(crate) use view::{View, wire_line};

/// Lines of a diff shown in a question somebody is asked; `d` shows the rest.
const ASKED_DIFF_LINES: usize = 60;

/// Lines of a diff shown in a question that is answered by itself.
const PASSING_DIFF_LINES: usize = 10;

/// Silence before the bottom line says what is waited for.
const QUIET: Duration = Duration::from_secs(1);

/// Who answers what is to be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    /// The person at this terminal, or somebody elsewhere.
    Ask,
    /// This command approves every request it sees.
    Always,
    /// This command denies every request it sees.
    Never,
}

/// Where a person can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Under the timeline, with a countdown.
    BelowTimeline,
    /// On standard error, because standard output is read by a program.
    OnStderr,
    /// Not here.
    Nowhere,
}

/// A call whose answer is of interest.
#[derive(Debug)]
enum Sent {
    Answer(ApprovalId),
    Cancel,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    connection: &'a mut Connection,
    invocation: &'a mut Invocation,
    view: View,
    answering: Answering,
    asking: Asking,
    session: SessionId,
    outcome: Outcome,
    /// Questions nobody has answered, oldest first.
    questions: VecDeque<ApprovalRequest>,
    prompt: Option<Prompt>,
    keys: Option<Keys>,
    sent: Vec<(RequestId, Sent)>,
    interrupted: bool,
    /// The connection is made anew because the host asked for it.
    renewed: bool,
    doing: (&'static str, Instant),
}

/// How following ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// The task changed files.
    pub(crate) changed: bool,
}

/// What woke the follower.
enum Wake {
    Happened(Happening),
    Key(std::io::Result<char>),
    Interrupt,
    Second,
}

impl<'a> Follower<'a> {
    /// Follows a task of a session the connection is subscribed to.
    pub(crate) fn new(
        connection: &'a mut Connection,
        invocation: &'a mut Invocation,
        answering: Answering,
        (session, task): (SessionId, TaskId),
    ) -> Self {
        let (terminal, json) = (&invocation.terminal, invocation.json());
        let person = terminal.stdin_is_terminal && answering == Answering::Ask;
        let asking = match (person, json, terminal.can_erase, terminal.stderr_is_terminal) {
            (true, false, true, _) => Asking::BelowTimeline,
            (true, _, _, true) => Asking::OnStderr,
            _ => Asking::Nowhere,
        };
        let diff_lines = if asking == Asking::Nowhere { PASSING_DIFF_LINES } else { ASKED_DIFF_LINES };
        let view = match json {
            true => View::Json,
            false => View::Pretty(Box::new(Timeline::new(terminal.paint, diff_lines).wide(terminal.width()))),
        };
        Self {
            connection,
            invocation,
            view,
            answering,
            asking,
            session,
            outcome: Outcome::of(task),
            questions: VecDeque::new(),
            prompt: None,
            keys: None,
            sent: Vec::new(),
            interrupted: false,
            renewed: false,
            doing: ("starting", Instant::now()),
        }
    }

    /// Follows the task until it ends.
    ///
    /// # Errors
    /// The host is gone for good, the session was deleted, or nobody reads the output. The task itself goes on.
    pub(crate) async fn follow(mut self) -> Result<Ended, Failure> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        loop {
            if let Some(exit) = self.outcome.exit() {
                self.keys = None;
                self.invocation.terminal.status("")?;
                return Ok(Ended { exit, changed: self.outcome.changed() });
            }
            self.next_question()?;
            self.bottom_line()?;
            let wake = tokio::select! {
                happening = self.connection.next() => Wake::Happened(happening?),
                key = next_key(&mut self.keys) => Wake::Key(key),
                _ = interrupts.recv() => Wake::Interrupt,
                () = tokio::time::sleep(QUIET) => Wake::Second,
            };
            match wake {
                Wake::Happened(happening) => self.happened(happening)?,
                Wake::Key(key) => self.key(key)?,
                Wake::Interrupt if self.interrupted => {
                    self.keys = None;
                    self.invocation.terminal.status("")?;
                    self.view
                        .note(&mut self.invocation.terminal, "Left. The host keeps cancelling the task.")?;
                    return Ok(Ended { exit: Exit::Cancelled, changed: self.outcome.changed() });
                }
                Wake::Interrupt => self.interrupt()?,
                Wake::Second => {}
            }
        }
    }

    fn interrupt(&mut self) -> Result<(), Failure> {
        self.interrupted = true;
        // What the task still asks is not to be answered any more.
        self.prompt = None;
        self.questions.clear();
        let cancel = CancelTask {
            session_id: self.session.clone(),
            task_id: self.outcome.task.clone(),
            command_id: None,
        };
        let id = self.connection.send(cancel)?;
        self.sent.push((id, Sent::Cancel));
        self.doing = ("cancelling", Instant::now());
        self.view
            .note(&mut self.invocation.terminal, "Cancelling the task… (Ctrl-C again leaves at once)")?;
        Ok(())
    }

    fn happened(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Reconnecting => {
                self.doing = ("the host went away; reconnecting", Instant::now());
                self.view.note(
                    &mut self.invocation.terminal,
                    "The host went away. Reconnecting; nothing acknowledged is lost.",
                )?;
            }
            Happening::Renewing(what) => {
                self.renewed = true;
                self.doing = ("connecting again", Instant::now());
                let text = format!("{}; connecting again.", what.words());
                self.view.note(&mut self.invocation.terminal, &text)?;
            }
            Happening::Reconnected => {
                self.doing = ("waiting", Instant::now());
                // It was not away when it asked this device to come back.
                let text =
                    if std::mem::take(&mut self.renewed) { "Connected again." } else { "The host is back." };
                self.view.note(&mut self.invocation.terminal, text)?;
            }
            Happening::Notice(text) => self.view.note(&mut self.invocation.terminal, &text)?,
            Happening::Incoming(incoming) => self.incoming(incoming)?,
        }
        Ok(())
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), Failure> {
        match incoming {
            Incoming::Event(event) => self.event(&event)?,
            Incoming::Delta { event, missing } => {
                self.doing.1 = Instant::now();
                self.view.delta(&mut self.invocation.terminal, &event, missing)?;
            }
            Incoming::Reply { id, answer, .. } => self.reply(&id, answer)?,
            Incoming::Ended { channel: Channel::Session(_), error } => return Err(error.into()),
            Incoming::Skipped { count, .. } => {
                let events = render::plural(count, "event");
                let text = format!("{events} could not be read: this command is older than the host.");
                self.view.note(&mut self.invocation.terminal, &text)?;
            }
            Incoming::Complaint(error) => {
                self.view.note(&mut self.invocation.terminal, &render::visible::line(&error.message))?;
            }
            Incoming::Unanswered { .. }
            | Incoming::Ended { .. }
            | Incoming::HostEvent(_)
            | Incoming::Unknown(_)
            | Incoming::Dead => {}
        }
        Ok(())
    }

    fn event(&mut self, event: &SessionEvent) -> Result<(), Failure> {
        if let EventBody::ApprovalResolved(ApprovalResolved { approval_id, .. })
        | EventBody::ApprovalExpired(ApprovalExpired { approval_id, .. }) = &event.body
        {
            // Before the event is shown, so that the keys do not appear once more below it.
            self.settled(approval_id);
            self.invocation.terminal.status("")?;
        }
        self.view.event(&mut self.invocation.terminal, event)?;
        self.outcome.note(event);
        let doing = match &event.body {
            EventBody::LlmRequestStarted(_) => "the model is thinking",
            EventBody::ToolRequested(_) | EventBody::PolicyDecided(_) => "running",
            EventBody::ApprovalRequested(asked) => {
                self.asked(asked.approval.clone())?;
                "waiting for an approval"
            }
            EventBody::ApprovalResolved(_) => "running",
            EventBody::SessionPaused(_) => {
                let resume = self.invocation.command(&format!("resume {}", self.session));
                let text = format!("If it does not go on by itself: {resume}");
                self.view.note(&mut self.invocation.terminal, &text)?;
                "paused"
            }
            _ => "waiting",
        };
        self.doing = (doing, Instant::now());
        Ok(())
    }

    fn reply(&mut self, id: &RequestId, answer: Result<Box<Response>, WireError>) -> Result<(), Failure> {
        let Some(at) = self.sent.iter().position(|(sent, _)| sent == id) else { return Ok(()) };
        let (_, sent) = self.sent.remove(at);
        let Err(error) = answer else { return Ok(()) };
        let reason = render::visible::line(&error.message).into_owned();
        match sent {
            // It ended by itself while Ctrl-C was on its way; the event that says so follows.
            Sent::Cancel if error.code == ErrorCode::TaskNotFound => {}
            Sent::Cancel => {
                self.view.note(&mut self.invocation.terminal, &format!("Not cancelled: {reason}"))?
            }
            Sent::Answer(approval) => {
                let text =
                    format!("That answer did not count: {reason} The question waits for somebody else.");
                self.view.note(&mut self.invocation.terminal, &text)?;
                self.settled(&approval);
            }
        }
        Ok(())
    }

    /// What the last line of the terminal says.
    fn bottom_line(&mut self) -> Result<(), Failure> {
        if matches!(self.view, View::Json) {
            return Ok(());
        }
        let text = match &self.prompt {
            Some(prompt) => {
                let left = render::countdown(prompt.request.deadline, Timestamp::now());
                format!("{left}  {}", prompt.keys())
            }
            None if self.doing.1.elapsed() >= QUIET => {
                format!("… {} · {} s", self.doing.0, self.doing.1.elapsed().as_secs())
            }
            None => String::new(),
        };
        Ok(self.invocation.terminal.status(&text)?)
    }
}

/// The next key while a question is on the screen.
async fn next_key(keys: &mut Option<Keys>) -> std::io::Result<char> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// A faint line about where to go on, for the end of a task.
pub(crate) fn farewell(invocation: &Invocation, session: &SessionId, ended: Ended) -> String {
    let go_on = invocation.command(&format!("run --session {session} \"…\""));
    let mut text = format!("Session {session} · go on: {go_on}");
    if ended.changed {
        let diff = invocation.command(&format!("diff {session}"));
        text.push_str(&format!(" · see the changes: {diff}"));
    }
    invocation.terminal.paint.tone(Tone::Faint, &text)
}
