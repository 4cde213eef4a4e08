//! The code a person types: eight characters of Crockford's base32, 40 bits, shown as `K7QX-92MD`.

use rand_core::CryptoRngCore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Crockford's base32: no I, L, O (they look like digits) and no U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 40 bits: a million guesses hit with a chance below one in a million, and a person still types it without a slip.
const LENGTH: usize = 8;

/// Why a text is not a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Wrong number of characters, dashes and spaces aside.
    #[error("a pairing code has 8 characters, like K7QX-92MD; this one has {0}")]
    Length(usize),
    /// Not a letter or digit of the alphabet.
    #[error("a pairing code has no {0:?}; look at the host's screen again")]
    Character(char),
}

/// A one-time code. Its `Debug` shows nothing; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PairingCode([u8; LENGTH]);

impl PairingCode {
    /// A fresh code.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut characters = [0; LENGTH];
        rng.fill_bytes(&mut characters);
        // 256 is a multiple of 32: the remainder has no bias.
        for character in &mut characters {
            *character = ALPHABET[usize::from(*character % 32)];
        }
        Self(characters)
    }

    /// Reads what a person typed: any case, spaces and dashes anywhere, look-alikes folded (O→0, I and L→1).
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let mut characters = Zeroizing::new([0; LENGTH]);
        let mut length = 0;
        for typed in typed.chars().filter(|typed| !is_separator(*typed)) {
            let folded = match typed.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let known = ALPHABET.iter().find(|known| char::from(**known) == folded);
            let character = known.ok_or(CodeError::Character(typed))?;
            if let Some(place) = characters.get_mut(length) {
                *place = *character;
            }
            length += 1;
        }
        if length == LENGTH { Ok(Self(*characters)) } else { Err(CodeError::Length(length)) }
    }

    /// The characters, for the key derivation.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As shown on the host's screen, `K7QX-92MD`. Named so that showing it is a decision.
    pub fn reveal(&self) -> String {
        let mut shown = String::with_capacity(LENGTH + 1);
        for (at, character) in self.0.iter().enumerate() {
            if at == LENGTH / 2 {
                shown.push('-');
            }
            shown.push(char::from(*character));
        }
        shown
    }
}

/// White space and the dashes that keyboards and word processors put for one.
fn is_separator(typed: char) -> bool {
    typed.is_whitespace() || matches!(typed, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

impl std::fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairingCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRng;
    use proptest::prelude::*;

    #[test]
    fn what_people_type_is_understood() {
        let code = PairingCode::parse("K7QX-92MD").unwrap();
        for typed in ["k7qx92md", " k7qx 92md ", "K7QX\u{2013}92MD", "k-7-q-x-9-2-m-d", "K7QX_92MD\n"] {
            assert_eq!(PairingCode::parse(typed), Ok(code.clone()), "{typed:?}");
        }
        assert_eq!(PairingCode::parse("OoIiLl-00"), PairingCode::parse("00111100"));
    }

    #[test]
    fn what_is_no_code_is_refused_with_its_fault() {
        assert_eq!(PairingCode::parse(""), Err(CodeError::Length(0)));
        assert_eq!(PairingCode::parse("K7QX92M"), Err(CodeError::Length(7)));
        assert_eq!(PairingCode::parse(&"0".repeat(500)), Err(CodeError::Length(500)));
        assert_eq!(PairingCode::parse("K7QX92MU"), Err(CodeError::Character('U')));
        assert_eq!(PairingCode::parse("K7QX92Mé"), Err(CodeError::Character('é')));
    }

    #[test]
    fn every_character_of_the_alphabet_is_drawn() {
        let mut rng = SeededRng::new(3);
        let drawn: Vec<u8> = (0..200).flat_map(|_| PairingCode::generate(&mut rng).0.to_vec()).collect();
        assert!(ALPHABET.iter().all(|character| drawn.contains(character)));
        assert!(drawn.iter().all(|character| ALPHABET.contains(character)));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", PairingCode::parse("K7QX92MD")), "Ok(PairingCode(…))");
    }

    proptest! {
        #[test]
        fn a_code_reads_back(seed: u64) {
            let code = PairingCode::generate(&mut SeededRng::new(seed));
            prop_assert_eq!(PairingCode::parse(&code.reveal()), Ok(code.clone()));
            prop_assert_eq!(PairingCode::parse(&code.reveal().to_lowercase()), Ok(code));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(code) = PairingCode::parse(&text) {
                prop_assert_eq!(PairingCode::parse(&code.reveal()), Ok(code));
            }
        }
    }
}
