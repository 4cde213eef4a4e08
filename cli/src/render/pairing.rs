//! The pairing window, and devices that ask to be paired. Names and platforms are foreign text.

use lanyard_protocol::Timestamp;
use lanyard_protocol::device::{Device, PairingEnd, PairingMethod, PairingWindow, PendingPairing};

use super::approval::countdown;
use super::banner::banner;
use super::paint::{Paint, Tone};
use super::qr::qr;
use super::scopes::{scopes_in_words, scopes_list};
use super::visible::line;

/// Which link is drawn as a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// None.
    Nothing,
    /// The host's choice: by its name where that can be found, else by its address.
    First,
    /// The one by address.
    ByAddress,
}

/// The window with everything a device needs.
pub(crate) fn pairing_window(
    paint: Paint,
    window: &PairingWindow,
    width: Option<usize>,
    drawn: Drawn,
    now: Timestamp,
) -> String {
    let left = countdown(window.expires_at, now);
    let title = paint.tone(Tone::Strong, "Pair a device");
    let mut shown = format!("{title} (open for {left})\n");
    if let Some(warning) = &window.warning {
        shown.push_str(&format!("  {}\n", paint.tone(Tone::Bad, &format!("! {}", line(warning)))));
    }
    match &window.code {
        Some(code) => {
            shown.push_str("On another computer: lanyard join, with this code\n\n");
            shown.push_str(&paint_lines(paint, &banner(&line(code), width)));
            shown.push_str(&format!("\n  code  {}\n", paint.tone(Tone::Accent, &line(code))));
        }
        // The warning above says why there is none.
        None if window.warning.is_some() => {}
        None => {
            shown.push_str("  No code: too many attempts in the last hour; the link and its QR code work.\n")
        }
    }
    shown.push_str(&links(paint, window, width, drawn));
    shown
}

/// What a phone scans, and the links as text.
fn links(paint: Paint, window: &PairingWindow, width: Option<usize>, drawn: Drawn) -> String {
    if window.link.is_empty() {
        return "No link: this host serves no page (`lanyard health` says why).\n".to_owned();
    }
    let by_address = window.link_by_address.as_deref();
    let code = match drawn {
        Drawn::Nothing => None,
        Drawn::First => Some(window.link.as_str()),
        // Where the link is by address already there is no other.
        Drawn::ByAddress => Some(by_address.unwrap_or(&window.link)),
    };
    let mut shown = String::new();
    if let Some(link) = code {
        shown.push_str("On a phone: scan this with its camera, or open the link in a browser\n");
        match qr(paint, link, width) {
            Ok(code) => shown.push_str(&code),
            Err(why) => shown.push_str(&format!("  {why}\n")),
        }
    }
    shown.push_str(&format!("  link  {}\n", line(&window.link)));
    if let Some(link) = by_address {
        shown.push_str(&format!("  or    {}\n", line(link)));
        let hint = match drawn {
            Drawn::First => {
                "The second one is for phones and networks that do not find the name (as a QR code: --by-address)."
            }
            Drawn::ByAddress | Drawn::Nothing => {
                "The second one is for phones and networks that do not find the name."
            }
        };
        shown.push_str(&format!("  {}\n", paint.tone(Tone::Faint, hint)));
    }
    for hint in [
        "The browser warns once, because this machine has made its certificate itself; go on. Where somebody else may control the network, compare the certificate's SHA-256 fingerprint with the one that `lanyard health` shows first: the pairing cannot prove that the page is this machine's.",
        "The link is a key: whoever has it before your device can ask in its place. It works once.",
    ] {
        shown.push_str(&format!("  {}\n", paint.tone(Tone::Faint, hint)));
    }
    shown
}

fn paint_lines(paint: Paint, text: &str) -> String {
    text.lines().map(|line| format!("{}\n", paint.tone(Tone::Accent, line))).collect()
}

