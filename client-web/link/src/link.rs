//! A paired page's connection.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use futures_channel::oneshot;
use lanyard_client::Incoming;
use lanyard_pairing::PublicIdentity;
use lanyard_protocol::WireError;
use lanyard_protocol::method::{Call, Done, Method, Request, Response};
use lanyard_protocol::rpc::RequestId;
use rand_core::OsRng;
use wasm_bindgen_futures::spawn_local;

use crate::browser;
use crate::driver::{Driver, Output, Standing};
use crate::machine::Machine;
use crate::page;
use crate::profile::{Profile, Profiles};
use crate::pump::{Pump, now};

/// What carries the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierKind {
    /// A WebSocket.
    WebSocket,
    /// A streaming download and POSTs, where a WebSocket is refused.
    Fetch,
}

/// Why there will be no connection again without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The host, and no other, says that it does not know this device: it was removed while this page was away.
    NotPaired,
    /// The device was removed while connected.
    Revoked,
    /// This page ended its pairing.
    Unpaired,
    /// Another key answers in the host's place, and nothing leads from the old one to it.
    AnotherHost,
    /// Host and page do not understand each other; a reload brings the page that fits.
    Version(String),
}

/// How the connection stands. Honest: `Connected` means that the host has answered on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// The first attempt is under way.
    Connecting,
    /// There is one.
    Connected {
        /// What carries it.
        carrier: CarrierKind,
        /// Milliseconds of the last round trip; none while it is being found out whether the connection has survived a
        /// pause.
        rtt_ms: Option<u32>,
    },
    /// There was one, or none came about; it is tried again.
    Reconnecting {
        /// When the last one ended, or the first attempt was made: milliseconds of `Date.now()`.
        since_ms: f64,
        /// Attempts since.
        attempt: u32,
        /// Why, in a sentence.
        why: String,
    },
    /// It is over.
    Ended(Ending),
}

/// What a link tells its page, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// The connection stands otherwise than before.
    Status(Status),
    /// Events of what is followed. Answers to calls go to the callers and are not told here.
    Incoming(Incoming),
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The host refused it, or could not do it.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// It could not be sent, or the connection broke and it must not be repeated by itself: whether it took effect is
    /// unknown.
    #[error("{0}")]
    Unsent(String),
    /// The link is over.
    #[error("this page is not connected to its host any more")]
    Ended,
}

/// See the crate. Cheap to clone; ends with [`Link::stop`] or its last clone.
#[derive(Debug, Clone)]
pub struct Link(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    pump: Pump<Driver<OsRng>>,
    callers: Rc<RefCell<Callers>>,
}

/// Who waits for the answer to which call; no more than the client takes calls.
#[derive(Debug, Default)]
struct Callers(BTreeMap<i64, Caller>);

#[derive(Debug)]
struct Caller {
    method: Method,
    tell: oneshot::Sender<Result<Response, CallError>>,
}

impl Callers {
    fn tell(&mut self, id: &RequestId, answer: Result<Response, CallError>) {
        let RequestId::Number(number) = id else { return };
        if let Some(caller) = self.0.remove(number) {
            // Whoever asked has lost interest.
            let _ = caller.tell.send(answer);
        }
    }

    fn end(&mut self, ending: Option<&Ending>) {
        for (_, Caller { method, tell }) in std::mem::take(&mut self.0) {
            // The host closes the connection with the last word on it, which overtakes the answer.
            let done = method == Method::Unpair && ending == Some(&Ending::Unpaired);
            let _ = tell.send(if done { Ok(Response::Unpair(Done {})) } else { Err(CallError::Ended) });
        }
    }
}

