//! Giving a file new content: what WriteFile and EditFile have in common.

use lanyard_policy::demand::{ContentHash, Demand};
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, ChangeKind, FileChangeDetail, RiskLevel};
use lanyard_protocol::event::FileChange;

use super::{demands, other_names_note, source};
use crate::content::hash;
use crate::diff::{Diff, written};
use crate::execute::{Blocking, Bounds, Operation, Outcome};
use crate::ground::{
    Aliases, Expected, Found, Kind, MAX_CHANGED_BYTES, PathError, Place, open_regular, replace,
};
use crate::plan::{Draft, PlanError, Planning, PreImage};
use crate::text::count;
use crate::text::is_binary;
use crate::workspace::Workspace;

/// A file as it is when a change is planned.
pub(super) struct Before {
    /// `None`: there is none.
    pub(super) content: Option<Vec<u8>>,
    /// Its other names.
    pub(super) other_names: u64,
}

/// Reads the file to be changed.
pub(super) fn before(
    planning: &Planning<'_>,
    tool: &'static str,
    found: &Found,
) -> Result<Before, PlanError> {
    if found.kind == Kind::Missing {
        return Ok(Before { content: None, other_names: 0 });
    }
    let ground = &planning.workspace.ground;
    let read = || {
        let (dir, name) = ground.open_parent(&found.place)?;
        let file = open_regular(&dir, name, found.place.path(), &Aliases::new(ground))?;
        let other_names = file.names().saturating_sub(1);
        Ok(Before { content: Some(file.read(MAX_CHANGED_BYTES)?), other_names })
    };
    read().map_err(|error: PathError| PlanError::path(tool, "path", &error))
}

/// Plans giving the file at `found` the content `after`. It is text by its type, so that all of it can be shown.
pub(super) fn plan(planning: &Planning<'_>, found: &Found, before: Before, after: String) -> Draft {
    let path = found.place.path().to_owned();
    let shown = planning.workspace.ground.shown(&path);
    let diff = written(&shown, before.content.as_deref(), &after);
    let change = if before.content.is_some() { ChangeKind::Modified } else { ChangeKind::Created };
    let (risk, verb) = match change {
        ChangeKind::Created => (RiskLevel::Low, "Create"),
        _ => (RiskLevel::Medium, "Write"),
    };
    // What does not fit into the question is approved unseen.
    let risk = if diff.truncated { RiskLevel::High } else { risk };
    let pre = before.content.as_deref().map(hash);
    let post = hash(after.as_bytes());
    let size = after.len() as u64;
    let (first, more) = demands(found, |path| Demand::WritePath { path, size });
    let note = other_names_note(before.other_names);
    Draft {
        first,
        more,
        contents: vec![ContentHash { path: path.clone(), sha256: pre.clone() }],
        summary: format!("{verb} {shown} ({})", describe(&diff, &after)),
        risk,
        detail: ApprovalDetail::FileChange(FileChangeDetail {
            path: shown.clone(),
            new_path: None,
            change,
            diff: shown_diff(&diff, &note, &before, &after),
            truncated: diff.truncated,
        }),
        lane: Lane::Write(vec![path.clone()]),
        replay: Replay::FileWrite { path: path.clone(), pre: pre.clone(), post: Some(post) },
        operation: Operation::Blocking(Box::new(Replace {
            place: found.place.clone(),
            after: after.into_bytes(),
            expected: pre.map_or(Expected::Absent, Expected::Content),
            change: FileChange { path: shown, change, lines_added: diff.added, lines_removed: diff.removed },
            source: source(planning, &path),
        })),
        baselines: vec![PreImage { path, content: before.content, change }],
    }
}

fn describe(diff: &Diff, after: &str) -> String {
    if diff.text.is_empty() && !diff.truncated { format!("{} bytes", after.len()) } else { diff.counts() }
}

/// The diff as a person sees it, led by what a diff does not show.
fn shown_diff(diff: &Diff, note: &str, before: &Before, after: &str) -> String {
    let mut shown = String::new();
    if !note.is_empty() {
        shown.push_str(&format!("#{note}\n"));
    }
    let old = before.content.as_deref();
    if old == Some(after.as_bytes()) {
        shown.push_str(&format!("# the content stays the same: {} bytes\n", after.len()));
    } else if diff.text.is_empty() {
        // Only an empty file differs from none without a line to show.
        shown.push_str(&format!(
            "# no text: {} bytes before, {} after\n",
            old.map_or(0, <[u8]>::len),
            after.len()
        ));
    }
    if let Some(data) = old.filter(|old| is_binary(old)) {
        shown.push_str(&format!("# all of the present content, {} bytes of data, is replaced\n", data.len()));
    }
    if after.contains('\0') {
        shown.push_str("# the new content has NUL characters: many programs take such a file for data\n");
    }
    shown.push_str(&diff.text);
    shown
}

#[derive(Debug)]
struct Replace {
    place: Place,
    after: Vec<u8>,
    expected: Expected,
    change: FileChange,
    source: String,
}

impl Blocking for Replace {
    fn run(self: Box<Self>, workspace: &Workspace, _bounds: &Bounds) -> Outcome {
        let ground = &workspace.ground;
        let aliases = Aliases::new(ground);
        let write = || {
            let (dir, name) = ground.make_parent(&self.place)?;
            replace(&dir, name, self.place.path(), &self.after, &self.expected, &aliases)
        };
        let written = match write() {
            Ok(written) => written,
            Err(error) => return Outcome::path(self.source, &error),
        };
        let verb = if self.change.change == ChangeKind::Created { "Created" } else { "Wrote" };
        let mut output = format!(
            "{verb} {}: {}, {} added, {} removed.{}",
            self.change.path,
            count(self.after.len(), "byte"),
            count(self.change.lines_added as usize, "line"),
            self.change.lines_removed,
            other_names_note(written.other_names)
        );
        if written.owner_lost {
            output.push_str(" The file now belongs to the user the host runs as.");
        }
        output.push('\n');
        Outcome::succeeded(self.source, visible::text(&output)).with_changes(vec![self.change])
    }
}
