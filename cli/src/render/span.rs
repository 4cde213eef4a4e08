//! Times, sizes and counts in a person's words.

use lanyard_protocol::Timestamp;

/// A duration: `3 ms`, `1.2 s`, `4 min`, `2 h`.
pub(crate) fn millis(millis: u64) -> String {
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=59_999 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..=3_599_999 => format!("{} min", millis / 60_000),
        3_600_000..=86_399_999 => format!("{} h", millis / 3_600_000),
        _ => plural(millis / 86_400_000, "day"),
    }
}

/// How long ago: `just now`, `4 min ago`; from a week on the day itself.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.millis_since(then) {
        0..=4_999 => "just now".to_owned(),
        passed @ 5_000..=604_799_999 => {
            format!("{} ago", millis(passed / 1_000 * 1_000).replace(".0 s", " s"))
        }
        _ => then.to_string().chars().take(10).collect(),
    }
}

/// A size: `312 B`, `4.5 KiB`, `1.2 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut scaled = bytes;
    while scaled >= 1024 * 1024 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    format!("{}.{} {name}", scaled / 1024, scaled % 1024 * 10 / 1024)
}

/// A count and its noun: `1 step`, `2 steps`, `1,204 tokens`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if count == 1 { format!("{grouped} {noun}") } else { format!("{grouped} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{ago, bytes, millis, plural};
    use lanyard_protocol::Timestamp;

    #[test]
    fn spans() {
        let shown = [3, 1_250, 61_000, 7_200_000, 86_400_000, 200_000_000].map(millis);
        assert_eq!(shown, ["3 ms", "1.2 s", "1 min", "2 h", "1 day", "2 days"]);
        let now = Timestamp::from_millis(1_771_686_262_123);
        let before = |millis: i64| ago(now.plus_millis(-millis), now);
        assert_eq!(before(900), "just now");
        assert_eq!(before(-900), "just now", "a clock that was set back");
        assert_eq!(before(42_300), "42 s ago");
        assert_eq!(before(3_700_000), "1 h ago");
        assert_eq!(before(604_800_000), "2026-02-14");
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!([0, 1_023, 4_608, 1_300_000_000].map(bytes), ["0 B", "1023 B", "4.5 KiB", "1.2 GiB"]);
        assert_eq!(plural(1, "step"), "1 step");
        assert_eq!(plural(0, "step"), "0 steps");
        assert_eq!(plural(1_234_567, "token"), "1,234,567 tokens");
    }
}
