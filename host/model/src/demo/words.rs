//! What the demo model says.

use super::grammar::Request;
use super::plan::Stand;
use super::summary;
use super::thread::Outcome;

/// Lines of an output that are quoted in an answer; the client shows the whole beside it.
const MAX_QUOTED_LINES: usize = 40;

/// Characters of an output that are quoted.
const MAX_QUOTED_CHARS: usize = 4_000;

/// Characters of a name or command that are repeated.
const MAX_NAME_CHARS: usize = 120;

/// Ends every final answer: nobody shall take this for an AI.
const SIGNATURE: &str = "(demo model, no AI)";

/// A final answer.
pub(super) fn signed(text: &str) -> String {
    format!("{}\n\n{SIGNATURE}", text.trim_end())
}

/// What it can do.
pub(super) fn help() -> String {
    "I am the built-in demo model: a script without any intelligence, so that you can try this host before you connect \
     a real model. I understand a few plain requests:\n\n\
     - `tour`: a guided tour in five steps\n\
     - `list the files`, `read README.md`, `summarise README.md`\n\
     - `write 'some text' to notes.txt`, `append 'more' to notes.txt`, `replace 'some' with 'other' in notes.txt`\n\
     - `rename notes.txt to old.txt`, `delete old.txt`\n\
     - `find files named '*.rs'`, `search for 'main' in src`\n\
     - `run ls -l`\n\
     - `git status`, `git diff`, `commit everything as 'message'`, `push main to origin`\n\
     - `fetch https://example.com`\n\n\
     Several can be joined with `then`. For real work set LANYARD_GATEWAY_URL (and LANYARD_GATEWAY_TOKEN, \
     LANYARD_MODEL) to an OpenAI-compatible gateway, or start Ollama, LM Studio or llama.cpp on this machine."
        .to_owned()
}

pub(super) fn not_understood(part: &str) -> String {
    format!("I do not understand {}, and nothing was done.\n\n{}", named(part), help())
}

pub(super) fn no_such_tool(tool: &str) -> String {
    format!("That takes the tool {tool}, which this session does not offer.")
}

pub(super) fn lost() -> String {
    "Part of this task is no longer in what I was given, so I stop here rather than do something twice."
        .to_owned()
}

/// How many requests a stop leaves undone.
pub(super) fn left_out(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("I did not begin the other thing you asked for.".to_owned()),
        count => Some(format!("I did not begin the other {count} things you asked for.")),
    }
}

/// Said before the calls of a request.
pub(super) fn announced(request: &Request) -> String {
    match request {
        Request::List { path } if path == "." => "I look at what is here.".to_owned(),
        Request::List { path } => format!("I look into {}.", named(path)),
        Request::Read { paths } => format!("I read {}.", joined(paths)),
        Request::Summarise { path } => format!("I read {} first.", named(path)),
        Request::Write { path, .. } => format!("I write {}.", named(path)),
        Request::Append { path, .. } => format!("I add that to the end of {}.", named(path)),
        Request::Replace { path, .. } => format!("I edit {}.", named(path)),
        Request::Delete { paths } => format!("I delete {}.", joined(paths)),
        Request::Move { from, to } => format!("I move {} to {}.", named(from), named(to)),
        Request::Run { command } => format!("I run {}.", named(command)),
        Request::Find { pattern, .. } => format!("I look for files named {}.", named(pattern)),
        Request::Grep { pattern, .. } => format!("I search for {}.", named(pattern)),
        Request::Fetch { url } => format!("I fetch {}.", named(url)),
        Request::Status => "I ask git for the status.".to_owned(),
        Request::Diff { .. } => "I ask git for the differences.".to_owned(),
        Request::Commit { .. } => "I commit.".to_owned(),
        Request::Push { branch, remote } => format!("I push {} to {}.", named(branch), named(remote)),
        Request::Tour => "Here is the tour.".to_owned(),
    }
}

/// Said after the calls of a request.
pub(super) fn reported(request: &Request, outcomes: &[&Outcome]) -> Stand {
    let mut reports = Vec::new();
    let mut stopped = false;
    for (position, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Succeeded(output) => reports.push(success(request, position, output)),
            other => {
                stopped = true;
                reports.push(trouble(&object(request, position), other));
            }
        }
    }
    let report = reports.join("\n\n");
    if stopped { Stand::Stopped(report) } else { Stand::Done(report) }
}

