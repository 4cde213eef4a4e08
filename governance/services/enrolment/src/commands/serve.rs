//! How hosts hear of commands: long polls, and server-sent events.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use lanyard_governance_api::command::{Command, CommandQuery, Commands};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::limits::{ACCESS_TOKEN_SECONDS, MAX_WAIT_SECONDS};
use lanyard_governance_foundation::signals::Waiter;
use lanyard_governance_foundation::{Ask, Caller, Fault, RawAsk};
use tokio::time::Instant;

use super::look::{Found, Question};
use super::{topic, topic_of_all};
use crate::{State, identity};

/// A comment is sent when nothing else was for so long: proxies cut idle connections, and hosts notice dead ones.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Longest stream: as long as an access token, so that nobody listens for longer than its credential lives.
const LONGEST: Duration = Duration::from_secs(ACCESS_TOKEN_SECONDS as u64);

/// Somebody who follows a host's commands. Its waiters are made before its first look, so that nothing falls between.
struct Follower {
    state: State,
    question: Question,
    own: Waiter,
    all: Waiter,
}

impl Follower {
    fn new(state: State, caller: &Caller, query: &CommandQuery) -> Result<Self, Fault> {
        let agent = caller.agent()?;
        let after = i64::try_from(query.after.unwrap_or(0))
            .map_err(|_| Fault::invalid("after is no number that was given out"))?;
        let signals = &state.foundation.signals;
        let own = signals.listen(&topic(&agent.tenant, &agent.agent));
        let all = signals.listen(&topic_of_all(&agent.tenant));
        let question = Question { tenant: agent.tenant.clone(), agent: agent.agent.clone(), after };
        Ok(Self { state, question, own, all })
    }

    /// Boxed: ten thousand hosts wait, and few of them look at a time.
    async fn look(&self) -> Result<Found, Fault> {
        Box::pin(self.state.looking.look(&self.state.foundation, &self.question)).await
    }

    /// Until there may be something, or `until`. Cancel-safe.
    async fn wait(&mut self, until: Instant) {
        let longest = self.state.ticks.until_next().min(until.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = self.own.wait(longest) => {}
            () = self.all.wait(longest) => {}
            () = self.state.settings.stop.cancelled() => {}
        }
    }

    fn stopped(&self) -> bool {
        self.state.settings.stop.is_cancelled()
    }
}

pub(crate) async fn poll(state: State, ask: Ask<ep::PollCommands>) -> Result<Commands, Fault> {
    let seconds = ask.query.wait_seconds.unwrap_or(0);
    if seconds > MAX_WAIT_SECONDS {
        return Err(Fault::invalid(format!("waitSeconds is at most {MAX_WAIT_SECONDS}, not {seconds}")));
    }
    let until = Instant::now() + Duration::from_secs(u64::from(seconds));
    let mut follower = Follower::new(state, &ask.caller, &ask.query)?;
    // Its headers keep the buffer that they were read into.
    drop(ask);
    loop {
        let found = follower.look().await?;
        if let Some(reason) = found.revoked {
            return Err(identity::revoked(&reason));
        }
        if !found.commands.is_empty() || Instant::now() >= until || follower.stopped() {
            return Ok(Commands { commands: found.commands });
        }
        follower.wait(until).await;
    }
}

pub(crate) async fn stream(state: State, ask: RawAsk<ep::StreamCommands>) -> Result<Response, Fault> {
    let mut query = ask.query;
    // A browser's or library's own way to resume; it knows better than the address it was given once.
    if let Some(last) = ask.headers.get("last-event-id") {
        let number = last.to_str().ok().and_then(|text| text.trim().parse().ok());
        query.after = Some(number.ok_or_else(|| Fault::invalid("Last-Event-ID is no number of a command"))?);
    }
    let follower = Follower::new(state, &ask.caller, &query)?;
    let found = follower.look().await?;
    if let Some(reason) = found.revoked {
        return Err(identity::revoked(&reason));
    }
    let now = Instant::now();
    // The first frame goes out at once: whoever listens knows that it is heard.
    let first = Bytes::from(format!(": commands\n\n{}", frames(&found.commands)?));
    let mut following = Following { follower, end: now + LONGEST, quiet_until: now + KEEP_ALIVE };
    following.passed(&found.commands);
    let rest = stream::unfold(following, async |mut following| {
        let frame = following.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), following))
    });
    let body = Body::from_stream(stream::StreamExt::chain(stream::iter([Ok(first)]), rest));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Some proxies hold streams back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// A stream under way.
struct Following {
    follower: Follower,
    end: Instant,
    quiet_until: Instant,
}

impl Following {
    /// The next frame; `None` ends the stream. Whoever listens comes back and goes on after the last id.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let now = Instant::now();
            if now >= self.end || self.follower.stopped() {
                return None;
            }
            if now >= self.quiet_until {
                self.quiet_until = now + KEEP_ALIVE;
                return Some(Bytes::from_static(b":\n\n"));
            }
            self.follower.wait(self.quiet_until.min(self.end)).await;
            let found = match self.follower.look().await {
                Ok(found) => found,
                Err(fault) => {
                    tracing::debug!(%fault, "a stream of commands ends");
                    return None;
                }
            };
            if found.revoked.is_some() {
                return None;
            }
            if !found.commands.is_empty() {
                self.passed(&found.commands);
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                return frames(&found.commands).ok().map(Bytes::from);
            }
        }
    }

    fn passed(&mut self, commands: &[Command]) {
        if let Some(last) = commands.last() {
            self.follower.question.after = i64::try_from(last.number).unwrap_or(i64::MAX);
        }
    }
}

fn frames(commands: &[Command]) -> Result<String, Fault> {
    let mut text = String::new();
    for command in commands {
        // JSON has no line ends of its own.
        let json =
            serde_json::to_string(command).map_err(|e| Fault::internal("a command cannot be written", &e))?;
        text.push_str(&format!("id: {}\nevent: command\ndata: {json}\n\n", command.number));
    }
    Ok(text)
}
