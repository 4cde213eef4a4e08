//! What texts from outside may be.

use lanyard_governance_api::enrolment::MachineInfo;
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_foundation::Fault;

/// Longest name of a machine, class, version and the like, in bytes: they stand in tables.
pub(crate) const MAX_NAME: usize = 200;

/// A text for people: not empty, not too long, no control characters but line ends and tabs.
pub(crate) fn text(name: &str, text: &str, longest: usize) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::invalid(format!("{name} must not be empty")));
    }
    optional(name, Some(text), longest)
}

/// The same, and it may be absent or empty.
pub(crate) fn optional(name: &str, text: Option<&str>, longest: usize) -> Result<(), Fault> {
    let Some(text) = text else { return Ok(()) };
    if text.len() > longest {
        return Err(Fault::invalid(format!(
            "{name} has at most {longest} bytes, this one has {}",
            text.len()
        )));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Fault::invalid(format!("{name} holds a control character")));
    }
    Ok(())
}

/// A text cut to what is kept, at a character's boundary.
pub(crate) fn cut(text: &str) -> &str {
    match text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_TEXT_BYTES).last()
    {
        Some(end) => &text[..end],
        None => "",
    }
}

/// A text for people from somebody who cannot be refused: cut, and control characters but line ends and tabs replaced.
/// PostgreSQL takes no NUL, and terminals take the others for orders.
pub(crate) fn clean(text: &str) -> String {
    let seen = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c };
    cut(text).chars().map(seen).collect()
}

/// What a host says of its machine.
pub(crate) fn machine(machine: &MachineInfo) -> Result<(), Fault> {
    text("machine.name", &machine.name, MAX_NAME)?;
    for (name, value) in [
        ("machine.osFamily", &machine.os_family),
        ("machine.osVersion", &machine.os_version),
        ("machine.architecture", &machine.architecture),
        ("machine.hostVersion", &machine.host_version),
    ] {
        optional(name, Some(value), MAX_NAME)?;
    }
    optional("machine.hostId", machine.host_id.as_deref(), MAX_NAME)
}

/// Hex digits of so many bytes.
pub(crate) fn hex(name: &str, text: &str, least: usize, most: usize) -> Result<(), Fault> {
    let bytes = text.len() / 2;
    let even = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if even && (least..=most).contains(&bytes) {
        return Ok(());
    }
    let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
    Err(Fault::invalid(format!("{name} must be {wanted} bytes in hex")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_cut_between_characters() {
        assert!(text("x", "a\nb", 3).is_ok());
        assert!(text("x", " \n", 3).is_err());
        assert!(text("x", "abcd", 3).is_err());
        assert!(text("x", "\u{1b}[1m", 30).is_err());
        let long = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(cut(&long).len(), MAX_TEXT_BYTES);
        assert_eq!(cut(&format!("a{long}")).len(), MAX_TEXT_BYTES - 1);
        assert_eq!((cut("short"), cut("")), ("short", ""));
        assert_eq!(clean("a\0b\u{1b}[1m\n\tc\u{9f}"), "a b [1m\n\tc ");
        // Of two bytes each before, of one after: never longer.
        assert_eq!(clean(&"\u{9f}".repeat(MAX_TEXT_BYTES)).len(), MAX_TEXT_BYTES / 2);
    }

    #[test]
    fn hex_is_hex_of_the_right_length() {
        assert!(hex("n", &"ab".repeat(16), 16, 64).is_ok());
        for wrong in ["", "abc", &"ab".repeat(15), &"ab".repeat(65), &"zz".repeat(16)] {
            assert!(hex("n", wrong, 16, 64).is_err(), "{wrong}");
        }
    }
}
