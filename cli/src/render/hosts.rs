//! Hosts this device is paired with, and hosts heard on the network. What hosts call themselves is foreign text, and
//! what is heard is hearsay.

use lanyard_protocol::Timestamp;
use lanyard_transport::discovery::Sighting;

use super::lists::pad;
use super::paint::{Paint, Tone, width_of};
use super::scopes::scopes_list;
use super::span::ago;
use super::visible::{line, short_line};
use crate::known::{KnownHost, KnownHosts, PendingHost};

/// Characters of a name in a list.
const NAME_CHARS: usize = 32;

/// What became of a try to reach a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not tried.
    NotTried,
    /// It answers.
    Reachable {
        /// Where.
        address: String,
        /// Whole milliseconds until it had accepted this device.
        millis: u64,
    },
    /// It does not answer.
    Silent(String),
    /// It answers and wants nothing from this device, or is another.
    Refuses(String),
    /// The two do not fit as they are: versions, this machine's sockets.
    Unfit(String),
}

/// Paired hosts with their standing, and pairings that wait.
pub(crate) fn hosts(
    paint: Paint,
    hosts: &[(KnownHost, Standing)],
    pending: &[PendingHost],
    now: Timestamp,
) -> String {
    let mut shown = String::new();
    if hosts.is_empty() && pending.is_empty() {
        return "This machine is paired with no host. On the host: lanyard pair. Here: lanyard join\n"
            .to_owned();
    }
    for (host, standing) in hosts {
        let (tone, state) = match standing {
            Standing::NotTried => (Tone::Faint, "not tried".to_owned()),
            Standing::Reachable { address, millis } => {
                (Tone::Good, format!("reachable at {} ({millis} ms)", line(address)))
            }
            Standing::Silent(why) => (Tone::Waits, format!("not reachable: {}", line(why))),
            Standing::Refuses(why) | Standing::Unfit(why) => (Tone::Bad, line(why).into_owned()),
        };
        let calls_itself = match host.name == host.alias {
            true => String::new(),
            false => format!(" · calls itself {}", short_line(&host.name, NAME_CHARS)),
        };
        shown.push_str(&format!(
            "{}  {}\n  {} · {} · paired {}{calls_itself}\n",
            paint.tone(Tone::Strong, &host.alias),
            paint.tone(tone, &state),
            host.fingerprint().short(),
            scopes_list(&host.scopes),
            ago(host.paired_at, now),
        ));
    }
    for one in pending {
        let waits = paint.tone(Tone::Waits, "waits for an answer on the host");
        let since = ago(one.started_at, now);
        let digits = one.join.digits();
        shown.push_str(&format!(
            "{}  {waits}\n  digits {digits} · asked {since} · go on with: lanyard join\n",
            paint.tone(Tone::Strong, &one.alias)
        ));
    }
    shown
}

/// The paired host that a sighting claims to be.
pub(crate) fn claims_to_be<'a>(sighting: &Sighting, known: &'a KnownHosts) -> Option<&'a KnownHost> {
    known.hosts.iter().find(|host| host.fingerprint().short() == sighting.short_id)
}

/// Hosts heard, one a line.
pub(crate) fn sightings(paint: Paint, sightings: &[Sighting], known: &KnownHosts) -> String {
    if sightings.is_empty() {
        return "No host was heard. It may be on another network, or the network keeps devices apart. These work \
                without being heard:\n  lanyard join LINK                  the link under the host's QR code\n  \
                lanyard join --address IP:PORT     the address `lanyard up` shows on the host\n"
            .to_owned();
    }
    let names: Vec<String> = sightings.iter().map(|one| short_line(&one.name, NAME_CHARS)).collect();
    let columns = |name: &String| name.chars().map(width_of).sum::<usize>();
    let widest = names.iter().map(columns).max().unwrap_or_default();
    let rows = sightings.iter().zip(&names).map(|(one, name)| {
        let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        let paired = match claims_to_be(one, known) {
            Some(host) => paint.tone(Tone::Good, &format!("  paired as {}", host.alias)),
            None => String::new(),
        };
        let name = paint.tone(Tone::Strong, &pad(name, widest));
        format!("{name}  {}  {}{paired}\n", pad(&short_line(&one.short_id, 7), 7), addresses.join(" "))
    });
    let mut shown: String = rows.collect();
    let hearsay = "Names and ids are hearsay; a host proves its key when you connect.";
    shown.push_str(&format!("{}\n", paint.tone(Tone::Faint, hearsay)));
    shown
}

#[cfg(test)]
mod tests {
    use super::{Standing, hosts, sightings};
    use crate::known::samples::{at, host, identity, pending};
    use crate::known::{KnownHosts, PendingHost};
    use crate::render::Paint;
    use lanyard_transport::discovery::Sighting;

    #[test]
    fn hosts_word_for_word() {
        let there = Standing::Reachable { address: "192.168.1.7:7717".into(), millis: 12 };
        let mut odd = host("pc", 2);
        odd.name = "Büro\u{1b}".into();
        let silent = Standing::Silent("no answer".into());
        let waiting = PendingHost {
            alias: "nas-2".into(),
            addresses: Vec::new(),
            started_at: at(),
            join: pending("nas", 9),
        };
        let all = [(host("nas", 1), there), (odd, silent)];
        let shown = hosts(Paint::PLAIN, &all, &[waiting], at().plus_millis(61_000));
        let (one, two) = (identity(1).fingerprint().short(), identity(2).fingerprint().short());
        let expected = format!(
            "\
nas  reachable at 192.168.1.7:7717 (12 ms)
  {one} · observe,operate · paired 1 min ago
pc  not reachable: no answer
  {two} · observe,operate · paired 1 min ago · calls itself Büro⟦U+001B⟧
nas-2  waits for an answer on the host
  digits 123 456 · asked 1 min ago · go on with: lanyard join
"
        );
        assert_eq!(shown, expected);
        assert!(hosts(Paint::PLAIN, &[], &[], at()).contains("lanyard join"));
    }

    #[test]
    fn sightings_word_for_word() {
        let known = KnownHosts { hosts: vec![host("nas", 1)], ..KnownHosts::default() };
        let heard = |name: &str, id: String| Sighting {
            name: name.into(),
            short_id: id,
            version: Some(2),
            addresses: vec!["192.168.1.7:7717".parse().unwrap()],
        };
        let mine = heard("nas", identity(1).fingerprint().short());
        let other = heard("\u{1b}evil", "xxxxxxx".into());
        let shown = sightings(Paint::PLAIN, &[mine.clone(), other], &known);
        let expected = format!(
            "\
nas            {}  192.168.1.7:7717  paired as nas
⟦U+001B⟧evil  xxxxxxx  192.168.1.7:7717
Names and ids are hearsay; a host proves its key when you connect.
",
            mine.short_id
        );
        assert_eq!(shown, expected.replace("nas            ", "nas           "));
        assert!(sightings(Paint::PLAIN, &[], &known).contains("--address"));
    }
}
