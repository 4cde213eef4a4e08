//! GitStatus.

use lanyard_policy::demand::Demand;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::config::{Purpose, inspect};
use super::invoke::{Access, Git};
use super::repository::Repository;
use super::{Action, GitError, Run, repository};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Bounds, Operation};
use crate::plan::{Draft, PlanError, Planning};
use crate::workspace::Workspace;

const NAME: &str = "GitStatus";

pub(crate) static STATUS: Tool = Tool {
    name: NAME,
    description: "Shows the branch and the changed files of a git repository of the workspace, in git's short format: \
                  the first column is staged, the second is not, ?? is untracked.",
    capabilities: &[Capability::GitStatus],
    parameters: &[Parameter::optional(
        "path",
        ParameterKind::Text,
        "A directory of the repository; only what lies below it is shown. The workspace itself if not given.",
    )],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path } = arguments::read(NAME, json)?;
    let repository = repository(planning, NAME, path.as_deref())?;
    let paths = match &path {
        Some(path) => super::paths_in(planning, NAME, &repository, std::slice::from_ref(path))?,
        None => Vec::new(),
    };
    let top = repository.top().path().to_owned();
    let summary = format!("Show the git status of {}", planning.workspace.ground.shown(&top));
    let run = Run { repository, action: Action::Status { paths }, tool: NAME };
    let first = Demand::GitStatus { repo: top };
    Ok(Draft::reading(first, Vec::new(), summary, Operation::Git(Box::new(run))))
}

pub(super) async fn run(
    workspace: &Workspace,
    repository: &Repository,
    paths: &[String],
    bounds: &Bounds,
) -> Result<String, GitError> {
    let git = Git::on(workspace, repository, Access::Look, bounds);
    let settings = inspect(workspace, repository, Purpose::Local, &git).await?;
    let git = git.without_filters(&settings.filters);
    let mut args = vec![
        "status",
        "--porcelain=v1",
        "--branch",
        "--untracked-files=normal",
        // The work trees of submodules would be looked at with their own settings.
        "--ignore-submodules=dirty",
        "--",
    ];
    args.extend(paths.iter().map(String::as_str));
    let answer = git.run(&args, None).await?;
    let mut text = answer.text();
    text.push_str(&filter_note(&settings.filters));
    Ok(text)
}

/// Says what is not shown as usual when filters are switched off.
pub(super) fn filter_note(filters: &[String]) -> String {
    if filters.is_empty() {
        return String::new();
    }
    let names = lanyard_policy::visible::clipped_line(&filters.join(", "), 200);
    format!("[content filters are not run ({names}): files stored through them may look changed]\n")
}
