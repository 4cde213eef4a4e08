//! What the demo model reads of a thread: the last prompt, and the calls made since with their outcomes.
//!
//! The loop writes a tool message as one line of its own (`succeeded`, `failed`, `denied: …`, `cancelled: …`,
//! `outcome unknown: …`) and then the output, between `<data …>` marks.

use lanyard_protocol::message::{ConversationMessage, Role};

/// What the host itself adds to a thread begins so; it is no prompt.
const HOST_NOTE: &str = "[host]";

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this output.
    Succeeded(String),
    /// With these words.
    Failed(String),
    /// It never ran; these words say who refused.
    Denied(String),
    /// Stopped, or nobody knows how it ended.
    Unfinished(String),
}

/// One call since the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) tool: String,
    pub(super) outcome: Outcome,
}

/// The thread as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) prompt: String,
    pub(super) done: Vec<Done>,
}

/// Reads a thread.
pub(super) fn view(messages: &[ConversationMessage]) -> View {
    let prompts = messages.iter().enumerate().filter(|(_, message)| message.role == Role::User);
    let last = prompts.rev().find_map(|(at, message)| Some((at, prompt(&message.content)?)));
    let (start, prompt) = last.unwrap_or((0, String::new()));
    let since = &messages[start.min(messages.len())..];
    let result = |id| {
        let of_call = |m: &&ConversationMessage| m.role == Role::Tool && m.tool_call_id.as_ref() == Some(id);
        since.iter().find(of_call).map_or_else(
            || Outcome::Unfinished("there is no result of it".to_owned()),
            |message| outcome(&message.content),
        )
    };
    let calls = since.iter().filter(|m| m.role == Role::Assistant).flat_map(|m| &m.tool_calls);
    let done = calls.map(|call| Done { tool: call.tool_name.clone(), outcome: result(&call.tool_call_id) });
    View { prompt, done: done.collect() }
}

/// A user message without the host's own paragraphs; `None` when nothing is left.
fn prompt(content: &str) -> Option<String> {
    if !content.contains(HOST_NOTE) {
        return Some(content.to_owned());
    }
    let own = content.split("\n\n").filter(|paragraph| !paragraph.trim_start().starts_with(HOST_NOTE));
    let text = own.collect::<Vec<_>>().join("\n\n");
    (!text.trim().is_empty()).then_some(text)
}

fn outcome(content: &str) -> Outcome {
    let (status, rest) = content.split_once('\n').unwrap_or((content, ""));
    let text = without_marks(rest);
    let told = || if text.is_empty() { status.to_owned() } else { without_code(text).to_owned() };
    match status.split(':').next().unwrap_or_default().trim() {
        "succeeded" => Outcome::Succeeded(text.to_owned()),
        "failed" => Outcome::Failed(told()),
        "denied" => Outcome::Denied(told()),
        _ => Outcome::Unfinished(told()),
    }
}

/// What stands between the first and the last line when those are the marks of data.
fn without_marks(text: &str) -> &str {
    let marked = text.strip_prefix("<data ").and_then(|rest| rest.split_once('\n'));
    let Some((_, inside)) = marked else { return text };
    let Some(end) = inside.rfind("</data ") else { return text };
    &inside[..end]
}

/// The words of an error without the code before them (`CAPABILITY_DENIED: …`).
fn without_code(text: &str) -> &str {
    match text.split_once(": ") {
        Some((code, words)) if code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => words,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::message::Role;
    use proptest::prelude::*;

    use super::{Outcome, outcome, view};
    use crate::demo::tests::{asked, message, result};

    #[test]
    fn the_last_prompt_and_what_followed() {
        let view = view(&[
            message(Role::System, "rules"),
            message(Role::User, "old"),
            asked("1", "ReadFile"),
            result("1", "succeeded"),
            message(Role::Assistant, "done"),
            message(Role::User, "new\n\n[host] be brief"),
            asked("2", "RunCommand"),
            result(
                "2",
                "failed\n<data id=\"w\" source=\"tool:RunCommand\">\nTOOL_EXECUTION_FAILED: exit 1\n</data id=\"w\">",
            ),
            message(Role::User, "[host] two steps are left"),
            asked("3", "RunCommand"),
        ]);
        assert_eq!(view.prompt, "new");
        let done: Vec<_> = view.done.iter().map(|d| (d.tool.as_str(), &d.outcome)).collect();
        assert_eq!(
            done,
            [
                ("RunCommand", &Outcome::Failed("exit 1\n".into())),
                ("RunCommand", &Outcome::Unfinished("there is no result of it".into())),
            ]
        );
    }

    #[test]
    fn outcomes() {
        let marked =
            "succeeded\n<data id=\"w\" source=\"s\">\nline\n<data x>\n</data \nend\n</data id=\"w\">";
        assert_eq!(outcome(marked), Outcome::Succeeded("line\n<data x>\n</data \nend\n".into()));
        assert_eq!(outcome("succeeded"), Outcome::Succeeded(String::new()));
        assert_eq!(outcome("succeeded\nplain"), Outcome::Succeeded("plain".into()));
        let denied = "denied: the call did not run. Do not…\nAPPROVAL_DENIED: a person said no";
        assert_eq!(outcome(denied), Outcome::Denied("a person said no".into()));
        assert!(matches!(outcome("cancelled: stopped"), Outcome::Unfinished(_)));
        assert!(matches!(outcome("outcome unknown: maybe"), Outcome::Unfinished(_)));
        assert!(matches!(outcome(""), Outcome::Unfinished(_)));
    }

    #[test]
    fn no_prompt_is_an_empty_one() {
        assert_eq!(view(&[]).prompt, "");
        assert_eq!(view(&[message(Role::User, "[host] note")]).prompt, "");
    }

    proptest! {
        #[test]
        fn no_content_panics(content in "(succeeded|failed|denied: x|)\n?(<data [a-z\"=]{0,9}>)?\n?\\PC{0,40}\n?(</data x>)?") {
            outcome(&content);
        }
    }
}
