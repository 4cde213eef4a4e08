//! FindFiles: files by name.

use std::ops::ControlFlow;

use globset::{GlobBuilder, GlobMatcher};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::walk::walk;
use super::{MAX_PATTERN_BYTES, MAX_RESULTS, demands, locate, shown};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{Kind, Place};
use crate::plan::{Draft, PlanError, Planning, Searchable};
use crate::workspace::Workspace;

const NAME: &str = "FindFiles";

pub(crate) static FIND: Tool = Tool {
    name: NAME,
    description: "Finds files of the workspace by name. The pattern is a glob: `*` within a name, `**` across \
                  directories, `{a,b}`, `[a-z]`. Without a slash it matches file names at any depth, with one it matches \
                  paths from the searched directory on. What git ignores is left out.",
    capabilities: &[Capability::FileRead],
    parameters: &[
        Parameter::required(
            "pattern",
            ParameterKind::Text,
            "The glob, for example `*.rs` or `src/**/mod.rs`.",
        ),
        Parameter::optional(
            "path",
            ParameterKind::Text,
            "The directory to search; the workspace itself if not given.",
        ),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    pattern: String,
    path: Option<String>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { pattern, path } = arguments::read(NAME, json)?;
    let glob = glob(NAME, "pattern", &pattern)?;
    let found = locate(planning, NAME, path.as_deref(), false)?;
    let (first, more) = demands(&found);
    let place = planning.workspace.ground.shown(found.place.path());
    let summary = format!("Find {} in {place}", lanyard_policy::visible::clipped_line(&pattern, 200));
    let searchable = planning.terms.searchable.clone();
    let operation = Find { glob, place: found.place, searchable, source: format!("file:{place}") };
    Ok(Draft::reading(first, more, summary, Operation::Blocking(Box::new(operation))))
}

/// Compiles a glob; one without a slash matches names at any depth.
pub(super) fn glob(
    tool: &'static str,
    argument: &'static str,
    pattern: &str,
) -> Result<GlobMatcher, PlanError> {
    arguments::not_empty(tool, argument, pattern)?;
    arguments::at_most(tool, argument, pattern, MAX_PATTERN_BYTES)?;
    let anchored = pattern.strip_prefix("./").unwrap_or(pattern);
    let anchored = if anchored.contains('/') { anchored.to_owned() } else { format!("**/{anchored}") };
    GlobBuilder::new(&anchored)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| PlanError::argument(tool, argument, format!("not a glob: {}", error.kind())))
}

#[derive(Debug)]
struct Find {
    glob: GlobMatcher,
    place: Place,
    searchable: Searchable,
    source: String,
}

impl Blocking for Find {
    fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome {
        let mut text = String::new();
        let mut results = 0;
        let base = workspace.ground.shown(self.place.path());
        let walked = walk(workspace, &self.place, &self.searchable, &bounds.cancel, &mut |entry| {
            if entry.kind == Kind::Special || !self.glob.is_match(entry.below_start) {
                return ControlFlow::Continue(());
            }
            if results == MAX_RESULTS {
                text.push_str(&format!(
                    "[more than {MAX_RESULTS} files: narrow the pattern or name a path]\n"
                ));
                return ControlFlow::Break(());
            }
            results += 1;
            text.push_str(&below(&base, entry.below_start));
            text.push('\n');
            ControlFlow::Continue(())
        });
        match walked {
            Err(error) => Outcome::path(self.source, &error),
            Ok(gaps) if gaps.cancelled => Outcome::cancelled(self.source),
            Ok(gaps) => {
                if results == 0 {
                    text.push_str("[no file matches]\n");
                }
                text.push_str(&gaps.note());
                Outcome::succeeded(self.source, text)
            }
        }
    }
}

/// A path the model can hand back.
pub(super) fn below(base: &str, path: &str) -> String {
    if base == "." { shown(path) } else { format!("{base}/{}", shown(path)) }
}
