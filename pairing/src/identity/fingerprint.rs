//! The hash of a public identity, and the text people and logs see.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// RFC 4648, as it is shown.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 256 bits at five a character, rounded up.
const DATA_CHARACTERS: usize = 52;
/// Data characters that share one check character.
const BLOCK: usize = 13;
/// Data and check characters.
const CHARACTERS: usize = DATA_CHARACTERS + DATA_CHARACTERS / BLOCK;
/// Characters between two dashes: what a person can compare at a glance.
const GROUP: usize = 7;

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Wrong length or alphabet.
    #[error("a fingerprint has 56 letters and digits in groups of seven")]
    Form,
    /// A check character does not fit: a typing error in the group named, counted from 1, or in the one after it.
    #[error("group {0} or {next} of the fingerprint has a typing error", next = .0 + 1)]
    Check(usize),
}

/// SHA-256 over a label and both keys. Shown as lower-case base32 with a check character (Luhn mod 32) after every 13,
/// in eight groups of seven: `mfzwi3d-bonsgyc-…`. That text is also the `HostId` and the `DeviceId`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub(crate) [u8; 32]);

impl Fingerprint {
    /// From the hash itself.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first group, seven characters: for names (`lanyard-mfzwi3d.local`), never for decisions.
    pub fn short(&self) -> String {
        self.to_string().chars().take(GROUP).collect()
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let data = BASE32_NOPAD.encode(&self.0).to_ascii_lowercase();
        let mut shown = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
        for (at, character) in data.as_bytes().chunks(BLOCK).flat_map(checked).enumerate() {
            if at > 0 && at % GROUP == 0 {
                shown.push('-');
            }
            shown.push(char::from(character));
        }
        f.write_str(&shown)
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;
    /// Reads the text form; case, spaces and dashes do not count.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut typed = Vec::with_capacity(CHARACTERS);
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            if typed.len() == CHARACTERS {
                return Err(FingerprintError::Form);
            }
            typed.push(byte.to_ascii_lowercase());
        }
        if typed.len() != CHARACTERS || !typed.iter().all(|byte| ALPHABET.contains(byte)) {
            return Err(FingerprintError::Form);
        }
        let mut data = Vec::with_capacity(DATA_CHARACTERS);
        for (at, block) in typed.chunks(BLOCK + 1).enumerate() {
            let (check, characters) = block.split_last().ok_or(FingerprintError::Form)?;
            if check_character(characters) != *check {
                // A block is two groups.
                return Err(FingerprintError::Check(2 * at + 1));
            }
            data.extend(characters.iter().map(u8::to_ascii_uppercase));
        }
        // Refuses bits set beyond the 256: one hash has one text.
        let bytes = BASE32_NOPAD.decode(&data).map_err(|_| FingerprintError::Form)?;
        Ok(Self(bytes.try_into().map_err(|_| FingerprintError::Form)?))
    }
}

fn checked(block: &[u8]) -> impl Iterator<Item = u8> {
    block.iter().copied().chain([check_character(block)])
}

/// Luhn mod 32 with the factors as Syncthing's device ids have them (1, 2, 1, … from the left): finds every single
/// wrong character and nearly every swap of neighbours.
fn check_character(block: &[u8]) -> u8 {
    let mut sum = 0;
    for (at, character) in block.iter().enumerate() {
        let value = ALPHABET.iter().position(|known| known == character).unwrap_or_default();
        let product = value * (1 + at % 2);
        sum += product / 32 + product % 32;
    }
    ALPHABET[(32 - sum % 32) % 32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::id::DeviceId;
    use proptest::prelude::*;

    /// A device id from Syncthing's own tests (lib/protocol/deviceid_test.go).
    const SYNCTHING: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";

    #[test]
    fn a_device_id_of_syncthing_reads_and_is_written_lower_case() {
        let read: Fingerprint = SYNCTHING.parse().unwrap();
        assert_eq!(read.to_string(), SYNCTHING.to_lowercase());
        assert_eq!(read.short(), "p56ioi7");
    }

    #[test]
    fn every_single_typing_error_is_found() {
        let text = SYNCTHING.to_lowercase();
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at] != b'-') {
            for wrong in ALPHABET.iter().filter(|wrong| **wrong != text.as_bytes()[at]) {
                let mut typed = text.clone().into_bytes();
                typed[at] = *wrong;
                let typed = String::from_utf8(typed).unwrap();
                let group = at / (GROUP + 1) + 1;
                let first = group - (group + 1) % 2;
                assert_eq!(typed.parse::<Fingerprint>(), Err(FingerprintError::Check(first)), "{typed}");
            }
        }
    }

    #[test]
    fn one_hash_has_one_text() {
        // The last data character carries one bit; set another and mend the check character.
        let mut text = Fingerprint::from_bytes([0; 32]).to_string().replace('-', "").into_bytes();
        text[54] = b'b';
        let check = check_character(&text[42..55]);
        text[55] = check;
        assert_eq!(String::from_utf8(text).unwrap().parse::<Fingerprint>(), Err(FingerprintError::Form));
    }

    #[test]
    fn what_is_not_a_fingerprint_is_refused() {
        for text in ["", "p56ioi7", &SYNCTHING.replace('P', "0"), &format!("{SYNCTHING}A"), &"-".repeat(1000)]
        {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError::Form), "{text}");
        }
        let wrong = FingerprintError::Check(3).to_string();
        assert_eq!(wrong, "group 3 or 4 of the fingerprint has a typing error");
    }

    proptest! {
        #[test]
        fn the_text_reads_back_and_is_an_id(bytes: [u8; 32]) {
            let print = Fingerprint::from_bytes(bytes);
            let text = print.to_string();
            prop_assert_eq!(text.parse::<Fingerprint>(), Ok(print));
            prop_assert_eq!(text.to_uppercase().replace('-', " ").parse::<Fingerprint>(), Ok(print));
            prop_assert!(text.split('-').all(|group| group.len() == GROUP));
            prop_assert!(DeviceId::new(text).is_ok());
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(print) = text.parse::<Fingerprint>() {
                prop_assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
            }
        }
    }
}
