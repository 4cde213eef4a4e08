//! Time is relative until it matters, then exact.

use lanyard_protocol::Timestamp;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where the person is: minutes east of Greenwich.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zone(i64);

impl Zone {
    /// Clamped to what exists on Earth.
    pub fn minutes(east: i32) -> Self {
        Self(i64::from(east.clamp(-14 * 60, 14 * 60)))
    }

    fn local(self, at: Timestamp) -> Local {
        let millis = at.as_millis() + self.0 * MINUTE as i64;
        let (day, rest) = (millis.div_euclid(DAY as i64), millis.rem_euclid(DAY as i64));
        let minutes = rest / MINUTE as i64;
        let (year, month, of_month) = civil(day);
        Local { day, year, month, of_month, hour: minutes / 60, minute: minutes % 60 }
    }
}

/// A wall clock and calendar.
struct Local {
    /// Days since 1970-01-01.
    day: i64,
    year: i64,
    month: usize,
    of_month: i64,
    hour: i64,
    minute: i64,
}

impl Local {
    fn clock(&self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }

    fn weekday(&self) -> &'static str {
        // 1970-01-01 was a Thursday.
        const DAYS: [&str; 7] =
            ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
        DAYS[self.day.rem_euclid(7) as usize]
    }

    fn date(&self) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        format!("{} {}", self.of_month, MONTHS[self.month])
    }
}

/// Year, month from 0 and day of the month of a day since 1970-01-01. Source: Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`.
fn civil(day: i64) -> (i64, usize, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    // Months count from March there.
    let from_january = if month < 10 { month + 2 } else { month - 10 };
    let year = year_of_era + era * 400 + i64::from(from_january < 2);
    (year, from_january as usize, of_month)
}

/// When something was, as one says it: `just now`, `40 s ago`, `4 min ago`, `3 h ago`, `yesterday 14:02`, `Tuesday 14:02`,
/// `12 Nov`, `12 Nov 2025`. What lies ahead by more than clocks differ is given exactly.
pub fn ago(at: Timestamp, now: Timestamp, zone: Zone) -> String {
    if at > now.plus_millis(MINUTE as i64) {
        return exact(at, zone);
    }
    let passed = now.millis_since(at);
    let (then, today) = (zone.local(at), zone.local(now));
    match passed {
        0..10_000 => "just now".to_owned(),
        10_000..MINUTE => format!("{} s ago", passed / SECOND),
        MINUTE..HOUR => format!("{} min ago", passed / MINUTE),
        _ if passed < DAY && then.day == today.day => format!("{} h ago", passed / HOUR),
        _ if today.day - then.day <= 1 => format!("yesterday {}", then.clock()),
        _ if today.day - then.day < 7 => format!("{} {}", then.weekday(), then.clock()),
        _ if today.year == then.year => then.date(),
        _ => format!("{} {}", then.date(), then.year),
    }
}

/// An instant in full, where the person is: `Tue 12 Nov 2026, 14:02`.
pub fn exact(at: Timestamp, zone: Zone) -> String {
    let local = zone.local(at);
    format!("{} {} {}, {}", &local.weekday()[..3], local.date(), local.year, local.clock())
}

/// The hour of an instant, `14:02`; with its day where that is not today.
pub fn clock(at: Timestamp, now: Timestamp, zone: Zone) -> String {
    let (then, today) = (zone.local(at), zone.local(now));
    let hour = then.clock();
    match then.day - today.day {
        0 => hour,
        1 => format!("tomorrow {hour}"),
        -1 => format!("yesterday {hour}"),
        -6..=6 => format!("{} {hour}", &then.weekday()[..3]),
        _ => format!("{}, {hour}", then.date()),
    }
}

