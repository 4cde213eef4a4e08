//! GitDiff.

use lanyard_policy::demand::Demand;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::config::{Purpose, inspect};
use super::invoke::{Access, Git};
use super::repository::Repository;
use super::status::filter_note;
use super::{Action, GitError, Run, paths_in, repository};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Bounds, Operation};
use crate::plan::{Draft, PlanError, Planning};
use crate::workspace::Workspace;

const NAME: &str = "GitDiff";

/// How every diff is made: no programs, no settings that change what is shown.
pub(super) const PLAIN: &[&str] = &[
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--submodule=short",
    "--ignore-submodules=dirty",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

pub(crate) static DIFF: Tool = Tool {
    name: NAME,
    description: "Shows the differences of a git repository of the workspace: of the files to what is staged, or with \
                  `staged` of what is staged to the last commit. Untracked files are not shown.",
    capabilities: &[Capability::GitDiff],
    parameters: &[
        Parameter::optional(
            "path",
            ParameterKind::Text,
            "A directory of the repository; the workspace itself if not given.",
        ),
        Parameter::optional("staged", ParameterKind::Flag, "Show what is staged; false if not given."),
        Parameter::optional("paths", ParameterKind::Texts, "Only these files and directories."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
    staged: Option<bool>,
    paths: Option<Vec<String>>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, staged, paths } = arguments::read(NAME, json)?;
    let repository = repository(planning, NAME, path.as_deref())?;
    let paths = paths_in(planning, NAME, &repository, &paths.unwrap_or_default())?;
    let staged = staged.unwrap_or(false);
    let top = repository.top().path().to_owned();
    let what = if staged { "what is staged" } else { "the changes" };
    let summary = format!("Show {what} in {}", planning.workspace.ground.shown(&top));
    let run = Run { repository, action: Action::Diff { staged, paths }, tool: NAME };
    let first = Demand::GitDiff { repo: top };
    Ok(Draft::reading(first, Vec::new(), "Show differences?", summary, Operation::Git(Box::new(run))))
}

pub(super) async fn run(
    workspace: &Workspace,
    repository: &Repository,
    staged: bool,
    paths: &[String],
    bounds: &Bounds,
) -> Result<String, GitError> {
    let git = Git::on(workspace, repository, Access::Look, bounds);
    let settings = inspect(workspace, repository, Purpose::Local, &git).await?;
    let git = git.without_filters(&settings.filters);
    let mut args = vec!["diff"];
    args.extend_from_slice(PLAIN);
    if staged {
        args.push("--cached");
    }
    args.push("--");
    args.extend(paths.iter().map(String::as_str));
    let answer = git.run(&args, None).await?;
    let mut text = answer.text();
    if text.is_empty() {
        text.push_str("[no differences]\n");
    }
    text.push_str(&filter_note(&settings.filters));
    Ok(text)
}
