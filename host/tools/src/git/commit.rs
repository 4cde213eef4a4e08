//! GitCommit: named files, or what is staged, and nothing else.

use lanyard_policy::demand::Demand;
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, OtherDetail, RiskLevel};
use lanyard_protocol::json::Json;
use lanyard_protocol::limits::MAX_DIFF_BYTES;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::config::{Purpose, inspect, inspect_alone};
use super::identity::owner_settings;
use super::invoke::{Access, Git, wait};
use super::repository::Repository;
use super::snapshot::{Room, Snapshot, describe, take, within};
use super::{Action, GitError, Run, paths_in, push, repository};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Bounds, Operation};
use crate::plan::{Draft, PlanError, Planning};
use crate::text::floor_char;
use crate::workspace::Workspace;

const NAME: &str = "GitCommit";

/// Longest message, bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Seconds for adding large files.
const SECONDS: u64 = 120;

pub(crate) static COMMIT: Tool = Tool {
    name: NAME,
    description: "Commits to a git repository of the workspace. With `paths` exactly those files and directories are \
                  committed as they are now, new and deleted ones included; without, what is staged. Hooks are not run.",
    capabilities: &[Capability::GitCommit],
    parameters: &[
        Parameter::required("message", ParameterKind::Text, "The commit message."),
        Parameter::optional("paths", ParameterKind::Texts, "The files and directories to commit."),
        Parameter::optional(
            "path",
            ParameterKind::Text,
            "A directory of the repository; the workspace itself if not given.",
        ),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    message: String,
    paths: Option<Vec<String>>,
    path: Option<String>,
}

/// A planned commit.
#[derive(Debug)]
pub(super) struct Commit {
    message: String,
    paths: Vec<String>,
    snapshot: Snapshot,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { message, paths, path } = arguments::read(NAME, json)?;
    arguments::not_empty(NAME, "message", message.trim())?;
    arguments::at_most(NAME, "message", &message, MAX_MESSAGE_BYTES)?;
    if message.contains('\0') {
        return Err(PlanError::argument(NAME, "message", "it contains a NUL character"));
    }
    if paths.as_ref().is_some_and(Vec::is_empty) {
        return Err(PlanError::argument(NAME, "paths", "it is empty: leave it out to commit what is staged"));
    }
    let repository = repository(planning, NAME, path.as_deref())?;
    let paths = paths_in(planning, NAME, &repository, &paths.unwrap_or_default())?;
    let message = format!("{}\n", message.trim_end());
    let workspace = planning.workspace;
    let preview = wait(preview(workspace, &repository, &paths)).map_err(|error| error.to_plan())?;
    let contents = push::settings_contents(planning, NAME, &repository)?;

    let top = repository.top().path().to_owned();
    let shown = workspace.ground.shown(&top);
    let first_line = visible::clipped_line(message.lines().next().unwrap_or_default(), 100);
    let branch = preview.snapshot.branch.clone();
    let on =
        branch.as_deref().map_or("a detached head".to_owned(), |branch| visible::clipped_line(branch, 100));
    Ok(Draft {
        first: Demand::GitCommit { repo: top, branch },
        more: Vec::new(),
        contents,
        summary: format!("Commit to {on} in {shown}: {first_line}"),
        risk: RiskLevel::Medium,
        detail: ApprovalDetail::Other(OtherDetail {
            text: format!(
                "Commit to {on} in {shown}\n\n{message}\n{}\n{}",
                preview.list,
                bounded(&preview.diff)
            ),
        }),
        lane: Lane::Barrier,
        replay: Replay::Opaque,
        baselines: Vec::new(),
        operation: Operation::Git(Box::new(Run {
            repository,
            action: Action::Commit(Commit { message, paths, snapshot: preview.snapshot }),
            tool: NAME,
        })),
    })
}

struct Preview {
    snapshot: Snapshot,
    list: String,
    diff: String,
}

async fn preview(
    workspace: &Workspace,
    repository: &Repository,
    paths: &[String],
) -> Result<Preview, GitError> {
    let settings = inspect_alone(workspace, repository, Purpose::Local).await?;
    let who = owner_settings(workspace, repository.top().path(), &settings).await?;
    let room = Room::make(workspace)?;
    let git = Git::planning(workspace, repository, Access::Look).without_filters(&settings.filters);
    let git = who.iter().fold(git, |git, (key, value)| git.with_setting(key, value));
    let git = within(git, repository, &room, Access::Look);
    let snapshot = take(workspace, repository, &room, &git, paths).await?;
    let (list, diff) = describe(&git).await?;
    if list.is_empty() {
        return Err(GitError::refused(if paths.is_empty() {
            "nothing is staged: name the files to commit in `paths`"
        } else {
            "nothing in these paths differs from the last commit"
        }));
    }
    Ok(Preview { snapshot, list, diff })
}

impl Commit {
    pub(super) async fn run(
        &self,
        workspace: &Workspace,
        repository: &Repository,
        bounds: &Bounds,
    ) -> Result<String, GitError> {
        let look = Git::on(workspace, repository, Access::Look, bounds);
        let settings = inspect(workspace, repository, Purpose::Local, &look).await?;
        let who = owner_settings(workspace, repository.top().path(), &settings).await?;
        let room = Room::make(workspace)?;
        let git = Git::on(workspace, repository, Access::Change, bounds)
            .with_timeout(SECONDS, bounds)
            .without_filters(&settings.filters);
        let git = who.iter().fold(git, |git, (key, value)| git.with_setting(key, value));
        let apart = within(git.clone(), repository, &room, Access::Change);
        let now = take(workspace, repository, &room, &apart, &self.paths).await?;
        if now != self.snapshot {
            return Err(GitError::refused(
                "the files, what is staged or the branch changed since the call was planned: look again and repeat it",
            ));
        }
        let mut args = vec!["commit-tree", "-F", "-"];
        if let Some(parent) = &now.parent {
            args.extend(["-p", parent.as_str()]);
        }
        args.push(&now.tree);
        let commit = git.run(&args, Some(self.message.clone().into_bytes())).await?.line();
        let subject = self.message.lines().next().unwrap_or_default();
        let reflog = format!("commit: {subject}");
        // Only if the branch is still where the commit starts from; an empty old value means "must not exist".
        let old = now.parent.as_deref().unwrap_or("");
        git.run(&["update-ref", "-m", &reflog, "HEAD", &commit, old], None).await?;
        if !self.paths.is_empty() {
            // The index takes over what was committed; other staged changes stay.
            let mut reset = vec!["reset", "--quiet", commit.as_str(), "--"];
            reset.extend(self.paths.iter().map(String::as_str));
            git.run(&reset, None).await?;
        }
        let mut show = vec!["diff-tree", "--root", "--stat=120", "--no-commit-id", "-r"];
        show.extend(["--no-ext-diff", "--no-textconv", "--no-color", &commit]);
        let list = git.run(&show, None).await?.text();
        let on = now.branch.as_deref().unwrap_or("a detached head");
        Ok(format!("Committed {commit} to {on}.\n{list}"))
    }
}

/// As much of a diff as an approval shows.
fn bounded(diff: &str) -> String {
    if diff.len() <= MAX_DIFF_BYTES {
        return diff.to_owned();
    }
    let end = floor_char(diff, MAX_DIFF_BYTES);
    let end = diff[..end].rfind('\n').map_or(end, |feed| feed + 1);
    format!("{}[… {} more bytes of differences are not shown]\n", &diff[..end], diff.len() - end)
}
