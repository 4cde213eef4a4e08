//! The comparison string: six digits that both screens show.

use subtle::ConstantTimeEq;

/// Longest text looked at; six digits with room for spaces.
const MAX_TYPED_BYTES: usize = 64;

/// A number below 10^6, shown as `123 456`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits(u32);

impl Digits {
    /// From 16 bytes of a key derivation; the bias of the reduction is below 2^-100.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        // The remainder is below 10^6.
        Self(u32::try_from(u128::from_be_bytes(bytes) % 1_000_000).unwrap_or_default())
    }

    /// From what [`Digits::number`] gave; larger numbers, which it never gives, are reduced.
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number % 1_000_000)
    }

    /// For a record.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Whether a person typed these digits. Spaces and dashes do not count; compared in constant time.
    pub fn matches(&self, typed: &str) -> bool {
        if typed.len() > MAX_TYPED_BYTES {
            return false;
        }
        let typed: Vec<u8> = typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).collect();
        let ours = format!("{:06}", self.0);
        typed.ct_eq(ours.as_bytes()).into()
    }
}

impl std::fmt::Display for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digits(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_shown_and_typed() {
        let digits = Digits::from_number(42);
        assert_eq!(digits.to_string(), "000 042");
        for typed in ["000042", "000 042", "000-042", " 00 00 42 "] {
            assert!(digits.matches(typed), "{typed}");
        }
        for typed in ["", "42", "000043", "0000420", "000 04２", &" ".repeat(65)] {
            assert!(!digits.matches(typed), "{typed}");
        }
    }

    #[test]
    fn they_are_below_a_million_and_debug_hides_them() {
        assert_eq!(Digits::from_bytes([0xff; 16]).to_string().len(), 7);
        assert_eq!(Digits::from_number(u32::MAX).to_string().len(), 7);
        assert_eq!(format!("{:?}", Digits::from_number(123_456)), "Digits(…)");
    }
}
