//! Why something asked of the host was not done, in a person's words.

use lanyard_protocol::ErrorCode;
use lanyard_web_link::CallError;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What happened and what can be done, in sentences.
    pub(crate) said: String,
    /// For the detail.
    pub(crate) code: Option<ErrorCode>,
    /// The host refused it, so nothing has changed. Otherwise it may have taken effect all the same.
    pub(crate) certain: bool,
}

impl Failed {
    /// There is no connection, and will be none.
    pub(crate) fn ended() -> Self {
        Self {
            said: "This page is not connected to its host any more.".to_owned(),
            code: None,
            certain: true,
        }
    }

    /// The code as text, for [`lanyard_web_ui::Problem`].
    pub(crate) fn code_text(&self) -> Option<String> {
        self.code.map(|code| code.as_str().to_owned())
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error) => {
                Self { said: sentence(&error.message), code: Some(error.code), certain: true }
            }
            CallError::Unsent(why) => Self { said: sentence(&why), code: None, certain: false },
            CallError::Ended => Self::ended(),
        }
    }
}

/// Messages of the contract begin in lower case and have no full stop, so that they can be part of a sentence.
fn sentence(message: &str) -> String {
    let text = lanyard_web_state::words::sentence(message.trim());
    if text.ends_with(['.', '!', '?', '…']) { text } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::WireError;

    #[test]
    fn the_code_is_not_in_the_sentence() {
        let refused = CallError::from(WireError::new(ErrorCode::TaskNotFound, "no task t-1 in this session"));
        let failed = Failed::from(refused);
        assert_eq!(failed.said, "No task t-1 in this session.");
        assert_eq!(failed.code_text().as_deref(), Some("TASK_NOT_FOUND"));
        assert!(failed.certain);
        assert!(!Failed::from(CallError::Unsent("the connection broke".to_owned())).certain);
    }
}
