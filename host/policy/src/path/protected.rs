//! Places an agent must not change, and a few it must not read, wherever policy says files are allowed.
//!
//! The rule behind the tables: a file is protected when changing it lets the agent *act later without being
//! asked* (it is run or obeyed by a shell, an editor, git, a package manager or another agent), or when it holds the
//! host's own state or a credential. Files which are only run when somebody runs the project (a Makefile, a build
//! script, a test) are ordinary work and not listed; running them is what is asked about. Continuous-integration
//! files run elsewhere, after a push that is asked about by itself.
//!
//! - *Denied*: the host's own directories (an agent that edits them approves itself), everything inside `.git`
//!   (hooks, config, attributes; the git tools are the way), the login files and credentials of the owner's home,
//!   kernel interfaces.
//! - *Always asked, by a person*: the same kinds of file inside a project, where editing them can be the task;
//!   credentials when read; system directories.
//!
//! Matching is by name, so a file that does not exist yet is covered, and on folded names, so no spelling escapes.

use lanyard_protocol::approval::RiskLevel;

use super::{Concern, FoldedPath, HostPath};

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Delete,
}

/// Where this machine keeps what must be protected. Handed in by whoever wires the host.
#[derive(Clone, Debug)]
pub struct Places {
    home: FoldedPath,
    host: Vec<FoldedPath>,
}

impl Places {
    /// `home` is the owner's home directory; `host` are the state, runtime and configuration directories (or files)
    /// of the host itself.
    pub fn new(home: &HostPath, host: &[HostPath]) -> Self {
        Self { home: home.folded(), host: host.iter().map(HostPath::folded).collect() }
    }
}

/// What protection a path has beyond the policy bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Refused whatever policy and people say.
    Deny(Concern),
    /// A person must answer, even where questions are switched off.
    MustAsk(RiskLevel, Concern),
    /// Asked where questions are asked.
    Ask(RiskLevel, Concern),
}

/// Directories whose content is obeyed by an editor, an agent or a version-control tool.
const OBEYED_DIRECTORIES: &[&str] = &[
    ".aider",
    ".cargo",
    ".claude",
    ".cline",
    ".codex",
    ".continue",
    ".cursor",
    ".devcontainer",
    ".fleet",
    ".gemini",
    ".goose",
    ".hg",
    ".husky",
    ".idea",
    ".jj",
    ".kiro",
    ".opencode",
    ".roo",
    ".svn",
    ".vscode",
    ".windsurf",
    ".zed",
];

/// Files obeyed on sight by an editor, an agent, a shell, a debugger or a package manager.
const OBEYED_FILES: &[&str] = &[
    ".aider.conf.yml",
    ".clinerules",
    ".cursorrules",
    ".devcontainer.json",
    ".dir-locals.el",
    ".emacs",
    ".envrc",
    ".exrc",
    ".gdbinit",
    ".gitattributes",
    ".gitconfig",
    ".gitmodules",
    ".lldbinit",
    ".mcp.json",
    ".mise.toml",
    ".npmrc",
    ".nvim.lua",
    ".pnpmfile.cjs",
    ".pre-commit-config.yaml",
    ".roomodes",
    ".screenrc",
    ".tmux.conf",
    ".vimrc",
    ".windsurfrules",
    ".yarnrc",
    ".yarnrc.yml",
    "agents.md",
    "agents.override.md",
    "claude.local.md",
    "claude.md",
    "gemini.md",
    "lefthook.yml",
    "mcp.json",
    "mise.toml",
    "opencode.json",
    "opencode.jsonc",
    "pip.conf",
    "sitecustomize.py",
    "usercustomize.py",
];

/// Files a shell or a session runs at login.
const LOGIN_FILES: &[&str] = &[
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".cshrc",
    ".inputrc",
    ".kshrc",
    ".login",
    ".pam_environment",
    ".profile",
    ".tcshrc",
    ".xinitrc",
    ".xprofile",
    ".xsession",
    ".xsessionrc",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];

/// Below home: what is run or obeyed for the owner, or decides who may log in.
const HOME_OBEYED: &[&str] = &[
    ".config/autostart",
    ".config/code",
    ".config/environment.d",
    ".config/fish",
    ".config/git",
    ".config/goose",
    ".config/nvim",
    ".config/opencode",
    ".config/systemd",
    ".config/zed",
    ".local/bin",
    ".local/share/applications",
    ".local/share/systemd",
    "library/launchagents",
    "bin",
];

