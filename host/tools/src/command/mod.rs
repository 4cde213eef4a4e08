//! RunCommand: a program or a shell text, confined.

mod named;
mod output;
mod run;

#[cfg(test)]
mod swapped;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use lanyard_policy::demand::{Demand, Exec, Program};
use lanyard_policy::path::HostPath;
use lanyard_policy::reading::Reading;
use lanyard_policy::{shell, visible};
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, CommandDetail};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::Operation;
use crate::ground::{Kind, LastLink, PathError, Place};
use crate::plan::{Draft, PlanError, Planning};
use crate::process::{Invocation, MAX_STDIN, Timeout};
use crate::sandbox::{Confinement, PrepareError};
use crate::workspace::Environment;

pub(crate) use output::{describe_end, forward};
pub(crate) use run::Run;

const NAME: &str = "RunCommand";

/// Seconds a command gets when it does not ask for more.
const DEFAULT_SECONDS: u64 = 120;

/// Seconds a command may ask for.
const MAX_SECONDS: u64 = 600;

/// Bytes of an argument vector or a shell text: the kernel takes 128 KiB in one word, a person reads far less.
const MAX_COMMAND_BYTES: usize = 100_000;

/// The shell that runs `command`. Not the owner's own: its startup files are not what is approved.
const SHELL: &str = "/bin/sh";

