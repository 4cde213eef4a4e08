//! Where the host to join is, from what is heard on the network. Nothing heard is believed: the code, or the hash in
//! the link, shows whether it was the right one.

use std::time::Duration;

use lanyard_transport::dial::{Candidate, Source};
use lanyard_transport::discovery::{Sighting, listen_for};

use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::render::visible;

/// How long the network is listened to: all of it, since a second host of the same name must be seen too.
const LISTEN: Duration = Duration::from_secs(2);

/// Hosts offered to choose from; of more, the name has to be given.
const MAX_OFFERED: usize = 9;

fn candidates(sighting: &Sighting) -> Vec<Candidate> {
    let there = |address: &std::net::SocketAddr| Candidate { address: *address, source: Source::Discovered };
    sighting.addresses.iter().map(there).collect()
}

/// The addresses at which a host of this short id was heard; none when nothing can be heard.
pub(super) async fn by_short_id(short: &str) -> Vec<Candidate> {
    match listen_for(LISTEN).await {
        Ok(heard) => heard.iter().filter(|one| one.short_id == short).flat_map(candidates).collect(),
        Err(error) => {
            tracing::debug!(%error, "no discovery");
            Vec::new()
        }
    }
}

/// The one host of a name, or the only one there is, or the one a person chooses.
pub(super) async fn by_name(
    name: Option<&str>,
    invocation: &mut Invocation,
) -> Result<Vec<Candidate>, Failure> {
    invocation.terminal.status("Looking for the host…")?;
    let heard = listen_for(LISTEN).await;
    invocation.terminal.status("")?;
    let heard = heard.map_err(|e| Failure::Unreachable(e.to_string()))?;
    let found = fitting(heard, name);
    let chosen = match found.len() {
        0 => return Err(nobody(name)),
        1 => found.first(),
        _ => choose(&found, invocation)?,
    };
    let Some(chosen) = chosen else { return Err(several(&found)) };
    if !invocation.json() {
        let first = chosen.addresses.first().map(ToString::to_string).unwrap_or_default();
        let text = format!("Found {} at {first}.", visible::line(&chosen.name));
        invocation.terminal.note(&text)?;
    }
    Ok(candidates(chosen))
}

/// Hosts of that name or short id; all, without one. Those without an address are of no use.
fn fitting(heard: Vec<Sighting>, name: Option<&str>) -> Vec<Sighting> {
    let fits = |one: &Sighting| match name {
        Some(name) => one.name.to_lowercase() == name.to_lowercase() || one.short_id == name,
        None => true,
    };
    heard.into_iter().filter(|one| !one.addresses.is_empty() && fits(one)).collect()
}

fn nobody(name: Option<&str>) -> Failure {
    let who = name.map_or("no host was heard".to_owned(), |name| format!("no host called {name} was heard"));
    Failure::Unreachable(format!(
        "{who} on this network. Use its address (`lanyard up` shows it): lanyard join --address IP:PORT, or the \
         link under its QR code: lanyard join LINK"
    ))
}

fn several(found: &[Sighting]) -> Failure {
    let lines: String = found.iter().map(|one| format!("\n  {}", described(one))).collect();
    Failure::Usage(format!("several hosts were heard; name one, or pass --address IP:PORT:{lines}"))
}

fn described(one: &Sighting) -> String {
    let addresses: Vec<String> = one.addresses.iter().take(3).map(ToString::to_string).collect();
    format!("{} ({}) at {}", visible::line(&one.name), visible::line(&one.short_id), addresses.join(", "))
}

/// Asks which one is meant; `None` where nobody can be asked, or nothing usable is answered.
fn choose<'a>(found: &'a [Sighting], invocation: &mut Invocation) -> Result<Option<&'a Sighting>, Failure> {
    if !invocation.terminal.stdin_is_terminal || invocation.json() || found.len() > MAX_OFFERED {
        return Ok(None);
    }
    let mut text = "Several hosts were heard:".to_owned();
    for (at, one) in found.iter().enumerate() {
        text.push_str(&format!("\n  [{}] {}", at + 1, described(one)));
    }
    invocation.terminal.note(&text)?;
    let answer = invocation.terminal.ask(&format!("Which one? [1-{}] ", found.len()))?;
    let number = answer.and_then(|answer| answer.parse::<usize>().ok()).and_then(|n| n.checked_sub(1));
    Ok(number.and_then(|at| found.get(at)))
}

#[cfg(test)]
mod tests {
    use super::{fitting, nobody, several};
    use crate::exit::Exit;
    use lanyard_transport::discovery::Sighting;

    fn heard(name: &str, id: &str, addresses: &[&str]) -> Sighting {
        Sighting {
            name: name.into(),
            short_id: id.into(),
            version: None,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn hosts_are_found_by_name_or_id() {
        let all = || {
            vec![
                heard("Nas", "abc", &["10.0.0.1:1"]),
                heard("pc", "xyz", &["10.0.0.2:1"]),
                heard("nas", "no", &[]),
            ]
        };
        let names = |name| fitting(all(), name).into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(Some("nas")), ["Nas"], "without an address it is of no use");
        assert_eq!(names(Some("xyz")), ["pc"]);
        assert_eq!(names(None), ["Nas", "pc"]);
        assert!(names(Some("tv")).is_empty());
    }

    #[test]
    fn failures_name_the_way_out() {
        let failure = nobody(Some("tv"));
        assert!(failure.to_string().contains("tv") && failure.to_string().contains("--address"));
        assert_eq!(failure.exit(), Exit::Unreachable);
        let failure = several(&[heard("a\u{1b}", "abc", &["10.0.0.1:1"]), heard("b", "xyz", &[])]);
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains("\n  a⟦U+001B⟧ (abc) at 10.0.0.1:1"), "{failure}");
    }
}