/// What a call was about, as the subject of a sentence.
fn object(request: &Request, position: usize) -> String {
    let at = |paths: &[String]| named(paths.get(position).map_or("it", String::as_str));
    match request {
        Request::List { path } => format!("Listing {}", named(path)),
        Request::Read { paths } => format!("Reading {}", at(paths)),
        Request::Summarise { path } => format!("Reading {}", named(path)),
        Request::Write { path, .. } => format!("Writing {}", named(path)),
        Request::Append { path, .. } => format!("Adding to {}", named(path)),
        Request::Replace { path, .. } => format!("Editing {}", named(path)),
        Request::Delete { paths } => format!("Deleting {}", at(paths)),
        Request::Move { from, .. } => format!("Moving {}", named(from)),
        Request::Run { command } => format!("Running {}", named(command)),
        Request::Find { .. } | Request::Grep { .. } => "The search".to_owned(),
        Request::Fetch { url } => format!("Fetching {}", named(url)),
        Request::Status => "git status".to_owned(),
        Request::Diff { .. } => "git diff".to_owned(),
        Request::Commit { .. } => "The commit".to_owned(),
        Request::Push { .. } => "The push".to_owned(),
        Request::Tour => "The tour".to_owned(),
    }
}

/// In words, what went wrong and what that means.
pub(super) fn trouble(object: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded(_) => format!("{object} worked."),
        Outcome::Failed(told) => format!("{object} did not work:\n\n{}", fenced(told)),
        Outcome::Denied(told) => format!(
            "{object} was refused, and nothing happened: {}\n\nThat is for you and the policy of this host to decide; \
             I do not try another way.",
            sentence(told)
        ),
        Outcome::Unfinished(told) => {
            format!(
                "{object} was not brought to an end: {} Look at the state of things before you ask again.",
                sentence(told)
            )
        }
    }
}

fn success(request: &Request, position: usize, output: &str) -> String {
    let path = |paths: &[String]| named(paths.get(position).map_or("it", String::as_str));
    match request {
        Request::List { path } if path == "." => format!("Here is what I found:\n\n{}", fenced(output)),
        Request::List { path } => format!("In {} I found:\n\n{}", named(path), fenced(output)),
        Request::Read { paths } => format!("{} says:\n\n{}", path(paths), fenced(output)),
        Request::Summarise { path } => summary::of(&named(path), output),
        Request::Write { path, .. } => format!("{} is written.", named(path)),
        Request::Append { path, .. } => format!("The text is at the end of {}.", named(path)),
        Request::Replace { path, .. } => format!("{} is edited.", named(path)),
        Request::Delete { paths } => format!("{} is deleted.", path(paths)),
        Request::Move { from, to } => format!("{} is now {}.", named(from), named(to)),
        Request::Run { command } if output.trim().is_empty() => {
            format!("{} ran and printed nothing.", named(command))
        }
        Request::Run { command } => format!("{} ran:\n\n{}", named(command), fenced(output)),
        Request::Find { .. } | Request::Grep { .. } if output.trim().is_empty() => {
            "I found nothing.".to_owned()
        }
        Request::Find { .. } | Request::Grep { .. } => format!("I found:\n\n{}", fenced(output)),
        Request::Fetch { url } => format!("{} answers:\n\n{}", named(url), fenced(output)),
        Request::Diff { .. } if output.trim().is_empty() => "Nothing differs.".to_owned(),
        Request::Status | Request::Diff { .. } => format!("git says:\n\n{}", fenced(output)),
        Request::Commit { .. } => "It is committed.".to_owned(),
        Request::Push { branch, remote } => format!("{} is pushed to {}.", named(branch), named(remote)),
        Request::Tour => String::new(),
    }
}

/// A name or command, quoted and cut, on one line.
pub(super) fn named(name: &str) -> String {
    format!("`{}`", crate::show::quoted(&name.replace('`', "'"), MAX_NAME_CHARS))
}

fn joined(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| named(name)).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Foreign words as a sentence of ours.
fn sentence(told: &str) -> String {
    let told = crate::show::quoted(told, 400);
    if told.ends_with(['.', '!', '?', '…']) { told } else { format!("{told}.") }
}

/// The beginning of an output between fences that it cannot close.
pub(super) fn fenced(output: &str) -> String {
    let mut shown = String::new();
    let mut room = MAX_QUOTED_CHARS;
    let mut lines = output.trim_end().lines();
    for line in lines.by_ref().take(MAX_QUOTED_LINES) {
        let cut: String = line.chars().take(room).collect();
        room -= cut.chars().count();
        shown.push_str(&cut);
        shown.push('\n');
        if cut.len() < line.len() {
            shown.push_str("…\n");
            break;
        }
    }
    let left = lines.count();
    let longest = output.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let more = match left {
        0 => String::new(),
        1 => "\n(1 more line)".to_owned(),
        left => format!("\n({left} more lines)"),
    };
    format!("{fence}\n{shown}{fence}{more}")
}