pub(crate) static RUN_COMMAND: Tool = Tool {
    name: NAME,
    description: "Runs a program in the workspace, confined: it sees the workspace and the system's programs, not the \
                  owner's home. Give either `argv`, the program and its arguments without a shell (preferred), or \
                  `command`, a text for /bin/sh. Standard output and error come back in order. Nothing may keep \
                  running in the background.",
    capabilities: &[Capability::ShellExec],
    parameters: &[
        Parameter::optional(
            "argv",
            ParameterKind::Texts,
            "Program and arguments, for example [\"cargo\", \"test\"].",
        ),
        Parameter::optional("command", ParameterKind::Text, "A shell text, instead of `argv`."),
        Parameter::optional(
            "cwd",
            ParameterKind::Text,
            "The directory it starts in, relative to the workspace or absolute within it; the workspace itself if not \
             given.",
        ),
        Parameter::optional(
            "timeoutSeconds",
            ParameterKind::Number(1, MAX_SECONDS),
            "Ended after this many seconds; 120 if not given.",
        ),
        Parameter::optional("stdin", ParameterKind::Text, "Standard input; empty if not given."),
        Parameter::optional(
            "environment",
            ParameterKind::Map,
            "Variables added to the command's environment.",
        ),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    argv: Option<Vec<String>>,
    command: Option<String>,
    cwd: Option<String>,
    timeout_seconds: Option<u64>,
    stdin: Option<String>,
    environment: Option<BTreeMap<String, String>>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let arguments: Arguments = arguments::read(NAME, json)?;
    let program = program(arguments.argv, arguments.command)?;
    let seconds = arguments.timeout_seconds.unwrap_or(DEFAULT_SECONDS);
    let timeout = Timeout::from_secs(seconds)
        .map_err(|error| PlanError::argument(NAME, "timeoutSeconds", error.to_string()))?;
    if let Some(stdin) = &arguments.stdin {
        arguments::at_most(NAME, "stdin", stdin, MAX_STDIN)?;
    }
    let cwd = directory(planning, arguments.cwd.as_deref())?;
    let environment: Vec<(String, String)> = arguments.environment.unwrap_or_default().into_iter().collect();
    let network = planning.terms.command_network;
    let requested = Environment { requested: environment.clone(), ..Environment::default() };
    let confinement =
        planning.workspace.writing(cwd.path(), network, requested).map_err(|error| confine_error(&error))?;

    let exec = Exec {
        program,
        cwd: cwd.path().to_owned(),
        timeout_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        network,
        environment: environment.clone(),
        stdin: arguments.stdin.clone(),
    };
    let shown_cwd = planning.workspace.ground.shown(cwd.path());
    let host_cwd = HostPath::parse(&cwd.path().to_string_lossy())
        .map_err(|fault| PlanError::argument(NAME, "cwd", fault.to_string()))?;
    let reading = Reading::of(&exec, &host_cwd);
    let started = start(planning, &confinement, &cwd, &exec.program)?;
    let contents = named::contents(planning, &confinement, &reading, &started)?;
    let stdin = arguments.stdin;
    let invocation = Invocation {
        stdin: stdin.clone().map(String::into_bytes),
        ..Invocation::new(&started.program, &started.args, timeout)
    };
    Ok(Draft {
        more: Vec::new(),
        contents,
        summary: summary(&exec.program, &shown_cwd),
        risk: reading.risk().level,
        detail: ApprovalDetail::Command(CommandDetail {
            argv: reading.argvs().to_vec(),
            shell: match &exec.program {
                Program::Shell(text) => Some(text.clone()),
                Program::Argv(_) => None,
            },
            opaque_reason: reading.opaque().map(ToString::to_string),
            cwd: cwd.path().to_string_lossy().into_owned(),
            stdin,
            environment: environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            network,
        }),
        first: Demand::Exec(exec),
        lane: Lane::Barrier,
        replay: Replay::Opaque,
        baselines: Vec::new(),
        operation: Operation::Command(Box::new(Run {
            confinement,
            invocation,
            source: format!("tool:{NAME}"),
        })),
    })
}

fn program(argv: Option<Vec<String>>, command: Option<String>) -> Result<Program, PlanError> {
    let too_long = |name, bytes| {
        PlanError::argument(NAME, name, format!("{bytes} bytes are too many: at most {MAX_COMMAND_BYTES}"))
    };
    match (argv, command) {
        (Some(argv), None) => {
            if argv.first().is_none_or(String::is_empty) {
                return Err(PlanError::argument(NAME, "argv", "its first word must name a program"));
            }
            if argv.iter().any(|word| word.contains('\0')) {
                return Err(PlanError::argument(NAME, "argv", "a word contains a NUL character"));
            }
            let bytes: usize = argv.iter().map(|word| word.len() + 1).sum();
            if bytes > MAX_COMMAND_BYTES { Err(too_long("argv", bytes)) } else { Ok(Program::Argv(argv)) }
        }
        (None, Some(text)) => {
            arguments::not_empty(NAME, "command", text.trim())?;
            if text.contains('\0') {
                return Err(PlanError::argument(NAME, "command", "it contains a NUL character"));
            }
            if text.len() > MAX_COMMAND_BYTES {
                Err(too_long("command", text.len()))
            } else {
                Ok(Program::Shell(text))
            }
        }
        _ => Err(PlanError::argument(NAME, "argv", "give either `argv` or `command`, one of the two")),
    }
}

fn directory(planning: &Planning<'_>, cwd: Option<&str>) -> Result<Place, PlanError> {
    let ground = &planning.workspace.ground;
    let Some(text) = cwd else { return Ok(ground.home()) };
    let fail = |error: PathError| PlanError::path(NAME, "cwd", &error);
    let found = ground.resolve(text, LastLink::Follow).map_err(fail)?;
    let at = || found.place.path().to_owned();
    match found.kind {
        Kind::Directory => Ok(found.place),
        Kind::Missing => Err(fail(PathError::Missing { path: at() })),
        _ => Err(fail(PathError::NotDirectory { path: at() })),
    }
}

/// What the system is asked to start.
pub(crate) struct Started {
    /// Absolute.
    program: PathBuf,
    args: Vec<String>,
    /// It was named by path and lies in the workspace.
    own: bool,
}

fn start(
    planning: &Planning<'_>,
    confinement: &Confinement,
    cwd: &Place,
    program: &Program,
) -> Result<Started, PlanError> {
    match program {
        // `--`: a text that begins with a dash is no option.
        Program::Shell(text) => Ok(Started {
            program: PathBuf::from(SHELL),
            args: vec!["-c".to_owned(), "--".to_owned(), text.clone()],
            own: false,
        }),
        Program::Argv(argv) => {
            let (name, args) =
                argv.split_first().ok_or_else(|| PlanError::argument(NAME, "argv", "it is empty"))?;
            let (program, own) = look_up(planning, confinement, cwd, name)
                .map_err(|reason| PlanError::impossible(visible::line(&reason)))?;
            Ok(Started { program, args: args.to_vec(), own })
        }
    }
}

/// The file a program name stands for: a name comes from the sandbox's own search path, never from the working
/// directory or another place commands can write to (6-security.md, item 19); a path is taken from the working
/// directory. `true` when it lies in the workspace.
fn look_up(
    planning: &Planning<'_>,
    confinement: &Confinement,
    cwd: &Place,
    name: &str,
) -> Result<(PathBuf, bool), String> {
    if name.contains('/')
        && let Ok(found) = planning.workspace.ground.resolve_from(cwd, name, LastLink::Follow)
        && found.kind == Kind::File
    {
        // What is named through links is started where it is.
        confinement.resolve(found.place.path().as_os_str()).map_err(|error| error.to_string())?;
        return Ok((found.place.path().to_owned(), true));
    }
    confinement.resolve(name.as_ref()).map(|path| (path, false)).map_err(|error| error.to_string())
}

fn summary(program: &Program, cwd: &str) -> String {
    /// Of a command in one line; the whole is in the detail.
    const SHOWN_CHARS: usize = 300;
    let text = match program {
        Program::Argv(argv) => shell::join(argv),
        Program::Shell(text) => text.clone(),
    };
    let text = visible::clipped_line(&text, SHOWN_CHARS);
    if cwd == "." { format!("Run {text}") } else { format!("Run {text} (in {cwd})") }
}

fn confine_error(error: &PrepareError) -> PlanError {
    match error {
        PrepareError::Environment(fault) => PlanError::argument(NAME, "environment", fault.to_string()),
        PrepareError::Protected { .. } | PrepareError::WorkingDirectory { .. } => {
            PlanError::denied(error.to_string())
        }
        _ => PlanError::impossible(error.to_string()),
    }
}