/// What is left of a time, in milliseconds: `3:36`, `1:02:03`. Rounded up, so that it ends with what it counts down to.
pub fn left(millis: u64) -> String {
    let seconds = millis.div_ceil(SECOND);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How long something took or has lasted, in milliseconds: `38 ms`, `2.3 s`, `40 s`, `4 min`, `3 h 10 min`, `9 d 4 h`.
pub fn span(millis: u64) -> String {
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match millis {
        0..SECOND => format!("{millis} ms"),
        SECOND..10_000 => format!("{}.{} s", millis / SECOND, millis % SECOND / 100),
        10_000..MINUTE => format!("{} s", millis / SECOND),
        MINUTE..HOUR => format!("{} min", millis / MINUTE),
        HOUR..DAY => two(millis / HOUR, "h", millis % HOUR / MINUTE, "min"),
        _ => two(millis / DAY, "d", millis % DAY / HOUR, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn time_is_relative_until_it_matters() {
        let now = at("2026-11-19T13:00:00Z");
        for (then, said) in [
            ("2026-11-19T12:59:55Z", "just now"),
            ("2026-11-19T13:00:30Z", "just now"),
            ("2026-11-19T12:59:20Z", "40 s ago"),
            ("2026-11-19T12:55:30Z", "4 min ago"),
            ("2026-11-19T09:10:00Z", "3 h ago"),
            ("2026-11-18T23:30:00Z", "13 h ago"),
            ("2026-11-18T22:30:00Z", "yesterday 23:30"),
            ("2026-11-17T13:02:00Z", "Tuesday 14:02"),
            ("2026-11-12T13:02:00Z", "12 Nov"),
            ("2025-12-31T23:30:00Z", "1 Jan"),
            ("2025-12-31T22:30:00Z", "31 Dec 2025"),
            ("2026-11-19T13:30:00Z", "Thu 19 Nov 2026, 14:30"),
        ] {
            assert_eq!(ago(at(then), now, Zone::minutes(60)), said, "{then}");
        }
    }

    #[test]
    fn an_hour_names_its_day_when_it_is_not_today() {
        let now = at("2026-11-19T13:00:00Z");
        let zone = Zone::minutes(-300);
        for (then, said) in [
            ("2026-11-19T16:00:00Z", "11:00"),
            ("2026-11-20T04:30:00Z", "23:30"),
            ("2026-11-20T05:30:00Z", "tomorrow 00:30"),
            ("2026-11-23T13:00:00Z", "Mon 08:00"),
            ("2026-12-01T13:00:00Z", "1 Dec, 08:00"),
        ] {
            assert_eq!(clock(at(then), now, zone), said, "{then}");
        }
    }

    #[test]
    fn calendars_know_leap_years() {
        assert_eq!(civil(0), (1970, 0, 1));
        assert_eq!(civil(11_016), (2000, 1, 29));
        assert_eq!(civil(20_513), (2026, 2, 1));
    }

    #[test]
    fn what_is_left_ends_at_nothing() {
        assert_eq!(left(216_000), "3:36");
        assert_eq!(left(215_001), "3:36");
        assert_eq!(left(1), "0:01");
        assert_eq!(left(0), "0:00");
        assert_eq!(left(3_723_000), "1:02:03");
    }

    #[test]
    fn spans_have_at_most_two_units() {
        for (millis, said) in [
            (38, "38 ms"),
            (2_310, "2.3 s"),
            (40_900, "40 s"),
            (250_000, "4 min"),
            (3_600_000, "1 h"),
            (11_400_000, "3 h 10 min"),
            (9 * 86_400_000 + 4 * 3_600_000, "9 d 4 h"),
        ] {
            assert_eq!(span(millis), said);
        }
        let _ = span(u64::MAX);
    }

    #[test]
    fn absurd_instants_are_no_panic() {
        for millis in [i64::MIN, 0, i64::MAX] {
            let at = Timestamp::from_millis(millis);
            for zone in [Zone::minutes(i32::MIN), Zone::minutes(i32::MAX)] {
                let _ = (
                    ago(at, Timestamp::default(), zone),
                    exact(at, zone),
                    clock(at, Timestamp::default(), zone),
                );
            }
        }
    }
}
