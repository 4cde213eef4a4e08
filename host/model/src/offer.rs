//! What a person may choose from: the models that the gateway in use offers.

use lanyard_protocol::session::ModelInfo;
use lanyard_protocol::visible::is_invisible;

use crate::openai::{Offered, models};

/// Longest name that a task may ask for, in bytes. Names of hubs have some sixty.
const MAX_NAMED_BYTES: usize = 128;

/// Names repeated in a refusal.
const NAMES_SHOWN: usize = 5;

/// What may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The model that answers unless a task names another.
    pub current: ModelInfo,
    /// By name; empty when the gateway does not tell.
    pub names: Vec<String>,
}

/// Why a task cannot have the model it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("a model's name has 1 to {MAX_NAMED_BYTES} bytes, none of them blank at its ends or invisible")]
    Malformed,
    /// There is no gateway.
    #[error(
        "only the built-in demo model answers on this host, there is no {0:?}; set LANYARD_GATEWAY_URL and start the \
         host again, or leave the model out"
    )]
    OnlyDemo(String),
    /// The gateway lists others.
    #[error("the gateway offers no model {name:?}; it offers {offered}: `lanyard models` lists them")]
    NotOffered {
        /// As asked for.
        name: String,
        /// Some of those it offers.
        offered: String,
    },
}

/// The names of a list that may be asked for, each once.
pub(crate) fn names(offered: &[Offered]) -> Vec<String> {
    let mut names: Vec<String> =
        offered.iter().map(|model| &model.name).filter(|name| is_well_formed(name)).cloned().collect();
    names.sort_by_cached_key(|name| (name.to_lowercase(), name.clone()));
    names.dedup();
    names
}

/// Whether a task may ask for a model of this name. `demo`: the demo model answers; `offered`: the gateway's list, where
/// it has one.
pub(crate) fn check(name: &str, demo: Option<&str>, offered: &[String]) -> Result<(), NameError> {
    if !is_well_formed(name) {
        return Err(NameError::Malformed);
    }
    if let Some(demo) = demo {
        return if name == demo { Ok(()) } else { Err(NameError::OnlyDemo(name.to_owned())) };
    }
    if offered.is_empty() || offered.iter().any(|known| models::same(known, name)) {
        return Ok(());
    }
    let mut some = offered.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = offered.len().checked_sub(NAMES_SHOWN).filter(|more| *more > 0) {
        some.push_str(&format!(" and {more} more"));
    }
    Err(NameError::NotOffered { name: name.to_owned(), offered: some })
}

fn is_well_formed(name: &str) -> bool {
    (1..=MAX_NAMED_BYTES).contains(&name.len())
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || is_invisible(c))
}

#[cfg(test)]
mod tests {
    use super::{NameError, check, names};
    use crate::openai::Offered;

    #[test]
    fn names_that_cannot_be_asked_for_are_not_listed() {
        let offered: Vec<Offered> = ["b", "A", "b", " c", "d\u{202e}", &"e".repeat(129)]
            .iter()
            .map(|name| Offered { name: (*name).to_owned(), context_window: None })
            .collect();
        assert_eq!(names(&offered), ["A", "b"]);
    }

    #[test]
    fn a_listed_name_is_taken_and_any_where_nothing_is_listed() {
        let offered: Vec<String> = ["m1", "m2:latest"].map(str::to_owned).into();
        for good in ["m1", "m2", "m2:latest"] {
            assert_eq!(check(good, None, &offered), Ok(()));
        }
        assert_eq!(check("anything/at-all:7b", None, &[]), Ok(()));
        assert_eq!(check("demo", Some("demo"), &[]), Ok(()));
    }

    #[test]
    fn other_names_are_refused_with_those_there_are() {
        let offered: Vec<String> = (0..9).map(|n| format!("m{n}")).collect();
        let error = check("x", None, &offered).unwrap_err().to_string();
        assert!(error.contains("m0, m1, m2, m3, m4 and 4 more") && error.contains("\"x\""), "{error}");
        assert_eq!(check("x", Some("demo"), &[]), Err(NameError::OnlyDemo("x".to_owned())));
        for bad in ["", " m1", "m1\n", "m\u{200b}1", &"m".repeat(129)] {
            assert_eq!(check(bad, None, &[]), Err(NameError::Malformed), "{bad:?}");
        }
    }
}
