//! Rights in plain words.

use lanyard_protocol::principal::Scope;

use super::paint::{Paint, Tone};

/// What a right lets a device do.
fn scope_words(scope: Scope) -> &'static str {
    match scope {
        Scope::Observe => "see sessions, their history and the host's condition",
        Scope::Operate => "start and cancel tasks",
        Scope::Approve => "approve what tasks want to do",
        Scope::Admin => "manage devices, policy and settings; stop the host",
    }
}

/// Rights as on the command line: `observe,operate`.
pub(crate) fn scopes_list(scopes: &[Scope]) -> String {
    let mut sorted = scopes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

/// One line a right, and what they come to together.
pub(crate) fn scopes_in_words(paint: Paint, scopes: &[Scope], indent: &str) -> String {
    let mut sorted = scopes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut shown: String = sorted
        .iter()
        .map(|scope| format!("{indent}{:<8} {}\n", scope.as_str(), scope_words(*scope)))
        .collect();
    if sorted.contains(&Scope::Operate) && sorted.contains(&Scope::Approve) {
        let text = "operate and approve together are running programs on this host as you";
        shown.push_str(&format!("{indent}{}\n", paint.tone(Tone::Bad, text)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{scopes_in_words, scopes_list};
    use crate::render::Paint;
    use lanyard_protocol::principal::Scope;

    #[test]
    fn rights_are_spelled_out() {
        use Scope::{Approve, Observe, Operate};
        assert_eq!(scopes_list(&[Operate, Observe, Operate]), "observe,operate");
        let words = scopes_in_words(Paint::PLAIN, &[Approve, Observe, Operate], "  ");
        let expected = "  observe  see sessions, their history and the host's condition
  operate  start and cancel tasks
  approve  approve what tasks want to do
  operate and approve together are running programs on this host as you
";
        assert_eq!(words, expected);
        assert!(!scopes_in_words(Paint::PLAIN, &[Observe, Operate], "").contains("running programs"));
    }
}
