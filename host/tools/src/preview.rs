//! GetPatchPreview: what has become of the files a task touched since it started, whatever number of edits followed.

use lanyard_policy::visible;
use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::method::PatchFile;

use crate::diff::unified;
use crate::ground::{Aliases, MAX_CHANGED_BYTES, PathError, open_regular};
use crate::plan::PreImage;
use crate::workspace::Workspace;

/// Bytes of diff in one preview: what fits into one answer with room to spare.
const MAX_PREVIEW_BYTES: usize = 768 * 1024;

/// Compares the first states of files with what is there now; files that are as they were are left out. By path,
/// safe to show. Blocks.
pub fn preview(workspace: &Workspace, baselines: &[PreImage]) -> Vec<PatchFile> {
    let aliases = Aliases::new(&workspace.ground);
    let mut files: Vec<PatchFile> =
        baselines.iter().filter_map(|baseline| compare(workspace, &aliases, baseline)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut room = MAX_PREVIEW_BYTES;
    for file in &mut files {
        if file.diff.len() > room {
            file.diff.clear();
            file.truncated = true;
        }
        room -= file.diff.len();
    }
    files
}

fn compare(workspace: &Workspace, aliases: &Aliases<'_>, baseline: &PreImage) -> Option<PatchFile> {
    let path = workspace.ground.shown(&baseline.path);
    let now = match read(workspace, aliases, baseline) {
        Ok(now) => now,
        // It is there, but not to be shown: too large by now, or no file any more.
        Err(error) => {
            let diff = format!("# {error}\n");
            return Some(PatchFile { path, change: ChangeKind::Modified, diff, truncated: true });
        }
    };
    let before = baseline.content.as_deref();
    let change = match (before, now.as_deref()) {
        (None, None) => return None,
        (Some(old), Some(new)) if old == new => return None,
        (None, Some(_)) => ChangeKind::Created,
        (Some(_), Some(_)) => ChangeKind::Modified,
        (Some(_), None) if baseline.change == ChangeKind::Moved => ChangeKind::Moved,
        (Some(_), None) => ChangeKind::Deleted,
    };
    let diff = unified(&path, before, now.as_deref());
    let shown = if diff.text.is_empty() && !diff.truncated {
        let size = |content: Option<&[u8]>| content.map_or(0, <[u8]>::len);
        format!("# no text: {} bytes before, {} now\n", size(before), size(now.as_deref()))
    } else {
        visible::text(&diff.text).into_owned()
    };
    Some(PatchFile { path, change, diff: shown, truncated: diff.truncated })
}

fn read(
    workspace: &Workspace,
    aliases: &Aliases<'_>,
    baseline: &PreImage,
) -> Result<Option<Vec<u8>>, PathError> {
    let ground = &workspace.ground;
    let path = &baseline.path;
    let Some(place) = ground.place_of(path) else {
        return Err(PathError::Missing { path: path.clone() });
    };
    let opened = ground.open_parent(&place).and_then(|(dir, name)| open_regular(&dir, name, path, aliases));
    match opened {
        Ok(file) => file.read(MAX_CHANGED_BYTES).map(Some),
        Err(PathError::Missing { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
