//! The network side of a host: where it is reached, whether it is found, what has happened.

use lanyard_protocol::health::{DiscoveryState, NetworkHealth, ReasonCount};

use super::paint::{Paint, Tone};
use super::span::plural;
use super::visible::line;

/// The rows of the health panel.
pub(crate) fn network(paint: Paint, network: &NetworkHealth) -> String {
    let mut shown = String::new();
    let mut row = |label: &str, text: &str| shown.push_str(&format!("  {label:<12} {text}\n"));
    row("id", network.host_id.as_str());
    match &network.listening {
        Some(listening) => row("listening", &format!("{} (UDP)", line(listening))),
        None => row("listening", "no: the network side is switched off"),
    }
    if !network.reachable_at.is_empty() {
        let all: Vec<_> = network.reachable_at.iter().map(|address| line(address)).collect();
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
    row("discovery", &format!("{}{detail}", paint.tone(tone, word)));
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

fn reasons(counts: &[ReasonCount]) -> String {
    let each: Vec<String> = counts.iter().map(|one| format!("{} {}", one.count, line(&one.reason))).collect();
    if each.is_empty() { String::new() } else { format!(" · {}", each.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::network;
    use crate::render::Paint;
    use crate::render::samples::network_health;

    #[test]
    fn the_network_word_for_word() {
        let expected = "  id           host1
  listening    [::]:7717 (UDP)
  reachable at 192.168.1.7:7717 [fd00::7]:7717
  discovery    found by name · nas.local
  devices      2 devices paired, 1 connected
  pairing      3 windows, 4 attempts, 2 paired · 2 wrong_secret
  traffic      9 connections, 5 subscriptions went on from a cursor
  ended        7 closed, 1 timed_out
";
        assert_eq!(network(Paint::PLAIN, &network_health()), expected);
        let mut off = network_health();
        (off.listening, off.reachable_at) = (None, Vec::new());
        assert!(network(Paint::PLAIN, &off).contains("switched off"));
    }
}
