//! What a host is called on this machine: made of its own name, short, easy to type, unique, harmless on a screen.

use lanyard_protocol::visible::is_invisible;

/// The name of this machine's own host in `--host`; no paired host is called so.
pub(crate) const LOCAL: &str = "local";

/// Longest alias, in characters.
const MAX_CHARS: usize = 32;

/// Whether a person may call a host so.
pub(crate) fn fits_alias(text: &str) -> bool {
    text != LOCAL && text == from_name(text)
}

/// The alias a name leads to: lower case, everything but letters, digits and `._-` a dash.
fn from_name(name: &str) -> String {
    let mut alias = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        let plain = (c.is_alphanumeric() && !is_invisible(c)) || matches!(c, '.' | '_');
        match plain {
            true => alias.push(c),
            false if alias.ends_with('-') => {}
            false => alias.push('-'),
        }
    }
    let cut: String = alias.trim_matches(['-', '.']).chars().take(MAX_CHARS).collect();
    match cut.trim_end_matches(['-', '.']) {
        "" => "host".to_owned(),
        cut => cut.to_owned(),
    }
}

/// An alias nobody has: the name's, or that with the first free number.
pub(super) fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let base = from_name(name);
    let mut alias = base.clone();
    let mut number = 1_u32;
    while alias == LOCAL || is_taken(&alias) {
        number += 1;
        alias = format!("{base}-{number}");
    }
    alias
}

#[cfg(test)]
mod tests {
    use super::{fits_alias, free};
    use proptest::prelude::*;

    #[test]
    fn names_become_aliases() {
        for (name, alias) in [
            ("nas", "nas"),
            ("Büro PC", "büro-pc"),
            ("  a -- b  ", "a-b"),
            ("host.lan", "host.lan"),
            ("\u{1b}]0;x\u{7}", "0-x"),
            ("...", "host"),
            ("", "host"),
            ("local", "local-2"),
        ] {
            assert_eq!(free(name, |_| false), alias, "{name:?}");
        }
        assert_eq!(free("nas", |taken| ["nas", "nas-2"].contains(&taken)), "nas-3");
    }

    #[test]
    fn what_a_person_may_choose() {
        assert!(fits_alias("nas") && fits_alias("büro-2") && fits_alias("a_b.c"));
        for refused in ["", "local", "NAS", "a b", "-a", "a\u{202e}b", &"x".repeat(33)] {
            assert!(!fits_alias(refused), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_leads_to_a_harmless_alias(name in any::<String>()) {
            let alias = free(&name, |_| false);
            prop_assert!(fits_alias(&alias), "{alias:?}");
            prop_assert!(!alias.chars().any(|c| c.is_control() || c.is_whitespace()));
        }
    }
}
