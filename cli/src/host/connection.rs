//! A connection to a host, here or elsewhere: moves frames between a [`Link`] and [`lanyard_client::Client`], and makes
//! the link anew when it breaks.
//!
//! There is no task behind it but the QUIC session's own: whoever wants to know what happens calls
//! [`Connection::next`], and everything moves while that call or [`Connection::call`] waits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use lanyard_client::{Backoff, Client, Incoming, RandomSource, Tick};
use lanyard_protocol::method::{Call, Request};
use lanyard_protocol::rpc::RequestId;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::attach::{HostError, attach};
use super::link::{Broken, Frames, Lines, Link, Renewal};
use super::remote::{Reached, RemoteError, Route};
use super::wire::Wire;
use crate::exit::Failure;

/// What may arrive while one answer is waited for. A host sends answers before the events they cause, so that this
/// is the traffic of the other sessions followed; beyond it the host is at fault.
const MAX_BACKLOG: usize = 100_000;

/// How long a command without patience waits all the same when the host asked it to come back.
const RENEWED_WITHIN: Duration = Duration::from_secs(10);

/// Keys from the operating system.
#[derive(Debug)]
struct OsRandom;

impl RandomSource for OsRandom {
    fn next_u128(&mut self) -> u128 {
        let mut bytes = [0; 16];
        if let Err(e) = getrandom::fill(&mut bytes) {
            // Without randomness keys would repeat, and a new command be taken for an old one.
            eprintln!("lanyard: the operating system gives no randomness: {e}");
            std::process::abort();
        }
        u128::from_ne_bytes(bytes)
    }
}

/// What to do when the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// End the command.
    None,
    /// Try to reconnect for so long, then end it.
    For(Duration),
    /// Try until the command is ended.
    Forever,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The client made something of what arrived.
    Incoming(Incoming),
    /// The connection broke; it is being made anew.
    Reconnecting,
    /// The host has ended the connection so that it is made anew, with what is new.
    Renewing(Renewal),
    /// It is there again, and nothing was missed.
    Reconnected,
    /// Something a person should know, in a sentence.
    Notice(String),
}

/// Where the host is found again.
#[derive(Debug)]
pub(crate) enum Way {
    /// The host of a state directory of this machine.
    Local(PathBuf),
    /// A paired host.
    Paired(Box<Route>),
}

/// When and how to try again.
#[derive(Debug)]
struct Retry {
    backoff: Backoff,
    at: Instant,
    /// Never, where absent.
    give_up_at: Option<Instant>,
    /// Why the connection broke, or why it has not come about.
    reason: Option<String>,
    /// A search of the network that is under way; ended when nobody waits for it any more.
    dialing: Option<AbortOnDropHandle<Result<Reached, RemoteError>>>,
}

#[derive(Debug)]
enum State {
    Up(Link),
    Down(Retry),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client<Wire, OsRandom>,
    way: Way,
    patience: Patience,
    state: State,
    backlog: VecDeque<Happening>,
    clock: Instant,
}

impl Connection {
    /// Talks over a connected socket. `state_dir` is where the host is looked for when the connection breaks.
    pub(crate) fn new(
        stream: std::os::unix::net::UnixStream,
        state_dir: PathBuf,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let link = Lines::new(stream).map_err(|e| Failure::Host(HostError::Gone(Some(e.to_string()))))?;
        let mut connection = Self::later(Way::Local(state_dir), patience);
        connection.begin(Link::Lines(link));
        Ok(connection)
    }

    /// Talks to a paired host that was found.
    pub(crate) fn over(reached: Reached, patience: Patience) -> Self {
        let mut connection = Self::later(Way::Paired(Box::new(reached.route)), patience);
        connection.begin(Link::Frames(Frames::new(reached.session)));
        connection
    }

    /// A connection that is made once something is waited for. It says [`Happening::Reconnected`] when it is there.
    pub(crate) fn later(way: Way, patience: Patience) -> Self {
        let now = Instant::now();
        let client = match &way {
            Way::Local(_) => Client::new(Wire::Lines, OsRandom),
            // QUIC looks after its own.
            Way::Paired(_) => Client::new(Wire::Frames, OsRandom).without_probes(),
        };
        let state = State::Down(Retry {
            backoff: Backoff::default(),
            at: now,
            give_up_at: give_up_at(patience, now),
            reason: None,
            dialing: None,
        });
        Self { client, way, patience, state, backlog: VecDeque::new(), clock: now }
    }

