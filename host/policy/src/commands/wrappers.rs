//! Programs whose purpose is to start another one, and words of the shell that change what follows.

use lanyard_protocol::approval::RiskLevel;

use super::{
    Assessment,
    options::{Grammar, mentions, owned},
};

/// Wrappers that only change priority, buffering, time or session of the command behind them.
const TRANSPARENT: &[(&str, Grammar)] = &[
    ("nohup", Grammar::BARE),
    ("exec", Grammar::BARE),
    ("time", Grammar { flags: "pv", ..Grammar::BARE }),
    ("command", Grammar { flags: "p", ..Grammar::BARE }),
    ("nice", Grammar { flags: "0123456789", valued: "n", long_valued: &["adjustment"], ..Grammar::BARE }),
    ("ionice", Grammar { flags: "t", valued: "cn", ..Grammar::BARE }),
    ("stdbuf", Grammar { valued: "ioe", long_valued: &["input", "output", "error"], ..Grammar::BARE }),
    (
        "timeout",
        Grammar {
            flags: "vfp",
            valued: "ks",
            long_flags: &["foreground", "preserve-status", "verbose"],
            long_valued: &["kill-after", "signal"],
            operands: 1,
        },
    ),
    ("gtimeout", Grammar { valued: "ks", operands: 1, ..Grammar::BARE }),
    ("setsid", Grammar { flags: "cw", long_flags: &["ctty", "wait"], ..Grammar::BARE }),
];

/// Programs that start others in ways not followed here.
const LAUNCHERS: &[&str] = &[
    "at",
    "batch",
    "bwrap",
    "capsh",
    "choom",
    "chroot",
    "chrt",
    "dbus-run-session",
    "entr",
    "expect",
    "faketime",
    "fakeroot",
    "firejail",
    "flock",
    "gdb",
    "lldb",
    "ltrace",
    "nsenter",
    "numactl",
    "parallel",
    "prlimit",
    "proot",
    "run-parts",
    "screen",
    "script",
    "setarch",
    "setpriv",
    "ssh-agent",
    "start-stop-daemon",
    "strace",
    "systemd-inhibit",
    "systemd-run",
    "taskset",
    "tmux",
    "unbuffer",
    "unshare",
    "watch",
    "watchexec",
    "xvfb-run",
];

/// Words that act on the shell itself: what they set outlives them and poisons the next command (CVE-2026-22708).
const SHELL_STATE: &[&str] = &[
    ".",
    "alias",
    "bg",
    "bind",
    "builtin",
    "cd",
    "compgen",
    "complete",
    "declare",
    "dirs",
    "disown",
    "enable",
    "eval",
    "export",
    "fc",
    "fg",
    "getopts",
    "hash",
    "let",
    "local",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "trap",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
];

pub(super) fn assess(name: &str, args: &[&str]) -> Option<Assessment> {
    if SHELL_STATE.contains(&name) {
        let script = args.first().filter(|_| matches!(name, "." | "source"));
        return Some(Assessment {
            runs: script.map(|script| (*script).to_owned()).into_iter().collect(),
            ..Assessment::opaque(
                RiskLevel::High,
                format!("`{name}` changes the shell, and with it what the commands after it do"),
            )
        });
    }
    if let Some((_, grammar)) = TRANSPARENT.iter().find(|(known, _)| *known == name) {
        return Some(transparent(name, args, grammar));
    }
    if LAUNCHERS.contains(&name) {
        return Some(Assessment::opaque(RiskLevel::High, format!("`{name}` starts other programs")));
    }
    Some(match name {
        "env" => env(args),
        "xargs" | "gxargs" => xargs(args),
        "busybox" | "toybox" => applet(name, args),
        "sudo" | "doas" | "pkexec" | "run0" | "su" | "runuser" | "gosu" => as_other_user(name, args),
        _ => return None,
    })
}

fn transparent(name: &str, args: &[&str], grammar: &Grammar) -> Assessment {
    if name == "command" && matches!(args.first(), Some(&"-v" | &"-V")) {
        return Assessment::reading("it looks up a program");
    }
    match grammar.rest(args) {
        Some(inner) if !inner.is_empty() => {
            Assessment::reading(format!("`{name}` starts another program")).starting([owned(inner)])
        }
        _ => Assessment::opaque(RiskLevel::High, format!("the words behind `{name}` are not understood")),
    }
}

fn env(args: &[&str]) -> Assessment {
    const GRAMMAR: Grammar = Grammar {
        flags: "i0v",
        valued: "u",
        long_flags: &["ignore-environment", "null", "debug"],
        long_valued: &["unset"],
        operands: 0,
    };
    let args = if args.first() == Some(&"-") { &args[1..] } else { args };
    let Some(rest) = GRAMMAR.rest(args) else {
        return Assessment::opaque(RiskLevel::High, "the words behind `env` are not understood");
    };
    let assignments = rest.iter().take_while(|word| word.contains('=')).count();
    let inner = &rest[assignments..];
    if inner.is_empty() {
        return Assessment::reading("it prints the environment");
    }
    let assessment = if assignments == 0 {
        Assessment::reading("`env` starts another program")
    } else {
        // A variable can replace the program (PATH), add code to it (LD_PRELOAD, NODE_OPTIONS) or configure it (GIT_*).
        Assessment::opaque(
            RiskLevel::High,
            "it sets environment variables, which can make a program do anything",
        )
    };
    assessment.starting([owned(inner)])
}

fn xargs(args: &[&str]) -> Assessment {
    const GRAMMAR: Grammar = Grammar {
        flags: "0prtxo",
        valued: "adEIJLnPRsS",
        long_flags: &["null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"],
        long_valued: &["arg-file", "delimiter", "max-args", "max-procs", "max-chars", "max-lines", "replace"],
        operands: 0,
    };
    let hidden = Assessment {
        runs_input: true,
        ..Assessment::opaque(
            RiskLevel::High,
            "`xargs` takes further words from its input, which are not known",
        )
    };
    match GRAMMAR.rest(args) {
        Some(inner) if !inner.is_empty() => hidden.starting([owned(inner)]),
        _ => hidden,
    }
}

fn applet(name: &str, args: &[&str]) -> Assessment {
    match args.first() {
        None | Some(&"--list" | &"--help") => Assessment::reading(format!("`{name}` lists what it offers")),
        Some(first) if first.starts_with('-') => {
            Assessment::opaque(RiskLevel::High, format!("the words behind `{name}` are not understood"))
        }
        Some(_) => Assessment::reading(format!("`{name}` starts another program")).starting([owned(args)]),
    }
}

fn as_other_user(name: &str, args: &[&str]) -> Assessment {
    const GRAMMAR: Grammar = Grammar {
        flags: "bEHknPSN",
        valued: "ugp",
        long_flags: &["non-interactive", "set-home", "preserve-env"],
        long_valued: &["user", "group"],
        operands: 0,
    };
    let hidden =
        Assessment::opaque(RiskLevel::Critical, format!("`{name}` acts with the rights of another user"));
    if name == "su" || name == "runuser" || mentions(args, &["shell", "login", "edit"], "sie").is_some() {
        return hidden;
    }
    match GRAMMAR.rest(args) {
        Some(inner) if inner.first().is_some_and(|word| !word.contains('=')) => {
            hidden.starting([owned(inner)])
        }
        _ => hidden,
    }
}