impl Link {
    /// Starts connecting. Listens to the page's visibility and network by itself. Nothing is told before this returns.
    pub fn start(profile: Profile, profiles: Profiles, on_event: impl Fn(LinkEvent) + 'static) -> Self {
        let callers = Rc::new(RefCell::new(Callers::default()));
        let driver = Driver::start(profile.keys.clone(), profile.host, OsRng, now());
        let (answers, storage) = (callers.clone(), profile.storage);
        let pump = Pump::start(driver, move |output| match output {
            Output::Answer(id, answer) => answers.borrow_mut().tell(&id, answer.map(|answer| *answer)),
            Output::Incoming(incoming) => on_event(LinkEvent::Incoming(incoming)),
            Output::Followed(host) => follow(&profiles, host),
            Output::Standing(standing) => {
                let status = told(standing);
                let ending = if let Status::Ended(ending) = &status { Some(ending.clone()) } else { None };
                on_event(LinkEvent::Status(status));
                if ending.is_some() {
                    answers.borrow_mut().end(ending.as_ref());
                }
            }
        });
        let shared = Rc::new(Shared { pump, callers });
        let reporting = Rc::downgrade(&shared);
        spawn_local(async move {
            let report = page::report(storage).await;
            if let (Ok(report), Some(shared)) = (report, Weak::upgrade(&reporting)) {
                shared.pump.act(|driver, _| driver.set_report(report));
            }
        });
        Self(shared)
    }

    /// Carries out a call. While there is no connection it waits for the next one. Dropping the future does not take the
    /// call back.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<C: Call + 'static>(&self, call: C) -> Result<C::Result, CallError> {
        Self::read::<C>(self.carry(call.into_request()).await?)
    }

    /// [`Link::call`] without its types, for callers of which little should be compiled once for each method.
    /// [`Link::read`] gives the answer its type.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn carry(&self, request: Request) -> Result<Response, CallError> {
        let answer = self.request(request)?;
        answer.await.unwrap_or(Err(CallError::Ended))
    }

    /// What [`Link::carry`] gave, as the answer to a call.
    ///
    /// # Errors
    /// [`CallError::Unsent`] where it answers another method, which the client has ruled out.
    pub fn read<C: Call>(response: Response) -> Result<C::Result, CallError> {
        C::from_response(response)
            .ok_or_else(|| CallError::Unsent("the host answered with another method".to_owned()))
    }

    fn request(&self, request: Request) -> Result<oneshot::Receiver<Result<Response, CallError>>, CallError> {
        let method = request.method();
        let (tell, answer) = oneshot::channel();
        self.0.pump.act(|driver, _| {
            if driver.is_over() {
                return Err(CallError::Ended);
            }
            let id = driver.call(request).map_err(|error| CallError::Unsent(error.to_string()))?;
            if let RequestId::Number(number) = id {
                self.0.callers.borrow_mut().0.insert(number, Caller { method, tell });
            }
            Ok(answer)
        })
    }

    /// Tries to connect now, without waiting for the next attempt.
    pub fn nudge(&self) {
        self.0.pump.act(|driver, now| driver.on_wake(now));
    }

    /// Ends it.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Shared {
    fn stop(&self) {
        self.pump.act(|driver, _| driver.stop());
        self.callers.borrow_mut().end(None);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

fn told(standing: Standing) -> Status {
    match standing {
        Standing::Connecting => Status::Connecting,
        Standing::Connected { carrier, rtt_ms } => Status::Connected { carrier, rtt_ms },
        Standing::Reconnecting { since, attempt, why } => {
            // Milliseconds of a page's life are far below what a double holds.
            let since_ms = browser::loaded_ms() + since.as_millis() as f64;
            Status::Reconnecting { since_ms, attempt, why }
        }
        Standing::Ended(ending) => Status::Ended(ending),
    }
}

/// Writes the host's new keys down.
fn follow(profiles: &Profiles, host: PublicIdentity) {
    let profiles = profiles.clone();
    spawn_local(async move {
        let kept = async {
            if let Some(profile) = profiles.load().await? {
                profiles.store(&Profile { host, ..profile }).await?;
            }
            Ok::<(), crate::profile::ProfileError>(())
        };
        if let Err(error) = kept.await {
            // The signatures lead to the new keys again when the page is loaded the next time.
            browser::warn(&format!("the host's new keys were not written down: {error}"));
        }
    });
}
