//! What this device is called when it asks to be paired, and how codes are spelled while they are typed.

use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;

/// Characters of a code.
const CODE: usize = 8;

/// The name as it is sent: never empty, never longer than hosts take.
pub(super) fn name(typed: &str) -> String {
    match typed.trim() {
        "" => lanyard_web_link::suggested_name(),
        typed => typed.to_owned(),
    }
}

/// What is wrong with a name.
pub(super) fn fault(typed: &str) -> Option<&'static str> {
    if typed.trim().len() > MAX_DEVICE_NAME_BYTES {
        return Some("This name is too long for the host's list.");
    }
    typed.chars().any(char::is_control).then_some("A name has letters, digits and spaces.")
}

/// A code while it is typed: upper case, a dash in its middle, and nothing else between. Look-alikes are left to
/// [`lanyard_pairing::PairingCode`], which knows them all.
pub(super) fn spelled(typed: &str) -> String {
    let letters: Vec<char> = typed
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .map(|letter| letter.to_ascii_uppercase())
        .take(CODE + 1)
        .collect();
    let mut out = String::with_capacity(CODE + 2);
    for (at, letter) in letters.into_iter().enumerate() {
        if at == CODE / 2 {
            out.push('-');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_pairing::PairingCode;

    #[test]
    fn codes_get_their_dash_and_stay_what_was_typed() {
        assert_eq!(spelled("k7q"), "K7Q");
        assert_eq!(spelled("k7qx"), "K7QX");
        assert_eq!(spelled("k7qx9"), "K7QX-9");
        assert_eq!(spelled("K7QX-"), "K7QX", "the dash can be deleted");
        assert_eq!(spelled(" k7qx\u{2013}92md "), "K7QX-92MD");
        assert_eq!(spelled("k7qx92mdz"), "K7QX-92MDZ", "one too many is shown, so that it is noticed");
        assert_eq!(PairingCode::parse(&spelled("o0il-1234")), PairingCode::parse("00111234"));
    }

    #[test]
    fn a_name_that_hosts_refuse_is_said_before_it_is_sent() {
        assert_eq!(fault("Ada's phone"), None);
        assert!(fault(&"ä".repeat(33)).is_some());
        assert!(fault("a\u{7}b").is_some());
    }
}
