//! Paths of another machine, which may be of another system than this one: never parsed by the page's own rules.

use lanyard_protocol::method::WorkspaceEntry;

/// A step on the way to where one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crumb {
    /// What it is called.
    pub name: String,
    /// Where it leads.
    pub path: String,
}

/// What separates the parts of an absolute path of the host.
fn separator(path: &str) -> char {
    if path.starts_with('/') || !path.contains('\\') { '/' } else { '\\' }
}

/// The last part of a path.
pub fn name_of(path: &str) -> &str {
    let separator = separator(path);
    path.trim_end_matches(separator).rsplit(separator).next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// An entry of a directory.
pub fn join(directory: &str, name: &str) -> String {
    let separator = separator(directory);
    format!("{}{separator}{name}", directory.trim_end_matches(separator))
}

/// The workspace a path lies in: the outermost, where one contains another, as the host has it.
pub fn workspace_of<'a>(path: &str, workspaces: &'a [WorkspaceEntry]) -> Option<&'a WorkspaceEntry> {
    workspaces
        .iter()
        .filter(|workspace| below(path, &workspace.path).is_some())
        .min_by_key(|workspace| workspace.path.len())
}

/// Whether a workspace lies below `path`, and `path` itself in none.
pub fn is_above(path: &str, workspaces: &[WorkspaceEntry]) -> bool {
    workspace_of(path, workspaces).is_none()
        && workspaces.iter().any(|workspace| below(&workspace.path, path).is_some())
}

/// What of `path` lies below `root`; empty for the root itself.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let separator = separator(root);
    let root = root.trim_end_matches(separator);
    let rest = path.strip_prefix(root)?;
    match rest.strip_prefix(separator) {
        Some(rest) => Some(rest),
        None => rest.is_empty().then_some(rest),
    }
}

/// The way from the workspace to `path`. Outside of all workspaces: the path alone.
pub fn crumbs(path: &str, workspaces: &[WorkspaceEntry]) -> Vec<Crumb> {
    let Some(workspace) = workspace_of(path, workspaces) else {
        return vec![Crumb { name: name_of(path).to_owned(), path: path.to_owned() }];
    };
    let mut way = vec![Crumb { name: workspace.name.clone(), path: workspace.path.clone() }];
    let rest = below(path, &workspace.path).unwrap_or_default();
    for part in rest.split(separator(path)).filter(|part| !part.is_empty()) {
        let above = way.last().map_or(path, |crumb| crumb.path.as_str());
        way.push(Crumb { name: part.to_owned(), path: join(above, part) });
    }
    way
}

#[cfg(test)]
mod tests {
    use super::{crumbs, is_above, join, name_of, workspace_of};
    use lanyard_protocol::method::WorkspaceEntry;

    fn workspaces(paths: &[&str]) -> Vec<WorkspaceEntry> {
        let entry = |path: &&str| WorkspaceEntry {
            path: (*path).to_owned(),
            name: name_of(path).to_owned(),
            last_used: None,
        };
        paths.iter().map(entry).collect()
    }

    #[test]
    fn the_way_begins_at_the_outermost_workspace() {
        let known = workspaces(&["/home/mia/code/src", "/home/mia/code", "/home/mia/co"]);
        let way = crumbs("/home/mia/code/src/a.rs", &known);
        let shown: Vec<_> = way.iter().map(|crumb| (crumb.name.as_str(), crumb.path.as_str())).collect();
        assert_eq!(
            shown,
            [("code", "/home/mia/code"), ("src", "/home/mia/code/src"), ("a.rs", "/home/mia/code/src/a.rs"),]
        );
        assert_eq!(crumbs("/home/mia/code", &known).len(), 1);
        assert_eq!(workspace_of("/home/other", &known), None, "a common beginning of a name is not enough");
        assert_eq!(crumbs("/etc/passwd", &known).len(), 1);
        for (path, above) in
            [("/home/mia", true), ("/", true), ("/home/mia/code", false), ("/home/mia/c", false)]
        {
            assert_eq!(is_above(path, &known), above, "{path}");
        }
    }

    #[test]
    fn paths_of_another_system_stay_theirs() {
        let known = workspaces(&["C:\\code"]);
        let way = crumbs("C:\\code\\src\\a b.rs", &known);
        assert_eq!(way.last().unwrap().path, "C:\\code\\src\\a b.rs");
        assert_eq!((join("/", "etc"), join("C:\\", "x")), ("/etc".to_owned(), "C:\\x".to_owned()));
        assert_eq!(name_of("/"), "/");
    }
}
