//! One command: the paths its words and redirects name, and whether it writes files.

use lanyard_protocol::approval::RiskLevel;

use super::{NamedPath, ReadCommand, Usage};
use crate::{
    commands::{Assessment, Risk, assess_all},
    path::{HostPath, PathFault},
    shell::{Redirect, RedirectTarget},
    visible,
};

/// Written files named in a sentence; the detail shows the command itself.
const SHOWN_FILES: usize = 3;

/// Devices that hold nothing and are named all the time.
const HARMLESS_DEVICES: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// A command with its redirects, and each command it starts: what they name and what they write.
pub(super) fn read_command(argv: &[String], redirects: &[Redirect], cwd: &HostPath) -> Vec<ReadCommand> {
    let mut commands: Vec<ReadCommand> = assess_all(argv)
        .into_iter()
        .map(|assessed| named_paths(assessed.argv, assessed.assessment, cwd))
        .collect();
    if let Some(first) = commands.first_mut() {
        for redirect in redirects {
            match &redirect.target {
                RedirectTarget::Read(path) => {
                    add(first, path, Usage::Reads);
                    first.read.push(path.clone());
                }
                RedirectTarget::Write(path) | RedirectTarget::Append(path) => {
                    add(first, path, Usage::Writes);
                    first.written.push(path.clone());
                }
                RedirectTarget::Duplicate(_) => {}
            }
        }
    }
    commands.iter_mut().for_each(note_writing);
    commands
}

/// Whatever the program does, what writes files does not only read.
fn note_writing(command: &mut ReadCommand) {
    let cwd = &command.cwd;
    let harmless =
        |text: &String| cwd.resolve(text).is_ok_and(|path| HARMLESS_DEVICES.contains(&path.as_str()));
    command.written.retain(|text| !harmless(text));
    if command.written.is_empty() {
        return;
    }
    let assessment = &mut command.assessment;
    assessment.reads_only = false;
    if assessment.risk.level < RiskLevel::Medium {
        let shown = command.written.iter().take(SHOWN_FILES);
        let mut files = shown.map(|text| visible::clipped_line(text, 80)).collect::<Vec<_>>().join(", ");
        if command.written.len() > SHOWN_FILES {
            files.push_str(&format!(" and {} more", command.written.len() - SHOWN_FILES));
        }
        assessment.risk = Risk { level: RiskLevel::Medium, sentence: format!("it writes to {files}.") };
    }
}

fn named_paths(argv: Vec<String>, assessment: Assessment, cwd: &HostPath) -> ReadCommand {
    let usage = if assessment.reads_only { Usage::Reads } else { Usage::Unknown };
    let mut command = ReadCommand {
        argv: Vec::new(),
        cwd: cwd.clone(),
        paths: Vec::new(),
        read: Vec::new(),
        passes_input_on: assessment.reads_only,
        written: assessment.writes.clone(),
        unclear_path: None,
        assessment,
    };
    for (at, word) in argv.iter().enumerate() {
        // A bare program name is looked up, not opened.
        if at == 0 && !word.contains('/') {
            continue;
        }
        if command.assessment.writes.contains(word) {
            continue;
        }
        for candidate in candidates(word) {
            add(&mut command, candidate, if at == 0 { Usage::Reads } else { usage });
        }
    }
    for path in command.assessment.reads.clone() {
        add(&mut command, &path, Usage::Reads);
    }
    for path in command.assessment.writes.clone() {
        add(&mut command, &path, Usage::Writes);
    }
    command.argv = argv;
    command
}

/// The parts of a word that a program could take for a path: the whole, what follows `=`, `@` or `file:`, and the
/// value attached to a short option.
pub(super) fn candidates(word: &str) -> Vec<&str> {
    let mut found = vec![word];
    if let Some((_, value)) = word.split_once('=') {
        found.push(value);
    }
    if let Some(value) = word.strip_prefix('@') {
        found.push(value);
    }
    if let Some(value) = word.strip_prefix("file:") {
        found.push(value.trim_start_matches("//"));
    }
    if word.starts_with('-') && !word.starts_with("--") && word.len() > 2 && word.is_char_boundary(2) {
        found.push(&word[2..]);
    }
    found
}

fn add(command: &mut ReadCommand, text: &str, usage: Usage) {
    match command.cwd.resolve(text) {
        Ok(path) if HARMLESS_DEVICES.contains(&path.as_str()) => {}
        Ok(path) => command.paths.push(NamedPath { path, usage }),
        Err(PathFault::Empty) => {}
        Err(_) => {
            // Texts and patterns are no paths; what is absolute or climbs may be one, and is not understood.
            let leads_away = text.starts_with('/') || text.split('/').any(|name| name == "..");
            if leads_away || usage == Usage::Writes {
                command.unclear_path.get_or_insert_with(|| visible::clipped_line(text, 80));
            }
        }
    }
}
