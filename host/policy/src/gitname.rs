//! Names handed to git by the git tools: branches, remotes, addresses (6-security.md, item 15).
//!
//! git reads any word that starts with `-` as an option and some addresses as programs; the tools pass names as
//! operands only after they have passed here.

use thiserror::Error;

use crate::path::HostPath;

/// Longest name; git itself stops at path lengths.
const MAX_NAME_BYTES: usize = 250;

/// Longest address of a remote.
const MAX_URL_BYTES: usize = 2_000;

/// Why a text is not handed to git.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GitNameFault {
    #[error("the name is empty or too long")]
    Length,
    #[error("{0:?} starts with `-`, which git reads as an option")]
    LooksLikeOption(String),
    #[error("{0:?} is not a valid name in git")]
    Invalid(String),
    #[error(
        "{0:?} is an address that starts a program or depends on where git runs: use https, ssh or an absolute path"
    )]
    Transport(String),
}

/// Checks a branch, tag or remote name against git-check-ref-format(1), without its rarer liberties.
///
/// # Errors
/// [`GitNameFault`]; a refspec (`+a:b`, `:b`) is no name.
pub fn check_name(name: &str) -> Result<(), GitNameFault> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(GitNameFault::Length);
    }
    if name.starts_with('-') {
        return Err(GitNameFault::LooksLikeOption(name.to_owned()));
    }
    let bad_char = |c: char| {
        c.is_control() || c.is_whitespace() || "~^:?*[\\+".contains(c) || crate::visible::is_invisible(c)
    };
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let invalid = name.contains(bad_char)
        || name.contains("..")
        || name.contains("@{")
        || name == "@"
        || name.ends_with('.')
        || name.split('/').any(bad_part);
    if invalid { Err(GitNameFault::Invalid(name.to_owned())) } else { Ok(()) }
}

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// On another machine.
    Network,
    /// A directory of this machine, whose own hooks run on a push.
    Local(HostPath),
}

/// Checks where a remote points: `https`, `http`, `ssh` or its short form, or an absolute directory. Everything
/// else (`ext::`, a relative path, an option) runs a program or depends on where git is started.
///
/// # Errors
/// [`GitNameFault`].
pub fn check_remote_url(url: &str) -> Result<Remote, GitNameFault> {
    if url.is_empty() || url.len() > MAX_URL_BYTES {
        return Err(GitNameFault::Length);
    }
    if url.starts_with('-') {
        return Err(GitNameFault::LooksLikeOption(url.to_owned()));
    }
    if url.contains(|c: char| {
        c.is_control() || c.is_whitespace() || c == '\\' || crate::visible::is_invisible(c)
    }) {
        return Err(GitNameFault::Invalid(url.to_owned()));
    }
    if let Some(path) = url.strip_prefix("file://").or(Some(url)).filter(|path| path.starts_with('/')) {
        let path = HostPath::parse(path).map_err(|_| GitNameFault::Invalid(url.to_owned()))?;
        return Ok(Remote::Local(path));
    }
    let network = ["https://", "http://", "ssh://"].iter().any(|scheme| url.starts_with(scheme));
    let host = if network { url.split("://").nth(1) } else { short_form_host(url) };
    match host {
        // A host that looks like an option reaches ssh as one (CVE-2017-1000117).
        Some(host)
            if !host.is_empty() && !host.starts_with('-') && !host.contains("@-") && !url.contains("::") =>
        {
            Ok(Remote::Network)
        }
        _ => Err(GitNameFault::Transport(url.to_owned())),
    }
}

/// `user@host:path`. Without a user it could be a drive or a helper, and is not needed.
fn short_form_host(url: &str) -> Option<&str> {
    let (host, _) = url.split_once(':')?;
    (host.contains('@') && !host.contains('/')).then_some(host)
}

/// Whether a branch matches an entry of `allowedBranches`; a trailing `*` matches the rest.
pub(crate) fn branch_matches(entry: &str, branch: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => branch.starts_with(start),
        None => entry == branch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_15_names_that_git_reads_as_something_else_are_refused() {
        for name in [
            "-x",
            "--upload-pack=x",
            "",
            "a b",
            "a\nb",
            "+main",
            "a:b",
            ":b",
            "a..b",
            "a~1",
            "a^",
            "a@{1}",
            "@",
            "a.lock",
            ".a",
            "a/.b",
            "a//b",
            "a/",
            "a.",
            "a*",
            "a\\b",
            "a\u{202e}",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["main", "feature/x-1", "v1.2.3", "über", "origin"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn item_15_addresses_that_start_programs_are_refused() {
        for url in [
            "ext::sh -c id",
            "ext::x",
            "fd::3",
            "file://h/x",
            "file:x",
            "../repo",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id/x",
            "ssh://u@-oProxyCommand=id/x",
            "u@-oX:x",
            "git://h/x",
            "//h/x",
            "",
            "https://h/a b",
            "host:path",
            "https://",
            "transport::https://h/x",
        ] {
            assert!(check_remote_url(url).is_err(), "{url:?}");
        }
        for url in ["https://github.com/a/b.git", "ssh://git@h:22/a", "git@github.com:a/b.git", "http://h/x"]
        {
            assert_eq!(check_remote_url(url), Ok(Remote::Network), "{url:?}");
        }
        for url in ["/srv/a.git", "file:///srv/a.git"] {
            assert_eq!(
                check_remote_url(url),
                Ok(Remote::Local(HostPath::parse("/srv/a.git").unwrap())),
                "{url:?}"
            );
        }
    }

    #[test]
    fn branches_match_whole_or_by_prefix() {
        assert!(branch_matches("main", "main") && !branch_matches("main", "main2"));
        assert!(branch_matches("agent/*", "agent/x") && !branch_matches("agent/*", "agents"));
    }
}
