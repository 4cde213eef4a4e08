//! MoveFile: gives a file another name, never over an existing one.

use lanyard_policy::demand::{ContentHash, Demand};
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, ChangeKind, FileChangeDetail, RiskLevel};
use lanyard_protocol::event::FileChange;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::{change, demands, locate, source};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::content::hash;
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{
    Aliases, Kind, LastLink, MAX_CHANGED_BYTES, PathError, Place, open_regular, rename_new, sync_directory,
};
use crate::plan::{Draft, PlanError, Planning, PreImage};
use crate::workspace::Workspace;

const NAME: &str = "MoveFile";

pub(crate) static MOVE: Tool = Tool {
    name: NAME,
    description: "Moves or renames a file of the workspace. Missing directories are created; an existing file is never \
                  replaced.",
    capabilities: &[Capability::FileWrite, Capability::FileDelete],
    parameters: &[
        Parameter::required(
            "path",
            ParameterKind::Text,
            "The file, relative to the workspace or absolute within it.",
        ),
        Parameter::required("newPath", ParameterKind::Text, "Its new path, file name included."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: String,
    new_path: String,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, new_path } = arguments::read(NAME, json)?;
    let from = locate(planning, NAME, "path", &path, LastLink::Keep)?;
    let at = || from.place.path().to_owned();
    let refuse = |error: PathError| Err(PlanError::path(NAME, "path", &error));
    match from.kind {
        Kind::File => {}
        Kind::Missing => return refuse(PathError::Missing { path: at() }),
        Kind::Special => return refuse(PathError::Special { path: at() }),
        // Its meaning depends on where it is.
        Kind::Link => return refuse(PathError::IsLink { path: at() }),
        Kind::Directory => {
            let reason = format!("{} is a directory: move its files, or use RunCommand", at().display());
            return Err(PlanError::impossible(visible::line(&reason)));
        }
    }
    let to = locate(planning, NAME, "newPath", &new_path, LastLink::Keep)?;
    if to.kind != Kind::Missing || new_path.ends_with('/') {
        let hint = if to.kind == Kind::Directory { ": add the file name" } else { "" };
        let error = PathError::Exists { path: to.place.path().to_owned() };
        return Err(PlanError::impossible(format!("{error}{hint}")));
    }
    let content = change::before(planning, NAME, &from)?.content.unwrap_or_default();
    let pre = hash(&content);
    let size = content.len() as u64;
    let (first, also) = demands(&to, |path| Demand::WritePath { path, size });
    let (away, more) = demands(&from, Demand::DeletePath);
    let (old, new) = (from.place.path().to_owned(), to.place.path().to_owned());
    let ground = &planning.workspace.ground;
    let (shown_old, shown_new) = (ground.shown(&old), ground.shown(&new));
    let change =
        |path: &str, change| FileChange { path: path.to_owned(), change, lines_added: 0, lines_removed: 0 };
    Ok(Draft {
        first,
        more: std::iter::once(away).chain(also).chain(more).collect(),
        contents: vec![
            ContentHash { path: old.clone(), sha256: Some(pre.clone()) },
            ContentHash { path: new.clone(), sha256: None },
        ],
        summary: format!("Move {shown_old} to {shown_new}"),
        risk: RiskLevel::Medium,
        detail: ApprovalDetail::FileChange(FileChangeDetail {
            path: shown_old.clone(),
            new_path: Some(shown_new.clone()),
            change: ChangeKind::Moved,
            diff: String::new(),
            truncated: false,
        }),
        lane: Lane::Write(vec![old.clone(), new.clone()]),
        // One rename: as long as the old name has the content nothing has happened, once it is gone all has.
        replay: Replay::FileWrite { path: old.clone(), pre: Some(pre.clone()), post: None },
        operation: Operation::Blocking(Box::new(Move {
            source: source(planning, &new),
            from: from.place,
            to: to.place,
            sha256: pre,
            changes: vec![change(&shown_old, ChangeKind::Moved), change(&shown_new, ChangeKind::Created)],
        })),
        baselines: vec![
            PreImage { path: old, content: Some(content), change: ChangeKind::Moved },
            PreImage { path: new, content: None, change: ChangeKind::Created },
        ],
    })
}

#[derive(Debug)]
struct Move {
    from: Place,
    to: Place,
    sha256: String,
    changes: Vec<FileChange>,
    source: String,
}

impl Blocking for Move {
    fn run(self: Box<Self>, workspace: &Workspace, _bounds: &Bounds) -> Outcome {
        match self.rename(workspace) {
            Ok(()) => {
                let ground = &workspace.ground;
                let (from, to) = (ground.shown(self.from.path()), ground.shown(self.to.path()));
                Outcome::succeeded(self.source, format!("Moved {from} to {to}.\n")).with_changes(self.changes)
            }
            Err(error) => Outcome::path(self.source, &error),
        }
    }
}

impl Move {
    fn rename(&self, workspace: &Workspace) -> Result<(), PathError> {
        let ground = &workspace.ground;
        let path = self.from.path();
        let (old_dir, old_name) = ground.open_parent(&self.from)?;
        let file = open_regular(&old_dir, old_name, path, &Aliases::new(ground))?;
        if hash(&file.read(MAX_CHANGED_BYTES)?) != self.sha256 {
            return Err(PathError::Changed { path: path.to_owned() });
        }
        let (new_dir, new_name) = ground.make_parent(&self.to)?;
        rename_new(&old_dir, old_name, &new_dir, new_name, self.to.path())?;
        let failed = |source| PathError::Io { path: path.to_owned(), source };
        sync_directory(&new_dir).map_err(failed)?;
        sync_directory(&old_dir).map_err(failed)
    }
}
