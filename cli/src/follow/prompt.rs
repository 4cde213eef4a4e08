//! The keys that answer a question. Pure: a key in, what it means out.

use lanyard_protocol::approval::{ApprovalRequest, Decision};
use lanyard_protocol::policy::Remember;

use crate::render::visible;

/// What a key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// It answers the question.
    Answer(Decision, Remember),
    /// The whole diff is wanted.
    ShowDiff,
    /// Something to tell the person.
    Say(String),
    /// Nothing.
    Ignored,
}

/// One question on the screen.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) request: ApprovalRequest,
    /// "always" was pressed once; its scope has been spelled out.
    confirming: bool,
}

impl Prompt {
    pub(crate) fn new(request: ApprovalRequest) -> Self {
        Self { request, confirming: false }
    }

    /// Whether an answer may be remembered so long.
    fn allows(&self, remember: Remember) -> bool {
        remember <= self.request.max_remember
    }

    /// The keys in a line.
    pub(crate) fn keys(&self) -> String {
        if self.request.is_answered_at_the_centre() {
            return "answered in the console of the central services, not here  [?]help".to_owned();
        }
        if self.confirming {
            return "[a] approve always, as spelled out above  [any other key] go back".to_owned();
        }
        let mut keys = "[y] yes [n] no".to_owned();
        for (remember, key) in [
            (Remember::Task, "  yes for [t]ask"),
            (Remember::Session, " [s]ession"),
            (Remember::Always, " [a]lways"),
        ] {
            if self.allows(remember) {
                keys.push_str(key);
            }
        }
        if crate::render::diff_of(&self.request).is_some() {
            keys.push_str("  [d]iff");
        }
        keys.push_str(" [?]help");
        keys
    }

    /// What a key means now.
    pub(crate) fn press(&mut self, key: char) -> Pressed {
        if std::mem::take(&mut self.confirming) {
            return match key {
                'a' | 'A' => Pressed::Answer(Decision::Approved, Remember::Always),
                _ => Pressed::Say("Not approved yet.".to_owned()),
            };
        }
        if self.request.is_answered_at_the_centre()
            && matches!(key.to_ascii_lowercase(), 'y' | 'n' | 't' | 's' | 'a')
        {
            return Pressed::Say(
                "Somebody answers this in the console of the central services; Ctrl-C cancels the task."
                    .to_owned(),
            );
        }
        let approve = |remember| match self.allows(remember) {
            true => Pressed::Answer(Decision::Approved, remember),
            false => Pressed::Say(
                "Policy does not let an answer to this question be remembered so long.".to_owned(),
            ),
        };
        match key.to_ascii_lowercase() {
            'y' => approve(Remember::Once),
            'n' => Pressed::Answer(Decision::Denied, Remember::Once),
            't' => approve(Remember::Task),
            's' => approve(Remember::Session),
            'a' if self.allows(Remember::Always) => {
                self.confirming = true;
                let scope = visible::marked_line(&self.request.remember_scope).into_owned();
                Pressed::Say(format!(
                    "Always means, on this machine, until you revoke it (`lanyard rules`): {scope}"
                ))
            }
            'a' => approve(Remember::Always),
            'd' if crate::render::diff_of(&self.request).is_some() => Pressed::ShowDiff,
            '?' | 'h' => Pressed::Say(help()),
            _ => Pressed::Ignored,
        }
    }
}

fn help() -> String {
    [
        "y  run it, this once",
        "n  do not run it; the agent is told and goes on without it",
        "t  run it, and the very same call again in this task without asking",
        "s  the same for the whole session",
        "a  the same on this machine until revoked; what it covers is spelled out first",
        "d  show the whole diff",
        "Ctrl-C  cancel the task",
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Pressed, Prompt};
    use crate::render::samples::{command_request, file_request};
    use lanyard_protocol::approval::Decision::{Approved, Denied};
    use lanyard_protocol::policy::{Capability, Remember};

    #[test]
    fn the_keys_and_their_meaning() {
        for (key, pressed) in [
            ('y', Pressed::Answer(Approved, Remember::Once)),
            ('N', Pressed::Answer(Denied, Remember::Once)),
            ('t', Pressed::Answer(Approved, Remember::Task)),
            ('s', Pressed::Answer(Approved, Remember::Session)),
            ('d', Pressed::Ignored),
            ('\n', Pressed::Ignored),
            (' ', Pressed::Ignored),
        ] {
            assert_eq!(Prompt::new(command_request()).press(key), pressed, "{key:?}");
        }
        assert_eq!(Prompt::new(file_request()).press('d'), Pressed::ShowDiff);
    }

    #[test]
    fn the_keys_fit_beside_the_countdown_in_a_terminal_of_80_columns() {
        let mut prompt = Prompt::new(file_request());
        assert!("10:00  ".len() + prompt.keys().chars().count() < 80, "{}", prompt.keys());
        prompt.press('a');
        assert!("10:00  ".len() + prompt.keys().chars().count() < 80, "{}", prompt.keys());
    }

    #[test]
    fn always_takes_two_steps_and_spells_the_scope_out() {
        let mut prompt = Prompt::new(command_request());
        let Pressed::Say(text) = prompt.press('a') else { panic!("one key must not be enough") };
        assert!(text.contains(&prompt.request.remember_scope), "{text}");
        assert!(prompt.keys().contains("approve always"));
        assert!(matches!(prompt.press('y'), Pressed::Say(_)), "any other key goes back");
        prompt.press('a');
        assert_eq!(prompt.press('a'), Pressed::Answer(Approved, Remember::Always));
    }

    #[test]
    fn what_is_answered_at_the_centre_is_not_answered_here() {
        let mut request = command_request();
        (request.layer, request.capability) = ("central".to_owned(), Capability::BackendToolInvoke);
        let mut prompt = Prompt::new(request);
        assert!(prompt.keys().contains("console") && !prompt.keys().contains("[y]"), "{}", prompt.keys());
        assert!("10:00  ".len() + prompt.keys().chars().count() < 80, "{}", prompt.keys());
        for key in ['y', 'N', 't', 's', 'a', 'a'] {
            assert!(matches!(prompt.press(key), Pressed::Say(said) if said.contains("console")), "{key:?}");
        }
    }

    #[test]
    fn what_policy_does_not_let_be_remembered_is_not_offered_and_not_taken() {
        let mut request = command_request();
        request.max_remember = Remember::Task;
        let mut prompt = Prompt::new(request);
        assert!(prompt.keys().contains("[t]") && !prompt.keys().contains("[s]"), "{}", prompt.keys());
        assert!(matches!(prompt.press('s'), Pressed::Say(_)));
        assert!(matches!(prompt.press('a'), Pressed::Say(_)));
        assert!(matches!(prompt.press('a'), Pressed::Say(_)), "no second step to reach");
    }
}
