//! What the centre asks of this host, in order, at least once, and what became of it.
//!
//! Commands come as server-sent events; where such a stream cannot be kept, by long poll. The number of the last one that
//! was handled is the handler's to keep, and what is asked for after a restart.

mod sse;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lanyard_governance_api::command::{Acknowledgement, Command, CommandQuery, CommandResult, Order};
use lanyard_governance_api::endpoint::{AcknowledgeCommands, PollCommands, StreamCommands};
use lanyard_governance_api::limits::MAX_WAIT_SECONDS;
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::{ErrorCode, WireError};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use sse::{EventTooLong, SseEvent, SseParser};

use crate::backoff::{Backoff, random};
use crate::central::{CallError, Central};
use crate::{Ended, StoreError};

/// A stream that is silent for this long is dead: servers keep them alive by comments, usually every fifteen seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// A stream that ends sooner, with nothing on it, was not kept.
const KEPT: Duration = Duration::from_secs(60);

/// Streams in a row that were not kept before it is asked instead.
const PATIENCE: u32 = 3;

/// How long it is asked before a stream is tried again.
const ASKING: Duration = Duration::from_secs(300);

/// Least time between two questions that were answered with nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Results told at once; the centre takes twice as many.
const MAX_RESULTS: usize = 100;

/// Does what the centre asks. Commands come one after another, so whatever takes long is begun here and done elsewhere.
#[async_trait]
pub trait CommandHandler: Send + Sync {
    /// Does one. A command may come again after a crash, or a cancelled [`follow`], between this and
    /// [`CommandHandler::handled`]. An error is what the centre is told; kinds that the owner did not opt in to are
    /// refused here.
    async fn handle(&self, command: Command) -> Result<(), WireError>;

    /// Keeps that everything up to `number` was handled, durable when it returns: `after` of the next life.
    async fn handled(&self, number: u64) -> Result<(), StoreError>;
}

/// Follows this host's commands after number `after` until it is cancelled or the enrolment is revoked, by a command or by
/// a refusal. Commands of a kind that this build does not know are answered with `INVALID_REQUEST`.
pub async fn follow(
    central: Central,
    after: u64,
    handler: Arc<dyn CommandHandler>,
    cancel: CancellationToken,
) -> Ended {
    let following = Following {
        central,
        handler,
        after,
        unreported: Vec::new(),
        broken: 0,
        asking_until: None,
        backoff: Backoff::new(),
    };
    cancel.run_until_cancelled(following.forever()).await.unwrap_or(Ended::Cancelled)
}

/// Why following stopped for a moment, or for good.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Store(StoreError),
    #[error("{0}")]
    Stream(String),
    #[error("revoked: {0}")]
    Revoked(String),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Revoked(reason) => Self::Revoked(reason),
            error => Self::Call(error),
        }
    }
}

struct Following {
    central: Central,
    handler: Arc<dyn CommandHandler>,
    /// The last one handled.
    after: u64,
    /// What became of commands that the centre was not told of yet.
    unreported: Vec<CommandResult>,
    /// Streams in a row that were not kept.
    broken: u32,
    asking_until: Option<Instant>,
    backoff: Backoff,
}

impl Following {
    async fn forever(mut self) -> Ended {
        loop {
            let stop = match self.once().await {
                Ok(()) => {
                    self.backoff.reset();
                    continue;
                }
                Err(Stop::Revoked(reason)) => return Ended::Revoked(reason),
                Err(stop) => stop,
            };
            tracing::debug!(reason = %stop, "commands are not followed for the moment");
            let asked = match &stop {
                Stop::Call(error) => error.retry_after(),
                Stop::Store(_) | Stop::Stream(_) | Stop::Revoked(_) => None,
            };
            self.central.pause(self.backoff.next(random(), asked)).await;
        }
    }

    /// One stream, from its beginning to its end, or one question.
    async fn once(&mut self) -> Result<(), Stop> {
        self.report().await?;
        if self.asking_until.is_some_and(|until| Instant::now() < until) {
            return self.ask().await;
        }
        self.asking_until = None;
        let (begun, before) = (Instant::now(), self.after);
        let ended = self.stream().await;
        if let Err(Stop::Revoked(_) | Stop::Store(_)) = ended {
            return ended;
        }
        if begun.elapsed() >= KEPT || self.after > before {
            self.broken = 0;
            // What was said on it counts; that it ended does not. Ten thousand hosts whose centre was restarted do not
            // come back in the same moment.
            self.central.pause(Backoff::new().next(random(), None)).await;
            return Ok(());
        }
        self.broken += 1;
        if self.broken >= PATIENCE {
            self.broken = 0;
            self.asking_until = Some(Instant::now() + ASKING);
        }
        ended
    }

