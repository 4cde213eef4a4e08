//! The git tools: the real `git`, run so that a repository cannot make it run anything else.
//!
//! A repository is input. Its configuration, attributes, hooks and submodules can name programs, and plain git runs
//! them on `status` already. Three layers keep that from happening (6-security.md, items 15 to 17): every known way is
//! switched off (`invoke`), what cannot be switched off is refused by name (`config`), and the child is confined like
//! any other. Commits are made from plumbing, which knows no hooks at all, and only of the exact tree that was shown.

mod commit;
mod config;
mod diff;
mod identity;
mod invoke;
mod push;
mod repository;
mod snapshot;
mod status;

#[cfg(test)]
mod tests;

use lanyard_protocol::error::{ErrorCode, WireError};

use crate::execute::{Bounds, Outcome, OutputSink};
use crate::ground::{LastLink, PathError};
use crate::plan::{PlanError, Planning};
use crate::process::RunError;
use crate::sandbox::PrepareError;
use crate::workspace::Workspace;

pub(crate) use commit::COMMIT;
pub(crate) use diff::DIFF;
pub(crate) use push::PUSH;
pub(crate) use status::STATUS;

use repository::Repository;

/// Paths one call may name.
const MAX_PATHS: usize = 256;

/// Why git could not do it.
#[derive(Debug, thiserror::Error)]
enum GitError {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{0}")]
    Confine(#[from] PrepareError),
    #[error("git was not run: {0}")]
    Run(#[from] RunError),
    /// It ran, and said no.
    #[error("git {command}: {reason}")]
    Failed { command: String, reason: String },
    /// A setting of the repository that would run a program, or that hides what would happen.
    #[error("the repository's configuration sets {key}, which {why}: remove it, or use RunCommand")]
    Setting { key: String, why: &'static str },
    /// Anything else that stands in the way.
    #[error("{0}")]
    Refused(String),
    /// Cancelled, at the call's own request.
    #[error("cancelled")]
    Cancelled,
}

impl GitError {
    fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    fn is_denial(&self) -> bool {
        match self {
            Self::Path(error) => error.is_denial(),
            Self::Setting { .. } | Self::Confine(PrepareError::Protected { .. }) => true,
            _ => false,
        }
    }

    fn to_plan(&self) -> PlanError {
        if self.is_denial() {
            PlanError::denied(self.to_string())
        } else {
            PlanError::impossible(self.to_string())
        }
    }

    fn to_outcome(&self, source: String) -> Outcome {
        if matches!(self, Self::Cancelled | Self::Run(RunError::Cancelled)) {
            return Outcome::cancelled(source);
        }
        let code =
            if self.is_denial() { ErrorCode::CapabilityDenied } else { ErrorCode::ToolExecutionFailed };
        Outcome::error(source, WireError::new(code, self.to_string()))
    }
}

/// A planned git call.
#[derive(Debug)]
pub(crate) struct Run {
    repository: Repository,
    action: Action,
    tool: &'static str,
}

#[derive(Debug)]
enum Action {
    Status { paths: Vec<String> },
    Diff(diff::Diff),
    Commit(commit::Commit),
    Push(push::Push),
}

impl Run {
    pub(crate) async fn run(
        self: Box<Self>,
        workspace: &Workspace,
        sink: &OutputSink,
        bounds: &Bounds,
    ) -> Outcome {
        let source = format!("tool:{}", self.tool);
        let repository = &self.repository;
        let done = match &self.action {
            Action::Status { paths } => status::run(workspace, repository, paths, bounds).await,
            Action::Diff(diff) => diff.run(workspace, repository, bounds).await,
            Action::Commit(commit) => commit.run(workspace, repository, bounds).await,
            Action::Push(push) => push.run(workspace, repository, bounds).await,
        };
        let mut outcome = match done {
            Ok(output) => {
                sink.piece(&output);
                Outcome { exit_code: Some(0), ..Outcome::succeeded(source, output) }
            }
            Err(error) => error.to_outcome(source),
        };
        outcome.sandbox_level = workspace.sandbox_level();
        outcome
    }
}

/// The repository a call is about: the one `path` lies in, or the workspace's own.
fn repository(
    planning: &Planning<'_>,
    tool: &'static str,
    path: Option<&str>,
) -> Result<Repository, PlanError> {
    let ground = &planning.workspace.ground;
    let found = ground.resolve(path.unwrap_or("."), LastLink::Follow);
    let found = found.map_err(|error| PlanError::path(tool, "path", &error))?;
    Repository::find(ground, &found).map_err(|error| error.to_plan())
}

/// Paths of a call as git is given them: below the top of the work tree, taken literally. Links are not followed.
fn paths_in(
    planning: &Planning<'_>,
    tool: &'static str,
    repository: &Repository,
    paths: &[String],
) -> Result<Vec<String>, PlanError> {
    if paths.len() > MAX_PATHS {
        return Err(PlanError::argument(tool, "paths", format!("at most {MAX_PATHS} paths in one call")));
    }
    let mut inside = Vec::with_capacity(paths.len());
    for path in paths {
        let found = planning.workspace.ground.resolve(path, LastLink::Keep);
        let found = found.map_err(|error| PlanError::path(tool, "paths", &error))?;
        let below = repository.below_top(&found.place).ok_or_else(|| {
            let top = planning.workspace.ground.shown(repository.top().path());
            PlanError::argument(tool, "paths", format!("{path} does not lie in the repository {top}"))
        })?;
        inside.push(below);
    }
    Ok(inside)
}
