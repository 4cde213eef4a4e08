//! The traps: how each is laid in a repository, and the plain git command that springs it.

use anyhow::Result;

use crate::repository::Repository;

/// A trap: its name, how it is laid in a repository, and the plain git command that springs it.
pub(crate) struct Trap {
    pub(crate) name: &'static str,
    pub(crate) lay: fn(&Repository) -> Result<()>,
    pub(crate) springs: &'static [&'static str],
}

const STATUS: &[&str] = &["status"];
const DIFF: &[&str] = &["diff"];
const COMMIT: &[&str] = &["commit", "-q", "-a", "-m", "m"];
const PUSH: &[&str] = &["push", "origin", "main"];

pub(crate) const TRAPS: &[Trap] = &[
    Trap { name: "fsmonitor", lay: |r| r.set("core.fsmonitor", &r.bait), springs: STATUS },
    Trap { name: "hooks", lay: |r| r.hooks(&r.dir.join(".git/hooks")), springs: COMMIT },
    Trap {
        name: "index-hook",
        lay: |r| r.hook(&r.dir.join(".git/hooks"), "post-index-change"),
        springs: &["add", "."],
    },
    Trap {
        name: "hooks-path",
        lay: |r| {
            r.hooks(&r.dir.join("tools"))?;
            r.set("core.hooksPath", "tools")
        },
        springs: COMMIT,
    },
    Trap {
        name: "clean-filter",
        lay: |r| {
            r.attribute("* filter=trap")?;
            r.set("filter.trap.clean", &r.bait)
        },
        springs: DIFF,
    },
    Trap {
        name: "process-filter",
        lay: |r| {
            r.attribute("* filter=trap")?;
            r.set("filter.trap.process", &r.bait)
        },
        springs: DIFF,
    },
    Trap { name: "external-diff", lay: |r| r.set("diff.external", &r.bait), springs: DIFF },
    Trap {
        name: "diff-driver",
        lay: |r| {
            r.attribute("* diff=trap")?;
            r.set("diff.trap.command", &r.bait)
        },
        springs: DIFF,
    },
    Trap {
        name: "textconv",
        lay: |r| {
            r.attribute("* diff=trap")?;
            r.set("diff.trap.textconv", &r.bait)
        },
        springs: DIFF,
    },
    Trap {
        name: "hidden-attributes",
        lay: |r| {
            std::fs::write(r.dir.join(".git/info/attributes"), "* diff=trap\n")?;
            r.set("diff.trap.textconv", &r.bait)
        },
        springs: DIFF,
    },
    Trap {
        name: "include",
        lay: |r| {
            std::fs::write(r.dir.join(".git/more"), format!("[core]\n\tfsmonitor = \"{}\"\n", r.bait))?;
            r.set("include.path", "more")
        },
        springs: STATUS,
    },
    Trap {
        name: "conditional-include",
        lay: |r| {
            std::fs::write(r.dir.join(".git/more"), format!("[core]\n\tfsmonitor = \"{}\"\n", r.bait))?;
            r.set("includeIf.onbranch:main.path", "more")
        },
        springs: STATUS,
    },
    Trap {
        name: "worktree-config",
        lay: |r| {
            r.set("extensions.worktreeConfig", "true")?;
            r.git(&["config", "--worktree", "core.fsmonitor", &r.bait])
        },
        springs: STATUS,
    },
    Trap {
        name: "signature",
        lay: |r| {
            r.set("commit.gpgSign", "true")?;
            r.set("gpg.program", &r.bait)
        },
        springs: COMMIT,
    },
    Trap {
        name: "ssh-command",
        lay: |r| {
            r.set("remote.origin.url", "ssh://git@localhost/r.git")?;
            r.set("core.sshCommand", &r.bait)
        },
        springs: PUSH,
    },
    Trap {
        name: "receive-pack",
        lay: |r| {
            r.git(&["clone", "-q", "--bare", ".", "bare.git"])?;
            r.set("remote.origin.url", "./bare.git")?;
            r.set("remote.origin.receivepack", &r.bait)
        },
        springs: PUSH,
    },
    Trap {
        name: "credential-helper",
        lay: |r| {
            // Runs when a server asks who is there; `git credential fill` asks without one.
            r.set("remote.origin.url", "https://localhost:1/r.git")?;
            r.set("credential.helper", &r.bait)
        },
        springs: &["credential", "fill"],
    },
    Trap {
        name: "submodule",
        lay: |r| {
            let inner = Repository::new(&r.dir.join("inner"), &r.work, r.name)?;
            inner.set("core.fsmonitor", &inner.bait)?;
            r.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./inner", "inner"])
        },
        springs: STATUS,
    },
    Trap {
        name: "git-file",
        lay: |r| {
            r.set("core.fsmonitor", &r.bait)?;
            std::fs::rename(r.dir.join(".git"), r.dir.join("elsewhere"))?;
            Ok(std::fs::write(r.dir.join(".git"), "gitdir: elsewhere\n")?)
        },
        springs: STATUS,
    },
];
