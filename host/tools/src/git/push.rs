//! GitPush: one branch, to one remote, exactly the commit that was shown, never by force.

use std::path::Path;

use lanyard_policy::demand::{ContentHash, Demand};
use lanyard_policy::gitname::{Remote, check_name, check_remote_url};
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, OtherDetail, RiskLevel};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::config::{Purpose, inspect, inspect_alone};
use super::invoke::{Access, Git, wait};
use super::repository::Repository;
use super::{Action, GitError, Run, repository};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::content::hash_at;
use crate::execute::{Bounds, Operation};
use crate::ground::{Aliases, Kind, LastLink};
use crate::plan::{Draft, PlanError, Planning};
use crate::workspace::Workspace;

const NAME: &str = "GitPush";

/// Seconds for sending commits over a slow line.
const SECONDS: u64 = 300;

/// Commits listed in an approval.
const MAX_LISTED: &str = "--max-count=50";

/// The receiving side of a repository in the workspace, which does not get our settings otherwise. git hands this
/// text to a shell; it holds nothing from outside.
const RECEIVE_PACK: &str = "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 \
                            -c maintenance.auto=false -c receive.autogc=false -c core.alternateRefsCommand= receive-pack";

pub(crate) static PUSH: Tool = Tool {
    name: NAME,
    description: "Pushes one branch of a git repository of the workspace to one of its remotes, under the same name. \
                  Never by force. Uses neither the owner's SSH keys nor credential helpers: a remote that asks for them \
                  refuses.",
    capabilities: &[Capability::GitPush],
    parameters: &[
        Parameter::optional("remote", ParameterKind::Text, "Name of the remote; `origin` if not given."),
        Parameter::optional("branch", ParameterKind::Text, "The branch; the current one if not given."),
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
    remote: Option<String>,
    branch: Option<String>,
    path: Option<String>,
}

/// A planned push.
#[derive(Debug)]
pub(super) struct Push {
    remote: String,
    target: Target,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    url: String,
    /// The remote is a repository in the workspace.
    local: bool,
    branch: String,
    commit: String,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { remote, branch, path } = arguments::read(NAME, json)?;
    let remote = remote.unwrap_or_else(|| "origin".to_owned());
    let fault = |argument: &'static str| {
        move |fault: lanyard_policy::gitname::GitNameFault| {
            PlanError::argument(NAME, argument, fault.to_string())
        }
    };
    check_name(&remote).map_err(fault("remote"))?;
    if let Some(branch) = &branch {
        check_name(branch).map_err(fault("branch"))?;
    }
    let repository = repository(planning, NAME, path.as_deref())?;
    let workspace = planning.workspace;
    let look = async {
        inspect_alone(workspace, &repository, Purpose::Network).await?;
        let git = Git::planning(workspace, &repository, Access::Look);
        let target = target(workspace, &git, &remote, branch.as_deref()).await?;
        let commits = commits(&git, &remote, &target).await?;
        Ok((target, commits))
    };
    let (target, commits) = wait(look).map_err(|error| error.to_plan())?;
    if !target.local && !planning.terms.allow_network {
        return Err(PlanError::denied("this task may not use the network: start it with allowNetwork"));
    }
    let contents = settings_contents(planning, NAME, &repository)?;
    let top = repository.top().path().to_owned();
    let shown = workspace.ground.shown(&top);
    let url = without_password(&target.url);
    let summary = format!(
        "Push {} of {shown} to {} ({})",
        visible::clipped_line(&target.branch, 100),
        visible::clipped_line(&remote, 100),
        visible::clipped_line(&url, 200)
    );
    Ok(Draft {
        first: Demand::GitPush {
            repo: top,
            remote: remote.clone(),
            url: target.url.clone(),
            branch: target.branch.clone(),
        },
        more: Vec::new(),
        contents,
        summary: summary.clone(),
        risk: RiskLevel::Critical,
        detail: ApprovalDetail::Other(OtherDetail {
            text: format!("{summary}\nat {} {}\n\n{commits}", target.branch, target.commit),
        }),
        lane: Lane::Barrier,
        replay: Replay::Opaque,
        baselines: Vec::new(),
        operation: Operation::Git(Box::new(Run {
            repository,
            action: Action::Push(Push { remote, target }),
            tool: NAME,
        })),
    })
}

/// The settings files of a repository, bound to the approval: what they say decides where a push goes and what a
/// commit is.
pub(super) fn settings_contents(
    planning: &Planning<'_>,
    tool: &'static str,
    repository: &Repository,
) -> Result<Vec<ContentHash>, PlanError> {
    let workspace = planning.workspace;
    let aliases = Aliases::new(&workspace.ground);
    let hash =
        |place: crate::ground::Place| hash_at(&workspace.ground, &workspace.programs, &aliases, place.path());
    let hashes = repository.config_files().into_iter().map(hash).collect::<Result<Vec<_>, _>>();
    hashes.map_err(|error| PlanError::path(tool, "path", &error))
}

