//! GrepFiles: lines by regular expression.

use std::ops::ControlFlow;

use globset::GlobMatcher;
use lanyard_policy::visible;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::find::{below, glob};
use super::walk::walk;
use super::{MAX_PATTERN_BYTES, MAX_RESULTS, demands, locate};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{Aliases, Kind, PathError, Place, open_regular};
use crate::plan::{Draft, PlanError, Planning, Searchable};
use crate::text::{floor_char, is_binary};
use crate::workspace::Workspace;

const NAME: &str = "GrepFiles";

/// Memory of a compiled expression, bytes: far more than any sensible one needs.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Largest file searched, bytes; larger ones are data.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Bytes of a line shown.
const MAX_LINE_BYTES: usize = 400;

pub(crate) static GREP: Tool = Tool {
    name: NAME,
    description: "Finds the lines of text files that match a regular expression (RE2 syntax: no look-around, no \
                  back-references). Answers `path:line: text`. What git ignores, data, and files that may hold \
                  credentials are left out.",
    capabilities: &[Capability::FileRead],
    parameters: &[
        Parameter::required(
            "pattern",
            ParameterKind::Text,
            "The regular expression; it is matched line by line.",
        ),
        Parameter::optional(
            "path",
            ParameterKind::Text,
            "The directory or file to search; the workspace itself if not given.",
        ),
        Parameter::optional(
            "glob",
            ParameterKind::Text,
            "Only files whose name or path matches, for example `*.rs`.",
        ),
        Parameter::optional("ignoreCase", ParameterKind::Flag, "Take upper and lower case as the same."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    ignore_case: Option<bool>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { pattern, path, glob: files, ignore_case } = arguments::read(NAME, json)?;
    arguments::not_empty(NAME, "pattern", &pattern)?;
    arguments::at_most(NAME, "pattern", &pattern, MAX_PATTERN_BYTES)?;
    let regex = RegexBuilder::new(&pattern)
        .case_insensitive(ignore_case.unwrap_or(false))
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|error| PlanError::argument(NAME, "pattern", error.to_string()))?;
    let files = files.map(|files| glob(NAME, "glob", &files)).transpose()?;
    let found = locate(planning, NAME, path.as_deref(), true)?;
    let (first, more) = demands(&found);
    let place = planning.workspace.ground.shown(found.place.path());
    let summary = format!("Search {place} for {}", visible::clipped_line(&pattern, 200));
    let operation = Grep {
        regex,
        files,
        is_file: found.kind == Kind::File,
        place: found.place,
        searchable: planning.terms.searchable.clone(),
        source: format!("file:{place}"),
    };
    Ok(Draft::reading(first, more, summary, Operation::Blocking(Box::new(operation))))
}

#[derive(Debug)]
struct Grep {
    regex: Regex,
    files: Option<GlobMatcher>,
    is_file: bool,
    place: Place,
    searchable: Searchable,
    source: String,
}

impl Blocking for Grep {
    fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome {
        let searched = if self.is_file { self.file(workspace, bounds) } else { self.tree(workspace, bounds) };
        match searched {
            Ok(Some(text)) => Outcome::succeeded(self.source, text),
            Ok(None) => Outcome::cancelled(self.source),
            Err(error) => Outcome::path(self.source, &error),
        }
    }
}

impl Grep {
    /// One file, asked for by name.
    fn file(&self, workspace: &Workspace, bounds: &Bounds) -> Result<Option<String>, PathError> {
        let path = self.place.path();
        let (dir, name) = workspace.ground.open_parent(&self.place)?;
        let content = open_regular(&dir, name, path, &Aliases::new(&workspace.ground))?
            .read(bounds.file_bytes(MAX_FILE_BYTES))?;
        let mut matches = Matches::default();
        if is_binary(&content) {
            matches.data += 1;
        } else {
            // Full or not, the note at the end says it.
            let _ = matches.search(&self.regex, &workspace.ground.shown(path), &content);
        }
        Ok(Some(matches.finish("")))
    }

    /// `None` when cancelled.
    fn tree(&self, workspace: &Workspace, bounds: &Bounds) -> Result<Option<String>, PathError> {
        let base = workspace.ground.shown(self.place.path());
        let aliases = Aliases::new(&workspace.ground);
        let mut matches = Matches::default();
        let gaps = walk(workspace, &self.place, &self.searchable, &bounds.cancel, &mut |entry| {
            let wanted = self.files.as_ref().is_none_or(|files| files.is_match(entry.below_start));
            if entry.kind != Kind::File || !wanted {
                return ControlFlow::Continue(());
            }
            if !workspace.is_searchable(entry.path, &self.searchable) {
                matches.withheld += 1;
                return ControlFlow::Continue(());
            }
            let opened = open_regular(entry.dir, entry.name, entry.path, &aliases);
            match opened.and_then(|file| file.read(bounds.file_bytes(MAX_FILE_BYTES))) {
                Ok(content) if is_binary(&content) => ControlFlow::Continue(()),
                Ok(content) => matches.search(&self.regex, &below(&base, entry.below_start), &content),
                Err(error) if error.is_denial() => {
                    matches.withheld += 1;
                    ControlFlow::Continue(())
                }
                Err(_) => {
                    matches.unread += 1;
                    ControlFlow::Continue(())
                }
            }
        })?;
        Ok((!gaps.cancelled).then(|| matches.finish(&gaps.note())))
    }
}

#[derive(Debug, Default)]
struct Matches {
    text: String,
    count: usize,
    full: bool,
    withheld: usize,
    unread: usize,
    data: usize,
}

impl Matches {
    fn search(&mut self, regex: &Regex, path: &str, content: &[u8]) -> ControlFlow<()> {
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            if !regex.is_match(line) {
                continue;
            }
            if self.count == MAX_RESULTS {
                self.full = true;
                return ControlFlow::Break(());
            }
            self.count += 1;
            self.text.push_str(&format!("{path}:{}: {}\n", index + 1, cut(line)));
        }
        ControlFlow::Continue(())
    }

    fn finish(mut self, gaps: &str) -> String {
        if self.count == 0 {
            self.text.push_str("[no line matches]\n");
        }
        if self.full {
            self.text
                .push_str(&format!("[more than {MAX_RESULTS} lines: narrow the pattern or name a path]\n"));
        }
        let notes = [
            (
                self.withheld,
                "files may hold credentials or belong to the host and were left out: read them by name",
            ),
            (self.unread, "files are too large or could not be read and were left out"),
            (self.data, "file is data, not text"),
        ];
        for (count, note) in notes {
            if count > 0 {
                self.text.push_str(&format!("[{count} {note}]\n"));
            }
        }
        self.text.push_str(gaps);
        self.text
    }
}

/// A line as it is shown: not too long, without its carriage return.
fn cut(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // A character has at most four bytes, so this never cuts what is shown.
    let text = String::from_utf8_lossy(&line[..line.len().min(MAX_LINE_BYTES + 4)]);
    if text.len() <= MAX_LINE_BYTES && line.len() <= MAX_LINE_BYTES + 4 {
        return text.into_owned();
    }
    let end = floor_char(&text, MAX_LINE_BYTES);
    format!("{} [… {} more bytes]", &text[..end], line.len().saturating_sub(end))
}
