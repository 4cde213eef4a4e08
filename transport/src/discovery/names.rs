//! Names as DNS takes them, and as people may be shown them.

use lanyard_protocol::visible::is_invisible;

use super::SERVICE;

/// Longest instance name announced, in bytes. A DNS label has 63; ` (999)`, which the responder adds where a name is
/// taken, has to fit behind it.
const MAX_ANNOUNCED: usize = 57;

/// Longest name shown, in bytes: a DNS label.
const MAX_SHOWN: usize = 63;

/// A host's name as an instance name (RFC 6763 §4.1.1): no control or invisible characters, not too long, never empty.
///
/// Dots and backslashes would be allowed, but the responder compares, renames and asks for such names wrongly.
pub(super) fn fit(name: &str) -> String {
    let plain = clean(name, MAX_ANNOUNCED).replace(['.', '\\'], "-");
    if plain.is_empty() { "lanyard".to_owned() } else { plain }
}

/// The name of a host that answers address queries, so that a browser's origin survives a new address.
pub(super) fn host_name(short_id: &str) -> String {
    format!("lanyard-{short_id}.local.")
}

/// The instance name in a full service name, fit to be shown; `None` for another service's.
pub(super) fn instance(fullname: &str) -> Option<String> {
    let at = fullname.len().checked_sub(SERVICE.len())?;
    let (instance, service) = fullname.split_at_checked(at)?;
    let instance = instance.strip_suffix('.')?;
    service.eq_ignore_ascii_case(SERVICE).then(|| clean(instance, MAX_SHOWN))
}

/// Without what a reader does not see or what would move the cursor, and not longer than so many bytes.
fn clean(name: &str, longest: usize) -> String {
    let mut clean = String::new();
    for c in name.chars().filter(|c| !c.is_control() && !is_invisible(*c)) {
        if clean.len() + c.len_utf8() > longest {
            break;
        }
        // Leading space, and several spaces in a row, only make two names look alike.
        if !c.is_whitespace() {
            clean.push(c);
        } else if !clean.is_empty() && !clean.ends_with(' ') {
            clean.push(' ');
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_made_to_fit() {
        for (name, fits) in [
            ("Mia's studio", "Mia's studio"),
            ("studio.local", "studio-local"),
            (r"DOMAIN\studio", "DOMAIN-studio"),
            ("  two\t\nlines \u{7} ", "twolines"),
            ("a   b", "a b"),
            ("\u{202e}oidut\u{200b}s", "oiduts"),
            ("", "lanyard"),
            ("\u{200b}\n", "lanyard"),
            ("Büro 日本", "Büro 日本"),
        ] {
            assert_eq!(fit(name), fits, "{name:?}");
        }
        assert_eq!(fit(&"x".repeat(100)).len(), MAX_ANNOUNCED);
        // Three bytes a character: nothing is cut in two.
        assert_eq!(fit(&"日".repeat(30)), "日".repeat(19));
    }

    #[test]
    fn only_instances_of_this_service_have_a_name() {
        assert_eq!(instance("studio._lanyard._udp.local."), Some("studio".to_owned()));
        assert_eq!(instance("my.studio (2)._LANYARD._udp.local."), Some("my.studio (2)".to_owned()));
        assert_eq!(instance("\u{202e}st\u{1b}[2Judio._lanyard._udp.local."), Some("st[2Judio".to_owned()));
        for other in ["", "_lanyard._udp.local.", "studio._http._tcp.local.", "é_lanyard._udp.local."] {
            assert_eq!(instance(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_called_it_is_one_label_and_shown_as_announced(name in any::<String>()) {
            let fits = fit(&name);
            prop_assert!(!fits.is_empty() && fits.len() <= MAX_ANNOUNCED);
            prop_assert!(!fits.contains(['.', '\\']) && !fits.contains(char::is_control));
            prop_assert_eq!(&fit(&fits), &fits);
            prop_assert_eq!(instance(&format!("{fits}.{SERVICE}")), Some(fits));
        }
    }
}
