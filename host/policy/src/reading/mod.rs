//! What a demand to run programs amounts to: every command in it, where each runs, which paths it names.

mod command;
mod inputs;
mod mentions;

use lanyard_protocol::approval::RiskLevel;

use crate::{
    commands::{Assessment, Risk},
    demand::{Exec, Program},
    path::HostPath,
    shell::{self, Joiner, Opaque, SimpleCommand},
    visible,
};

use command::read_command;
pub(crate) use inputs::Input;
pub use mentions::Mention;

/// Longest argument vector that is looked at, all words together.
const MAX_ARGV_BYTES: usize = 64 * 1024;

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
    /// It takes its standard input for text and does nothing else with it, wherever a redirect puts it.
    pub(crate) passes_input_on: bool,
    /// Files it writes by redirects and options that are known, as written; devices that hold nothing not counted.
    pub(crate) written: Vec<String>,
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

    /// Whether any command is known to write files.
    pub(crate) fn writes_files(&self) -> bool {
        self.commands.iter().any(|command| !command.written.is_empty())
    }

    /// Whether every command is known to change nothing.
    pub(crate) fn only_reads(&self) -> bool {
        self.opaque.is_none() && self.commands.iter().all(|command| command.assessment.reads_only)
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
