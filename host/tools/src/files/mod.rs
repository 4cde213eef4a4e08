//! Reading and changing files.

mod change;
mod delete;
mod edit;
mod read;
mod relocate;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use lanyard_policy::demand::Demand;

use crate::ground::{Found, Kind, LastLink, PathError};
use crate::plan::{PlanError, Planning};

pub(crate) use delete::DELETE;
pub(crate) use edit::EDIT;
pub(crate) use read::READ;
pub(crate) use relocate::MOVE;
pub(crate) use write::WRITE;

/// Finds what an argument names.
fn locate(
    planning: &Planning<'_>,
    tool: &'static str,
    argument: &'static str,
    text: &str,
    last: LastLink,
) -> Result<Found, PlanError> {
    crate::arguments::not_empty(tool, argument, text)?;
    let found = planning.workspace.ground.resolve(text, last);
    found.map_err(|error| PlanError::path(tool, argument, &error))
}

/// The demand for the real location, and the same for the name asked for where links lie in between: policy judges
/// both.
pub(crate) fn demands(found: &Found, demand: impl Fn(PathBuf) -> Demand) -> (Demand, Vec<Demand>) {
    let real = found.place.path();
    let asked = (found.asked != real).then(|| demand(found.asked.clone()));
    (demand(real.to_owned()), asked.into_iter().collect())
}

/// Refuses what is no file to be changed.
fn refuse_unchangeable(tool: &'static str, found: &Found) -> Result<(), PlanError> {
    let path = || found.place.path().to_owned();
    let error = match found.kind {
        Kind::File | Kind::Missing => return Ok(()),
        Kind::Directory => PathError::IsDirectory { path: path() },
        Kind::Link => PathError::IsLink { path: path() },
        Kind::Special => PathError::Special { path: path() },
    };
    Err(PlanError::path(tool, "path", &error))
}

/// Says what happens to the other names of a file (6-security.md, item 5).
fn other_names_note(names: u64) -> String {
    match names {
        0 => String::new(),
        1 => " The file has another name (hard link), which keeps the old content.".to_owned(),
        more => format!(" The file has {more} other names (hard links), which keep the old content."),
    }
}

/// Provenance of what was read from, or done to, a file.
fn source(planning: &Planning<'_>, path: &Path) -> String {
    format!("file:{}", planning.workspace.ground.shown(path))
}
