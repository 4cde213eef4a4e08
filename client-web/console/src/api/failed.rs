//! What is said when something does not work. Pure.

use lanyard_protocol::WireError;
use lanyard_web_state::visible::{Marks, block};

/// Why there is no answer, in a person's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Sentences: what happened, and the way out.
    pub(crate) said: String,
    /// For whoever looks into it.
    pub(crate) code: String,
    /// HTTP status; 0 where there was no answer.
    pub(crate) status: u16,
}

impl Failed {
    /// The answer is an error.
    pub(crate) fn answered(status: u16, body: &str) -> Self {
        let Ok(error) = serde_json::from_str::<WireError>(body) else {
            return Self::odd(status, "not in the API's form");
        };
        let said = match status {
            401 => "You are not signed in any more. Sign in again; nothing was changed.".to_owned(),
            // What other people wrote may be part of the sentence.
            _ => block(&error.message, Marks::Missing).into_owned(),
        };
        let details = if error.details.0.as_object().is_none_or(serde_json::Map::is_empty) {
            String::new()
        } else {
            format!(" {}", block(&error.details.0.to_string(), Marks::Missing))
        };
        Self { said, code: format!("{} ({status}){details}", error.code.as_str()), status }
    }

    /// There is no answer. `may_change`: to something that may have been done all the same.
    pub(crate) fn unreached(why: &str, may_change: bool) -> Self {
        let mut said =
            "Central was not reached. It may be starting again, or this machine is offline.".to_owned();
        if may_change {
            said.push_str(
                " What was to be changed may have been: see how things stand before you do it again.",
            );
        }
        Self { said, code: why.to_owned(), status: 0 }
    }

    /// The answer is not what the API says.
    pub(crate) fn odd(status: u16, why: &str) -> Self {
        let said = match status {
            502..=504 => "Central does not answer behind its proxy. Try again in a moment.".to_owned(),
            200..=299 => {
                "Central answered with something this page does not understand. Load the page again: it may be older \
                 than central."
                    .to_owned()
            }
            _ => format!("Central answered {status} without saying why. Its log knows more."),
        };
        Self { said, code: format!("{status}: {why}"), status }
    }

    /// Somebody else was first.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status == 409
    }

    /// There is no such thing, or it is another tenant's.
    pub(crate) fn is_gone(&self) -> bool {
        self.status == 404
    }

    /// Nobody is signed in.
    pub(crate) fn is_signed_out(&self) -> bool {
        self.status == 401
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::ErrorCode;

    #[test]
    fn errors_are_sentences_and_their_codes_are_in_the_detail() {
        let error = WireError::new(ErrorCode::Conflict, "Version 4 is in force since.").with("version", 4);
        let failed = Failed::answered(409, &serde_json::to_string(&error).unwrap());
        assert_eq!(failed.said, "Version 4 is in force since.");
        assert!(failed.code.contains("(409)") && failed.code.contains("\"version\":4"), "{}", failed.code);
        assert!(failed.is_conflict() && !failed.is_gone());
    }

    #[test]
    fn what_others_wrote_cannot_hide_in_an_error() {
        let error = WireError::new(ErrorCode::InvalidRequest, "No host \u{202e}gro.");
        let failed = Failed::answered(400, &serde_json::to_string(&error).unwrap());
        assert_eq!(failed.said, "No host ⟦U+202E⟧gro.");
    }

    #[test]
    fn answers_of_others_are_told_apart() {
        assert!(Failed::answered(502, "<html>").said.contains("proxy"));
        assert!(Failed::answered(500, "").said.contains("500"));
        assert!(Failed::answered(200, "{}").said.contains("Load the page again"));
        let error = WireError::new(ErrorCode::Unauthorized, "no credentials");
        let failed = Failed::answered(401, &serde_json::to_string(&error).unwrap());
        assert!(failed.is_signed_out() && failed.said.contains("Sign in again"));
    }

    #[test]
    fn what_may_have_been_done_is_not_called_undone() {
        let (read, changed) = (Failed::unreached("x", false), Failed::unreached("x", true));
        assert_eq!((read.status, changed.status), (0, 0));
        assert!(!read.said.contains("may have been") && changed.said.contains("may have been"));
    }
}
