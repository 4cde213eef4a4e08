//! A question in full: what will really happen, where, with which network and sandbox, who may answer, until when.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRequest, CommandDetail, FileChangeDetail, RiskLevel,
};
use lanyard_protocol::policy::{Approver, Remember, SandboxLevel};

use super::diff::{change_word, diff};
use super::paint::{Paint, Tone};
use super::visible::{marked_block, marked_line};

/// The question. Everything is shown in full but a diff, of which at most `diff_lines` lines are.
pub(crate) fn approval(paint: Paint, request: &ApprovalRequest, now: Timestamp, diff_lines: usize) -> String {
    let risk = format!("{} risk", request.risk_level.as_str());
    let risk = match request.risk_level >= RiskLevel::High {
        true => paint.tone(Tone::Bad, &risk),
        false => risk,
    };
    let title = paint.tone(Tone::Waits, "? Waits for approval");
    let mut shown = format!("{title} · {risk} · {}\n", marked_line(&request.title));
    shown.push_str(&detail(paint, request, diff_lines));
    for reason in &request.reasons {
        shown.push_str(&format!("  Why: {}\n", marked_line(reason)));
    }
    shown.push_str(&format!("  Who may answer: {}\n", approver_words(request)));
    let left = countdown(request.deadline, now);
    let expiry = format!("  Without an answer in {left} it counts as denied. Id: {}", request.approval_id);
    shown.push_str(&format!("{}\n", paint.tone(Tone::Faint, &expiry)));
    shown
}

fn detail(paint: Paint, request: &ApprovalRequest, diff_lines: usize) -> String {
    match &request.detail {
        ApprovalDetail::Command(command) => self::command(paint, command, request.sandbox_level),
        ApprovalDetail::FileChange(change) => file_change(paint, change, diff_lines),
        ApprovalDetail::Http(http) => {
            let mut shown = format!("    {} {}\n", marked_line(&http.method), strong(paint, &http.url));
            shown.extend(http.headers.iter().map(|header| format!("    {}\n", marked_line(header))));
            shown.push_str(&http.body.as_deref().map(|body| indented("    | ", body)).unwrap_or_default());
            shown
        }
        ApprovalDetail::Other(other) => indented("    ", &other.text),
    }
}

fn strong(paint: Paint, text: &str) -> String {
    paint.tone(Tone::Strong, &marked_line(text))
}

fn indented(indent: &str, text: &str) -> String {
    marked_block(text).lines().map(|line| format!("{indent}{line}\n")).collect()
}

fn command(paint: Paint, command: &CommandDetail, sandbox: SandboxLevel) -> String {
    let mut shown = String::new();
    if let Some(shell) = &command.shell {
        for line in marked_block(shell).split('\n') {
            shown.push_str(&format!("    $ {}\n", paint.tone(Tone::Strong, line)));
        }
        if command.argv.len() > 1 {
            shown.push_str("    which runs, in this order:\n");
        }
    }
    if command.shell.is_none() || command.argv.len() > 1 {
        for argv in &command.argv {
            let words: Vec<_> = argv.iter().map(|word| shell_word(word)).collect();
            shown.push_str(&format!("    $ {}\n", strong(paint, &words.join(" "))));
        }
    }
    if let Some(reason) = &command.opaque_reason {
        let text = format!("What it runs could not be made out: {}", marked_line(reason));
        shown.push_str(&format!("    {}\n", paint.tone(Tone::Bad, &text)));
    }
    let network = if command.network { "may use the network" } else { "no network" };
    let cwd = marked_line(&command.cwd);
    shown.push_str(&format!("    in {cwd} · {network} · sandbox {}\n", sandbox.as_str()));
    for variable in &command.environment {
        shown.push_str(&format!("    with {}\n", marked_line(variable)));
    }
    if let Some(stdin) = &command.stdin {
        shown.push_str("    reading:\n");
        shown.push_str(&indented("    | ", stdin));
    }
    shown
}

/// A word as a shell would have to be given it, so that where words begin and end is seen.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn file_change(paint: Paint, change: &FileChangeDetail, diff_lines: usize) -> String {
    let to = change.new_path.as_ref().map(|path| format!(" → {}", marked_line(path))).unwrap_or_default();
    let path = strong(paint, &change.path);
    let mut shown = format!("    {path}{to} would be {}\n", change_word(change.change));
    shown.push_str(&diff(paint, &change.diff, "    ", diff_lines));
    if change.truncated {
        shown.push_str("    … the diff is too long to be shown whole\n");
    }
    shown
}

/// Lines of the diff a question holds.
pub(crate) fn diff_of(request: &ApprovalRequest) -> Option<&str> {
    match &request.detail {
        ApprovalDetail::FileChange(change) if !change.diff.is_empty() => Some(&change.diff),
        _ => None,
    }
}

fn approver_words(request: &ApprovalRequest) -> &'static str {
    match request.approver {
        _ if request.is_answered_at_the_centre() => "only somebody signed in at the central services",
        Approver::Any => "anyone with the right to approve",
        Approver::NotInitiator => "anyone with the right to approve, except who started the task",
        Approver::Local => "only somebody at this machine",
    }
}

/// How long an answer is remembered, in words.
pub(crate) fn remember_words(remember: Remember) -> &'static str {
    match remember {
        Remember::Once => "this once",
        Remember::Task => "for this task",
        Remember::Session => "for this session",
        Remember::Always => "always",
    }
}

/// Time left: `4:58`.
pub(crate) fn countdown(deadline: Timestamp, now: Timestamp) -> String {
    let seconds = deadline.millis_since(now).div_ceil(1_000);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