    /// The first link of a client that has nothing to report yet.
    fn begin(&mut self, link: Link) {
        let now = self.now();
        self.client.on_connected(now);
        self.state = State::Up(link);
    }

    /// Queues a call; its answer arrives as [`Incoming::Reply`].
    pub(crate) fn send(&mut self, call: impl Call) -> Result<RequestId, Failure> {
        Ok(self.client.call(call)?)
    }

    /// Calls and waits for the answer. What else happens meanwhile is kept for [`Connection::next`]. Not
    /// cancel-safe: the answer to a call that was given up is lost.
    pub(crate) async fn call<T: Call>(&mut self, call: T) -> Result<T::Result, Failure> {
        let request = call.into_request();
        let method = request.method();
        let response = self.request(request).await?;
        // The client has checked that the answer is of the method called.
        T::from_response(response).ok_or(Failure::Unanswered(method.name()))
    }

    async fn request(&mut self, request: Request) -> Result<lanyard_protocol::method::Response, Failure> {
        let wanted = self.client.request(request)?;
        let mut looked_at = self.backlog.len();
        loop {
            while let Some(happening) = self.backlog.get(looked_at) {
                let ours = match happening {
                    Happening::Incoming(Incoming::Reply { id, .. } | Incoming::Unanswered { id, .. }) => {
                        *id == wanted
                    }
                    _ => false,
                };
                if !ours {
                    looked_at += 1;
                    continue;
                }
                return match self.backlog.remove(looked_at) {
                    Some(Happening::Incoming(Incoming::Reply { answer, .. })) => Ok(*answer?),
                    Some(Happening::Incoming(Incoming::Unanswered { method, .. })) => {
                        Err(Failure::Unanswered(method.name()))
                    }
                    _ => continue,
                };
            }
            if self.backlog.len() > MAX_BACKLOG {
                return Err(Failure::Other(
                    "the host sends events and no answer; restart it with `lanyard stop`".into(),
                ));
            }
            self.advance().await?;
        }
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// The connection broke and, with the patience given, could not be made anew.
    pub(crate) async fn next(&mut self) -> Result<Happening, Failure> {
        loop {
            if let Some(happening) = self.backlog.pop_front() {
                return Ok(happening);
            }
            self.advance().await?;
        }
    }

    /// Moves bytes or lets time pass, once. Cancel-safe.
    async fn advance(&mut self) -> Result<(), Failure> {
        let State::Up(link) = &mut self.state else { return self.reconnect().await };
        while let Some(frame) = self.client.poll_transmit() {
            link.queue(frame);
        }
        let due = self.client.next_timeout().map(|tick| self.clock + Duration::from_millis(tick.as_millis()));
        let moved = tokio::select! {
            moved = link.exchange() => moved,
            () = sleep_until(due) => Ok(()),
        };
        let now = self.now();
        // What came is taken even when the link broke right after it.
        let broken = self.take_frames(now).and(moved).err();
        let incoming = self.client.handle_timeout(now);
        let dead = incoming.contains(&Incoming::Dead);
        self.backlog.extend(incoming.into_iter().filter(|i| *i != Incoming::Dead).map(Happening::Incoming));
        match broken {
            Some(broken) => self.lost(broken),
            None if dead => self.lost(Broken::Lost("it does not answer".to_owned())),
            None => Ok(()),
        }
    }

    fn now(&self) -> Tick {
        Tick::from_millis(u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn take_frames(&mut self, now: Tick) -> Result<(), Broken> {
        let State::Up(link) = &mut self.state else { return Ok(()) };
        let (client, backlog) = (&mut self.client, &mut self.backlog);
        link.drain(|frame| match client.feed(frame, now) {
            Ok(incoming) => backlog.extend(incoming.into_iter().map(Happening::Incoming)),
            // It belongs to no call; the log it may have belonged to notices the gap.
            Err(error) => tracing::debug!(%error, "a frame of the host was not understood"),
        })
    }

    fn lost(&mut self, broken: Broken) -> Result<(), Failure> {
        self.client.on_disconnected();
        let (reason, happening, patience) = match (broken, self.patience) {
            (Broken::TurnedAway(reason), _) => return Err(self.turned_away(reason)),
            (Broken::Lost(reason), Patience::None) => return Err(self.gone(Some(reason))),
            (Broken::Lost(reason), patience) => (reason, Happening::Reconnecting, patience),
            (Broken::Renewed(what), patience) => {
                let patience = match patience {
                    Patience::None => Patience::For(RENEWED_WITHIN),
                    patience => patience,
                };
                (what.words().to_owned(), Happening::Renewing(what), patience)
            }
        };
        let now = Instant::now();
        let mut backoff = Backoff::default();
        // Not at once: for a moment a dying host's socket still takes connections.
        let first = backoff.next_wait(self.client.random());
        let give_up_at = give_up_at(patience, now);
        self.state =
            State::Down(Retry { backoff, at: now + first, give_up_at, reason: Some(reason), dialing: None });
        self.backlog.push_back(happening);
        Ok(())
    }

    fn turned_away(&self, reason: lanyard_transport::close::Ended) -> Failure {
        match &self.way {
            // A local socket says nothing of the kind.
            Way::Local(_) => self.gone(Some(reason.to_string())),
            Way::Paired(route) => RemoteError::TurnedAway { alias: route.alias().to_owned(), reason }.into(),
        }
    }

    fn gone(&self, reason: Option<String>) -> Failure {
        match &self.way {
            Way::Local(_) => HostError::Gone(reason).into(),
            Way::Paired(route) => {
                let alias = route.alias().to_owned();
                RemoteError::Gone { alias, reason: reason.unwrap_or_default() }.into()
            }
        }
    }

    /// Lets a wait pass or an attempt go on, once. Cancel-safe: an attempt goes on where it was.
    async fn reconnect(&mut self) -> Result<(), Failure> {
        let State::Down(retry) = &mut self.state else { return Ok(()) };
        let link = match (&mut self.way, &mut retry.dialing) {
            (Way::Local(state_dir), _) => {
                tokio::time::sleep_until(retry.at).await;
                match attach(state_dir) {
                    Ok(stream) => Lines::new(stream).map(Link::Lines).map_err(|error| error.to_string()),
                    Err(error) if error.is_absence() => Err(error.to_string()),
                    // Another user's socket, another version: waiting does not mend it.
                    Err(error) => return Err(error.into()),
                }
            }
            (Way::Paired(route), None) => {
                tokio::time::sleep_until(retry.at).await;
                retry.dialing = Some(AbortOnDropHandle::new(tokio::spawn(route.as_ref().clone().reach())));
                return Ok(());
            }
            (Way::Paired(route), Some(dialing)) => {
                let reached = dialing.await;
                retry.dialing = None;
                match reached {
                    Ok(Ok(reached)) => {
                        **route = reached.route;
                        self.backlog.extend(reached.notice.map(Happening::Notice));
                        Ok(Link::Frames(Frames::new(reached.session)))
                    }
                    Ok(Err(error)) if error.is_absence() => Err(error.to_string()),
                    Ok(Err(error)) => return Err(error.into()),
                    Err(error) => Err(format!("the search ended early: {error}")),
                }
            }
        };
        match link {
            Ok(link) => {
                let now = self.now();
                self.state = State::Up(link);
                let incoming = self.client.on_connected(now);
                self.backlog.push_back(Happening::Reconnected);
                self.backlog.extend(incoming.into_iter().map(Happening::Incoming));
                Ok(())
            }
            Err(why) => self.try_later(why),
        }
    }

    fn try_later(&mut self, why: String) -> Result<(), Failure> {
        let State::Down(retry) = &mut self.state else { return Ok(()) };
        let now = Instant::now();
        if retry.give_up_at.is_some_and(|give_up_at| now >= give_up_at) {
            let reason = retry.reason.take().or(Some(why));
            return Err(self.gone(reason));
        }
        tracing::debug!(error = %why, "no host yet");
        retry.at = now + retry.backoff.next_wait(self.client.random());
        Ok(())
    }
}

fn give_up_at(patience: Patience, now: Instant) -> Option<Instant> {
    match patience {
        Patience::None => Some(now),
        Patience::For(time) => Some(now + time),
        Patience::Forever => None,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