/// A device that asks, in full.
pub(crate) fn pending_pairing(paint: Paint, pending: &PendingPairing, now: Timestamp) -> String {
    let title = paint.tone(Tone::Waits, "? A device asks to be paired");
    let mut shown = format!("{title}: {}\n", paint.tone(Tone::Strong, &line(&pending.name)));
    let mut row = |label: &str, text: &str| shown.push_str(&format!("    {label:<9} {text}\n"));
    row("platform", &line(&pending.platform));
    row("address", &line(&pending.address));
    row("id", pending.device_id.as_str());
    if pending.known {
        row("note", "it is paired already: approving replaces its entry");
    }
    if let Some(digits) = &pending.digits {
        row("digits", &format!("{} (its screen shows the same, or it is another device)", line(digits)));
    }
    shown.push_str("    It asks to:\n");
    shown.push_str(&scopes_in_words(paint, &pending.requested_scopes, "      "));
    let left = countdown(pending.expires_at, now);
    let expiry =
        format!("    Without an answer in {left} it is turned away. Question: {}", pending.pairing_id);
    shown.push_str(&format!("{}\n", paint.tone(Tone::Faint, &expiry)));
    shown
}

/// Devices that ask, and the window, for `lanyard pairings`.
pub(crate) fn pairings(
    paint: Paint,
    window: Option<&PairingWindow>,
    pending: &[PendingPairing],
    now: Timestamp,
) -> String {
    let mut shown = match window {
        Some(window) => format!(
            "The pairing window is open for {}; {}.\n",
            countdown(window.expires_at, now),
            window
                .code
                .as_deref()
                .map_or("no code, use the link".into(), |code| format!("code {}", line(code)))
        ),
        None => "No pairing window is shown here; `lanyard pair` opens one on the host.\n".to_owned(),
    };
    if pending.is_empty() {
        shown.push_str("No device waits for an answer.\n");
    }
    shown.extend(pending.iter().map(|one| pending_pairing(paint, one, now)));
    shown
}

/// How to answer a device from another terminal.
pub(crate) fn pairing_commands(pending: &PendingPairing, command: impl Fn(&str) -> String) -> String {
    let id = &pending.pairing_id;
    let digits = match pending.method {
        PairingMethod::Code => " --digits DIGITS-ON-THE-DEVICE",
        PairingMethod::Link => "",
    };
    let approve = command(&format!("pairings approve {id}{digits}"));
    let deny = command(&format!("pairings deny {id}"));
    format!("  {approve}\n  {deny}\n")
}

/// How the question of a pairing ended.
pub(crate) fn pairing_settled(paint: Paint, name: &str, end: PairingEnd, device: Option<&Device>) -> String {
    let name = line(name);
    let (tone, text) = match end {
        PairingEnd::Approved => (Tone::Good, format!("✓ {name} is paired")),
        PairingEnd::Denied => (Tone::Bad, format!("✗ {name} was turned away")),
        PairingEnd::Expired => (Tone::Bad, format!("✗ Nobody answered {name} in time; it can ask again")),
    };
    let rights = device.map(|device| format!(" with {}", scopes_list(&device.scopes))).unwrap_or_default();
    format!("{}\n", paint.tone(tone, &format!("{text}{rights}.")))
}

#[cfg(test)]
mod tests {
    use super::{Drawn, pairing_commands, pairing_settled, pairing_window, pairings, pending_pairing};
    use crate::render::Paint;
    use crate::render::samples::{at, device, pairing_asked};
    use lanyard_protocol::device::{PairingEnd, PairingMethod, PairingWindow};

    fn window() -> PairingWindow {
        PairingWindow {
            link_by_address: None,
            code: Some("K7QX-92MD".into()),
            link: "https://192.168.1.7:7717/#v1.abc".into(),
            expires_at: at().plus_millis(119_000),
            attempts_left: 3,
            warning: None,
        }
    }

    #[test]
    fn a_window_word_for_word() {
        let mut narrow = window();
        let shown = pairing_window(Paint::PLAIN, &narrow, Some(40), Drawn::Nothing, at());
        let expected = "\
Pair a device (open for 1:59)
On another computer: lanyard join, with this code

  K 7 Q X - 9 2 M D

  code  K7QX-92MD
  link  https://192.168.1.7:7717/#v1.abc
  The browser warns once, because this machine has made its certificate itself; go on. Where somebody else may control the network, compare the certificate's SHA-256 fingerprint with the one that `lanyard health` shows first: the pairing cannot prove that the page is this machine's.
  The link is a key: whoever has it before your device can ask in its place. It works once.
";
        assert_eq!(shown, expected);
        assert!(pairing_window(Paint::PLAIN, &narrow, None, Drawn::First, at()).contains('█'));
        assert!(pairing_window(Paint::PLAIN, &narrow, Some(20), Drawn::First, at()).contains("needs"));
        narrow.code = None;
        narrow.warning = Some("somebody is guessing\u{1b}".into());
        let shown = pairing_window(Paint::PLAIN, &narrow, None, Drawn::Nothing, at());
        assert!(shown.contains("! somebody is guessing⟦U+001B⟧") && !shown.contains("code"), "{shown}");
        narrow.warning = None;
        let shown = pairing_window(Paint::PLAIN, &narrow, None, Drawn::Nothing, at());
        assert!(shown.contains("No code: too many attempts in the last hour"), "{shown}");
    }

