//! Replays the requests of a prompt against what was done since, and says what comes next.

use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::tool::ToolSpec;
use serde_json::{Value, json};

use super::grammar::{Prompt, Request, understand};
use super::thread::{Done, Outcome, view};
use super::{tour, words};

/// A call to ask for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
}

impl Call {
    pub(super) fn new(tool: &'static str, arguments: Value) -> Self {
        Self { tool, arguments }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    /// Calls asked for since the prompt, so that ids go on counting.
    pub(super) calls_before: usize,
}

/// Where a request stands.
#[derive(Debug, PartialEq)]
pub(super) enum Stand {
    /// These calls come next, announced by these words.
    Asks(String, Vec<Call>),
    /// It is done; these words report it.
    Done(String),
    /// It did not work out; these words say why, and nothing after it is begun.
    Stopped(String),
}

/// What was done since the prompt, consumed in order.
#[derive(Debug)]
pub(super) struct Past<'a> {
    done: &'a [Done],
}

/// What became of calls.
pub(super) enum Taken<'a> {
    /// Not asked for yet.
    Open,
    /// Ended so, in order.
    Ended(Vec<&'a Outcome>),
    /// The thread holds other calls in their place: part of it is gone.
    Lost,
}

impl<'a> Past<'a> {
    /// Takes the outcomes of these calls.
    pub(super) fn take(&mut self, calls: &[Call]) -> Taken<'a> {
        if self.done.is_empty() {
            return Taken::Open;
        }
        let Some((mine, rest)) = self.done.split_at_checked(calls.len()) else { return Taken::Lost };
        if mine.iter().zip(calls).any(|(done, call)| done.tool != call.tool) {
            return Taken::Lost;
        }
        self.done = rest;
        Taken::Ended(mine.iter().map(|done| &done.outcome).collect())
    }
}

/// The next answer in a thread.
pub(super) fn reply(messages: &[ConversationMessage], tools: &[ToolSpec]) -> Reply {
    let view = view(messages);
    let calls_before = view.done.len();
    let say = |text: String| Reply { text: words::signed(&text), calls: Vec::new(), calls_before };
    let requests = match understand(&view.prompt) {
        Prompt::Do(requests) => requests,
        Prompt::Help => return say(words::help()),
        Prompt::Unknown(part) => return say(words::not_understood(&part)),
    };
    let mut past = Past { done: &view.done };
    let mut reports = Vec::new();
    for (position, request) in requests.iter().enumerate() {
        match stand(request, &mut past) {
            Stand::Done(report) => reports.push(report),
            Stand::Stopped(report) => {
                reports.push(report);
                reports.extend(words::left_out(requests.len() - position - 1));
                return say(reports.join("\n\n"));
            }
            Stand::Asks(text, calls) => match missing(&calls, tools) {
                None => return Reply { text, calls, calls_before },
                Some(tool) => {
                    reports.push(words::no_such_tool(tool));
                    return say(reports.join("\n\n"));
                }
            },
        }
    }
    say(reports.join("\n\n"))
}

/// A tool that is needed and not offered.
fn missing(calls: &[Call], tools: &[ToolSpec]) -> Option<&'static str> {
    calls.iter().map(|call| call.tool).find(|name| !tools.iter().any(|tool| tool.name == *name))
}

fn stand(request: &Request, past: &mut Past<'_>) -> Stand {
    if *request == Request::Tour {
        return tour::stand(past);
    }
    let calls = calls(request);
    match past.take(&calls) {
        Taken::Open => Stand::Asks(words::announced(request), calls),
        Taken::Lost => Stand::Stopped(words::lost()),
        Taken::Ended(outcomes) => words::reported(request, &outcomes),
    }
}

/// The calls a request takes.
fn calls(request: &Request) -> Vec<Call> {
    let one = |tool, arguments| vec![Call::new(tool, arguments)];
    let each =
        |tool, paths: &[String]| paths.iter().map(|path| Call::new(tool, json!({"path": path}))).collect();
    match request {
        Request::List { path } => one("ListDirectory", json!({"path": path})),
        Request::Read { paths } => each("ReadFile", paths),
        Request::Summarise { path } => one("ReadFile", json!({"path": path})),
        Request::Write { path, text } => one("WriteFile", json!({"path": path, "content": ended(text)})),
        // Not read and written back: what a tool returns of a long file is not the whole of it.
        Request::Append { path, text } => {
            one("RunCommand", json!({"argv": ["tee", "-a", path], "stdin": ended(text)}))
        }
        Request::Replace { path, old, new } => {
            one("EditFile", json!({"path": path, "oldText": old, "newText": new}))
        }
        Request::Delete { paths } => each("DeleteFile", paths),
        Request::Move { from, to } => one("MoveFile", json!({"path": from, "newPath": to})),
        Request::Run { command } => one("RunCommand", json!({"command": command.trim()})),
        Request::Find { pattern, path } => one("FindFiles", searched(pattern, path.as_deref())),
        Request::Grep { pattern, path } => one("GrepFiles", searched(&literal(pattern), path.as_deref())),
        Request::Fetch { url } => one("HttpRequest", json!({"method": "GET", "url": url})),
        Request::Status => one("GitStatus", json!({})),
        Request::Diff { staged } => one("GitDiff", json!({"staged": staged})),
        Request::Commit { message, everything: true } => {
            one("GitCommit", json!({"message": message, "paths": ["."]}))
        }
        Request::Commit { message, everything: false } => one("GitCommit", json!({"message": message})),
        Request::Push { branch, remote } => one("GitPush", json!({"branch": branch, "remote": remote})),
        Request::Tour => Vec::new(),
    }
}

fn searched(pattern: &str, path: Option<&str>) -> Value {
    match path {
        Some(path) => json!({"pattern": pattern, "path": path}),
        None => json!({"pattern": pattern}),
    }
}

/// A regular expression that matches this text and nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// A text file ends with a line feed.
fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}
