//! The network side of a host: where it is reached, whether it is found, what has happened.

use lanyard_protocol::health::{DiscoveryState, HealthCheck, HealthStatus, NetworkHealth, ReasonCount};

use super::names::address;
use super::paint::{Paint, Tone};
use super::span::plural;
use super::visible::line;

/// Why the network side does not run though it should: what the host found out about it. `None` where it runs, or is
/// switched off.
pub(crate) fn network_trouble<'a>(network: &NetworkHealth, checks: &'a [HealthCheck]) -> Option<&'a str> {
    let found = |check: &&HealthCheck| check.name == "network" && check.status != HealthStatus::Ok;
    let check = checks.iter().find(found).filter(|_| network.listening.is_none());
    check.map(|check| check.message.as_str())
}

/// The rows of the health panel. `checks`: what the host has looked at.
pub(super) fn network(paint: Paint, network: &NetworkHealth, checks: &[HealthCheck]) -> String {
    let trouble = network_trouble(network, checks);
    let mut shown = String::new();
    let mut row = |label: &str, text: &str| shown.push_str(&format!("  {label:<12} {text}\n"));
    row("id", network.host_id.as_str());
    match (&network.listening, trouble) {
        (Some(listening), _) => {
            // Without its page the host has the UDP port alone, and says why among the checks.
            let no_page = network.origins.is_empty() && checks.iter().any(is_web_trouble);
            let ports = if no_page { "UDP" } else { "UDP and TCP" };
            row("listening", &format!("{} ({ports})", line(listening)));
        }
        (None, Some(why)) => row("listening", &paint.tone(Tone::Waits, &format!("no: {}", line(why)))),
        (None, None) => row("listening", "no: the network side is switched off"),
    }
    if !network.reachable_at.is_empty() {
        let all: Vec<_> = network.reachable_at.iter().map(|one| address(one)).collect();
        row("reachable at", &all.join(" "));
    }
    let (tone, word) = match network.discovery.state {
        DiscoveryState::Off => (Tone::Faint, "off"),
        DiscoveryState::Starting => (Tone::Faint, "starting"),
        DiscoveryState::Advertising => (Tone::Good, "found by name"),
        DiscoveryState::Failed => (Tone::Waits, "not found by name"),
    };
    let detail = line(&network.discovery.detail);
    let detail = if detail.is_empty() { String::new() } else { format!(" · {detail}") };
    match trouble {
        // It was not switched off: there is nothing to be found.
        Some(_) => row("discovery", &paint.tone(Tone::Waits, "no: the network side does not run")),
        None => row("discovery", &format!("{}{detail}", paint.tone(tone, word))),
    }
    let devices = plural(network.devices, "device");
    row("devices", &format!("{devices} paired, {} connected", network.devices_connected));
    let counters = &network.counters;
    let windows = plural(counters.windows_opened, "window");
    let attempts = plural(counters.pairing_attempts, "attempt");
    row(
        "pairing",
        &format!("{windows}, {attempts}, {} paired{}", counters.pairings, reasons(&counters.pairing_aborts)),
    );
    let made = plural(counters.connections, "connection");
    let went_on = plural(counters.resumes, "subscription");
    row("traffic", &format!("{made}, {went_on} went on from a cursor"));
    if !counters.refused.is_empty() {
        row("turned away", reasons(&counters.refused).trim_start_matches(" · "));
    }
    if !counters.disconnects.is_empty() {
        row("ended", reasons(&counters.disconnects).trim_start_matches(" · "));
    }
    shown
}

fn is_web_trouble(check: &HealthCheck) -> bool {
    check.name == "web" && check.status != HealthStatus::Ok
}

fn reasons(counts: &[ReasonCount]) -> String {
    let each: Vec<String> = counts.iter().map(|one| format!("{} {}", one.count, line(&one.reason))).collect();
    if each.is_empty() { String::new() } else { format!(" · {}", each.join(", ")) }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::health::{DiscoveryState, HealthCheck, HealthStatus};

    use super::network;
    use crate::render::Paint;
    use crate::render::samples::network_health;

    #[test]
    fn the_network_word_for_word() {
        let expected = "  id           host1
  listening    [::]:7717 (UDP and TCP)
  reachable at 192.168.1.7:7717 [fd00::7]:7717 [fe80::7]:7717
  discovery    found by name · nas.local
  devices      2 devices paired, 1 connected
  pairing      3 windows, 4 attempts, 2 paired · 2 wrong_secret
  traffic      9 connections, 5 subscriptions went on from a cursor
  ended        7 closed, 1 timed_out
";
        let mut there = network_health();
        there.reachable_at.push("[fe80::7%2]:7717".into());
        assert_eq!(network(Paint::PLAIN, &there, &[]), expected);
        let web = HealthCheck {
            name: "web".into(),
            status: HealthStatus::Degraded,
            message: "Browsers cannot open the page: TCP port 7717 is taken".into(),
            action: None,
        };
        assert!(network(Paint::PLAIN, &there, &[web]).contains("[::]:7717 (UDP)\n"));
        let mut off = network_health();
        (off.listening, off.reachable_at) = (None, Vec::new());
        assert!(network(Paint::PLAIN, &off, &[]).contains("switched off"));
    }

    #[test]
    fn a_network_side_that_could_not_start_is_not_called_switched_off() {
        let mut down = network_health();
        (down.listening, down.reachable_at) = (None, Vec::new());
        down.discovery.state = DiscoveryState::Off;
        let mut check = HealthCheck {
            name: "network".into(),
            status: HealthStatus::Degraded,
            message: "port 7717 is taken".into(),
            action: None,
        };
        let shown = network(Paint::PLAIN, &down, std::slice::from_ref(&check));
        let expected = "  id           host1
  listening    no: port 7717 is taken
  discovery    no: the network side does not run
";
        assert!(shown.starts_with(expected), "{shown}");
        check.status = HealthStatus::Ok;
        assert!(network(Paint::PLAIN, &down, &[check]).contains("switched off"));
    }
}
