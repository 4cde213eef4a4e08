//! Looking for files and in files. Nothing here follows a symbolic link or leaves its bounds.

mod find;
mod grep;
mod ignored;
mod list;
mod walk;

#[cfg(test)]
mod tests;

use lanyard_policy::demand::Demand;
use lanyard_policy::visible;

use crate::files;
use crate::ground::{Found, Kind, LastLink, PathError};
use crate::plan::{PlanError, Planning};

pub(crate) use find::FIND;
pub(crate) use grep::GREP;
pub(crate) use list::LIST;

/// Longest pattern, bytes.
const MAX_PATTERN_BYTES: usize = 4096;

/// Results of one search: more is a question asked too broadly, and would not fit into the model's view.
const MAX_RESULTS: usize = 1000;

/// Finds the directory (or, where allowed, file) to search, the first root when none is named.
fn locate(
    planning: &Planning<'_>,
    tool: &'static str,
    path: Option<&str>,
    file_allowed: bool,
) -> Result<Found, PlanError> {
    let found = planning.workspace.ground.resolve(path.unwrap_or("."), LastLink::Follow);
    let found = found.map_err(|error| PlanError::path(tool, "path", &error))?;
    let at = || found.place.path().to_owned();
    let error = match found.kind {
        Kind::Directory => return Ok(found),
        Kind::File if file_allowed => return Ok(found),
        Kind::Missing => PathError::Missing { path: at() },
        Kind::File | Kind::Link | Kind::Special => PathError::NotDirectory { path: at() },
    };
    Err(PlanError::path(tool, "path", &error))
}

fn demands(found: &Found) -> (Demand, Vec<Demand>) {
    files::demands(found, Demand::ReadPath)
}

/// A name for one line of output.
fn shown(name: &str) -> String {
    visible::line(name).into_owned()
}
