//! Paired devices, and who was connected when. Names and platforms are foreign text.

use lanyard_protocol::Timestamp;
use lanyard_protocol::device::{ConnectionRecord, Device, KeyStorage};

use super::lists::pad;
use super::paint::{Paint, Tone, width_of};
use super::scopes::scopes_list;
use super::span::{ago, millis, plural};
use super::visible::{line, short_line};

/// Characters of a device's name in a list; hosts take longer ones.
const NAME_CHARS: usize = 32;

/// Columns of the widest text.
fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().map(width_of).sum()).max().unwrap_or_default()
}

/// The first group of an id of this form: enough to name a device.
fn short(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

/// Devices, one in two lines.
pub(crate) fn devices(paint: Paint, devices: &[Device], now: Timestamp) -> String {
    if devices.is_empty() {
        return "No device is paired. Pair one:\n  lanyard pair       shows a code and a QR code\n  \
                lanyard join       on the other machine, with the code\n"
            .to_owned();
    }
    let names: Vec<String> = devices.iter().map(|device| short_line(&device.name, NAME_CHARS)).collect();
    let columns = widest(names.iter().map(String::as_str));
    let rows = devices.iter().zip(&names).map(|(device, name)| {
        let (tone, state) = match (device.provisional_until, device.connections, device.last_seen) {
            (Some(_), ..) => (Tone::Waits, "approved; it has not shown that it knows".to_owned()),
            (None, 0, Some(seen)) => (Tone::Faint, format!("seen {}", ago(seen, now))),
            (None, 0, None) => (Tone::Faint, "not connected yet".to_owned()),
            (None, open, _) => (Tone::Good, format!("connected ({})", plural(open.into(), "connection"))),
        };
        let from = device.last_address.as_deref().map(|from| format!(" from {}", line(from)));
        format!(
            "{}  {}  {}{}\n  {} · {} · paired {} · {}\n{}",
            paint.tone(Tone::Strong, &pad(name, columns)),
            pad(&scopes_list(&device.scopes), "observe,operate,approve,admin".len()),
            paint.tone(tone, &state),
            from.unwrap_or_default(),
            short(device.device_id.as_str()),
            line(&device.platform),
            ago(device.paired_at, now),
            device.device_id,
            page(paint, device) + &let_in_by(device, devices),
        )
    });
    rows.collect()
}

/// Whose link it came by; removing that one removes it too.
fn let_in_by(device: &Device, devices: &[Device]) -> String {
    let Some(maker) = &device.made_by else { return String::new() };
    let name = devices.iter().find(|other| other.device_id == *maker);
    let name =
        name.map_or_else(|| short(maker.as_str()).to_owned(), |other| short_line(&other.name, NAME_CHARS));
    format!("  let in by {name}, and removed with it\n")
}

/// What is known of the page a device runs in: it says so itself.
fn page(paint: Paint, device: &Device) -> String {
    if device.temporary {
        return "  a browser tab of this machine, gone when it is closed\n".to_owned();
    }
    let Some(page) = &device.page else { return String::new() };
    let checked = match page.verified {
        true => paint.tone(Tone::Good, "checked by the browser"),
        false => paint.tone(Tone::Waits, "unverified: whoever controls the network could have changed it"),
    };
    let key = match page.key {
        KeyStorage::Wrapped => "its key locked away by the browser",
        KeyStorage::Plain => "its key kept as it is",
        KeyStorage::Memory => "its key gone with the tab",
    };
    format!("  page {} · {checked} · {key}\n", line(&page.origin))
}

/// Who was connected when, newest first.
pub(crate) fn connections(paint: Paint, connections: &[ConnectionRecord], now: Timestamp) -> String {
    if connections.is_empty() {
        return "No device has connected yet.\n".to_owned();
    }
    let names: Vec<String> = connections.iter().map(|row| short_line(&row.name, NAME_CHARS)).collect();
    let columns = widest(names.iter().map(String::as_str));
    let ages: Vec<String> = connections.iter().map(|row| ago(row.connected_at, now)).collect();
    let from: Vec<_> = connections.iter().map(|row| line(&row.address)).collect();
    let (age_columns, from_columns) =
        (widest(ages.iter().map(String::as_str)), widest(from.iter().map(AsRef::as_ref)));
    let rows =
        connections.iter().zip(&names).zip(ages.iter().zip(&from)).map(|((row, name), (age, from))| {
            let ended = match (row.ended_at, &row.end_reason) {
                (None, None) => paint.tone(Tone::Good, "since then"),
                (None, Some(why)) => line(why).into_owned(),
                (Some(ended), why) => {
                    let why = why.as_deref().map(|why| format!(", {}", line(why))).unwrap_or_default();
                    format!("for {}{why}", millis(ended.millis_since(row.connected_at)))
                }
            };
            let name = paint.tone(Tone::Strong, &pad(name, columns));
            format!(
                "{:>6}  {name}  {}  {}  {ended}\n",
                row.connection,
                pad(age, age_columns),
                pad(from, from_columns)
            )
        });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::{connections, devices};
    use crate::render::Paint;
    use crate::render::samples::{at, device};
    use lanyard_protocol::device::{ConnectionRecord, KeyStorage, PageReport};
    use lanyard_protocol::id::DeviceId;

    #[test]
    fn devices_word_for_word() {
        let mut here = device("Pixel", "abcdefg-hijklmn");
        here.connections = 2;
        here.last_address = Some("192.168.1.9:4000".into());
        let mut new = device("x\u{1b}", "bcdefgh-ijklmno");
        new.provisional_until = Some(at());
        let shown = devices(Paint::PLAIN, &[here, new, device("old", "cdefghi-x")], at());
        let expected = "\
Pixel      observe,operate                connected (2 connections) from 192.168.1.9:4000
  abcdefg · linux · paired 1 min ago · abcdefg-hijklmn
x⟦U+001B⟧  observe,operate                approved; it has not shown that it knows
  bcdefgh · linux · paired 1 min ago · bcdefgh-ijklmno
old        observe,operate                not connected yet
  cdefghi · linux · paired 1 min ago · cdefghi-x
";
        assert_eq!(shown, expected);
        assert!(devices(Paint::PLAIN, &[], at()).contains("lanyard pair"));
    }

    #[test]
    fn who_let_a_device_in_is_told() {
        let phone = device("Pi\u{1b}xel", "abcdefg-x");
        let mut page = device("Pixel (2)", "bcdefgh-x");
        page.made_by = Some(phone.device_id.clone());
        let shown = devices(Paint::PLAIN, &[phone, page.clone()], at());
        assert!(shown.ends_with("\n  let in by Pi⟦U+001B⟧xel, and removed with it\n"), "{shown}");
        assert!(
            devices(Paint::PLAIN, &[page], at()).contains("let in by abcdefg,"),
            "its maker is not listed"
        );
    }

    #[test]
    fn what_a_page_says_of_itself_is_told() {
        let shown = |verified, key, temporary| {
            let mut phone = device("Pixel", "abcdefg-x");
            phone.page = Some(PageReport { origin: "https://192.168.1.7:7717".into(), verified, key });
            phone.temporary = temporary;
            devices(Paint::PLAIN, &[phone], at()).lines().nth(2).unwrap().to_owned()
        };
        assert_eq!(
            shown(false, KeyStorage::Plain, false),
            "  page https://192.168.1.7:7717 · unverified: whoever controls the network could have changed it · its key \
             kept as it is"
        );
        assert!(
            shown(true, KeyStorage::Wrapped, false).contains("checked by the browser · its key locked away")
        );
        assert!(shown(true, KeyStorage::Memory, true).contains("a browser tab of this machine"));
    }

    #[test]
    fn connections_word_for_word() {
        let row = ConnectionRecord {
            connection: 7,
            device_id: DeviceId::new("d").unwrap(),
            name: "Pixel".into(),
            address: "192.168.1.9:4000".into(),
            connected_at: at().plus_millis(-60_000),
            ended_at: Some(at().plus_millis(-57_500)),
            end_reason: Some("timed_out".into()),
        };
        let open = ConnectionRecord {
            connection: 8,
            address: "192.168.1.29:40000".into(),
            connected_at: at(),
            ended_at: None,
            end_reason: None,
            ..row.clone()
        };
        let shown = connections(Paint::PLAIN, &[open, row], at());
        let expected = "     8  Pixel  just now   192.168.1.29:40000  since then
     7  Pixel  1 min ago  192.168.1.9:4000    for 2.5 s, timed_out
";
        assert_eq!(shown, expected);
    }
}
