//! Whether a directory is one of those that a host names for jobs, or below one: by components, never by letters. The
//! host looks again, at its own disk; here a job that cannot be meant is refused before it is sent.

/// Components of an absolute path; `None` when it is not one, or goes up.
fn components(path: &str, windows: bool) -> Option<Vec<String>> {
    let is_separator = |c: char| c == '/' || (windows && c == '\\');
    let rooted = match (windows, path.as_bytes()) {
        (false, [b'/', ..]) => true,
        (true, [letter, b':', b'/' | b'\\', ..]) => letter.is_ascii_alphabetic(),
        (true, [b'\\', b'\\', ..]) => true,
        _ => false,
    };
    if !rooted || path.contains('\0') {
        return None;
    }
    let parts = path.split(is_separator).filter(|part| !part.is_empty());
    let clean = |part: &str| {
        let trick = windows && (part.ends_with([' ', '.']) || part == "?");
        (part != "." && part != ".." && !trick)
            .then(|| if windows { part.to_lowercase() } else { part.to_owned() })
    };
    parts.map(clean).collect()
}

/// Whether `path` is one of `allowed` or below one.
pub(super) fn is_within(path: &str, allowed: &[String], windows: bool) -> bool {
    let Some(path) = components(path, windows) else { return false };
    allowed.iter().filter_map(|root| components(root, windows)).any(|root| path.starts_with(&root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_by_component() {
        let roots = ["/code/project".to_owned(), "/srv/".to_owned()];
        let within = |path| is_within(path, &roots, false);
        for good in ["/code/project", "/code/project/", "/code//project/src", "/srv", "/srv/x"] {
            assert!(within(good), "{good}");
        }
        for bad in [
            "/code",
            "/code/project-evil",
            "/code/project/../other",
            "/code/./project",
            "work/project",
            "",
            "/",
            "/srv\\x",
            "/SRV",
            "/code/project/a\0b",
            "C:\\work",
        ] {
            assert!(!within(bad), "{bad}");
        }
        assert!(is_within("/anything", &["/".to_owned()], false));
        assert!(!is_within("/anything", &["".to_owned(), "relative".to_owned()], false));
    }

    #[test]
    fn windows_has_its_own_ways() {
        let roots = ["C:\\Work".to_owned(), "\\\\server\\share".to_owned()];
        let within = |path| is_within(path, &roots, true);
        for good in ["c:\\work\\x", "C:/Work/x", "\\\\SERVER\\share\\y"] {
            assert!(within(good), "{good}");
        }
        for bad in [
            "C:\\Workshop",
            "C:\\Work\\..\\x",
            "C:Work",
            "D:\\Work",
            "C:\\Work.\\x",
            "\\\\?\\C:\\Work",
            "/code",
            "C:",
        ] {
            assert!(!within(bad), "{bad}");
        }
    }
}
