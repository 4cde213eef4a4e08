//! Runs git with everything switched off that a repository could use to run something else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lanyard_policy::visible;
use tokio_util::sync::CancellationToken;

use crate::execute::Bounds;
use crate::process::{self, End, Invocation, Streams, Timeout};
use crate::sandbox::Confinement;
use crate::workspace::{Environment, Workspace};

use super::GitError;
use super::repository::Repository;

/// Seconds for a look at a repository: a large one is read in some seconds.
pub(super) const LOOK_SECONDS: u64 = 60;

/// Bytes kept of one command's output. More cannot be shown, and lists of paths beyond it are refused.
const KEEP_BYTES: usize = 10 << 20;

/// Characters of git's own complaint that are passed on.
const MAX_REASON_CHARS: usize = 1000;

/// Settings that win over the repository's own, each because its default or a hostile value runs a program or reaches
/// out. Filters, whose names are free, are added by name ([`Git::without_filters`]); external diffs and text
/// conversions are switched off by option where a diff is made.
const OVERRIDES: &[(&str, &str)] = &[
    // Hooks, and the watcher that counts as one.
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    // Programs for people.
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("sequence.editor", "false"),
    ("interactive.diffFilter", ""),
    // Signing.
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("gpg.program", "false"),
    ("log.showSignature", "false"),
    // Credentials, connections.
    ("credential.helper", ""),
    ("core.askPass", ""),
    ("core.gitProxy", ""),
    ("core.alternateRefsCommand", ""),
    ("protocol.ext.allow", "never"),
    // Work in the background and in other repositories.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    ("fetch.recurseSubmodules", "no"),
    ("status.submoduleSummary", "false"),
    ("safe.bareRepository", "explicit"),
    // What a push sends besides the branch.
    ("push.followTags", "false"),
    ("push.pushOption", ""),
    ("push.negotiate", "false"),
    // Files from elsewhere.
    ("core.attributesFile", "/dev/null"),
];

/// Variables of every run. The sandbox starts from nothing, so none of the owner's `GIT_*` gets here.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("GIT_EDITOR", "false"),
    ("GIT_PAGER", "cat"),
    // A missing object is an error, not a reason to call a remote.
    ("GIT_NO_LAZY_FETCH", "1"),
    // What is shown is what is there, not what a replacement claims.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_ADVICE", "0"),
    ("LC_ALL", "C.UTF-8"),
];

/// What the child may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read the workspace. Git takes no locks and writes no index.
    Look,
    /// Write to it.
    Change,
    /// Write to it and use the network.
    Reach,
}

/// A way of running git on one repository.
#[derive(Debug, Clone)]
pub(super) struct Git<'g> {
    workspace: &'g Workspace,
    git_dir: Option<PathBuf>,
    top: PathBuf,
    access: Access,
    timeout: Duration,
    settings: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
    cancel: CancellationToken,
}

/// What a run of git yields.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    /// Whether nothing of stdout was left out.
    pub(super) whole: bool,
    stderr: String,
}

impl<'g> Git<'g> {
    /// Git on a repository, for a call that is being carried out.
    pub(super) fn on(
        workspace: &'g Workspace,
        repository: &Repository,
        access: Access,
        bounds: &Bounds,
    ) -> Self {
        let limit = bounds.limits.max_execution_time_seconds.map_or(u64::MAX, u64::from);
        Self {
            timeout: Duration::from_secs(LOOK_SECONDS.min(limit)),
            cancel: bounds.cancel.clone(),
            ..Self::planning(workspace, repository, access)
        }
    }

    /// Git on a repository, for a call that is being planned.
    pub(super) fn planning(workspace: &'g Workspace, repository: &Repository, access: Access) -> Self {
        let git_dir = Some(repository.git_dir().to_owned());
        Self { git_dir, ..Self::nowhere(workspace, repository.top().path(), access) }
    }

    /// Git without a repository, started in a directory.
    pub(super) fn nowhere(workspace: &'g Workspace, top: &Path, access: Access) -> Self {
        Self {
            workspace,
            git_dir: None,
            top: top.to_owned(),
            access,
            timeout: Duration::from_secs(LOOK_SECONDS),
            settings: Vec::new(),
            variables: Vec::new(),
            cancel: CancellationToken::new(),
        }
    }

    /// Gives it more time, as far as policy allows.
    pub(super) fn with_timeout(mut self, seconds: u64, bounds: &Bounds) -> Self {
        let limit = bounds.limits.max_execution_time_seconds.map_or(u64::MAX, u64::from);
        self.timeout = Duration::from_secs(seconds.min(limit));
        self
    }

