//! Versions of hosts, ordered as semantic versioning (2.0.0, §11) says.

use std::cmp::Ordering;

/// Longest version text, in bytes.
const MAX_BYTES: usize = 100;

/// A version like `1.2.3`, `1.2.3-beta.1` or `1.2.3+build`; what follows `+` does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostVersion {
    numbers: [u64; 3],
    /// Parts of the pre-release; empty for a release.
    early: Vec<Early>,
}

/// A text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version: write three numbers like 1.2.3, and after `-` what comes before a release")]
pub struct VersionError(String);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Early {
    // Numbers come before texts.
    Number(u64),
    Text(String),
}

impl std::str::FromStr for HostVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fault = || VersionError(text.chars().take(MAX_BYTES).collect());
        if text.len() > MAX_BYTES {
            return Err(fault());
        }
        let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        let (numbers, early) = rest.split_once('-').map_or((rest, None), |(n, early)| (n, Some(early)));
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if build.is_some_and(|build| !build.split('.').all(word)) {
            return Err(fault());
        }
        let mut parts = numbers.split('.').map(number);
        let mut next = || parts.next().flatten().ok_or_else(fault);
        let numbers = [next()?, next()?, next()?];
        if parts.next().is_some() {
            return Err(fault());
        }
        let early = match early {
            None => Vec::new(),
            Some(early) if early.split('.').all(word) => early.split('.').map(Early::of).collect(),
            Some(_) => return Err(fault()),
        };
        Ok(Self { numbers, early })
    }
}

impl Early {
    fn of(part: &str) -> Self {
        number(part).map_or_else(|| Self::Text(part.to_owned()), Self::Number)
    }
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if digits { text.parse().ok() } else { None }
}

impl Ord for HostVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = |version: &Self| version.early.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| released(self).cmp(&released(other)))
            .then_with(|| self.early.cmp(&other.early))
    }
}

impl PartialOrd for HostVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::HostVersion;

    fn version(text: &str) -> HostVersion {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn versions_are_ordered_as_the_standard_says() {
        let ordered = [
            "0.9.10",
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
        ];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.0.0+a").cmp(&version("1.0.0+b")), std::cmp::Ordering::Equal);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "01.2.3",
            "1.2.x",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3+",
            "1.2. 3",
        ] {
            assert!(text.parse::<HostVersion>().is_err(), "{text:?}");
        }
        assert!("9".repeat(200).parse::<HostVersion>().is_err());
        assert!("99999999999999999999.0.0".parse::<HostVersion>().is_err());
    }
}
