//! The enrolment token as a person carries it: `lanyard-enroll.1.TOKENID.SECRET.CAHASH`.

use data_encoding::BASE32_NOPAD;
use lanyard_governance_api::id::EnrolmentTokenId;

use crate::secret::Secret;

/// What it begins with.
const KIND: &str = "lanyard-enroll";

/// Shortest secret, in letters: 80 bits.
const MIN_SECRET: usize = 16;

/// Longest token; one has some 140 letters.
const MAX_TOKEN: usize = 1_000;

/// Why a text is no enrolment token. Says nothing of the text itself, which may be half a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is something else.
    #[error("this is no enrolment token; one looks like lanyard-enroll.1.… and comes whole from the console")]
    Malformed,
    /// It is of a newer format.
    #[error("this enrolment token is of a newer format; update lanyard")]
    Newer,
}

/// A token, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Sent to the centre, whole.
    pub(crate) whole: Secret,
    /// Its public half.
    pub(crate) id: EnrolmentTokenId,
    /// SHA-256 of the CA certificate; absent on loopback HTTP.
    pub(crate) ca_hash: Option<[u8; 32]>,
}

impl Token {
    /// Reads a token. White space around it is forgiven: it was copied.
    pub(crate) fn parse(text: &Secret) -> Result<Self, TokenError> {
        let whole = text.reveal().trim();
        if whole.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let mut parts = whole.split('.');
        let (kind, version) = (parts.next(), parts.next());
        if kind != Some(KIND) {
            return Err(TokenError::Malformed);
        }
        match version {
            Some("1") => {}
            Some(other) if !other.is_empty() && other.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(TokenError::Newer);
            }
            _ => return Err(TokenError::Malformed),
        }
        let (Some(id), Some(secret), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let is_base32 = |b: u8| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b);
        if secret.len() < MIN_SECRET || !secret.bytes().all(is_base32) {
            return Err(TokenError::Malformed);
        }
        let ca_hash = match hash {
            "" => None,
            hash => {
                let bytes = BASE32_NOPAD.decode(hash.to_ascii_uppercase().as_bytes()).ok();
                Some(bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(TokenError::Malformed)?)
            }
        };
        let id = EnrolmentTokenId::new(id).map_err(|_| TokenError::Malformed)?;
        Ok(Self { whole: Secret::new(whole), id, ca_hash })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Token, TokenError> {
        Token::parse(&Secret::new(text))
    }

    #[test]
    fn a_token_is_taken_apart() {
        let hash = BASE32_NOPAD.encode(&[7; 32]);
        let whole = format!("lanyard-enroll.1.TOKEN2.ABCDEFGHIJKLMNOP234567.{hash}");
        let token = parse(&format!("  {whole}\n")).unwrap();
        assert_eq!((token.whole.reveal(), token.id.as_str()), (whole.as_str(), "TOKEN2"));
        assert_eq!(token.ca_hash, Some([7; 32]));
        assert_eq!(parse(&whole.replace(&hash, &hash.to_lowercase())).unwrap().ca_hash, Some([7; 32]));
        assert_eq!(parse("lanyard-enroll.1.TOKEN2.abcdefghijklmnop.").unwrap().ca_hash, None);
        assert!(!format!("{token:?}").contains("ABCDEFGH"));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("lanyard-enroll.1.T.{}.", "A".repeat(MAX_TOKEN));
        for text in [
            "",
            "lanyard-enroll",
            "lanyard-enroll.1.T.ABCDEFGHIJKLMNOP",
            "lanyard-enroll.1.T.ABCDEFGHIJKLMNOP..",
            "lanyard-enroll.1.T.ABCDEFGHIJKLMN0P.",
            "lanyard-enroll.1.T.SHORT.",
            "lanyard-enroll.1..ABCDEFGHIJKLMNOP.",
            "lanyard-enroll.1.T/X.ABCDEFGHIJKLMNOP.",
            "lanyard-enroll.1.T.ABCDEFGHIJKLMNOP.AAAA",
            "lanyard-enroll..T.ABCDEFGHIJKLMNOP.",
            "lanyard-pair.1.T.ABCDEFGHIJKLMNOP.",
            &long,
        ] {
            assert_eq!(parse(text).unwrap_err(), TokenError::Malformed, "{text}");
        }
        assert_eq!(parse("lanyard-enroll.2.anything").unwrap_err(), TokenError::Newer);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", tail in "(lanyard-enroll\\.1\\.)?[A-Za-z2-7.]{0,120}") {
            let _ = parse(&text);
            if let Ok(token) = parse(&tail) {
                prop_assert_eq!(token.whole.reveal(), tail.trim());
            }
        }
    }
}