    /// Empties the filters of these names; an empty filter is none.
    pub(super) fn without_filters(mut self, drivers: &[String]) -> Self {
        for driver in drivers {
            for (variable, value) in [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")] {
                self.settings.push((format!("filter.{driver}.{variable}"), value.to_owned()));
            }
        }
        self
    }

    pub(super) fn with_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it and takes any exit code.
    pub(super) async fn ask(&self, args: &[&str], stdin: Option<Vec<u8>>) -> Result<Answer, GitError> {
        let confinement = self.confine()?;
        let mut words: Vec<String> = Vec::new();
        if let Some(git_dir) = &self.git_dir {
            words.push(format!("--git-dir={}", git_dir.display()));
            words.push(format!("--work-tree={}", self.top.display()));
        }
        words.push("--no-pager".to_owned());
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        let invocation = Invocation {
            stdin,
            streams: Streams::Separate,
            keep: KEEP_BYTES,
            ..Invocation::new("git", words, Timeout::from_secs(self.timeout.as_secs().max(1))?)
        };
        let finished = process::run(&confinement, invocation, None, &self.cancel).await?;
        let stderr = finished.stderr.to_text();
        let command = args.first().copied().unwrap_or_default();
        let failed =
            |reason: &str| GitError::Failed { command: command.to_owned(), reason: reason.to_owned() };
        let code = match finished.end {
            End::Exited { code } => code,
            End::Cancelled => return Err(GitError::Cancelled),
            End::TimedOut => return Err(failed(&format!("ended after {} s", self.timeout.as_secs()))),
            End::OutputLimit => return Err(failed("its output has no end")),
            End::Signaled { .. } | End::ProcessLimit => return Err(failed("it ended abnormally")),
        };
        let whole = finished.stdout.is_whole();
        let stdout = if whole { finished.stdout.head } else { finished.stdout.to_text().into_bytes() };
        Ok(Answer { code, stdout, whole, stderr })
    }

    /// Runs it; an exit code other than 0 is an error.
    pub(super) async fn run(&self, args: &[&str], stdin: Option<Vec<u8>>) -> Result<Answer, GitError> {
        let answer = self.ask(args, stdin).await?;
        if answer.code == 0 {
            return Ok(answer);
        }
        Err(GitError::Failed {
            command: args.first().copied().unwrap_or_default().to_owned(),
            reason: answer.complaint(),
        })
    }

    fn confine(&self) -> Result<Confinement, GitError> {
        let mut own: Vec<(&'static str, String)> =
            ENVIRONMENT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if self.access == Access::Look {
            own.push(("GIT_OPTIONAL_LOCKS", "0".to_owned()));
        }
        if self.access != Access::Reach {
            // No transport at all.
            own.push(("GIT_ALLOW_PROTOCOL", "none".to_owned()));
        }
        own.extend(self.variables.iter().cloned());
        let environment = Environment { requested: Vec::new(), own, settings: self.all_settings() };
        let workspace = self.workspace;
        Ok(match self.access {
            Access::Look => workspace.reading(&self.top, environment)?,
            Access::Change => workspace.writing(&self.top, false, environment)?,
            Access::Reach => workspace.writing(&self.top, true, environment)?,
        })
    }

    fn all_settings(&self) -> Vec<(String, String)> {
        let fixed = OVERRIDES.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        fixed.chain(self.settings.iter().cloned()).collect()
    }
}

impl Answer {
    /// Standard output as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as one line.
    pub(super) fn line(&self) -> String {
        self.text().trim_end_matches('\n').to_owned()
    }

    /// What git said was wrong.
    pub(super) fn complaint(&self) -> String {
        let text = self.stderr.trim();
        let text = if text.is_empty() { format!("exit code {}", self.code) } else { text.to_owned() };
        visible::text(&text.chars().take(MAX_REASON_CHARS).collect::<String>()).into_owned()
    }
}

/// Waits for git on a thread and a runtime of its own, so that planning works from any thread that may block, with a
/// runtime or without.
pub(super) fn wait<T: Send>(work: impl Future<Output = Result<T, GitError>> + Send) -> Result<T, GitError> {
    let failed = |reason: String| GitError::refused(format!("git could not be run: {reason}"));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("plan-git".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| failed(error.to_string()))?.block_on(work)
        });
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed("its thread ended abnormally".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    })
}
