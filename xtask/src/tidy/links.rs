//! Links in Markdown files lead to files that exist.

use super::Finding;
use std::path::Path;

/// Every link of one Markdown file that leads nowhere, or out of the repository.
pub(super) fn check(root: &Path, file: &str, text: &str) -> Vec<Finding> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(&without_code(line)) {
            if let Some(problem) = problem(root, folder, &target) {
                findings.push(Finding::new(file, number, format!("link `{target}` {problem}")));
            }
        }
    }
    findings
}

/// What is wrong with a link, if anything. Addresses on the web are not visited.
fn problem(root: &Path, folder: &Path, target: &str) -> Option<&'static str> {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    if path.starts_with('/') {
        return Some("starts at the root of the file system: make it relative to its file");
    }
    let Ok(found) = root.join(folder).join(path).canonicalize() else {
        return Some("leads to no file");
    };
    let inside = root.canonicalize().is_ok_and(|root| found.starts_with(root));
    (!inside).then_some("leads out of the repository")
}

/// The targets of `[text](target)` and `[label]: target` in a line.
fn targets(line: &str) -> Vec<String> {
    let inline = line.match_indices("](").filter_map(|(start, mark)| {
        let rest = &line[start + mark.len()..];
        rest.split_once(')').map(|(target, _)| target)
    });
    let definition = line.trim_start().starts_with('[').then(|| line.split_once("]: ")).flatten();
    let targets = inline.chain(definition.map(|(_, target)| target));
    // A title may follow the target.
    targets
        .filter_map(|target| target.split_whitespace().next())
        .map(|word| word.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// The line without its `code` spans, in which brackets mean nothing.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems in `docs/page.md` with this text, beside `docs/other.md` and `README.md`.
    fn found(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        for file in ["README.md", "docs/other.md"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let findings = check(root.path(), "docs/page.md", text);
        findings.into_iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn links_to_files_and_to_the_web_pass() {
        let text = "[a](other.md) and [b](../README.md#part), [c](#here), [d](https://example.com/x)\n\
            [e](mailto:a@example.com) ![f](<other.md>) [g](other.md \"title\")\n[h]: other.md\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found_on_their_line() {
        assert_eq!(found("\n[a](other.md) [b](gone.md#x)\n"), ["2: link `gone.md#x` leads to no file"]);
        assert_eq!(found("[label]: gone.md\n"), ["1: link `gone.md` leads to no file"]);
    }

    #[test]
    fn links_out_of_the_repository_are_found() {
        assert_eq!(found("[a](/etc/passwd)\n").len(), 1);
        assert_eq!(found("[a](../..)\n"), ["1: link `../..` leads out of the repository"]);
    }

    #[test]
    fn code_is_not_searched() {
        assert_eq!(found("`[a](gone.md)`\n```\n[b](gone.md)\n```\n"), Vec::<String>::new());
        assert_eq!(found("```\n```\n[b](gone.md)\n").len(), 1, "text after a block is text again");
    }
}
