//! What a demand to run programs amounts to: every command in it, where each runs, which paths it names.

mod inputs;
mod mentions;

use lanyard_protocol::approval::RiskLevel;

use crate::{
    commands::{Assessment, Risk, assess_all},
    demand::{Exec, Program},
    path::{HostPath, PathFault},
    shell::{self, Joiner, Opaque, Redirect, RedirectTarget, SimpleCommand},
    visible,
};

pub(crate) use inputs::Input;
pub use mentions::Mention;

/// Longest argument vector that is looked at, all words together.
const MAX_ARGV_BYTES: usize = 64 * 1024;

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

/// A demand to run programs, read.
#[derive(Clone, Debug)]
pub struct Reading {
    commands: Vec<ReadCommand>,
    top: Vec<Vec<String>>,
    opaque: Option<Opaque>,
    oddity: Option<String>,
    cwd: HostPath,
    inputs: Vec<Input>,
    /// Texts that are run but not read: the command that is not understood, and standard input.
    unread: Vec<String>,
}

/// One command that will run, by itself or started by another.
#[derive(Clone, Debug)]
pub(crate) struct ReadCommand {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: HostPath,
    pub(crate) assessment: Assessment,
    /// Paths named, with what is known of their use.
    pub(crate) paths: Vec<NamedPath>,
    /// Files its redirects read; those that nested texts name are in the assessment.
    pub(crate) read: Vec<String>,
    /// A word that climbs or hides so that it cannot be told where it leads.
    pub(crate) unclear_path: Option<String>,
}

/// A path a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) path: HostPath,
    pub(crate) usage: Usage,
}

/// What a command does with a path, as far as its words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Reads,
    Writes,
    Unknown,
}

impl Reading {
    /// Reads a demand. Never panics; a shell text that is not understood yields no commands and a reason.
    pub fn of(exec: &Exec, cwd: &HostPath) -> Self {
        let mut reading = match &exec.program {
            Program::Argv(argv) => Self::of_argv(argv, cwd),
            Program::Shell(text) => match shell::parse(text) {
                Ok(plan) => Self::of_plan(plan.commands(), cwd),
                Err(why) => Self { unread: vec![text.clone()], ..Self::not_understood(why, cwd) },
            },
        };
        reading.inputs = inputs::of(exec, &reading);
        reading.unread.extend(exec.stdin.clone());
        reading
    }

    fn not_understood(why: Opaque, cwd: &HostPath) -> Self {
        Self {
            commands: Vec::new(),
            top: Vec::new(),
            opaque: Some(why),
            oddity: None,
            cwd: cwd.clone(),
            inputs: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn of_argv(argv: &[String], cwd: &HostPath) -> Self {
        let bytes: usize = argv.iter().map(String::len).sum();
        let opaque = match argv.first() {
            None => Some(Opaque::Empty),
            Some(program) if program.is_empty() => Some(Opaque::Empty),
            Some(_) if bytes > MAX_ARGV_BYTES => Some(Opaque::TooLong { bytes }),
            Some(_) if argv.iter().any(|word| word.contains('\0')) => Some(Opaque::ControlCharacter(0)),
            Some(_) => None,
        };
        if let Some(why) = opaque {
            return Self::not_understood(why, cwd);
        }
        let odd = |c: char| (c.is_control() && c != '\n' && c != '\t') || visible::is_invisible(c);
        let oddity = argv.iter().any(|word| word.contains(odd));
        Self {
            commands: read_command(argv, &[], cwd),
            top: vec![argv.to_vec()],
            opaque: None,
            oddity: oddity.then(|| String::from("its words hold characters that cannot be seen")),
            cwd: cwd.clone(),
            inputs: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn of_plan(plan: &[SimpleCommand], cwd: &HostPath) -> Self {
        let (cwd, rest) = enter_directories(plan, cwd);
        Self {
            commands: rest
                .iter()
                .flat_map(|command| read_command(&command.argv, &command.redirects, &cwd))
                .collect(),
            top: plan.iter().map(|command| command.argv.clone()).collect(),
            opaque: None,
            oddity: None,
            cwd,
            inputs: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// The commands as written, for showing; empty when the text is not understood.
    pub fn argvs(&self) -> &[Vec<String>] {
        &self.top
    }

    /// Why the text is not understood.
    pub fn opaque(&self) -> Option<&Opaque> {
        self.opaque.as_ref()
    }

    /// The highest risk of any command.
    pub fn risk(&self) -> Risk {
        if let Some(why) = &self.opaque {
            return Risk {
                level: RiskLevel::High,
                sentence: format!("The command is not understood: {why}."),
            };
        }
        let input = |input: &Input| Risk { level: RiskLevel::High, sentence: input.sentence.clone() };
        let risks = self.commands.iter().map(|command| command.assessment.risk.clone());
        let worst = risks
            .chain(self.inputs.iter().map(input))
            .reduce(|worst, next| if next.level > worst.level { next } else { worst });
        worst.unwrap_or_else(|| Risk {
            level: RiskLevel::Low,
            sentence: "it only changes the directory".into(),
        })
    }

    pub(crate) fn commands(&self) -> &[ReadCommand] {
        &self.commands
    }

    /// What reaches the programs besides their words and is not harmless.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    pub(crate) fn oddity(&self) -> Option<&str> {
        self.oddity.as_deref()
    }
}

/// Follows `cd DIR && …` at the start, as long as nothing in the rest runs when the `cd` failed. Any other use of
/// `cd` stays a command of its own, which is hidden: where the commands after it run would be a guess.
fn enter_directories<'p>(plan: &'p [SimpleCommand], cwd: &HostPath) -> (HostPath, &'p [SimpleCommand]) {
    let certain = plan.iter().skip(1).all(|next| matches!(next.joined_by, Some(Joiner::And | Joiner::Pipe)));
    let mut here = cwd.clone();
    let mut rest = plan;
    while let Some((first, tail)) = rest.split_first() {
        let [program, directory] = first.argv.as_slice() else { break };
        let followed = certain
            && program == "cd"
            && !directory.starts_with('-')
            && !directory.is_empty()
            && first.redirects.is_empty()
            && first.joined_by != Some(Joiner::Pipe)
            && tail.first().is_none_or(|next| next.joined_by == Some(Joiner::And));
        match here.resolve(directory) {
            Ok(entered) if followed => here = entered,
            _ => break,
        }
        rest = tail;
    }
    (here, rest)
}

fn read_command(argv: &[String], redirects: &[Redirect], cwd: &HostPath) -> Vec<ReadCommand> {
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
                RedirectTarget::Write(path) | RedirectTarget::Append(path) => add(first, path, Usage::Writes),
                RedirectTarget::Duplicate(_) => {}
            }
        }
    }
    commands
}

fn named_paths(argv: Vec<String>, assessment: Assessment, cwd: &HostPath) -> ReadCommand {
    let usage = if assessment.reads_only { Usage::Reads } else { Usage::Unknown };
    let mut command = ReadCommand {
        argv: Vec::new(),
        cwd: cwd.clone(),
        paths: Vec::new(),
        read: Vec::new(),
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
fn candidates(word: &str) -> Vec<&str> {
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
