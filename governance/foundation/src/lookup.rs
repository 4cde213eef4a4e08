//! Looking up who calls. Those who come at the same time are looked up together: ten thousand hosts that acknowledge a
//! command at once are some dozen statements. And what is sent for long is looked at again while it is sent: no answer
//! outlives the credential that asked for it by more than moments.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::header;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::credentials;
use crate::database::Database;
use crate::fault::Fault;
use crate::gather::Gather;
use crate::signals::{Signals, Waiter};

/// Callers of one statement.
const MOST: usize = 256;

/// Statements at once: whoever comes while others are looked up does not wait for them.
const AT_ONCE: usize = 2;

/// How often a caller is looked up again to whom something is being sent. A revocation that wakes is noticed at once;
/// this is for one whose wake-up was lost, and for credentials that run out.
const AGAIN: Duration = Duration::from_secs(10);

/// How long something goes on being sent while the database does not say whether it still may.
const UNKNOWN: Duration = Duration::from_secs(30);

/// Why a body ends in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the credential that asked for this does not allow it any more")]
struct Over;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    database: Database,
    signals: Signals,
    clock: Arc<dyn Clock>,
    gather: Gather<[u8; 32], Result<Caller, Fault>>,
    again: Duration,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Lookup {
    /// Over the credentials of an installation.
    pub fn new(foundation: &crate::Foundation) -> Self {
        Self {
            database: foundation.database.clone(),
            signals: foundation.signals.clone(),
            clock: foundation.clock.clone(),
            gather: Gather::of(AT_ONCE),
            again: AGAIN,
        }
    }

    /// The same, looking again more often: for tests.
    #[must_use]
    pub fn again_every(self, again: Duration) -> Self {
        Self { again, ..self }
    }

    /// Whom a secret stands for now, by its hash. An unknown or expired one is nobody. Cancel-safe.
    pub async fn authenticate(&self, hash: [u8; 32]) -> Result<Caller, Fault> {
        let now = self.clock.now();
        let run = |hashes: Vec<[u8; 32]>| async move {
            credentials::authenticate_all(&self.database, &hashes, now).await
        };
        self.gather.ask(hash, MOST, run).await?
    }

    /// An answer that ends soon after `hash` does not stand for `caller` any more, as it is: revoked, expired, signed out,
    /// of another role. It breaks off, so that half of a download does not pass for the whole; a stream of events just
    /// ends, as they do: whoever follows comes back, and is told. What is there as a whole is left as it is.
    pub fn guard(&self, hash: [u8; 32], caller: &Caller, answer: Response) -> Response {
        let topic = match caller {
            _ if answer.body().size_hint().exact().is_some() => return answer,
            Caller::Person(person) => credentials::topic(&person.tenant, person.user.as_str()),
            Caller::Agent(agent) => credentials::topic(&agent.tenant, agent.agent.as_str()),
            Caller::Nobody | Caller::Revoked { .. } | Caller::Service { .. } => return answer,
        };
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let waiter = self.signals.listen(&topic);
        let watch =
            Watch { lookup: self.clone(), hash, caller: caller.clone(), waiter, sure: Instant::now() };
        let (mut ended, mut over) = (watch.ended().boxed(), false);
        answer.map(|body| {
            let mut data = body.into_data_stream();
            Body::from_stream(stream::poll_fn(move |cx| {
                over = over || ended.poll_unpin(cx).is_ready();
                match over {
                    true => Poll::Ready((!events).then(|| Err(axum::Error::new(Over)))),
                    false => data.poll_next_unpin(cx),
                }
            }))
        })
    }
}

/// What somebody is looked up again by.
struct Watch {
    lookup: Lookup,
    hash: [u8; 32],
    caller: Caller,
    waiter: Waiter,
    /// When it was last certain that the caller is who he was.
    sure: Instant,
}

impl Watch {
    /// Returns when nothing more may be sent.
    async fn ended(mut self) {
        loop {
            self.waiter.wait(self.lookup.again).await;
            // Boxed: while it waits, which it does nearly always, it should be small.
            match self.lookup.authenticate(self.hash).boxed().await {
                Ok(caller) if caller == self.caller => self.sure = Instant::now(),
                Ok(_) => {
                    return tracing::info!("an answer under way ends: its caller may not have it any more");
                }
                Err(fault) if self.sure.elapsed() >= UNKNOWN => {
                    return tracing::warn!(%fault, "an answer under way ends: whose it is cannot be seen");
                }
                Err(_) => {}
            }
        }
    }
}
