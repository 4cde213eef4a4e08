//! Programs that run code given as text or file: shells, interpreters, awk, sed, find.

use lanyard_protocol::approval::RiskLevel;

use super::{Assessment, options::owned, unversioned};
use crate::shell::{self, RedirectTarget};

const SHELLS: &[&str] =
    &["ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "mksh", "nu", "sh", "tcsh", "xonsh", "zsh"];

/// Shells whose language is the one [`shell::parse`] reads.
const POSIX_SHELLS: &[&str] = &["ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"];

const INTERPRETERS: &[&str] = &[
    "bun",
    "cscript",
    "dart",
    "deno",
    "elixir",
    "erl",
    "ghci",
    "groovy",
    "guile",
    "iex",
    "java",
    "jshell",
    "julia",
    "kotlin",
    "lua",
    "luajit",
    "node",
    "nodejs",
    "ocaml",
    "octave",
    "osascript",
    "perl",
    "php",
    "powershell",
    "pwsh",
    "pypy",
    "python",
    "r",
    "racket",
    "rscript",
    "ruby",
    "runghc",
    "runhaskell",
    "sbcl",
    "scala",
    "swift",
    "tclsh",
    "ts-node",
    "tsx",
    "wish",
    "wscript",
];

pub(super) fn assess(name: &str, args: &[&str]) -> Option<Assessment> {
    if SHELLS.contains(&name) {
        return Some(shell_program(name, args));
    }
    if INTERPRETERS.contains(&name) || INTERPRETERS.contains(&unversioned(name)) {
        return Some(interpreter(name, args));
    }
    Some(match name {
        "awk" | "gawk" | "mawk" | "nawk" | "goawk" => awk(name, args),
        "sed" | "gsed" => sed(args),
        "find" | "gfind" => find(args),
        _ => return None,
    })
}

fn is_version(args: &[&str]) -> bool {
    matches!(args, ["--version" | "-V" | "-v" | "--help" | "-h" | "version"])
}

fn shell_program(name: &str, args: &[&str]) -> Assessment {
    match args {
        ["--version" | "--help"] => Assessment::reading("it prints its version"),
        [cluster, text]
            if POSIX_SHELLS.contains(&name)
                && cluster
                    .strip_prefix('-')
                    .is_some_and(|c| c.contains('c') && c.chars().all(|letter| "ceux".contains(letter))) =>
        {
            nested(text)
        }
        [script, ..] if !script.starts_with('-') => {
            let shown = crate::visible::clipped_line(script, 80);
            Assessment {
                runs: owned(&[*script]),
                ..project(format!("it runs the commands in the file {shown}"))
            }
        }
        _ => Assessment {
            runs_input: true,
            ..Assessment::opaque(RiskLevel::High, format!("`{name}` runs commands that are not shown"))
        },
    }
}

/// A shell string inside an argument vector, read like one at the top.
fn nested(text: &str) -> Assessment {
    let plan = match shell::parse(text) {
        Ok(plan) => plan,
        Err(why) => {
            return Assessment::opaque(
                RiskLevel::High,
                format!("it runs a shell text that is not understood: {why}"),
            );
        }
    };
    let mut assessment = Assessment::reading("it runs a shell text");
    for command in plan.commands() {
        assessment.starts.push(command.argv.clone());
        for redirect in &command.redirects {
            match &redirect.target {
                RedirectTarget::Write(path) | RedirectTarget::Append(path) => {
                    assessment.writes.push(path.clone())
                }
                RedirectTarget::Read(path) => assessment.reads.push(path.clone()),
                RedirectTarget::Duplicate(_) => {}
            }
        }
    }
    assessment
}

fn project(sentence: String) -> Assessment {
    Assessment { project_code: true, ..Assessment::new(RiskLevel::High, sentence) }
}

fn interpreter(name: &str, args: &[&str]) -> Assessment {
    if is_version(args) {
        return Assessment::reading("it prints its version");
    }
    match args {
        ["-m", module, rest @ ..] => {
            let installs = matches!(*module, "pip" | "pipx" | "ensurepip" | "venv" | "uv");
            let network = installs || matches!(*module, "http.server" | "webbrowser");
            let sentence = format!("it runs the module {}", crate::visible::clipped_line(module, 80));
            let hidden = (installs && rest.first() == Some(&"install"))
                .then(|| String::from("it downloads and runs code of others"));
            Assessment { network, hidden, ..project(sentence) }
        }
        // deno, bun and the like have subcommands for code given as text or fetched.
        ["eval" | "repl" | "x" | "exec" | "install" | "add" | "create", ..] => Assessment::opaque(
            RiskLevel::High,
            format!("`{name} {}` runs code that is not in the project", args[0]),
        ),
        [script, ..] if !script.starts_with('-') => {
            let shown = crate::visible::clipped_line(script, 80);
            Assessment { runs: owned(&[*script]), ..project(format!("it runs the program in {shown}")) }
        }
        _ => Assessment {
            runs_input: true,
            ..Assessment::opaque(RiskLevel::High, format!("`{name}` runs code that the host does not judge"))
        },
    }
}

fn awk(name: &str, args: &[&str]) -> Assessment {
    let opaque = || {
        Assessment::opaque(
            RiskLevel::High,
            format!("`{name}` runs a program that can start others or write files"),
        )
    };
    // Only field separator and variables may stand before the program text.
    let mut rest = args;
    loop {
        rest = match rest {
            ["-F" | "-v", _, tail @ ..] => tail,
            [word, tail @ ..] if word.len() > 2 && (word.starts_with("-F") || word.starts_with("-v")) => tail,
            ["--", tail @ ..] => {
                rest = tail;
                break;
            }
            _ => break,
        };
    }
    let Some(program) = rest.first().filter(|word| !word.starts_with('-')) else { return opaque() };
    // `@` loads code; the others start commands, write files or read unnamed ones.
    let reaches_out = ["system", "getline", "close", "fflush", "|", ">", "@", "ENVIRON", "ARGV"];
    if program.contains("\\\n") || reaches_out.iter().any(|word| program.contains(word)) {
        return opaque();
    }
    Assessment::reading("it prints parts of its input")
}

fn sed(args: &[&str]) -> Assessment {
    let opaque = || {
        Assessment::opaque(
            RiskLevel::High,
            "`sed` scripts can run commands and write files; this one is not understood",
        )
    };
    let mut scripts = Vec::new();
    let mut files = Vec::new();
    let mut in_place = false;
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-e" | "-ne" | "--expression" => scripts.extend(rest.next().copied()),
            "-n" | "-E" | "-r" | "-s" | "-u" | "-z" | "-nE" | "-nr" | "-En" | "--quiet" | "--silent" => {}
            // Elsewhere `-i` takes the next word as a suffix, and the script is another word than here.
            "-i" | "--in-place" if cfg!(target_os = "linux") => in_place = true,
            // A backup suffix may hold a directory, and clusters hide letters: not worth understanding.
            word if word.starts_with('-') => return opaque(),
            word => files.push(word),
        }
    }
    if scripts.is_empty() {
        if files.is_empty() {
            return opaque();
        }
        scripts.push(files.remove(0));
    }
    if !scripts.iter().all(|script| harmless_sed(script)) {
        return opaque();
    }
    if in_place {
        Assessment {
            writes: owned(&files),
            ..Assessment::new(RiskLevel::Medium, "it changes the named files in place")
        }
    } else {
        Assessment::reading("it prints its input, changed")
    }
}

