//! Reads a repository's settings and sorts out those that run programs.

use super::GitError;
use super::invoke::{Access, Git};
use super::repository::Repository;
use crate::workspace::Workspace;

/// What the settings are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Status, diff, commit: nothing leaves the machine.
    Local,
    /// Push: settings of transports count too.
    Network,
    /// A repository that is pushed to. Its side runs with its own settings, so any that run something are refused.
    Receiving,
}

/// What a repository's settings mean for a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Names of content filters, to be switched off.
    pub(super) filters: Vec<String>,
    /// `user.name` and `user.email`, where the repository sets them.
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

/// Lists the settings of a repository, refusing those that cannot be switched off. Nothing is run by listing.
pub(super) async fn inspect(
    workspace: &Workspace,
    repository: &Repository,
    purpose: Purpose,
    git: &Git<'_>,
) -> Result<Settings, GitError> {
    for place in repository.config_files() {
        // Git would follow a link here to wherever it leads.
        let kind = workspace.ground.kind(&place)?;
        if !matches!(kind, crate::ground::Kind::File | crate::ground::Kind::Missing) {
            return Err(GitError::refused(format!(
                "{} is not a regular file: git's settings must be",
                workspace.ground.shown(place.path())
            )));
        }
    }
    let answer = git.run(&["config", "--no-includes", "--list", "-z", "--show-scope"], None).await?;
    if !answer.whole {
        return Err(GitError::refused("the repository's configuration is too long"));
    }
    let text = answer.text();
    let mut settings = Settings::default();
    let mut fields = text.split('\0');
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        if !matches!(scope, "local" | "worktree") {
            continue;
        }
        let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
        settings.take(&Key::of(key), value, purpose)?;
    }
    settings.filters.sort();
    settings.filters.dedup();
    Ok(settings)
}

/// [`inspect`] with a git of its own.
pub(super) async fn inspect_alone(
    workspace: &Workspace,
    repository: &Repository,
    purpose: Purpose,
) -> Result<Settings, GitError> {
    inspect(workspace, repository, purpose, &Git::planning(workspace, repository, Access::Look)).await
}

impl Settings {
    fn take(&mut self, key: &Key<'_>, value: &str, purpose: Purpose) -> Result<(), GitError> {
        let refuse = |why| {
            let key = lanyard_policy::visible::clipped_line(key.text, 200);
            Err(GitError::Setting { key, why })
        };
        match judge(key, purpose) {
            Judgement::Refused(why) => refuse(why),
            Judgement::Filter if purpose == Purpose::Receiving => refuse("runs a program"),
            Judgement::Filter => {
                self.filters.push(key.middle.unwrap_or_default().to_owned());
                Ok(())
            }
            Judgement::Harmless => {
                match (key.section, key.middle, key.variable) {
                    ("user", None, "name") => self.name = Some(value.to_owned()),
                    ("user", None, "email") => self.email = Some(value.to_owned()),
                    _ => {}
                }
                Ok(())
            }
        }
    }
}

/// A key as git prints it: section and variable in lower case, what is between them as written.
struct Key<'k> {
    text: &'k str,
    section: &'k str,
    middle: Option<&'k str>,
    variable: &'k str,
}

