//! The life of a pairing window at the terminal: what it shows, whom it asks about, when it ends.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use lanyard_client::Incoming;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::codec::to_json_value;
use lanyard_protocol::device::{Device, PairingEnd, PairingMethod, PairingWindow, PendingPairing};
use lanyard_protocol::event::{HostEventBody, PairingSettled};
use lanyard_protocol::id::PairingId;
use lanyard_protocol::method::{
    ClosePairing, DecidePairing, ListDevices, ListPairings, OpenPairing, SubscribeHost,
};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Terms;
use super::question::{Pressed, Question};
use crate::exit::{Exit, Failure};
use crate::host::{Connection, Happening};
use crate::invocation::Invocation;
use crate::keys::Keys;
use crate::render::{self, Drawn, Tone, visible};

/// How long after a window closed a device may still appear that used it: the host writes it down in between.
const AFTERMATH: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    connection: &'a mut Connection,
    invocation: &'a mut Invocation,
    scopes: Option<Vec<Scope>>,
    keep_open: bool,
    drawn: Drawn,
    /// What Ctrl-C does.
    interrupt: &'static str,
    /// A person can be asked here.
    asks: bool,
    window: Option<PairingWindow>,
    /// When it was seen closed.
    closed: Option<Instant>,
    /// Devices seen, and those of them that nobody has answered.
    seen: Vec<PendingPairing>,
    open: BTreeSet<PairingId>,
    waiting: VecDeque<PendingPairing>,
    question: Option<Question>,
    keys: Option<Keys>,
    /// The last answer, since the window was opened.
    answered: Option<PairingEnd>,
}

/// What woke the desk.
enum Wake {
    Happened(Happening),
    Key(std::io::Result<char>),
    Interrupt,
    Second,
}

impl<'a> Desk<'a> {
    /// Opens the window and shows it.
    pub(super) async fn open(
        connection: &'a mut Connection,
        invocation: &'a mut Invocation,
        terms: Terms,
    ) -> Result<Self, Failure> {
        connection.call(SubscribeHost { after_host_seq: None }).await?;
        let terminal = &invocation.terminal;
        let asks = terminal.stdin_is_terminal && terminal.can_erase && !invocation.json();
        let Terms { scopes, keep_open, drawn, interrupt } = terms;
        let drawn = if terminal.stdout_is_terminal { drawn } else { Drawn::Nothing };
        let mut desk = Self {
            connection,
            invocation,
            scopes,
            keep_open,
            drawn,
            interrupt,
            asks,
            window: None,
            closed: None,
            seen: Vec::new(),
            open: BTreeSet::new(),
            waiting: VecDeque::new(),
            question: None,
            keys: None,
            answered: None,
        };
        desk.open_window().await?;
        Ok(desk)
    }

    async fn open_window(&mut self) -> Result<(), Failure> {
        let window = self.connection.call(OpenPairing {}).await?;
        (self.answered, self.closed) = (None, None);
        self.show_window(window)
    }

    fn show_window(&mut self, window: PairingWindow) -> Result<(), Failure> {
        let terminal = &self.invocation.terminal;
        let text = match self.invocation.json() {
            true => event_line("window", to_json_value(&window).map_err(std::io::Error::from)?),
            false => {
                let (paint, width) = (terminal.paint, terminal.width());
                render::pairing_window(paint, &window, width, self.drawn, Timestamp::now())
            }
        };
        self.window = Some(window);
        Ok(self.invocation.terminal.print(&text)?)
    }

    /// Until a device was answered, the window closed without one, or somebody ends it.
    pub(super) async fn serve(mut self) -> Result<Exit, Failure> {
        let mut interrupts = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        // A device may have been waiting already.
        self.look().await?;
        let exit = loop {
            if let Some(exit) = self.over().await? {
                break exit;
            }
            self.next_question()?;
            self.bottom_line()?;
            let wake = tokio::select! {
                happening = self.connection.next() => Wake::Happened(happening?),
                key = next_key(&mut self.keys) => Wake::Key(key),
                () = any(&mut interrupts) => Wake::Interrupt,
                () = tokio::time::sleep(Duration::from_secs(1)) => Wake::Second,
            };
            match wake {
                Wake::Happened(happening) => self.happened(happening).await?,
                Wake::Key(key) => self.key(key).await?,
                Wake::Interrupt => break Exit::Cancelled,
                Wake::Second => self.second().await?,
            }
        };
        self.keys = None;
        self.invocation.terminal.status("")?;
        if self.window.is_some() {
            self.connection.call(ClosePairing {}).await?;
            if !self.invocation.json() {
                self.invocation.terminal.line("The pairing window is closed.")?;
            }
        }
        Ok(exit)
    }

