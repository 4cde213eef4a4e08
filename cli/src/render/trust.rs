//! The host's authority, and how a browser is told to trust it.

use lanyard_protocol::Timestamp;
use lanyard_protocol::health::{DiscoveryHealth, DiscoveryState};
use lanyard_protocol::method::{TrustAuthority, TrustState};

use super::paint::{Paint, Tone};
use super::visible::line;

/// Pairs of digits in a row of the fingerprint: as systems show it on a phone.
const PAIRS: usize = 16;

/// Days before its end from which on a certificate should be renewed.
const WARN_DAYS: u64 = 30;

/// See the module. `discovery`: whether the name is announced, where that was asked; `enable`: the command that makes an
/// authority.
pub(crate) fn trust(
    paint: Paint,
    state: &TrustState,
    discovery: Option<&DiscoveryHealth>,
    enable: &str,
    now: Timestamp,
) -> String {
    let Some(authority) = &state.authority else {
        return format!(
            "Browsers warn of this host's certificate: it has made it itself.\n\
             To do away with that, on devices that you prepare once:\n  {}\n",
            paint.tone(Tone::Accent, &line(enable))
        );
    };
    let mut shown = format!(
        "Browsers that trust this authority take the certificate of {} without a warning.\n",
        paint.tone(Tone::Strong, &line(&authority.name))
    );
    shown.push_str("It can speak for this name alone, and its key was destroyed when it had signed.\n\n");
    shown.push_str("  SHA-256 fingerprint of the authority\n");
    for row in rows(&authority.fingerprint) {
        shown.push_str(&format!("    {}\n", paint.tone(Tone::Accent, &line(&row))));
    }
    shown.push_str(&until(paint, authority, enable, now));
    if state.pages.is_empty() {
        shown.push_str("The network side is off: no device can install it now.\n");
        return shown;
    }
    if let Some(discovery) = discovery {
        shown.push_str(&unannounced(paint, discovery));
    }
    shown.push_str("\nOn the device to be prepared open one of these, and follow it:\n");
    for page in &state.pages {
        shown.push_str(&format!("  {}\n", line(page)));
    }
    shown.push_str(
        "That page is itself not verified. Before you trust what it gives you, compare the fingerprint in the details \
         of the certificate, as the system shows them, with the one above. If they differ, stop: somebody is in between.\n",
    );
    shown
}

/// That the certificate is of no use yet, where nobody finds the name it is for.
fn unannounced(paint: Paint, discovery: &DiscoveryHealth) -> String {
    let way_out = match discovery.state {
        DiscoveryState::Advertising | DiscoveryState::Starting => return String::new(),
        DiscoveryState::Off => {
            "Set `discovery.enabled = true` in config.toml, let the host listen for others, and start it again."
        }
        DiscoveryState::Failed => "`lanyard doctor` says what stands in the way.",
    };
    let text = format!(
        "! The certificate is for this name alone, and the name is not announced ({}): devices do not find it, and of the \
         addresses browsers go on warning. {way_out}",
        line(&discovery.detail)
    );
    format!("\n{}\n", paint.tone(Tone::Waits, &text))
}

fn until(paint: Paint, authority: &TrustAuthority, enable: &str, now: Timestamp) -> String {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let days = authority.expires_at.millis_since(now) / DAY;
    // The day is enough.
    let date = authority.expires_at.to_string().chars().take(10).collect::<String>();
    if authority.expires_at <= now {
        let text = format!("It ended on {date}: make a new one with `{} --renew`.", line(enable));
        return format!("  {}\n", paint.tone(Tone::Bad, &text));
    }
    let text = format!("valid until {date} ({days} days)");
    if days > WARN_DAYS {
        return format!("  {text}\n");
    }
    let text = format!("{text}: make a new one with `{} --renew`, and tell every browser anew", line(enable));
    format!("  {}\n", paint.tone(Tone::Waits, &text))
}

/// The fingerprint in rows.
fn rows(fingerprint: &str) -> Vec<String> {
    let pairs: Vec<&str> = fingerprint.split(':').collect();
    pairs.chunks(PAIRS).map(|row| row.join(":")).collect()
}

#[cfg(test)]
mod tests {
    use super::trust;
    use crate::render::Paint;
    use crate::render::samples::at;
    use lanyard_protocol::health::{DiscoveryHealth, DiscoveryState};
    use lanyard_protocol::method::{TrustAuthority, TrustState};

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn state(days: i64) -> TrustState {
        let pairs: Vec<String> = (0..32).map(|byte| format!("{byte:02X}")).collect();
        let authority = TrustAuthority {
            fingerprint: pairs.join(":"),
            name: "lanyard-k7qx92md.local".into(),
            expires_at: at().plus_millis(days * DAY),
        };
        TrustState { authority: Some(authority), pages: vec!["https://192.168.1.7:7717/trust".into()] }
    }

    fn shown(state: &TrustState) -> String {
        shown_with(state, DiscoveryState::Advertising)
    }

    fn shown_with(state: &TrustState, discovery: DiscoveryState) -> String {
        let discovery = DiscoveryHealth { state: discovery, detail: "only a VPN".into() };
        trust(Paint::PLAIN, state, Some(&discovery), "lanyard trust enable", at())
    }

    #[test]
    fn a_name_that_nobody_finds_is_said_with_the_way_out() {
        assert!(!shown(&state(800)).contains("not announced"));
        let off = shown_with(&state(800), DiscoveryState::Off);
        assert!(
            off.contains("not announced (only a VPN)") && off.contains("discovery.enabled = true"),
            "{off}"
        );
        let failed = shown_with(&state(800), DiscoveryState::Failed);
        assert!(failed.contains("for this name alone") && failed.contains("lanyard doctor"), "{failed}");
    }

    #[test]
    fn the_fingerprint_the_page_and_what_to_compare() {
        let text = shown(&state(800));
        assert!(text.contains("    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F\n    10:11:"), "{text}");
        assert!(text.contains("https://192.168.1.7:7717/trust") && text.contains("(800 days)"), "{text}");
        assert!(text.contains("not verified") && text.contains("compare"), "{text}");
        assert!(!text.contains("--renew"), "{text}");
    }

    #[test]
    fn its_end_is_said_in_time() {
        assert!(shown(&state(30)).contains("30 days): make a new one with `lanyard trust enable --renew`"));
        assert!(!shown(&state(31)).contains("--renew"));
        assert!(shown(&state(-1)).contains("It ended on "));
    }

    #[test]
    fn without_one_it_is_said_how_to_get_it() {
        let text = shown(&TrustState { authority: None, pages: Vec::new() });
        assert!(text.contains("  lanyard trust enable\n"), "{text}");
        let mut off = state(800);
        off.pages.clear();
        assert!(shown(&off).contains("network side is off"));
    }
}
