//! The race of a host's addresses (after RFC 8305): one after the other with a short stagger, the next one at once when
//! one fails, the first that works wins, the others are given up.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Candidate, DialError};
use crate::close::Ended;

/// Addresses tried in one race: what a host with two adapters, two families and some virtual networks has.
pub const MAX_CANDIDATES: usize = 16;

/// Head start of an address over the next one. A handshake on a local network takes a tenth of it.
pub const STAGGER: Duration = Duration::from_millis(150);

/// The whole race. A packet of the handshake may be lost four times in it.
pub const RACE: Duration = Duration::from_secs(10);

/// What the others get once somebody has answered, though not as hoped: nobody waits for dead addresses to be told that.
pub const GRACE: Duration = Duration::from_secs(1);

/// Why one address did not win.
#[derive(Debug)]
pub(super) enum Failure {
    /// Somebody else is there.
    OtherKey,
    /// The host itself said no.
    Refused(Ended),
    /// The host speaks another version.
    Version(u16),
    /// Nothing that is worth more than a line.
    Silent(String),
}

/// Runs `attempt` on ranked candidates.
pub(super) async fn race<T, F>(
    candidates: Vec<Candidate>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, DialError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let addresses: Vec<SocketAddr> =
        candidates.into_iter().take(MAX_CANDIDATES).map(|candidate| candidate.address).collect();
    if addresses.is_empty() {
        return Err(DialError::NoCandidates);
    }
    let mut deadline = Instant::now() + RACE;
    let mut waiting = addresses.iter().copied();
    let mut next_start = Some(Instant::now());
    // Dropped with the race, and every attempt with it.
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok((_, Ok(winner))) => return Ok(winner),
                Ok((address, Err(failure))) => {
                    if !matches!(failure, Failure::Silent(_)) {
                        deadline = deadline.min(Instant::now() + GRACE);
                    }
                    failures.push((address, failure));
                    next_start = next_start.map(|_| Instant::now());
                }
                // It panicked, which ends one address and not the race.
                Err(_) => next_start = next_start.map(|_| Instant::now()),
            },
            () = due(next_start.unwrap_or(deadline)), if next_start.is_some() => {
                next_start = waiting.next().map(|address| {
                    let attempt = attempt(address);
                    attempts.spawn(async move { (address, attempt.await) });
                    Instant::now() + STAGGER
                });
            }
            () = sleep_until(deadline) => break,
        }
        if attempts.is_empty() && next_start.is_none() {
            break;
        }
    }
    Err(verdict(&addresses, failures))
}

/// Waits for an instant. Not at all for one that has come: the timer rounds up, which would cost every dial a
/// millisecond.
async fn due(at: Instant) {
    if at > Instant::now() {
        sleep_until(at).await;
    }
}

/// A refusal by the right host counts most, then another key, then silence.
fn verdict(addresses: &[SocketAddr], failures: Vec<(SocketAddr, Failure)>) -> DialError {
    let mut other_key = None;
    let mut refusal = None;
    let mut silent = Vec::new();
    for (address, failure) in failures {
        match failure {
            Failure::Refused(reason) => {
                refusal.get_or_insert(DialError::Refused { address, reason });
            }
            Failure::Version(host) => {
                refusal.get_or_insert(DialError::Version { address, host });
            }
            Failure::OtherKey => {
                other_key.get_or_insert(DialError::OtherKey { address });
            }
            Failure::Silent(why) => silent.push((address, why)),
        }
    }
    let unanswered = |address: &&SocketAddr| !silent.iter().any(|(known, _)| known == *address);
    let unanswered: Vec<_> = addresses.iter().filter(unanswered).copied().collect();
    silent.extend(unanswered.into_iter().map(|address| (address, "no answer".to_owned())));
    refusal.or(other_key).unwrap_or(DialError::Unreachable(silent))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::close::CloseCode;
    use crate::dial::Source;

    fn candidates(count: u16) -> Vec<Candidate> {
        let address = |port| ([10, 0, 0, 1], port).into();
        (1..=count).map(|port| Candidate { address: address(port), source: Source::Link }).collect()
    }

    /// Races ports; gives the outcome, the ports in the order of their start, and the time taken. The clock stands
    /// still while anything runs.
    async fn run<F>(
        count: u16,
        attempt: impl Fn(u16) -> F + Copy + Send + 'static,
    ) -> (Result<u16, DialError>, Vec<u16>, Duration)
    where
        F: Future<Output = Result<u16, Failure>> + Send + 'static,
    {
        let started = Arc::new(Mutex::new(Vec::new()));
        let begin = Instant::now();
        let outcome = race(candidates(count), |address| {
            started.lock().unwrap().push(address.port());
            attempt(address.port())
        })
        .await;
        let order = started.lock().unwrap().clone();
        (outcome, order, begin.elapsed())
    }

    fn silent<T>() -> Result<T, Failure> {
        Err(Failure::Silent("dead".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_one_stagger() {
        let (outcome, order, took) =
            run(3, |port| async move { if port == 1 { pending().await } else { Ok(port) } }).await;
        assert_eq!((outcome.unwrap(), order, took), (2, vec![1, 2], STAGGER));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_starts_at_once_when_one_fails() {
        let (outcome, order, took) =
            run(4, |port| async move { if port < 4 { silent() } else { Ok(port) } }).await;
        assert_eq!((outcome.unwrap(), order, took), (4, vec![1, 2, 3, 4], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_or_a_refusal_does_not_end_the_race() {
        let (outcome, ..) = run(3, |port| async move {
            match port {
                1 => Err(Failure::OtherKey),
                2 => Err(Failure::Refused(Ended::ByPeer(CloseCode::NotPaired))),
                _ => Ok(port),
            }
        })
        .await;
        assert_eq!(outcome.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_verdict_names_what_matters_most() {
        let (outcome, _, took) = run(4, |port| async move {
            match port {
                1 => silent(),
                2 => Err(Failure::OtherKey),
                3 => Err(Failure::Refused(Ended::ByPeer(CloseCode::NotPaired))),
                _ => pending().await,
            }
        })
        .await;
        assert!(matches!(outcome, Err(DialError::Refused { address, .. }) if address.port() == 3));
        assert_eq!(took, GRACE, "the dead address is not waited for");

        let (outcome, ..) =
            run(2, |port| async move { if port == 1 { silent() } else { Err(Failure::OtherKey) } }).await;
        assert!(matches!(outcome, Err(DialError::OtherKey { address }) if address.port() == 2));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_bounded_and_every_address_is_named() {
        let (outcome, order, took) =
            run(40, |port| async move { if port == 1 { silent() } else { pending().await } }).await;
        assert_eq!((order.len(), took), (MAX_CANDIDATES, RACE));
        let Err(DialError::Unreachable(lines)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(lines.len(), MAX_CANDIDATES);
        let (outcome, _, took) = run(3, |_| async { silent() }).await;
        assert!(matches!(outcome, Err(DialError::Unreachable(lines)) if lines.len() == 3));
        assert_eq!(took, Duration::ZERO, "nothing is left to wait for");
        assert!(matches!(run(0, |_| async { silent() }).await.0, Err(DialError::NoCandidates)));
    }
}
