//! git: options that run programs, subcommands that run hooks, publish or destroy.
//!
//! The git *tools* of the host start git without hooks, filters and pagers; a git command line does not, so what the
//! repository's configuration makes git run is not visible in its words.

use lanyard_protocol::approval::RiskLevel;

use super::{Assessment, options::mentions};

/// Long options of any subcommand that name a program, a place to write, or configuration.
const DANGEROUS: &[&str] = &[
    "config",
    "contents",
    "exec",
    "ext-diff",
    "extcmd",
    "mailmap-file",
    "open-files-in-pager",
    "output",
    "output-directory",
    "receive-pack",
    "recurse-submodules",
    "remote",
    "separate-git-dir",
    "server-option",
    "template",
    "textconv",
    "to-command",
    "tool",
    "upload-archive",
    "upload-pack",
    "web-browser",
];

const READS: &[&str] = &[
    "annotate",
    "blame",
    "cat-file",
    "check-ignore",
    "check-ref-format",
    "cherry",
    "count-objects",
    "describe",
    "diff",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "fsck",
    "grep",
    "help",
    "log",
    "ls-files",
    "ls-tree",
    "merge-base",
    "name-rev",
    "range-diff",
    "rev-list",
    "rev-parse",
    "shortlog",
    "show",
    "show-branch",
    "show-ref",
    "status",
    "var",
    "verify-commit",
    "version",
    "whatchanged",
];

const CHANGES: &[&str] = &[
    "add",
    "apply",
    "branch",
    "checkout",
    "init",
    "mv",
    "notes",
    "reflog",
    "restore",
    "rm",
    "sparse-checkout",
    "stash",
    "switch",
    "tag",
    "update-ref",
    "worktree",
];

/// These run hooks, editors or merge drivers of the repository.
const HOOKED: &[&str] = &["am", "cherry-pick", "commit", "gc", "merge", "pull", "rebase", "revert"];

const REMOTE: &[&str] = &["archive", "clone", "fetch", "ls-remote", "pull", "push"];

pub(super) fn assess(args: &[&str]) -> Assessment {
    let Some((subcommand, rest)) = subcommand(args) else {
        return match args {
            ["--version" | "--help" | "-h" | "-v"] => Assessment::reading("it prints its version"),
            _ => Assessment::opaque(
                RiskLevel::High,
                "options before the git subcommand can make git run other programs",
            ),
        };
    };
    if let Some(word) = rest.iter().find(|word| names_transport(word)) {
        let shown = crate::visible::clipped_line(word, 60);
        return Assessment::opaque(RiskLevel::High, format!("the address {shown} starts a program"));
    }
    if let Some(option) = mentions(rest, DANGEROUS, dangerous_letters(subcommand)) {
        let option = if option.is_empty() {
            String::from("one of its short options")
        } else {
            format!("`--{option}`")
        };
        return Assessment::opaque(
            RiskLevel::High,
            format!("{option} lets git run a program or write a file"),
        );
    }
    by_subcommand(subcommand, rest)
}

/// The subcommand and its words; `None` if a global option is not known to be harmless.
fn subcommand<'w, 'a>(args: &'w [&'a str]) -> Option<(&'a str, &'w [&'a str])> {
    let mut rest = args;
    loop {
        match rest {
            [
                "--no-pager" | "-P" | "--no-optional-locks" | "--literal-pathspecs" | "--no-replace-objects",
                tail @ ..,
            ] => rest = tail,
            ["-C", _, tail @ ..] => rest = tail,
            [word, tail @ ..] if !word.starts_with('-') => return Some((word, tail)),
            _ => return None,
        }
    }
}

/// `ext::sh -c …`, `fd::3` and other remote helpers.
fn names_transport(word: &str) -> bool {
    word.split_once("::").is_some_and(|(helper, _)| {
        !helper.is_empty()
            && helper.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

fn dangerous_letters(subcommand: &str) -> &'static str {
    match subcommand {
        "grep" => "O",
        "rebase" => "xi",
        "clone" => "uc",
        "archive" | "format-patch" => "o",
        "difftool" => "xt",
        "add" | "checkout" | "stash" | "restore" | "reset" => "ip",
        _ => "",
    }
}

fn by_subcommand(subcommand: &str, rest: &[&str]) -> Assessment {
    let has = |words: &[&str]| rest.iter().any(|word| words.contains(word));
    match subcommand {
        "push" => Assessment {
            network: true,
            ..Assessment::new(RiskLevel::Critical, "it publishes commits to another machine")
        },
        "clean" => Assessment::new(RiskLevel::Critical, "it deletes files git does not know"),
        "reset" if has(&["--hard", "--merge", "--keep"]) => {
            Assessment::new(RiskLevel::Critical, "it throws away changes that are not committed")
        }
        "reset" => Assessment::new(RiskLevel::Medium, "it changes what will be committed"),
        "checkout" | "restore" | "stash" | "switch"
            if has(&["-f", "--force", "--discard-changes", "drop", "clear", "--", "."]) =>
        {
            Assessment::new(RiskLevel::High, "it can throw away changes that are not committed")
        }
        "remote" if rest.is_empty() || matches!(rest, ["-v" | "--verbose" | "show"] | ["get-url", _]) => {
            Assessment::reading("it lists remotes")
        }
        "config" if matches!(rest, ["--list" | "-l" | "list"] | ["--get" | "get", _]) => {
            Assessment::reading("it reads settings")
        }
        "branch" | "tag"
            if rest.iter().all(|word| {
                matches!(*word, "-a" | "-r" | "-l" | "-v" | "-vv" | "--list" | "--show-current")
            }) =>
        {
            Assessment::reading("it lists names")
        }
        "stash" | "worktree" | "notes" | "reflog" if matches!(rest, ["list" | "show"]) => {
            Assessment::reading("it lists entries")
        }
        _ if HOOKED.contains(&subcommand) => Assessment {
            project_code: true,
            network: REMOTE.contains(&subcommand),
            ..Assessment::new(
                RiskLevel::High,
                format!("`git {subcommand}` changes the repository and runs its hooks"),
            )
        },
        _ if REMOTE.contains(&subcommand) => Assessment {
            network: true,
            ..Assessment::new(RiskLevel::High, format!("`git {subcommand}` talks to another machine"))
        },
        _ if READS.contains(&subcommand) => Assessment::reading("it reads the repository"),
        _ if CHANGES.contains(&subcommand) => Assessment::new(RiskLevel::Medium, "it changes the repository"),
        // Unknown words may be aliases, which the repository can define as shell commands; the known rest
        // (config, bisect, submodule, filter-branch, hook, …) runs or configures programs.
        _ => Assessment::opaque(
            RiskLevel::High,
            format!("`git {}` can run other programs", crate::visible::clipped_line(subcommand, 40)),
        ),
    }
}
