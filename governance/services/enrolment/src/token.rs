//! The enrolment token as text: `lanyard-enroll.1.TOKENID.SECRET.CAHASH`, each part base32 without padding.

use data_encoding::BASE32_NOPAD;
use lanyard_governance_api::id::EnrolmentTokenId;
use lanyard_governance_foundation::Fault;
use lanyard_governance_foundation::clock::random;
use lanyard_governance_foundation::credentials::hash;

/// Kind and version.
const START: &str = "lanyard-enroll.1.";

/// Longest token; one has some 150 letters.
const MAX_TOKEN: usize = 1_000;

/// A token's public half, and the hash of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: EnrolmentTokenId,
    /// SHA-256 of the secret.
    pub(crate) secret_hash: [u8; 32],
}

impl Token {
    /// A fresh one, and its text, to be shown once. `ca_hash` where hosts can compare it.
    pub(crate) fn fresh(ca_hash: Option<[u8; 32]>) -> Result<(Self, String), Fault> {
        let lower = |bytes: &[u8]| BASE32_NOPAD.encode(bytes).to_lowercase();
        let (id, secret) = (lower(&random::<15>()?), random::<32>()?);
        let ca = ca_hash.map(|hash| lower(&hash)).unwrap_or_default();
        let text = format!("{START}{id}.{}.{ca}", lower(&secret));
        let id =
            EnrolmentTokenId::new(id).map_err(|e| Fault::internal("a token's id could not be made", &e))?;
        Ok((Self { id, secret_hash: hash(&secret) }, text))
    }

    /// Takes a token apart; letters of either case. `None`: it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_TOKEN {
            return None;
        }
        let mut parts = text.strip_prefix(START)?.split('.');
        let (Some(id), Some(secret), Some(_ca), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let secret = BASE32_NOPAD.decode(secret.to_ascii_uppercase().as_bytes()).ok()?;
        let id = EnrolmentTokenId::new(id.to_ascii_lowercase()).ok()?;
        Some(Self { id, secret_hash: hash(&secret) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made() {
        for ca in [None, Some([7; 32])] {
            let (token, text) = Token::fresh(ca).unwrap();
            assert_eq!(Token::parse(&text), Some(token.clone()));
            assert_eq!(
                Token::parse(&format!(
                    " {}\n",
                    text.to_uppercase().replacen("LANYARD-ENROLL", "lanyard-enroll", 1)
                )),
                Some(token.clone())
            );
            assert_eq!(text.split('.').count(), 5);
            let (_, other) = Token::fresh(ca).unwrap();
            assert_ne!(Token::parse(&other), Some(token));
        }
    }

    #[test]
    fn anything_else_is_none() {
        let long = format!("lanyard-enroll.1.a.{}.", "a".repeat(MAX_TOKEN));
        for text in [
            "",
            "lanyard-enroll.1.",
            "lanyard-enroll.2.a.aaaa.",
            "lanyard-enroll.1.a.aaaa",
            "lanyard-enroll.1.a.0189.",
            "lanyard-enroll.1..aaaa.",
            "lanyard-enroll.1.a/b.aaaa.",
            "lanyard-enroll.1.a.aaaa..",
            &long,
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
