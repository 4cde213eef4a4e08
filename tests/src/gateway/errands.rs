//! Tasks for scenarios in which something happens to the network meanwhile: one that works and streams until it is told
//! to stop, one that waits for a person.
//!
//! The next call follows from the results there are, so that a model asked twice says the same twice. Everything a task
//! touches carries its name, so that tasks side by side in one directory do not meet.

use std::time::Duration;

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

/// What to ask for, so that the task wants to run a command whose words need quoting, and repeats what it was told.
pub fn quoting(name: &str) -> String {
    format!("quote {name}")
}

/// What to ask for, so that the task wants to run the same command twice.
pub fn twice(name: &str) -> String {
    format!("twice {name}")
}

/// What to ask for, so that a long answer streams slowly, without a question.
pub fn telling(name: &str) -> String {
    format!("tell {name}")
}

/// What to ask for, so that the model says which model it is, and what it was given.
pub fn knowing() -> String {
    "know yourself".to_owned()
}

/// What to ask for, so that the task has the secrets of [`secrets`] in all that it does.
pub fn keeping(name: &str) -> String {
    format!("keep {name}")
}

/// Words that nobody but the two ends may see: in a file's name, in its content, in what a command prints, in the answer.
pub fn secrets(name: &str) -> [String; 4] {
    ["path", "content", "output", "answer"].map(|what| format!("hushed-{what}-{name}"))
}

/// What to ask for, so that files and commands and the model say what pages must not take for their own; `name` is that
/// of a file in the workspace, which is read.
pub fn hostile(name: &str) -> String {
    format!("injure {name}")
}

/// What a hostile model says: markup, addresses that run, letters that steer terminals and turn lines around.
pub const HOSTILE: &str = concat!(
    "<img src=x onerror=\"alert('model')\"> <script>alert('model')</script> <iframe src=\"https://evil.example/\"></iframe>\n\n",
    "[click](javascript:alert('link')) [data](data:text/html,<script>alert(1)</script>) <svg onload=alert(1)>\n\n",
    "![beacon](https://evil.example/beacon.png) <a href=\"javascript:alert(2)\">here</a>\n\n",
    "[bank](https://evil.example/login) \u{1b}]52;c;ZXZpbA==\u{7} \u{1b}[31mred\u{1b}[0m \u{202e}desrever\u{202c}\n\n",
    "```html\n<script>alert('code')</script>\n```\n\n| <b>cell</b> | x |\n|---|---|\n| <img src=y onerror=alert(3)> | y |\n\n",
    "the end of it",
);

/// A second model that is offered.
pub const OTHER_MODEL: &str = "scripted-2";

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
        "quote" => quote(name, request),
        "twice" => match results {
            0 | 1 => call("RunCommand", json!({"argv": ["echo", format!("twice-{name}")]})),
            _ => say("done twice"),
        },
        "tell" => tell(name),
        "know" => know(request),
        "keep" => keep(name, results),
        "injure" => injure(name, results),
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

fn quote(name: &str, request: &Recorded) -> Turn {
    match request.tool_results().last() {
        None => call("RunCommand", json!({"argv": ["printf", "[%s]", "two words", "it's", "", name]})),
        Some(told) => say(&format!("I was told: {told}")),
    }
}

/// Words of a line, and lines of an answer that is longer than a screen.
const WORDS: usize = 8;
const LINES: usize = 60;

fn tell(name: &str) -> Turn {
    let line = |number: usize| format!("Line {number} of {name}:{}\n\n", " and so on".repeat(WORDS));
    let lines = (1..=LINES).fold(Turn::stream(), |turn, number| turn.text(&line(number)));
    // Some hundred pieces: as long as a person reads, and no test waits for more than it needs.
    lines.slowly(Duration::from_millis(8)).text("That was all.").finish("stop").usage(10, 5).done()
}

fn know(request: &Recorded) -> Turn {
    let model = request.body["model"].as_str().unwrap_or_default();
    let last = request.messages().iter().rev().find(|message| message["role"] == "user");
    let parts = last.and_then(|message| message["content"].as_array()).map_or(0, Vec::len);
    say(&format!("I am {model}, with {parts} parts"))
}

fn keep(name: &str, results: usize) -> Turn {
    let [path, content, output, answer] = secrets(name);
    match results {
        0 => call("WriteFile", json!({"path": path, "content": format!("{content}\n")})),
        1 => call("RunCommand", json!({"argv": ["echo", output]})),
        _ => say(&format!("# {answer}\n\nIt is done.")),
    }
}

fn injure(name: &str, results: usize) -> Turn {
    match results {
        0 => call("ReadFile", json!({"path": name})),
        1 => call("WriteFile", json!({"path": "<img src=x onerror=alert('path')>.txt", "content": HOSTILE})),
        2 => {
            let word = "\u{1b}[2Jclean\u{202e}txt.exe <script>alert(argv)</script>";
            call("RunCommand", json!({"argv": ["printf", "%s", word]}))
        }
        _ => say(HOSTILE),
    }
}