/// A single `p`, `d`, `q` or `=` with plain addresses, or a single `s` without the flags that write or execute.
fn harmless_sed(script: &str) -> bool {
    let body = script.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ',' | '$' | '~' | '+'));
    if matches!(body, "p" | "d" | "q" | "=") {
        return true;
    }
    let Some(rest) = body.strip_prefix('s') else { return false };
    let mut chars = rest.chars();
    let Some(delimiter) = chars.next().filter(|c| c.is_ascii_punctuation() && *c != '\\') else {
        return false;
    };
    let mut parts = 0;
    let mut escaped = false;
    let mut flags = String::new();
    for c in chars {
        if c == '\n' {
            return false;
        }
        if parts == 2 {
            flags.push(c);
        } else if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == delimiter {
            parts += 1;
        }
        // Inside a bracket expression the delimiter does not end the part; refuse rather than track it.
        if parts < 2 && c == '[' && rest.matches(delimiter).count() != 3 {
            return false;
        }
    }
    parts == 2 && flags.chars().all(|c| matches!(c, 'g' | 'p' | 'i' | 'I') || c.is_ascii_digit())
}

fn find(args: &[&str]) -> Assessment {
    let mut starts = Vec::new();
    let mut writes = Vec::new();
    let mut deletes = false;
    let mut rest = args;
    while let Some((word, tail)) = rest.split_first() {
        rest = tail;
        match *word {
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let end = tail.iter().position(|word| matches!(*word, ";" | "+")).unwrap_or(tail.len());
                starts.push(owned(&tail[..end]));
                rest = tail.get(end + 1..).unwrap_or_default();
            }
            "-delete" => deletes = true,
            "-fprint" | "-fprint0" | "-fprintf" | "-fls" => {
                writes.extend(tail.first().map(|file| (*file).to_owned()))
            }
            _ => {}
        }
    }
    if deletes {
        let found = Assessment::hidden(RiskLevel::Critical, "it deletes every file it finds");
        return Assessment { writes, ..found }.starting(starts);
    }
    if !starts.is_empty() {
        let found = Assessment::opaque(RiskLevel::High, "it starts a program for every file it finds");
        return Assessment { writes, ..found }.starting(starts);
    }
    if !writes.is_empty() {
        return Assessment { writes, ..Assessment::new(RiskLevel::Medium, "it writes a list of files") };
    }
    Assessment::reading("it lists files")
}
