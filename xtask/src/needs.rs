//! System packages that cargo does not bring: what is missing is installed, or the one command for it printed.

use crate::process;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// What a package is needed for; each of the first three includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Build,
    Test,
    Fuzz,
    /// Debian's compiler for wasm, and nothing else: only where rustup cannot help.
    Wasm,
}

impl Purpose {
    fn includes(self, needed: Self) -> bool {
        if self == Self::Wasm { needed == Self::Wasm } else { needed <= self }
    }
}

/// How to see that a package is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Program(&'static str),
    File(&'static str),
    /// The server's own programs, which Debian keeps off PATH.
    Postgres,
}

impl Probe {
    fn is_there(self) -> bool {
        match self {
            Self::Program(name) => process::find_on_path(name).is_some(),
            Self::File(path) => !cfg!(target_os = "linux") || Path::new(path).exists(),
            Self::Postgres => {
                let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
                process::find_on_path("initdb").is_some()
                    || versions.into_iter().any(|version| version.path().join("bin/initdb").exists())
            }
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
    Need {
        probe: Probe::File("/usr/sbin/ip"),
        apt: "iproute2",
        why: "makes the small networks that discovery and connections are tested on",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::File("/usr/sbin/nft"),
        apt: "nftables",
        why: "loses packets on those networks",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::File("/usr/sbin/ethtool"),
        apt: "ethtool",
        why: "keeps their packets apart while some are lost",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::File("/usr/sbin/avahi-daemon"),
        apt: "avahi-daemon",
        why: "the other mDNS responder that discovery is tested beside; it runs in a namespace only",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("chromium"),
        apt: "chromium",
        why: "the browser that the page is tested in",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("chromedriver"),
        apt: "chromium-driver",
        why: "drives it",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("certutil"),
        apt: "libnss3-tools",
        why: "tells that browser to trust a host's authority, as a person would",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("npm"),
        apt: "npm",
        why: "fetches axe-core, which finds what keeps people from using the page; brings Node, which runs wasm tests",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::File("/usr/sbin/nginx"),
        apt: "nginx-light",
        why: "ends TLS between the browser and the host in one of the tests",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::File("/usr/sbin/haproxy"),
        apt: "haproxy",
        why: "stands before two replicas of the central services, with the configuration that is shipped",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Postgres,
        apt: "postgresql",
        why: "the database that the central services are tested on besides SQLite; only programs of it are used",
        from: Purpose::Test,
    },
    Need {
        probe: Probe::Program("openssl"),
        apt: "openssl",
        why: "makes the certificate of that nginx",
        from: Purpose::Test,
    },
    Need { probe: Probe::Program("c++"), apt: "g++", why: "compiles libFuzzer", from: Purpose::Fuzz },
    wasm("rustc-web", "/var/lib/dpkg/info/rustc-web.list", "compiles for wasm"),
    wasm("cargo-web", "/var/lib/dpkg/info/cargo-web.list", "the cargo that fits it"),
    wasm(
        "rust-web-src",
        "/var/lib/dpkg/info/rust-web-src.list",
        "the standard library, to be built for wasm",
    ),
    wasm("rust-web-llvm", "/var/lib/dpkg/info/rust-web-llvm.list", "the linker that compiler looks for"),
    wasm("lld-22", "/var/lib/dpkg/info/lld-22.list", "the linker itself, to which the former only points"),
];

/// A package of Debian's compiler. Its program has the same name as that of older compilers, so dpkg is asked.
const fn wasm(apt: &'static str, installed: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::File(installed), apt, why, from: Purpose::Wasm }
}

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
    NEEDS.iter().filter(|need| purpose.includes(need.from) && !need.probe.is_there()).collect()
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
        let needed = |purpose: Purpose| NEEDS.iter().filter(|need| purpose.includes(need.from)).count();
        assert!(needed(Purpose::Build) < needed(Purpose::Test));
        // The compiler for wasm stands for itself.
        assert_eq!(needed(Purpose::Fuzz) + needed(Purpose::Wasm), NEEDS.len());
    }
}
