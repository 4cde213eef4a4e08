//! DeleteFile: a file, a symbolic link (not where it leads), or an empty directory.

use lanyard_policy::demand::{ContentHash, Demand};
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, ChangeKind, FileChangeDetail, OtherDetail, RiskLevel};
use lanyard_protocol::event::FileChange;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::{change, demands, locate, source};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::content::hash;
use crate::diff::unified;
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{
    Aliases, Found, Kind, LastLink, MAX_CHANGED_BYTES, PathError, Place, open_regular, read_link_text,
    remove, sync_directory,
};
use crate::plan::{Draft, PlanError, Planning, PreImage};
use crate::workspace::Workspace;

const NAME: &str = "DeleteFile";

pub(crate) static DELETE: Tool = Tool {
    name: NAME,
    description: "Deletes a file, a symbolic link or an empty directory of the workspace.",
    capabilities: &[Capability::FileDelete],
    parameters: &[Parameter::required(
        "path",
        ParameterKind::Text,
        "The file, relative to the workspace or absolute within it.",
    )],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: String,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path } = arguments::read(NAME, json)?;
    let found = locate(planning, NAME, "path", &path, LastLink::Keep)?;
    let refuse = |error: PathError| Err(PlanError::path(NAME, "path", &error));
    let at = || found.place.path().to_owned();
    if found.place.name().is_none() {
        return Err(PlanError::denied(format!(
            "{} is a workspace directory itself and is not deleted",
            at().display()
        )));
    }
    match found.kind {
        Kind::Missing => refuse(PathError::Missing { path: at() }),
        Kind::Special => refuse(PathError::Special { path: at() }),
        Kind::File => plan_file(planning, &found),
        Kind::Link | Kind::Directory => plan_other(planning, &found),
    }
}

fn plan_file(planning: &Planning<'_>, found: &Found) -> Result<Draft, PlanError> {
    let path = found.place.path().to_owned();
    let shown = planning.workspace.ground.shown(&path);
    let content = change::before(planning, NAME, found)
        .map_err(|error| match error {
            PlanError::Impossible { reason } => PlanError::impossible(format!(
                "{reason}; it could not be restored, so it is not deleted here: use RunCommand"
            )),
            other => other,
        })?
        .content
        .unwrap_or_default();
    let diff = unified(&shown, Some(&content), None);
    let pre = hash(&content);
    let (first, more) = demands(found, Demand::DeletePath);
    let removed = if diff.text.is_empty() { format!("{} bytes", content.len()) } else { diff.counts() };
    Ok(Draft {
        first,
        more,
        contents: vec![ContentHash { path: path.clone(), sha256: Some(pre.clone()) }],
        summary: format!("Delete {shown} ({removed})"),
        risk: RiskLevel::High,
        detail: ApprovalDetail::FileChange(FileChangeDetail {
            path: shown.clone(),
            new_path: None,
            change: ChangeKind::Deleted,
            diff: diff.text,
            truncated: diff.truncated,
        }),
        // Deletes are barriers: what runs beside them may rely on the file.
        lane: Lane::Barrier,
        replay: Replay::FileWrite { path: path.clone(), pre: Some(pre.clone()), post: None },
        operation: Operation::Blocking(Box::new(Delete {
            place: found.place.clone(),
            what: What::File { sha256: pre },
            change: Some(FileChange {
                path: shown,
                change: ChangeKind::Deleted,
                lines_added: 0,
                lines_removed: diff.removed,
            }),
            source: source(planning, &path),
        })),
        baselines: vec![PreImage { path, content: Some(content), change: ChangeKind::Deleted }],
    })
}

/// A link or an empty directory: there is no content to keep.
fn plan_other(planning: &Planning<'_>, found: &Found) -> Result<Draft, PlanError> {
    let ground = &planning.workspace.ground;
    let path = found.place.path().to_owned();
    let shown = ground.shown(&path);
    let fail = |error: PathError| PlanError::path(NAME, "path", &error);
    let (dir, name) = ground.open_parent(&found.place).map_err(fail)?;
    let (what, text) = if found.kind == Kind::Link {
        let target =
            read_link_text(&dir, name).ok_or_else(|| fail(PathError::Changed { path: path.clone() }))?;
        let text = format!("Delete the symbolic link {shown} (to {target}); what it leads to stays");
        (What::Link { target }, text)
    } else {
        let opened = ground.open_directory(&found.place).map_err(fail)?;
        let mut entries =
            opened.entries().map_err(|source| fail(PathError::Io { path: path.clone(), source }))?;
        if entries.next().is_some() {
            return Err(PlanError::impossible(format!(
                "{shown} is a directory with files in it: delete them first, or use RunCommand"
            )));
        }
        (What::EmptyDirectory, format!("Delete the empty directory {shown}"))
    };
    let (first, more) = demands(found, Demand::DeletePath);
    Ok(Draft {
        first,
        more,
        contents: Vec::new(),
        summary: text.clone(),
        risk: RiskLevel::Medium,
        detail: ApprovalDetail::Other(OtherDetail { text }),
        lane: Lane::Barrier,
        replay: Replay::Opaque,
        baselines: Vec::new(),
        operation: Operation::Blocking(Box::new(Delete {
            source: source(planning, &path),
            place: found.place.clone(),
            what,
            change: None,
        })),
    })
}

#[derive(Debug)]
enum What {
    File { sha256: String },
    Link { target: String },
    EmptyDirectory,
}

#[derive(Debug)]
struct Delete {
    place: Place,
    what: What,
    change: Option<FileChange>,
    source: String,
}

impl Blocking for Delete {
    fn run(self: Box<Self>, workspace: &Workspace, _bounds: &Bounds) -> Outcome {
        match self.delete(workspace) {
            Ok(()) => {
                let output = format!("Deleted {}.\n", workspace.ground.shown(self.place.path()));
                Outcome::succeeded(self.source, visible::text(&output))
                    .with_changes(self.change.into_iter().collect())
            }
            Err(error) => Outcome::path(self.source, &error),
        }
    }
}

impl Delete {
    fn delete(&self, workspace: &Workspace) -> Result<(), PathError> {
        let ground = &workspace.ground;
        let path = self.place.path();
        let changed = || PathError::Changed { path: path.to_owned() };
        let (dir, name) = ground.open_parent(&self.place)?;
        match &self.what {
            What::File { sha256 } => {
                let file = open_regular(&dir, name, path, &Aliases::new(ground))?;
                if hash(&file.read(MAX_CHANGED_BYTES)?) != *sha256 {
                    return Err(changed());
                }
                remove(&dir, name, path)
            }
            What::Link { target } => {
                if read_link_text(&dir, name).as_ref() != Some(target) {
                    return Err(changed());
                }
                remove(&dir, name, path)
            }
            What::EmptyDirectory => {
                // The system refuses a directory that is no longer empty, and a link in its place.
                let failed = |source| PathError::Io { path: path.to_owned(), source };
                dir.remove_dir(name).map_err(failed)?;
                sync_directory(&dir).map_err(failed)
            }
        }
    }
}
