//! What starting a program amounts to, read from its words.
//!
//! A command line is more than its first word: wrappers start other programs, options of harmless tools run code,
//! runners execute whatever the project contains. [`assess`] says what is known; where the words do not show the
//! effect it says so (`hidden`) and a person is asked. Nothing here allows anything: the verdict
//! belongs to [`crate::decide`].

mod git;
mod options;
mod scripts;
mod table;
mod wrappers;

#[cfg(test)]
mod tests;

use lanyard_protocol::approval::RiskLevel;

/// How deep wrappers are followed (`sudo env timeout 5 sh -c '…'` has four); deeper nesting is hidden.
const MAX_DEPTH: usize = 6;

/// How much harm a command could do, with one plain sentence for the person asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The level.
    pub level: RiskLevel,
    /// Why.
    pub sentence: String,
}

/// What is known about one argument vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The harm it could do by itself, what it starts not counted.
    pub risk: Risk,
    /// Argument vectors it starts; each is judged like a command of its own.
    pub starts: Vec<Vec<String>>,
    /// Why its words do not show its whole effect; such a command is always asked about.
    pub hidden: Option<String>,
    /// It may start any program, so that a list of blocked commands proves nothing about it.
    pub opaque: bool,
    /// It runs code that lies in the project: build scripts, tests, package scripts, hooks.
    pub project_code: bool,
    /// It talks to other machines.
    pub network: bool,
    /// It changes nothing, as far as its words tell.
    pub reads_only: bool,
    /// Files it writes by an option or a nested redirect, as written.
    pub writes: Vec<String>,
    /// Files a nested redirect reads, as written.
    pub reads: Vec<String>,
    /// Files whose content it runs, as written.
    pub runs: Vec<String>,
    /// It may run texts or files that its words do not name, so an answer cannot be bound to all that runs.
    pub unbound: bool,
    /// It runs what it reads from its standard input.
    pub runs_input: bool,
}

impl Assessment {
    fn new(level: RiskLevel, sentence: impl Into<String>) -> Self {
        Self {
            risk: Risk { level, sentence: sentence.into() },
            starts: Vec::new(),
            hidden: None,
            opaque: false,
            project_code: false,
            network: false,
            reads_only: false,
            writes: Vec::new(),
            reads: Vec::new(),
            runs: Vec::new(),
            unbound: false,
            runs_input: false,
        }
    }

    /// A command that only reads.
    fn reading(sentence: impl Into<String>) -> Self {
        Self { reads_only: true, ..Self::new(RiskLevel::Low, sentence) }
    }

    /// A command whose effect its words do not show.
    fn hidden(level: RiskLevel, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { hidden: Some(why.clone()), ..Self::new(level, why) }
    }

    /// As [`Assessment::hidden`], and it may start any program, also one that its words do not name.
    fn opaque(level: RiskLevel, why: impl Into<String>) -> Self {
        Self { opaque: true, unbound: true, ..Self::hidden(level, why) }
    }

    fn starting(mut self, argv: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.starts.extend(argv);
        self
    }
}

/// Assesses one argument vector by itself. An empty one, which cannot be started, is hidden.
pub fn assess<S: AsRef<str>>(argv: &[S]) -> Assessment {
    let words: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
    let Some((program, args)) = words.split_first() else {
        return Assessment::hidden(RiskLevel::High, "there is no program name");
    };
    let name = program_name(program);
    let assessment = wrappers::assess(&name, args)
        .or_else(|| scripts::assess(&name, args))
        .or_else(|| (name == "git").then(|| git::assess(args)))
        .or_else(|| table::assess(&name, args))
        .unwrap_or_else(|| unknown(program));
    by_location(program, assessment)
}

/// A command and everything it starts, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessed {
    /// The argument vector.
    pub argv: Vec<String>,
    /// What is known about it.
    pub assessment: Assessment,
}

/// Assesses `argv` and, through wrappers, each command it starts.
pub fn assess_all(argv: &[String]) -> Vec<Assessed> {
    let mut found = Vec::new();
    let mut pending = vec![(argv.to_vec(), 0)];
    while let Some((argv, depth)) = pending.pop() {
        let mut assessment = assess(&argv);
        if depth >= MAX_DEPTH && !assessment.starts.is_empty() {
            assessment = Assessment::opaque(RiskLevel::High, "it starts programs through too many others");
        }
        pending.extend(assessment.starts.iter().rev().map(|inner| (inner.clone(), depth + 1)));
        found.push(Assessed { argv, assessment });
    }
    found
}

/// The risk of a command, what it starts included: the highest level and its sentence.
pub fn risk<S: AsRef<str>>(argv: &[S]) -> Risk {
    let argv: Vec<String> = argv.iter().map(|word| word.as_ref().to_owned()).collect();
    let all = assess_all(&argv);
    let risks = all.into_iter().map(|assessed| assessed.assessment.risk);
    // The outermost of equals: `max_by_key` would take the last.
    risks.reduce(|worst, next| if next.level > worst.level { next } else { worst }).unwrap_or_else(|| Risk {
        level: RiskLevel::High,
        sentence: String::from("there is no program name"),
    })
}

/// The name a program is known by: last path component, lower case, without `.exe`.
pub(crate) fn program_name(program: &str) -> String {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_ascii_lowercase();
    match name.strip_suffix(".exe") {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}

/// The name without a version: `python3.12` → `python`, `gcc-12` → `gcc`.
fn unversioned(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if stem.is_empty() { name } else { stem }
}

fn unknown(program: &str) -> Assessment {
    let shown = crate::visible::clipped_line(program, 80);
    Assessment::new(
        RiskLevel::High,
        format!("`{shown}` is not a program known to the host; its effect is unknown"),
    )
}

/// A program named by a path is what lies there, not what its name suggests, unless the system keeps it.
fn by_location(program: &str, assessment: Assessment) -> Assessment {
    const SYSTEM: &[&str] = &["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/"];
    let in_system =
        SYSTEM.iter().any(|dir| program.strip_prefix(dir).is_some_and(|name| !name.contains('/')));
    if !program.contains('/') || in_system {
        return assessment;
    }
    let shown = crate::visible::clipped_line(program, 80);
    Assessment {
        risk: Risk {
            level: assessment.risk.level.max(RiskLevel::High),
            sentence: format!("it runs the program file {shown}, whatever it contains"),
        },
        project_code: true,
        reads_only: false,
        ..assessment
    }
}
