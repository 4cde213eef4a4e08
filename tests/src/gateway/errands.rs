//! Tasks for scenarios in which something happens to the network meanwhile: one that works and streams until it is told
//! to stop, one that waits for a person.
//!
//! The next call follows from the results there are, so that a model asked twice says the same twice. Everything a task
//! touches carries its name, so that tasks side by side in one directory do not meet.

use serde_json::json;

use super::{Recorded, Turn, call, calls, say};

/// What to ask for, so that the task works and streams until [`enough`] exists in the workspace.
pub fn streaming(name: &str) -> String {
    format!("stream {name}")
}

/// What to ask for, so that the task waits for a person's answer and then leaves [`asked_file`].
pub fn asking(name: &str) -> String {
    format!("ask {name}")
}

/// The file whose existence ends the stream of a task.
pub fn enough(name: &str) -> String {
    format!("enough-{name}")
}

/// The file in the workspace that grows while a task streams.
pub fn ticks(name: &str) -> String {
    format!("ticks-{name}")
}

/// What a task leaves that was allowed to.
pub fn asked_file(name: &str) -> String {
    format!("asked-{name}")
}

/// What a streaming task answers in the end.
pub const STREAMED: &str = "all of it was streamed";

/// What an asking task answers in the end.
pub const ASKED: &str = "it was allowed and done";

/// Seconds a stream may last.
const LONGEST: u32 = 600;

/// The script of a gateway, for [`super::Script::by`].
pub fn script(request: &Recorded) -> Turn {
    let mut words = request.last("user").split_whitespace();
    let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let results = request.tool_results().len();
    match what {
        "stream" => stream(name, results),
        "ask" => ask(name, results),
        other => say(&format!("I do not know how to {other:?}")),
    }
}

fn stream(name: &str, results: usize) -> Turn {
    let notes = format!("notes-{name}");
    match results {
        0 => call("WriteFile", json!({"path": notes, "content": "first\nsecond\n"})),
        1 => calls(&[("ReadFile", json!({"path": notes})), ("ReadFile", json!({"path": notes}))]),
        3 => {
            let text = format!(
                "i=0; while [ ! -e {} ]; do i=$((i+1)); echo line $i; echo $i >> {}; sleep 0.2; done; echo over",
                enough(name),
                ticks(name)
            );
            call("RunCommand", json!({"argv": ["sh", "-c", text], "timeoutSeconds": LONGEST}))
        }
        4 => call("EditFile", json!({"path": notes, "oldText": "second", "newText": "2nd"})),
        5..=8 => call("ReadFile", json!({"path": notes})),
        _ => say(STREAMED),
    }
}

fn ask(name: &str, results: usize) -> Turn {
    match results {
        0 => call("ListDirectory", json!({"path": "."})),
        1 => call("RunCommand", json!({"argv": ["touch", asked_file(name)]})),
        2 => call("ReadFile", json!({"path": asked_file(name)})),
        _ => say(ASKED),
    }
}
