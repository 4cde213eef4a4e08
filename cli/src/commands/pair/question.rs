//! The keys that answer a device. Pure: a key in, what it means out.

use lanyard_protocol::device::{PairingMethod, PendingPairing};

/// Digits of the comparison string.
const DIGITS: usize = 6;

/// What a key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pressed {
    /// The device is to be paired; with the digits typed, after a typed code.
    Approve(Option<String>),
    /// It is to be turned away.
    Deny,
    /// Something to tell the person.
    Say(&'static str),
    /// Nothing, or one digit more or less.
    Nothing,
}

/// One device on the screen.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) pending: PendingPairing,
    typed: String,
}

impl Question {
    pub(super) fn new(pending: PendingPairing) -> Self {
        Self { pending, typed: String::new() }
    }

    /// Another attempt at the digits.
    pub(super) fn start_again(&mut self) {
        self.typed.clear();
    }

    /// The keys in a line, with what was typed so far.
    pub(super) fn keys(&self) -> String {
        match self.pending.method {
            PairingMethod::Link => "Pair this device? [y] yes  [n] no".to_owned(),
            PairingMethod::Code => {
                let blanks = "_".repeat(DIGITS.saturating_sub(self.typed.len()));
                let all = format!("{}{blanks}", self.typed);
                let (first, last) = all.split_at(all.len().min(DIGITS / 2));
                format!("Digits on the device's screen: {first} {last}  [Enter] pair  [n] no")
            }
        }
    }

    /// What a key means now.
    pub(super) fn press(&mut self, key: char) -> Pressed {
        match (self.pending.method, key) {
            (PairingMethod::Link, 'y' | 'Y') => Pressed::Approve(None),
            (_, 'n' | 'N') => Pressed::Deny,
            (PairingMethod::Code, '0'..='9') => {
                if self.typed.len() < DIGITS {
                    self.typed.push(key);
                }
                Pressed::Nothing
            }
            (PairingMethod::Code, '\u{8}' | '\u{7f}') => {
                self.typed.pop();
                Pressed::Nothing
            }
            (PairingMethod::Code, '\r' | '\n') if self.typed.len() == DIGITS => {
                Pressed::Approve(Some(self.typed.clone()))
            }
            (PairingMethod::Code, '\r' | '\n' | 'y' | 'Y') => Pressed::Say(
                "Type the six digits that the device shows, then Enter. They prove that it is yours.",
            ),
            _ => Pressed::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pressed, Question};
    use crate::render::samples::pairing_asked;
    use lanyard_protocol::device::PairingMethod;

    fn press_all(question: &mut Question, keys: &str) -> Pressed {
        keys.chars().map(|key| question.press(key)).last().unwrap()
    }

    #[test]
    fn after_a_code_only_six_digits_pair() {
        let mut question = Question::new(pairing_asked(PairingMethod::Code));
        assert!(matches!(question.press('y'), Pressed::Say(_)), "a yes is not enough");
        assert!(matches!(press_all(&mut question, "12345\r"), Pressed::Say(_)));
        assert_eq!(press_all(&mut question, "6789\n"), Pressed::Approve(Some("123456".into())));
        question.start_again();
        assert_eq!(
            press_all(&mut question, "123x \u{7f}456-7\u{8}78\r"),
            Pressed::Approve(Some("124567".into()))
        );
        assert_eq!(question.press('n'), Pressed::Deny);
    }

    #[test]
    fn after_a_link_one_key_is_enough() {
        for (key, pressed) in [
            ('y', Pressed::Approve(None)),
            ('N', Pressed::Deny),
            ('1', Pressed::Nothing),
            ('\r', Pressed::Nothing),
        ] {
            assert_eq!(Question::new(pairing_asked(PairingMethod::Link)).press(key), pressed, "{key:?}");
        }
    }

    #[test]
    fn the_line_shows_what_was_typed_and_fits() {
        let mut question = Question::new(pairing_asked(PairingMethod::Code));
        press_all(&mut question, "1234");
        assert!(
            question.keys().starts_with("Digits on the device's screen: 123 4__  "),
            "{}",
            question.keys()
        );
        assert!("10:00  ".len() + question.keys().len() < 80);
    }
}
