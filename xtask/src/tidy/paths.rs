//! No path of anyone's machine in the tree: it works there only, and tells who wrote it.

use super::Finding;

/// A line with this mark and a reason, or the line before, may name such a path: `// tidy-allow-path: reason`.
/// In a file's first lines the mark covers the whole file.
const MARK: &str = "tidy-allow-path:";
/// How far down a mark counts as being in the file's head.
const HEAD_LINES: usize = 10;

/// What is shorter than this, in bytes, is no reason.
const MIN_REASON: usize = 8;

/// Where people's files are.
const HOMES: &[&str] = &["/home/", "/Users/"];
const ROOT_HOME: &str = "/root/";
/// Names that stand for somebody, not for the author.
const NOBODY: &[&str] = &["alice", "bob", "mia", "user", "you"];

/// Folders whose files are data without comments, and why their paths are harmless.
const DATA: &[(&str, &str)] = &[("tests/fuzz/seeds/", "hostile inputs; a mark inside would change them")];

/// Every path of a developer's machine in one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    if DATA.iter().any(|(folder, _)| file.starts_with(folder)) || text.lines().take(HEAD_LINES).any(marked) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut allowed = false;
    for (number, line) in (1..).zip(text.lines()) {
        let allowed_by_previous = std::mem::replace(&mut allowed, marked(line));
        if allowed || allowed_by_previous {
            continue;
        }
        if let Some(path) = developer_path(line) {
            let names = NOBODY.join("/");
            findings.push(Finding::new(
                file,
                number,
                format!(
                    "`{path}` may be somebody's machine: make it relative, call the user {names}, or say why it \
                     stays (`{MARK} …`)"
                ),
            ));
        }
    }
    findings
}

/// Whether a line carries the mark, with a reason after it.
fn marked(line: &str) -> bool {
    line.split_once(MARK).is_some_and(|(_, reason)| reason.trim().len() >= MIN_REASON)
}

/// The first path below a person's home directory.
fn developer_path(line: &str) -> Option<&str> {
    let homes = HOMES.iter().chain([&ROOT_HOME]);
    let mut found = homes.flat_map(|home| line.match_indices(*home)).filter_map(|(start, home)| {
        // `src/root/x` and `${DIR}/home/x/` are not below the file system's root.
        let continues = |c: char| c.is_alphanumeric() || "._-*}>)/~".contains(c);
        if line[..start].ends_with(continues) {
            return None;
        }
        let rest = &line[start + home.len()..];
        let name_end = rest.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        let is_home =
            home == ROOT_HOME || (!name.is_empty() && after.starts_with('/') && !NOBODY.contains(&name));
        is_home.then(|| &line[start..start + home.len() + name_end])
    });
    found.next()
}

#[cfg(test)]
mod tests {
    // tidy-allow-path: none of these is a real machine's
    use super::*;

    fn found(text: &str) -> usize {
        check("a.md", text).len()
    }

    /// Far enough down that a mark is not in the head.
    fn below(text: &str) -> String {
        format!("{}{text}\n", "\n".repeat(HEAD_LINES))
    }

    #[test]
    fn a_path_below_a_home_is_found() {
        for home in [["/home", "jdoe"], ["/Users", "jdoe"], ["/root", "src"]] {
            let path = home.join("/");
            for line in
                [format!("cd {path}/src"), format!("\"{path}/\""), format!("x={path}/y"), format!("{path}/a")]
            {
                assert_eq!(found(&line), 1, "{line}");
            }
        }
    }

    #[test]
    fn other_paths_are_left_alone() {
        let jdoe = ["home", "jdoe", "x"].join("/");
        for line in [
            "/home/user/x".to_owned(),
            "/home/".to_owned(),
            "/home/*/x".to_owned(),
            "src/root/mod.rs".to_owned(),
            format!("${{DIR}}/{jdoe}"),
            format!("https://example.com/{jdoe}"),
        ] {
            assert_eq!(found(&line), 0, "{line}");
        }
    }

    #[test]
    fn a_mark_with_a_reason_covers_its_line_and_the_next() {
        let path = ["/home", "jdoe", "x"].join("/");
        assert_eq!(found(&below(&format!("{path} // {MARK} policy data"))), 0);
        assert_eq!(found(&below(&format!("// {MARK} policy data\n{path}"))), 0);
        assert_eq!(found(&below(&format!("// {MARK} policy data\n\n{path}"))), 1);
        assert_eq!(found(&below(&format!("{path} // {MARK}"))), 1, "a reason is needed");
    }

    #[test]
    fn a_mark_in_the_head_covers_the_file() {
        let path = ["/home", "jdoe", "x"].join("/");
        assert_eq!(found(&format!("// {MARK} policy data\n{}", below(&path))), 0);
    }

    #[test]
    fn seeds_of_the_fuzzer_are_data() {
        let path = ["/home", "jdoe", "x"].join("/");
        assert_eq!(check("tests/fuzz/seeds/a", &path), Vec::new());
    }
}