impl<'k> Key<'k> {
    fn of(text: &'k str) -> Self {
        let (section, rest) = text.split_once('.').unwrap_or((text, ""));
        let (middle, variable) = match rest.rsplit_once('.') {
            Some((middle, variable)) => (Some(middle), variable),
            None => (None, rest),
        };
        Self { text, section, middle, variable }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Harmless,
    /// Of a content filter, switched off by name.
    Filter,
    Refused(&'static str),
}

/// Sections whose programs belong to commands that are never run here, or are overridden in every run (`invoke`).
const UNREACHED: &[&str] = &[
    "alias",
    "bisect",
    "browser",
    "color",
    "commit",
    "completion",
    "credential",
    "diff",
    "difftool",
    "fetch",
    "gc",
    "gpg",
    "gui",
    "guitool",
    "help",
    "imap",
    "init",
    "instaweb",
    "interactive",
    "lfs",
    "log",
    "maintenance",
    "man",
    "merge",
    "mergetool",
    "pager",
    "rebase",
    "receive",
    "sendemail",
    "sequence",
    "stash",
    "svn-remote",
    "tag",
    "tar",
    "trailer",
    "uploadpack",
    "web",
];

/// Variables of `core` that run programs and are overridden in every run.
const CORE_OVERRIDDEN: &[&str] =
    &["alternaterefscommand", "askpass", "editor", "fsmonitor", "gitproxy", "hookspath", "pager"];

/// Names a variable has when its value is run.
const RUNS: &[&str] = &[
    "clean",
    "cmd",
    "command",
    "driver",
    "exec",
    "external",
    "filter",
    "helper",
    "hook",
    "process",
    "program",
    "proxycommand",
    "run",
    "script",
    "shell",
    "smudge",
    "sshcommand",
    "textconv",
];

/// Settings of HTTP that change neither whom git talks to nor what it sends.
const HARMLESS_HTTP: &[&str] =
    &["lowspeedlimit", "lowspeedtime", "maxrequests", "minsessions", "postbuffer", "version"];

const RUNS_A_PROGRAM: &str = "runs a program";
const CHANGES_THE_WAY: &str = "changes where or how a push goes";

fn judge(key: &Key<'_>, purpose: Purpose) -> Judgement {
    let network = purpose != Purpose::Local;
    match (key.section, key.variable) {
        ("include" | "includeif", _) => Judgement::Refused("takes in settings from another file"),
        ("hook", _) => Judgement::Refused(RUNS_A_PROGRAM),
        ("filter", _) => Judgement::Filter,
        ("core", "sshcommand") if network => Judgement::Refused(RUNS_A_PROGRAM),
        ("core", variable) if CORE_OVERRIDDEN.contains(&variable) => receiving(purpose),
        ("core", "sshcommand") => Judgement::Harmless,
        ("credential", _) if network => Judgement::Refused(CHANGES_THE_WAY),
        ("remote", "vcs" | "uploadpack" | "receivepack") if network => Judgement::Refused(RUNS_A_PROGRAM),
        ("remote", "vcs" | "uploadpack" | "receivepack") => Judgement::Harmless,
        ("remote", "proxy" | "proxyauthmethod" | "mirror" | "serveroption") if network => {
            Judgement::Refused(CHANGES_THE_WAY)
        }
        ("http", variable) if network && !HARMLESS_HTTP.contains(&variable) => {
            Judgement::Refused(CHANGES_THE_WAY)
        }
        ("receive", _) if purpose == Purpose::Receiving => Judgement::Refused(CHANGES_THE_WAY),
        (section, _) if UNREACHED.contains(&section) => Judgement::Harmless,
        (_, variable) if RUNS.contains(&variable) => Judgement::Refused(RUNS_A_PROGRAM),
        _ => Judgement::Harmless,
    }
}

/// The receiving side does not get the overrides.
fn receiving(purpose: Purpose) -> Judgement {
    if purpose == Purpose::Receiving { Judgement::Refused(RUNS_A_PROGRAM) } else { Judgement::Harmless }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(key: &str, purpose: Purpose) -> Judgement {
        judge(&Key::of(key), purpose)
    }

    #[test]
    fn ordinary_settings_pass_for_every_purpose() {
        for key in [
            "core.repositoryformatversion",
            "core.bare",
            "core.filemode",
            "core.autocrlf",
            "core.worktree",
            "remote.origin.url",
            "remote.origin.fetch",
            "branch.main.remote",
            "branch.a.b.merge",
            "user.name",
            "push.default",
            "pull.rebase",
            "extensions.objectformat",
            "submodule.x.url",
            "http.postbuffer",
        ] {
            for purpose in [Purpose::Local, Purpose::Network, Purpose::Receiving] {
                assert_eq!(judged(key, purpose), Judgement::Harmless, "{key} {purpose:?}");
            }
        }
    }

    #[test]
    fn item_16_settings_that_cannot_be_switched_off_are_refused() {
        for key in [
            "include.path",
            "includeif.gitdir:/x.path",
            "hook.x.command",
            "hook.x.event",
            "newthing.a.command",
        ] {
            assert!(matches!(judged(key, Purpose::Local), Judgement::Refused(_)), "{key}");
        }
        assert_eq!(judged("filter.x.clean", Purpose::Local), Judgement::Filter);
        assert_eq!(judged("filter.a.b=c.process", Purpose::Local), Judgement::Filter);
        assert_eq!(Key::of("filter.a.b=c.process").middle, Some("a.b=c"));
    }

    #[test]
    fn item_15_settings_of_transports_are_refused_for_a_push() {
        for key in [
            "core.sshcommand",
            "credential.helper",
            "credential.https://x.helper",
            "remote.origin.vcs",
            "remote.origin.receivepack",
            "remote.origin.proxy",
            "http.proxy",
            "http.sslverify",
            "http.https://x.extraheader",
        ] {
            assert!(matches!(judged(key, Purpose::Network), Judgement::Refused(_)), "{key}");
            assert_eq!(judged(key, Purpose::Local), Judgement::Harmless, "{key}");
        }
    }

    #[test]
    fn a_receiving_repository_may_set_nothing_that_runs() {
        for key in
            ["core.hookspath", "core.fsmonitor", "receive.denycurrentbranch", "core.alternaterefscommand"]
        {
            assert!(matches!(judged(key, Purpose::Receiving), Judgement::Refused(_)), "{key}");
        }
    }
}