    /// Whether there is nothing more to do, and the exit code then.
    async fn over(&mut self) -> Result<Option<Exit>, Failure> {
        let idle = self.open.is_empty();
        match self.answered {
            Some(_) if self.keep_open && idle => {
                self.open_window().await?;
                Ok(None)
            }
            Some(PairingEnd::Approved) if !self.keep_open => Ok(Some(Exit::Completed)),
            Some(PairingEnd::Denied) if !self.keep_open => Ok(Some(Exit::Denied)),
            _ if idle && self.closed.is_some_and(|since| since.elapsed() >= AFTERMATH) => {
                if !self.invocation.json() {
                    let again = self.invocation.command("pair");
                    let text =
                        format!("The window has closed and no device was paired. Open another: {again}");
                    self.invocation.terminal.line(&text)?;
                }
                Ok(Some(Exit::Failed))
            }
            _ => Ok(None),
        }
    }

    async fn second(&mut self) -> Result<(), Failure> {
        let expired = self.window.as_ref().is_some_and(|window| window.expires_at <= Timestamp::now());
        // The host says so too; this is for the second in which nothing was heard.
        if expired || self.closed.is_some() { self.look().await } else { Ok(()) }
    }

    async fn happened(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Incoming(Incoming::HostEvent(event)) => match event.body {
                HostEventBody::PairingRequested(_) | HostEventBody::PairingWindowChanged(_) => {
                    self.look().await
                }
                HostEventBody::PairingSettled(settled) => self.settled(settled).await,
                _ => Ok(()),
            },
            Happening::Incoming(Incoming::Ended { error, .. }) => Err(error.into()),
            Happening::Notice(text) => Ok(self.invocation.terminal.note(&text)?),
            _ => Ok(()),
        }
    }

    /// Asks the host how things stand, and shows what is new.
    async fn look(&mut self) -> Result<(), Failure> {
        let page = self.connection.call(ListPairings {}).await?;
        match (page.window, &self.window) {
            (None, _) => {
                self.window = None;
                self.closed.get_or_insert_with(Instant::now);
            }
            (Some(new), Some(shown)) if new.code == shown.code && new.link == shown.link => {
                self.window = Some(new);
            }
            (Some(new), _) => {
                self.closed = None;
                self.show_window(new)?;
            }
        }
        for pending in page.pending {
            if self.seen.iter().any(|seen| seen.pairing_id == pending.pairing_id) {
                continue;
            }
            self.seen.push(pending.clone());
            self.open.insert(pending.pairing_id.clone());
            self.asked(pending)?;
        }
        Ok(())
    }

    /// A device that was not there before.
    fn asked(&mut self, pending: PendingPairing) -> Result<(), Failure> {
        if self.invocation.json() {
            let line = event_line("pending", to_json_value(&pending).map_err(std::io::Error::from)?);
            return Ok(self.invocation.terminal.print(&line)?);
        }
        let paint = self.invocation.terminal.paint;
        let mut text = render::pending_pairing(paint, &pending, Timestamp::now());
        if let Some(scopes) = &self.scopes {
            text.push_str("    With --scopes it gets:\n");
            text.push_str(&render::scopes_in_words(paint, scopes, "      "));
        }
        if !self.asks {
            text.push_str("Answer it from another terminal:\n");
            text.push_str(&render::pairing_commands(&pending, |rest| self.invocation.command(rest)));
        }
        self.invocation.terminal.print(&text)?;
        if self.asks {
            self.waiting.push_back(pending);
        }
        Ok(())
    }

    /// A device has its answer, from here or elsewhere.
    async fn settled(&mut self, settled: PairingSettled) -> Result<(), Failure> {
        let id = &settled.pairing_id;
        self.waiting.retain(|pending| pending.pairing_id != *id);
        if self.question.as_ref().is_some_and(|question| question.pending.pairing_id == *id) {
            self.question = None;
        }
        if !self.open.remove(id) {
            return Ok(());
        }
        if settled.end != PairingEnd::Expired {
            self.answered = Some(settled.end);
        }
        let Some(pending) = self.seen.iter().find(|pending| pending.pairing_id == *id).cloned() else {
            return Ok(());
        };
        let device = match settled.end {
            PairingEnd::Approved => self.device(&pending).await?,
            PairingEnd::Denied | PairingEnd::Expired => None,
        };
        self.invocation.terminal.status("")?;
        let text = match self.invocation.json() {
            true => event_line(
                "settled",
                json!({ "pairingId": id, "end": settled.end, "device": device_json(device.as_ref())? }),
            ),
            false => {
                let name = device.as_ref().map_or(&pending.name, |device| &device.name);
                render::pairing_settled(self.invocation.terminal.paint, name, settled.end, device.as_ref())
            }
        };
        Ok(self.invocation.terminal.print(&text)?)
    }

    async fn device(&mut self, pending: &PendingPairing) -> Result<Option<Device>, Failure> {
        let devices = self.connection.call(ListDevices {}).await?.devices;
        Ok(devices.into_iter().find(|device| device.device_id == pending.device_id))
    }

    fn next_question(&mut self) -> Result<(), Failure> {
        if self.question.is_some() {
            return Ok(());
        }
        let Some(pending) = self.waiting.pop_front() else {
            self.keys = None;
            return Ok(());
        };
        match &mut self.keys {
            Some(keys) => keys.new_question()?,
            None => self.keys = Some(Keys::open_for_text()?),
        }
        self.question = Some(Question::new(pending));
        Ok(())
    }

    /// What the last line of the terminal says.
    fn bottom_line(&mut self) -> Result<(), Failure> {
        if self.invocation.json() {
            return Ok(());
        }
        let now = Timestamp::now();
        let text = match (&self.question, &self.window) {
            (Some(question), _) => {
                format!("{}  {}", render::countdown(question.pending.expires_at, now), question.keys())
            }
            // Answered here, and about to be settled.
            (None, _) if self.asks && !self.open.is_empty() => String::new(),
            (None, _) if !self.open.is_empty() => "Waiting for an answer from another terminal".to_owned(),
            (None, Some(window)) => {
                let left = render::countdown(window.expires_at, now);
                format!("{left}  Waiting for a device; {}", self.interrupt)
            }
            (None, None) => String::new(),
        };
        Ok(self.invocation.terminal.status(&text)?)
    }

    async fn key(&mut self, key: std::io::Result<char>) -> Result<(), Failure> {
        let Some(mut question) = self.question.take() else { return Ok(()) };
        let Ok(key) = key else {
            // The terminal is gone; the device may still be answered from another one.
            (self.keys, self.asks) = (None, false);
            return Ok(());
        };
        let (decision, digits) = match question.press(key) {
            Pressed::Approve(digits) => (Decision::Approved, digits),
            Pressed::Deny => (Decision::Denied, None),
            Pressed::Say(text) => {
                self.invocation.terminal.line(text)?;
                self.question = Some(question);
                return Ok(());
            }
            Pressed::Nothing => {
                self.question = Some(question);
                return Ok(());
            }
        };
        let scopes = self.scopes.clone().filter(|_| decision == Decision::Approved);
        let decide = DecidePairing {
            pairing_id: question.pending.pairing_id.clone(),
            decision,
            digits,
            scopes,
            name: None,
            command_id: None,
        };
        self.invocation.terminal.status("")?;
        // The event that follows says how it ended.
        let Err(failure) = self.connection.call(decide).await else { return Ok(()) };
        let Failure::Refused(error) = failure else { return Err(failure) };
        let text = format!("✗ {}", visible::line(&error.message));
        let text = self.invocation.terminal.paint.tone(Tone::Bad, &text);
        self.invocation.terminal.line(&text)?;
        if error.code == ErrorCode::PairingDigitsWrong && question.pending.method == PairingMethod::Code {
            question.start_again();
            self.question = Some(question);
        } else if error.code != ErrorCode::PairingNotFound {
            self.waiting.push_front(question.pending);
        }
        Ok(())
    }
}

fn device_json(device: Option<&Device>) -> Result<Value, Failure> {
    Ok(device.map(to_json_value).transpose().map_err(std::io::Error::from)?.unwrap_or(Value::Null))
}

/// One object a line, with the name of what happened first.
fn event_line(event: &str, members: Value) -> String {
    let mut line = json!({ "event": event });
    if let (Value::Object(line), Value::Object(members)) = (&mut line, members) {
        line.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    }
    format!("{line}\n")
}

/// The next key while a question is on the screen.
async fn next_key(keys: &mut Option<Keys>) -> std::io::Result<char> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// Any of the signals that end a command.
async fn any(signals: &mut [Signal; 3]) {
    let [interrupt, terminate, hang_up] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
