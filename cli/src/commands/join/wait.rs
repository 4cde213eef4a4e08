//! The wait for a person's answer on the host: survives broken connections, and a kill of this command.

use std::net::SocketAddr;
use std::time::Duration;

use lanyard_client::Backoff;
use lanyard_pairing::device::PendingJoin;
use lanyard_pairing::{Abort, Grant};
use lanyard_transport::dial::{Candidate, Dialer, Source};
use lanyard_transport::join::{JoinError, Waiting, resume};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::{Failed, failed, find};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::known::HostsFile;
use crate::render::{self, Tone, visible};

/// Longest wait of one command. Hosts forget a question after ten minutes; this is a little more, so that theirs is the
/// word that counts.
const WAIT: Duration = Duration::from_secs(15 * 60);

/// A pairing under way.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) dialer: Dialer,
    pub(super) file: HostsFile,
    pub(super) pending: PendingJoin,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Ctrl-C.
struct Interrupted;

impl Wait {
    /// Waits for the answer and keeps what it says.
    pub(super) async fn answer(
        mut self,
        mut waiting: Option<Waiting>,
        invocation: &mut Invocation,
    ) -> Result<Exit, Failed> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let outcome = match &mut waiting {
                Some(waiting) => {
                    until(
                        waiting.answer(),
                        &mut interrupt,
                        invocation,
                        started,
                        "waiting for the answer on the host",
                    )
                    .await?
                }
                None => {
                    let again = self.go_back(&mut backoff);
                    let words = "looking for the host; the pairing still waits there";
                    match until(again, &mut interrupt, invocation, started, words).await? {
                        // The waits go on growing: another command that waits for the same answer takes turns with this
                        // one.
                        Ok(Ok(back)) => {
                            waiting = Some(back);
                            continue;
                        }
                        Ok(Err(error)) => Ok(Err(error)),
                        Err(interrupted) => Err(interrupted),
                    }
                }
            };
            match outcome {
                Err(Interrupted) => return Ok(self.left(invocation)?),
                Ok(Ok(grant)) => return Ok(self.granted(&grant, waiting, invocation).await?),
                // Somebody else has the host's old address; the host itself has said nothing.
                Ok(Err(JoinError::Abort(abort))) if abort != Abort::WrongHost => {
                    let host = self.pending.host().fingerprint();
                    if self.was_granted_meanwhile()? {
                        let text = "Paired: another `lanyard join` got the answer. See `lanyard hosts`.";
                        invocation.terminal.note(text)?;
                        return Ok(Exit::Completed);
                    }
                    self.file.change_aside(move |known| known.abandon(host)).await?;
                    return Err(failed(JoinError::Abort(abort)));
                }
                Ok(Err(error)) if started.elapsed() >= WAIT => return Err(failed(error)),
                Ok(Err(error)) => tracing::debug!(%error, "the wait is interrupted"),
            }
            waiting = None;
        }
    }

    /// Whether another command waited for the same answer, and has it.
    fn was_granted_meanwhile(&self) -> Result<bool, Failure> {
        let known = self.file.read()?;
        let host = self.pending.host().fingerprint();
        let waits = known.pending.iter().any(|one| one.join == self.pending);
        Ok(!waits && known.hosts.iter().any(|one| one.fingerprint() == host))
    }

    /// Finds the host again: where it was, else where it is heard.
    async fn go_back(&mut self, backoff: &mut Backoff) -> Result<Waiting, JoinError> {
        tokio::time::sleep(backoff.next_wait(&mut random)).await;
        let known: Vec<Candidate> = self
            .addresses
            .iter()
            .map(|address| Candidate { address: *address, source: Source::LastKnown })
            .collect();
        let tried = resume(&self.dialer, &known, self.pending.clone()).await;
        let error = match tried {
            Err(error @ (JoinError::Dial(_) | JoinError::Abort(Abort::WrongHost))) => error,
            tried => return tried,
        };
        let heard = find::by_short_id(&self.pending.host().fingerprint().short()).await;
        let new: Vec<Candidate> =
            heard.into_iter().filter(|one| !self.addresses.contains(&one.address)).collect();
        match new.is_empty() {
            true => Err(error),
            false => resume(&self.dialer, &new, self.pending.clone()).await,
        }
    }

    /// Written down first, acknowledged then.
    async fn granted(
        self,
        grant: &Grant,
        waiting: Option<Waiting>,
        invocation: &mut Invocation,
    ) -> Result<Exit, Failure> {
        let address = waiting.as_ref().map(Waiting::address).or(self.addresses.first().copied());
        let (pending, of) = (self.pending, grant.clone());
        let written = self.file.change_aside(move |known| {
            let host = known.granted(&pending, &of, address);
            let namesake = known.hosts.iter().find(|one| one.name == host.name && one.alias != host.alias);
            (host, namesake.map(|one| one.alias.clone()))
        });
        let (host, namesake) = written.await?;
        if let Some(waiting) = waiting {
            // The first connection says the same.
            if let Err(error) = waiting.acknowledge().await {
                tracing::debug!(%error, "the grant was not acknowledged");
            }
        }
        let text = match invocation.json() {
            true => {
                let line = json!({
                    "event": "paired",
                    "name": host.alias,
                    "host": host.name,
                    "hostId": host.fingerprint().to_string(),
                    "scopes": host.scopes,
                    "deviceName": grant.device_name,
                    "address": address,
                });
                format!("{line}\n")
            }
            false => {
                let paint = invocation.terminal.paint;
                let title = format!("✓ Paired with {}.", visible::line(&host.name));
                let called = visible::line(&grant.device_name);
                let rights = render::scopes_list(&host.scopes);
                let twin = match namesake {
                    Some(other) => format!(
                        "  Here it is called {}: {other} has the same name and other keys. If it is the same machine, \
                         reinstalled: lanyard hosts forget {other}\n",
                        host.alias
                    ),
                    None => String::new(),
                };
                let next =
                    format!("--host {} run \"what is in this folder?\"", render::shell_word(&host.alias));
                let next = paint.tone(Tone::Accent, &invocation.command(&next));
                format!(
                    "{}\n  It knows this machine as {called}, with {rights}.\n{twin}  Next: {next}\n",
                    paint.tone(Tone::Good, &title)
                )
            }
        };
        invocation.terminal.print(&text)?;
        Ok(Exit::Completed)
    }

    fn left(&self, invocation: &mut Invocation) -> Result<Exit, Failure> {
        let again = invocation.command("join");
        invocation
            .terminal
            .note(&format!("Left. The pairing still waits on the host; go on with: {again}"))?;
        Ok(Exit::Cancelled)
    }
}

/// Waits for something, with a line that says so, until Ctrl-C.
async fn until<T>(
    what: impl Future<Output = T>,
    interrupt: &mut Signal,
    invocation: &mut Invocation,
    started: Instant,
    words: &str,
) -> Result<Result<T, Interrupted>, Failure> {
    tokio::pin!(what);
    let outcome = loop {
        invocation.terminal.status(&format!("… {words} · {} s", started.elapsed().as_secs()))?;
        tokio::select! {
            outcome = &mut what => break Ok(outcome),
            _ = interrupt.recv() => break Err(Interrupted),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    };
    invocation.terminal.status("")?;
    Ok(outcome)
}

/// Chance for the waits; nothing depends on it but that devices do not return in step.
fn random() -> u128 {
    let mut bytes = [0; 16];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut bytes);
    u128::from_ne_bytes(bytes)
}