    async fn stream(&mut self) -> Result<(), Stop> {
        let query = CommandQuery { after: Some(self.after), wait_seconds: None };
        let mut response = self.central.open::<StreamCommands>(&query).await?;
        let mut parser = SseParser::new();
        loop {
            let silent = |_| Stop::Stream("the stream of commands is silent".to_owned());
            let chunk = timeout(SILENCE, response.chunk()).await.map_err(silent)?;
            let Some(chunk) = chunk.map_err(|error| Stop::Stream(error.to_string()))? else {
                return Err(Stop::Stream("the stream of commands ended".to_owned()));
            };
            for event in parser.push(&chunk).map_err(|error| Stop::Stream(error.to_string()))? {
                if event.name != "command" {
                    continue;
                }
                match serde_json::from_str(&event.data) {
                    Ok(value) => self.take(value).await?,
                    Err(error) => tracing::warn!(%error, "an event of the command stream is not JSON"),
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Stop> {
        #[derive(Deserialize)]
        struct Answer {
            commands: Vec<Value>,
        }
        let begun = Instant::now();
        let query = CommandQuery { after: Some(self.after), wait_seconds: Some(MAX_WAIT_SECONDS) };
        let waits = Duration::from_secs(MAX_WAIT_SECONDS.into());
        let bytes = self.central.poll::<PollCommands>(&query, waits).await?;
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|error| CallError::Protocol(error.to_string()))?;
        let before = self.after;
        for value in answer.commands {
            self.take(value).await?;
        }
        if self.after == before && begun.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Handles one command, unless it was, and tells what became of it.
    async fn take(&mut self, value: Value) -> Result<(), Stop> {
        let Some(number) = value.get("number").and_then(Value::as_u64) else {
            tracing::warn!("a command without a number is not followed");
            return Ok(());
        };
        if number <= self.after {
            // Handled, but the centre does not know: told again, for otherwise it would come for ever.
            if !self.unreported.iter().any(|result| result.number == number) {
                let text = "this command was handled before; what became of it was not kept";
                let error = Some(WireError::new(ErrorCode::OutcomeUnknown, text));
                self.unreported.push(CommandResult { number, error });
            }
            return self.report().await;
        }
        let mut revoked = None;
        let error = match serde_json::from_value::<Command>(value) {
            Ok(command) => {
                if let Order::Revoked { reason } = &command.order {
                    revoked = Some(reason.clone());
                }
                self.handler.handle(command).await.err()
            }
            Err(error) => {
                tracing::warn!(number, %error, "a command of an unknown kind is not followed");
                let text = "this host does not know this kind of command; it may be older than the centre";
                Some(WireError::new(ErrorCode::InvalidRequest, text))
            }
        };
        self.handler.handled(number).await.map_err(Stop::Store)?;
        self.after = number;
        self.unreported.push(CommandResult { number, error });
        let reported = self.report().await;
        match revoked {
            Some(reason) => {
                self.central.inner.revoked(&reason);
                Err(Stop::Revoked(reason))
            }
            None => reported,
        }
    }

    /// Tells what became of commands. What the centre does not want to know is dropped.
    async fn report(&mut self) -> Result<(), Stop> {
        while !self.unreported.is_empty() {
            let count = self.unreported.len().min(MAX_RESULTS);
            let results = self.unreported.iter().take(count).cloned().collect();
            let told = Acknowledgement { results };
            match self.central.call::<AcknowledgeCommands>(&[], &Nothing {}, &told).await {
                Ok(_) => {}
                Err(CallError::Refused { status, error, .. }) if !error.retryable && status != 401 => {
                    tracing::warn!(%error, "the centre does not take what became of its commands");
                }
                Err(error) => return Err(error.into()),
            }
            self.unreported.drain(..count);
        }
        Ok(())
    }
}
