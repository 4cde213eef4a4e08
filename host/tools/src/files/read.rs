//! ReadFile.

use std::io::{BufRead, BufReader};

use lanyard_policy::demand::Demand;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::{demands, locate, source};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::content::hash;
use crate::execute::{Blocking, Bounds, MAX_OUTPUT_BYTES, Operation, Outcome};
use crate::ground::{Aliases, LastLink, PathError, Place, open_regular};
use crate::plan::{Draft, PlanError, Planning};
use crate::text::{BOM, count, is_binary, lossy};
use crate::workspace::Workspace;

const NAME: &str = "ReadFile";

/// Bytes passed over to reach a line. Reading further in takes longer than a person waits.
const MAX_SCANNED_BYTES: usize = 1 << 30;

/// The largest line number.
const MAX_LINE: u64 = u32::MAX as u64;

pub(crate) static READ: Tool = Tool {
    name: NAME,
    description: "Reads a text file of the workspace. Without `offset` and `limit` the whole file; with them, lines \
                  `offset` (from 1) to `offset + limit - 1`. Long output is shortened in the middle: read the rest by \
                  lines.",
    capabilities: &[Capability::FileRead],
    parameters: &[
        Parameter::required(
            "path",
            ParameterKind::Text,
            "The file, relative to the workspace or absolute within it.",
        ),
        Parameter::optional("offset", ParameterKind::Number(1, MAX_LINE), "First line, counted from 1."),
        Parameter::optional("limit", ParameterKind::Number(1, MAX_LINE), "Most lines."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: String,
    offset: Option<u64>,
    limit: Option<u64>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, offset, limit } = arguments::read(NAME, json)?;
    for (name, value) in [("offset", offset), ("limit", limit)] {
        if value.is_some_and(|value| !(1..=MAX_LINE).contains(&value)) {
            return Err(PlanError::argument(NAME, name, format!("it must be between 1 and {MAX_LINE}")));
        }
    }
    let found = locate(planning, NAME, "path", &path, LastLink::Follow)?;
    let (first, more) = demands(&found, Demand::ReadPath);
    let shown = planning.workspace.ground.shown(found.place.path());
    let summary = match (offset, limit) {
        (None, None) => format!("Read {shown}"),
        (offset, None) => format!("Read {shown} from line {}", offset.unwrap_or(1)),
        (offset, Some(limit)) => {
            let first = offset.unwrap_or(1);
            format!("Read {shown}, lines {first} to {}", first.saturating_add(limit - 1))
        }
    };
    let source = source(planning, found.place.path());
    let operation = Operation::Blocking(Box::new(Read { place: found.place, offset, limit, source }));
    Ok(Draft::reading(first, more, summary, operation))
}

#[derive(Debug)]
struct Read {
    place: Place,
    offset: Option<u64>,
    limit: Option<u64>,
    source: String,
}

impl Blocking for Read {
    fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome {
        match self.output(workspace, bounds) {
            Ok(Some(text)) => Outcome::succeeded(self.source, text),
            Ok(None) => Outcome::cancelled(self.source),
            Err(error) => Outcome::path(self.source, &error),
        }
    }
}

impl Read {
    /// `None` when cancelled.
    fn output(&self, workspace: &Workspace, bounds: &Bounds) -> Result<Option<String>, PathError> {
        let path = self.place.path();
        let aliases = Aliases::new(&workspace.ground);
        let (dir, name) = workspace.ground.open_parent(&self.place)?;
        let file = open_regular(&dir, name, path, &aliases)?;
        let size = file.metadata().len();
        if let Some(limit) = bounds.limits.max_file_size_bytes.filter(|limit| size > *limit) {
            return Err(PathError::TooLarge { path: path.to_owned(), size, limit });
        }
        let mut lines = Lines { reader: BufReader::with_capacity(64 << 10, file.into_reader()), passed: 0 };
        let failed = |source| PathError::Io { path: path.to_owned(), source };

        let start = lines.reader.fill_buf().map_err(failed)?;
        if is_binary(start) {
            let digest =
                if start.len() as u64 == size { format!(", SHA-256 {}", hash(start)) } else { String::new() };
            return Ok(Some(format!("[not text: {size} bytes of data{digest}]\n")));
        }
        let first = self.offset.unwrap_or(1);
        for skipped in 1..first {
            if bounds.cancel.is_cancelled() {
                return Ok(None);
            }
            if !lines.skip().map_err(failed)? {
                let have = count(usize::try_from(skipped - 1).unwrap_or(usize::MAX), "line");
                return Ok(Some(format!("[the file has {have}: nothing at line {first}]\n")));
            }
        }
        let mut bytes = Vec::new();
        let mut taken = 0_u64;
        while bytes.len() < MAX_OUTPUT_BYTES && self.limit.is_none_or(|limit| taken < limit) {
            if bounds.cancel.is_cancelled() {
                return Ok(None);
            }
            if !lines.take(&mut bytes).map_err(failed)? {
                break;
            }
            taken += 1;
        }
        let more = !lines.reader.fill_buf().map_err(failed)?.is_empty();
        Ok(Some(self.render(&bytes, first, taken, more)))
    }

    fn render(&self, bytes: &[u8], first: u64, taken: u64, more: bool) -> String {
        let (text, replaced) = lossy(bytes);
        let mut text = text.strip_prefix(BOM).unwrap_or(&text).to_owned();
        let mut notes = Vec::new();
        if replaced {
            notes.push("bytes that are not UTF-8 are shown as \u{fffd}".to_owned());
        }
        if self.offset.is_some() || self.limit.is_some() || more {
            let last = first + taken.saturating_sub(1);
            let rest = if more { "; more follows" } else { "; the file ends here" };
            notes.push(format!("lines {first} to {last}{rest}"));
        }
        if text.is_empty() && notes.is_empty() {
            notes.push("the file is empty".to_owned());
        }
        if !notes.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[{}]\n", notes.join("; ")));
        }
        text
    }
}

/// Lines of any length in bounded memory.
struct Lines<R> {
    reader: BufReader<R>,
    passed: usize,
}

impl<R: std::io::Read> Lines<R> {
    /// Passes over a line; `false` at the end of the file.
    fn skip(&mut self) -> std::io::Result<bool> {
        self.next(|_| {}, usize::MAX)
    }

    /// Appends a line, or what fits of it; `false` at the end of the file.
    fn take(&mut self, into: &mut Vec<u8>) -> std::io::Result<bool> {
        let room = MAX_OUTPUT_BYTES - into.len().min(MAX_OUTPUT_BYTES);
        self.next(|piece| into.extend_from_slice(piece), room)
    }

    fn next(&mut self, mut each: impl FnMut(&[u8]), mut room: usize) -> std::io::Result<bool> {
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let (end, done) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(feed) => (feed + 1, true),
                None => (buffer.len(), false),
            };
            let end = end.min(room);
            each(&buffer[..end]);
            self.reader.consume(end);
            self.passed += end;
            room -= end;
            if done || room == 0 {
                return Ok(true);
            }
            if self.passed > MAX_SCANNED_BYTES {
                return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
            }
        }
    }
}