    #[test]
    fn without_a_page_there_is_no_link_and_nothing_to_scan() {
        let mut window = window();
        window.link.clear();
        let shown = pairing_window(Paint::PLAIN, &window, None, Drawn::First, at());
        assert!(shown.contains("K7QX-92MD") && shown.contains("No link"), "{shown}");
        assert!(
            !shown.contains("  link  ") && !shown.contains("scan this") && !shown.contains("certificate"),
            "{shown}"
        );
    }

    #[test]
    fn of_two_links_one_is_drawn_and_both_are_shown() {
        let mut window = window();
        window.link = "https://lanyard-k7qx92md.local:7717/#PNAME".into();
        window.link_by_address = Some("https://192.168.1.7:7717/#PADDRESS".into());
        let shown = |drawn| pairing_window(Paint::PLAIN, &window, None, drawn, at());
        let (first, by_address) = (shown(Drawn::First), shown(Drawn::ByAddress));
        for shown in [&first, &by_address, &shown(Drawn::Nothing)] {
            assert!(shown.contains("  link  https://lanyard-k7qx92md.local:7717/#PNAME\n"), "{shown}");
            assert!(shown.contains("  or    https://192.168.1.7:7717/#PADDRESS\n"), "{shown}");
        }
        assert!(first.contains("--by-address") && !by_address.contains("--by-address"));
        let code = |link: &str| super::qr(Paint::PLAIN, link, None).unwrap();
        assert!(first.contains(&code(&window.link)));
        assert!(by_address.contains(&code("https://192.168.1.7:7717/#PADDRESS")));
    }

    #[test]
    fn a_device_that_asks_word_for_word() {
        let shown = pending_pairing(Paint::PLAIN, &pairing_asked(PairingMethod::Code), at());
        let expected = "\
? A device asks to be paired: Büro\u{27e6}U+001B\u{27e7}[2J
    platform  linux
    address   192.168.1.9:40000
    id        dev1
    It asks to:
      observe  see sessions, their history and the host's condition
      operate  start and cancel tasks
      approve  approve what tasks want to do
      operate and approve together are running programs on this host as you
    Without an answer in 10:00 it is turned away. Question: pair1
";
        assert_eq!(shown, expected);
        let mut known = pairing_asked(PairingMethod::Link);
        known.known = true;
        known.digits = Some("123 456".into());
        let shown = pending_pairing(Paint::PLAIN, &known, at());
        assert!(shown.contains("replaces its entry") && shown.contains("digits    123 456"), "{shown}");
    }

    #[test]
    fn the_commands_fit_the_method() {
        let command = |rest: &str| format!("lanyard {rest}");
        let by_code = pairing_commands(&pairing_asked(PairingMethod::Code), command);
        assert_eq!(
            by_code,
            "  lanyard pairings approve pair1 --digits DIGITS-ON-THE-DEVICE\n  lanyard pairings deny pair1\n"
        );
        assert!(!pairing_commands(&pairing_asked(PairingMethod::Link), command).contains("--digits"));
    }

    #[test]
    fn each_end_in_words() {
        let told = |end, device| pairing_settled(Paint::PLAIN, "x\u{1b}", end, device);
        let paired = device("x", "d");
        let shown = told(PairingEnd::Approved, Some(&paired));
        assert_eq!(shown, "✓ x⟦U+001B⟧ is paired with observe,operate.\n");
        assert_eq!(told(PairingEnd::Denied, None), "✗ x⟦U+001B⟧ was turned away.\n");
        assert!(told(PairingEnd::Expired, None).contains("in time"));
    }

    #[test]
    fn an_empty_list_teaches() {
        assert!(pairings(Paint::PLAIN, None, &[], at()).contains("lanyard pair"));
        let mut open = window();
        assert!(pairings(Paint::PLAIN, Some(&open), &[], at()).contains("; code K7QX-92MD."));
        open.code = None;
        assert!(pairings(Paint::PLAIN, Some(&open), &[], at()).contains("; no code, use the link."));
    }
}
