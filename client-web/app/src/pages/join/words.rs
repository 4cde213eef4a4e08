//! Why a pairing came to nothing: what happened, what it means, what can be done.

use lanyard_pairing::Abort;
use lanyard_pairing::link::LinkError;
use lanyard_web_link::JoinError;
use lanyard_web_state::words::sentence;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) title: String,
    pub(super) meaning: String,
    pub(super) code: Option<String>,
}

fn said(title: &str, meaning: &str) -> Said {
    Said { title: title.to_owned(), meaning: meaning.to_owned(), code: None }
}

/// The address was a pairing link once.
pub(super) fn damaged(error: &LinkError) -> Said {
    let meaning = format!("{}. Nothing was sent to the host.", sentence(&error.to_string()));
    Said { title: "The link cannot be used".to_owned(), meaning, code: None }
}

/// An attempt has failed.
pub(super) fn of(error: &JoinError) -> Said {
    match error {
        JoinError::Abort(abort) => {
            Said { code: Some(format!("{}: {abort}", abort.word())), ..aborted(*abort) }
        }
        JoinError::Unreachable(why) => Said {
            code: Some(why.clone()),
            ..said(
                "The host could not be reached",
                "Look whether it runs and whether this device is in the same network, then try again. The code was not \
                 used up.",
            )
        },
        JoinError::Storage(error) => Said {
            code: Some(error.to_string()),
            ..said(
                "This browser keeps nothing for this page",
                "The pairing would be lost at once. Allow the page to store data, or use a window that is not private.",
            )
        },
    }
}

fn aborted(abort: Abort) -> Said {
    const NEW: &str =
        "Open a new window on the host (“lanyard pair”) and use the code or the QR code that it shows then.";
    match abort {
        Abort::Version => said(
            "This page and its host are of different versions",
            "Load the page again; if that does not help, update the host.",
        ),
        Abort::NotOpen => said(
            "The host does not expect a device",
            "A code or a link works once, and not for long. Run “lanyard pair” on the host, or open its own page with \
             “lanyard open”, and use what it shows then.",
        ),
        Abort::Expired => said("The code or link has run out", NEW),
        Abort::Used => said("The code or link was used already", NEW),
        Abort::Burnt => said(
            "The code was given up after wrong attempts",
            "The host shows a new one, or its QR code: that cannot be guessed.",
        ),
        Abort::Busy => said("Another device is pairing at this moment", "Try again in a few seconds."),
        Abort::TooMany => said(
            "Too many attempts on this host in the last hour",
            "Somebody may be guessing codes. The QR code that the host shows still works.",
        ),
        Abort::WrongSecret => said(
            "The code is wrong",
            "Compare it with the host's screen. If it is right, somebody may interfere with the connection: use the QR code.",
        ),
        Abort::WrongHost => said(
            "Another host answers than the one of the QR code",
            "Somebody may interfere, or the host was set up anew. Nothing was granted. Scan the code on its screen again.",
        ),
        Abort::KeyMismatch | Abort::BadShare | Abort::BadProof | Abort::BadCommitment => said(
            "The pairing was broken off because something is not right",
            "Somebody may interfere with the connection. Nothing was granted. Try again in a network you trust.",
        ),
        Abort::Malformed | Abort::OutOfOrder => said(
            "This page and its host did not understand each other",
            "Load the page again; if that does not help, update the host.",
        ),
        Abort::BadRequest => said("The host does not take this name", "Give this device another name."),
        Abort::Denied => said(
            "The host's owner said no",
            "Nothing was granted. If that was a mistake, ask them and pair again.",
        ),
        Abort::Unanswered => said("Nobody answered on the host in time", NEW),
        Abort::Timeout => said("The pairing took too long", NEW),
        Abort::Unknown => said("The host does not know this pairing any more", NEW),
        Abort::Elsewhere => said(
            "This link opens the owner's page on the host's own machine only",
            "For another device, run “lanyard pair” on the host and use the code or the QR code that it shows.",
        ),
        Abort::Full => {
            said("The host cannot take another device", "Somebody has to remove one that is no longer used.")
        }
        Abort::Internal => {
            said("The host could not record the pairing", "Its log says why. Nothing was granted; try again.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_pairing_has_words_and_a_way_out() {
        for abort in Abort::ALL {
            let said = of(&JoinError::Abort(*abort));
            assert!(!said.title.contains('_') && said.title.len() < 70, "{}", said.title);
            assert!(said.meaning.ends_with('.') && said.meaning.len() > 20, "{}", said.meaning);
            assert!(said.code.unwrap().starts_with(abort.word()));
        }
    }

    #[test]
    fn a_damaged_link_says_what_to_do() {
        assert!(damaged(&LinkError::Damaged).meaning.contains("scan or copy it again"));
    }
}