async fn target(
    workspace: &Workspace,
    git: &Git<'_>,
    remote: &str,
    branch: Option<&str>,
) -> Result<Target, GitError> {
    let branch = match branch {
        Some(branch) => branch.to_owned(),
        None => {
            let head = git.ask(&["symbolic-ref", "--quiet", "HEAD"], None).await?.line();
            head.strip_prefix("refs/heads/").map(str::to_owned).ok_or_else(|| {
                GitError::refused("the head is detached: name the branch to push in `branch`")
            })?
        }
    };
    check_name(&branch).map_err(|fault| GitError::refused(fault.to_string()))?;
    let reference = format!("refs/heads/{branch}^{{commit}}");
    let commit = git.ask(&["rev-parse", "--verify", "--quiet", &reference], None).await?;
    if commit.code != 0 {
        return Err(GitError::refused(format!("there is no branch {branch}")));
    }
    let urls = git.ask(&["remote", "get-url", "--push", "--all", "--", remote], None).await?;
    let text = urls.text();
    let url = match (urls.code, text.lines().collect::<Vec<_>>().as_slice()) {
        (0, [url]) => (*url).to_owned(),
        (0, _) => {
            return Err(GitError::refused(format!("the remote {remote} has several addresses: give it one")));
        }
        _ => return Err(GitError::refused(format!("there is no remote {remote}"))),
    };
    let local = is_local(workspace, &url).await?;
    Ok(Target { url, local, branch, commit: commit.line() })
}

/// Whether an address is a repository within the workspace. Any other directory, and anything that is no ordinary
/// network address, is refused.
async fn is_local(workspace: &Workspace, url: &str) -> Result<bool, GitError> {
    let path = match check_remote_url(url).map_err(|fault| GitError::refused(fault.to_string()))? {
        Remote::Network => return Ok(false),
        Remote::Local(path) => path,
    };
    let found = workspace.ground.resolve(path.as_str(), LastLink::Follow)?;
    // Links are for git to follow again later, so there must be none.
    if found.kind != Kind::Directory || found.asked != found.place.path() {
        return Err(GitError::refused(format!(
            "{} is not a repository",
            workspace.ground.shown(&found.asked)
        )));
    }
    refuse_acting(workspace, found.place.path()).await?;
    Ok(true)
}

/// A receiving repository acts on its own settings.
async fn refuse_acting(workspace: &Workspace, path: &Path) -> Result<(), GitError> {
    let target = Repository::receiving(&workspace.ground, path)?;
    inspect_alone(workspace, &target, Purpose::Receiving).await.map(drop)
}

/// What the remote does not have yet, as far as is known here.
async fn commits(git: &Git<'_>, remote: &str, target: &Target) -> Result<String, GitError> {
    let known = format!("refs/remotes/{remote}/{}", target.branch);
    let exists = git.ask(&["rev-parse", "--verify", "--quiet", &known], None).await?.code == 0;
    let mut args = vec!["log", "--no-color", "--no-show-signature", "--oneline", "--no-decorate", MAX_LISTED];
    args.push(&target.commit);
    let not_known = format!("^{known}");
    if exists {
        args.push(&not_known);
    }
    args.push("--");
    let list = git.run(&args, None).await?.text();
    Ok(if list.is_empty() {
        "Nothing the remote is known to lack.\n".to_owned()
    } else {
        format!("Commits:\n{list}")
    })
}

impl Push {
    pub(super) async fn run(
        &self,
        workspace: &Workspace,
        repository: &Repository,
        bounds: &Bounds,
    ) -> Result<String, GitError> {
        let look = Git::on(workspace, repository, Access::Look, bounds);
        inspect(workspace, repository, Purpose::Network, &look).await?;
        let now = target(workspace, &look, &self.remote, Some(&self.target.branch)).await?;
        if now != self.target {
            return Err(GitError::refused(
                "the branch or the remote changed since the call was planned: look again and repeat it",
            ));
        }
        let (access, protocols) =
            if now.local { (Access::Change, "file") } else { (Access::Reach, "https:http:ssh") };
        let git = Git::on(workspace, repository, access, bounds)
            .with_timeout(SECONDS, bounds)
            .with_variable("GIT_ALLOW_PROTOCOL", protocols)
            // No settings of the owner's or the system's client, nobody to ask.
            .with_variable("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20");
        let receive = if now.local { RECEIVE_PACK } else { "git-receive-pack" };
        let receive = format!("--receive-pack={receive}");
        // The commit by its id: what was shown is what is sent, wherever the branch is by then.
        let refspec = format!("{}:refs/heads/{}", now.commit, now.branch);
        let args = [
            "push",
            "--porcelain",
            "--no-verify",
            "--no-signed",
            "--no-follow-tags",
            "--no-force",
            "--recurse-submodules=no",
            &receive,
            "--",
            &self.remote,
            &refspec,
        ];
        let answer = git.run(&args, None).await?;
        Ok(visible::text(&answer.text()).into_owned())
    }
}

/// An address without the password it may hold.
fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let hidden = parsed.set_password(Some("***"));
            if hidden.is_ok() { parsed.to_string() } else { "***".to_owned() }
        }
        _ => url.to_owned(),
    }
}
