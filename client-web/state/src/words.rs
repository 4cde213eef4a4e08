//! Times, sizes, rights, risks and states in a person's words.

mod terms;
mod times;

pub use terms::{
    action, capability, health, key_storage, level, right, rights, risk, sandbox, session_state, standing,
    task_state,
};
pub use times::{Zone, ago, clock, exact, left, span};

/// Bytes as people read them: `512 B`, `3.4 KB`, `12 MB`. Powers of 1,000, as file managers and phones count.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    // 999.5 would be written as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 || value >= 9.95 {
        format!("{} {}", value.round_ties_even() as u64, UNITS[unit])
    } else {
        format!("{} {}", tenths(value), UNITS[unit])
    }
}

/// A positive number with one digit after the point. What the library has for floating point is 15 KB of program.
pub fn tenths(number: f64) -> String {
    let tenths = (number * 10.0).round_ties_even() as u64;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A number with its noun: `1 session`, `2 sessions`. For nouns whose plural ends in s.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(number)) }
}

/// `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Several things as a person lists them: `a`, `a and b`, `a, b and c`.
pub fn list(things: &[impl AsRef<str>]) -> String {
    let Some((last, before)) = things.split_last() else { return String::new() };
    if before.is_empty() {
        return last.as_ref().to_owned();
    }
    let before: Vec<&str> = before.iter().map(AsRef::as_ref).collect();
    format!("{} and {}", before.join(", "), last.as_ref())
}

/// The end of a path, which is what tells paths apart: `…/code/atlas`.
pub fn path_end(path: &str) -> String {
    let separator = if path.contains('/') { '/' } else { '\\' };
    let parts: Vec<&str> = path.split(separator).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [.., before, last] if parts.len() > 2 => format!("…{separator}{before}{separator}{last}"),
        _ => path.to_owned(),
    }
}

/// A text with its first letter in upper case, if that is of a western European language: the tables of all the others
/// would be a fortieth of the page's program.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| match first {
        'à'..='ö' | 'ø'..='þ' => char::from_u32(u32::from(first) - 0x20).unwrap_or(first),
        _ => first.to_ascii_uppercase(),
    });
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_three_digits() {
        for (size, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KB"),
            (9_949, "9.9 KB"),
            (9_950, "10 KB"),
            (999_499, "999 KB"),
            (999_500, "1.0 MB"),
            (26_214_400, "26 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(size), said);
        }
    }

    #[test]
    fn numbers_go_with_their_nouns() {
        assert_eq!(count(1, "session"), "1 session");
        assert_eq!(count(0, "session"), "0 sessions");
        assert_eq!(count(50_000, "event"), "50,000 events");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn lists_end_with_and() {
        assert_eq!(list(&[""; 0]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn paths_keep_their_end() {
        assert_eq!(path_end("/home/alice/code/atlas"), "…/code/atlas");
        assert_eq!(path_end("/srv/data"), "/srv/data");
        assert_eq!(path_end("/"), "/");
        assert_eq!(path_end(r"C:\Users\ada\code"), r"…\ada\code");
        assert_eq!(sentence("ämter"), "Ämter");
        assert_eq!(sentence("÷ is kept"), "÷ is kept");
        assert_eq!(sentence(""), "");
    }
}
