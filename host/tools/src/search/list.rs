//! ListDirectory.

use cap_std::fs::Dir;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::ignored::Ignored;
use super::{demands, locate, shown};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{Kind, PathError, Place, read_link_text};
use crate::plan::{Draft, PlanError, Planning};
use crate::workspace::Workspace;

const NAME: &str = "ListDirectory";

/// Entries listed; larger directories hold generated files, and FindFiles narrows them down.
const MAX_LISTED: usize = 2000;

/// Entries read to find the first ones by name.
const MAX_READ: usize = 100_000;

pub(crate) static LIST: Tool = Tool {
    name: NAME,
    description: "Lists one directory of the workspace: directories with a slash, files with their size, symbolic links \
                  with their target. What git ignores is marked.",
    capabilities: &[Capability::FileRead],
    parameters: &[Parameter::optional(
        "path",
        ParameterKind::Text,
        "The directory, relative to the workspace or absolute within it; the workspace itself if not given.",
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
    let found = locate(planning, NAME, path.as_deref(), false)?;
    let (first, more) = demands(&found);
    let shown = planning.workspace.ground.shown(found.place.path());
    let operation = List { place: found.place, source: format!("file:{shown}") };
    let operation = Operation::Blocking(Box::new(operation));
    Ok(Draft::reading(first, more, format!("List {shown}"), operation))
}

#[derive(Debug)]
struct List {
    place: Place,
    source: String,
}

impl Blocking for List {
    fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome {
        match self.listing(workspace, &bounds.cancel) {
            Ok(Some(text)) => Outcome::succeeded(self.source, text),
            Ok(None) => Outcome::cancelled(self.source),
            Err(error) => Outcome::path(self.source, &error),
        }
    }
}

impl List {
    /// `None` when cancelled.
    fn listing(
        &self,
        workspace: &Workspace,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, PathError> {
        let dir = workspace.ground.open_directory(&self.place)?;
        let ignored = Ignored::at(workspace, &self.place)?;
        let failed = |source| PathError::Io { path: self.place.path().to_owned(), source };
        let mut names = Vec::new();
        let mut unread = false;
        for entry in dir.entries().map_err(failed)? {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            if names.len() == MAX_READ {
                unread = true;
                break;
            }
            let entry = entry.map_err(failed)?;
            names.push((entry.file_name(), Kind::of(entry.file_type().map_err(failed)?)));
        }
        names.sort();
        let prefix = self.place.names().iter().fold(String::new(), |path, name| path + name + "/");
        let mut text = String::new();
        for (name, kind) in names.iter().take(MAX_LISTED) {
            let (name, utf8) = match name.to_str() {
                Some(name) => (name.to_owned(), true),
                None => (name.to_string_lossy().into_owned(), false),
            };
            text.push_str(&line(&dir, &name, *kind));
            if ignored.covers(&format!("{prefix}{name}"), *kind == Kind::Directory) {
                text.push_str("  (ignored by git)");
            }
            if !utf8 {
                text.push_str("  (name is not UTF-8)");
            }
            text.push('\n');
        }
        if names.is_empty() {
            text.push_str("[the directory is empty]\n");
        }
        if names.len() > MAX_LISTED {
            let more = if unread { "at least " } else { "" };
            let left = names.len() - MAX_LISTED;
            text.push_str(&format!("[not shown: {more}{left}; use FindFiles]\n"));
        }
        Ok(Some(text))
    }
}

fn line(dir: &Dir, name: &str, kind: Kind) -> String {
    let name_shown = shown(name);
    match kind {
        Kind::Directory => format!("{name_shown}/"),
        Kind::Link => {
            format!("{name_shown} -> {}", read_link_text(dir, name).unwrap_or_else(|| "?".to_owned()))
        }
        Kind::File => match dir.symlink_metadata(name) {
            Ok(metadata) => format!("{name_shown}  {} bytes", metadata.len()),
            Err(_) => name_shown,
        },
        Kind::Special | Kind::Missing => format!("{name_shown}  (pipe, socket or device)"),
    }
}
