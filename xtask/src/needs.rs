//! System packages that cargo does not bring: what is missing is installed, or the one command for it printed.

use crate::process;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// What a package is needed for; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Build,
    Test,
    Fuzz,
}

/// How to see that a package is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Program(&'static str),
    File(&'static str),
}

impl Probe {
    fn is_there(self) -> bool {
        match self {
            Self::Program(name) => process::find_on_path(name).is_some(),
            Self::File(path) => !cfg!(target_os = "linux") || Path::new(path).exists(),
        }
    }
}

/// One thing the system has to have.
#[derive(Debug)]
struct Need {
    probe: Probe,
    /// Its package on Debian and Ubuntu.
    apt: &'static str,
    why: &'static str,
    from: Purpose,
}

/// A stage that needs more adds its line here.
const NEEDS: &[Need] = &[
    Need {
        probe: Probe::Program("cc"),
        apt: "gcc",
        why: "links, and compiles the C in ring and tree-sitter",
        from: Purpose::Build,
    },
    Need {
        probe: Probe::File("/usr/include/stdio.h"),
        apt: "libc6-dev",
        why: "the headers of that C",
        from: Purpose::Build,
    },
    Need {
        probe: Probe::Program("git"),
        apt: "git",
        why: "lists the tree's files; the git tools' tests run it",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("python3"),
        apt: "python3-venv",
        why: "runs LiteLLM, the gateway one of the tests talks to",
        from: Purpose::Test,
    },
    Need { probe: Probe::Program("c++"), apt: "g++", why: "compiles libFuzzer", from: Purpose::Fuzz },
];

/// Makes sure that everything for `purpose` is there.
///
/// # Errors
/// Names what is missing, and the command that installs it, where this user may not install.
pub(crate) fn satisfy(purpose: Purpose) -> Result<()> {
    let missing = missing(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("missing on this system: {} ({})", need.apt, need.why);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.apt).collect();
    let Some(privilege) = apt_privilege() else {
        bail!("{}", advice(&packages, process::find_on_path("apt-get").is_some()));
    };
    for words in apt_commands(&packages) {
        let words: Vec<_> = privilege.iter().copied().chain(words).collect();
        let mut command = Command::new(words[0]);
        process::run(command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    match self::missing(purpose).first() {
        None => Ok(()),
        Some(need) => bail!("{} was installed but {:?} is still not found", need.apt, need.probe),
    }
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.from <= purpose && !need.probe.is_there()).collect()
}

/// The words to put before `apt-get`; `None` where it is not to be had without asking.
fn apt_privilege() -> Option<&'static [&'static str]> {
    process::find_on_path("apt-get")?;
    let user = process::output(Command::new("id").arg("-u")).ok()?;
    if user.trim_ascii() == b"0" {
        return Some(&[]);
    }
    process::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(&["sudo", "-n"])
}

/// A fresh image has no package lists, so they are fetched first.
fn apt_commands<'a>(packages: &[&'a str]) -> [Vec<&'a str>; 2] {
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    [vec!["apt-get", "update"], install.into_iter().chain(packages.iter().copied()).collect()]
}

fn advice(packages: &[&str], apt: bool) -> String {
    if apt {
        let commands = apt_commands(packages).map(|words| format!("sudo {}", words.join(" ")));
        format!("run this, then start again: {}", commands.join(" && "))
    } else {
        format!(
            "install these with the system's package manager (the names are Debian's): {}",
            packages.join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_one_command_to_paste() {
        assert_eq!(
            advice(&["gcc", "git"], true),
            "run this, then start again: sudo apt-get update && \
             sudo apt-get install --yes --no-install-recommends gcc git"
        );
        assert!(advice(&["gcc", "git"], false).ends_with("gcc git"));
    }

    #[test]
    fn probes_tell_what_is_there() {
        assert!(Probe::Program("cc").is_there(), "this test was linked");
        assert!(!Probe::Program("no-such-program-here").is_there());
    }

    #[test]
    fn a_later_purpose_includes_the_earlier() {
        let needed = |purpose| NEEDS.iter().filter(|need| need.from <= purpose).count();
        assert!(needed(Purpose::Build) < needed(Purpose::Test) && needed(Purpose::Fuzz) == NEEDS.len());
    }
}