/// Below home: credentials.
const HOME_SECRETS: &[&str] = &[
    ".aws",
    ".azure",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".config/gcloud",
    ".config/gh",
    ".config/google-chrome",
    ".config/chromium",
    ".docker/config.json",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".local/share/keyrings",
    ".mozilla",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pypirc",
    ".ssh",
    "library/keychains",
];

/// Kernel interfaces: reading can leak the host's memory or never end, writing changes the machine.
const KERNEL: &[&str] = &["dev", "proc", "sys"];

/// Directories of the system as a whole.
const SYSTEM: &[&str] = &[
    "bin",
    "boot",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "library",
    "sbin",
    "system",
    "usr/bin",
    "usr/lib",
    "usr/libexec",
    "usr/local/bin",
    "usr/local/lib",
    "usr/local/sbin",
    "usr/sbin",
    "usr/share",
    "var/spool/cron",
];

/// The protection of `path` against `access`; `None` where only policy counts.
pub fn protection(path: &HostPath, access: Access, places: &Places) -> Option<Protection> {
    let folded = path.folded();
    if let Some(fixed) = of_the_machine(&folded, access, places) {
        return Some(fixed);
    }
    if let Some(below) = folded.below(&places.home) {
        let below: Vec<&str> = below.collect();
        if let Some(found) = in_home(&below, access) {
            return Some(found);
        }
    }
    in_a_project(&folded, access)
}

fn of_the_machine(path: &FoldedPath, access: Access, places: &Places) -> Option<Protection> {
    if places.host.iter().any(|own| path.is_within(own)) {
        return Some(Protection::Deny(Concern::OwnFiles));
    }
    if is_kernel(path) {
        return Some(Protection::Deny(Concern::KernelInterface));
    }
    if access == Access::Read {
        return None;
    }
    // Replacing or deleting a directory takes what lies in it along.
    if places.host.iter().any(|own| own.is_within(path)) || places.home.is_within(path) {
        return Some(Protection::Deny(Concern::HoldsHome));
    }
    let names: Vec<&str> = path.components().collect();
    SYSTEM
        .iter()
        .any(|top| starts_with(&names, top))
        .then_some(Protection::MustAsk(RiskLevel::Critical, Concern::System))
}

/// Shared memory is the one directory of files below `/dev`.
pub(super) fn is_kernel(path: &FoldedPath) -> bool {
    let names: Vec<&str> = path.components().take(2).collect();
    KERNEL.iter().any(|top| starts_with(&names, top)) && !starts_with(&names, "dev/shm")
}

fn in_home(below: &[&str], access: Access) -> Option<Protection> {
    let listed = |table: &[&str]| table.iter().any(|entry| starts_with(below, entry));
    let secret = listed(HOME_SECRETS);
    if access == Access::Read {
        return secret.then_some(Protection::MustAsk(RiskLevel::Critical, Concern::OwnersCredentials));
    }
    if secret {
        return Some(Protection::Deny(Concern::OwnersCredentials));
    }
    let first = below.first()?;
    let obeyed = OBEYED_DIRECTORIES.contains(first)
        || (below.len() == 1 && (LOGIN_FILES.contains(first) || OBEYED_FILES.contains(first)));
    (obeyed || listed(HOME_OBEYED)).then_some(Protection::Deny(Concern::ObeyedForOwner))
}

fn in_a_project(path: &FoldedPath, access: Access) -> Option<Protection> {
    let last = path.components().next_back()?;
    if access == Access::Read {
        let env = (last == ".env" || last.starts_with(".env."))
            && ![".env.example", ".env.sample", ".env.template"].contains(&last);
        return env.then_some(Protection::Ask(RiskLevel::Medium, Concern::CredentialsByName));
    }
    if path.components().any(|name| name == ".git") {
        return Some(Protection::Deny(Concern::GitInternal));
    }
    let obeyed = path.components().any(|name| OBEYED_DIRECTORIES.contains(&name))
        || OBEYED_FILES.contains(&last)
        || LOGIN_FILES.contains(&last)
        || last.ends_with(".code-workspace")
        || last.ends_with(".pth");
    obeyed.then_some(Protection::MustAsk(RiskLevel::High, Concern::Obeyed))
}

/// Whether `names` begins with the slash-separated names of `entry`.
fn starts_with(names: &[&str], entry: &str) -> bool {
    let mut names = names.iter();
    entry.split('/').all(|wanted| names.next().is_some_and(|name| *name == wanted))
}
