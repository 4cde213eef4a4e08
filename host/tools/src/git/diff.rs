//! GitDiff: of the files a search may look into. The call is granted for the repository as a whole, so what a file
//! read would have to ask for first, or never get, is left out and named.

use std::collections::BTreeSet;

use lanyard_policy::demand::Demand;
use lanyard_policy::visible;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::config::{Purpose, inspect};
use super::invoke::{Access, Git};
use super::repository::Repository;
use super::status::filter_note;
use super::{Action, GitError, Run, paths_in, repository};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::{Bounds, MAX_OUTPUT_BYTES, Operation};
use crate::plan::{Draft, PlanError, Planning, Searchable};
use crate::text::count;
use crate::workspace::Workspace;

const NAME: &str = "GitDiff";

/// Bytes of paths given to one run of git; the kernel takes some megabytes of arguments.
const BATCH_BYTES: usize = 64 << 10;

/// Withheld files named in the result, and characters of each name.
const MAX_NAMED: usize = 20;
const MAX_NAME_CHARS: usize = 200;

/// How every diff is made: no programs, no settings that change what is shown.
pub(super) const PLAIN: &[&str] = &[
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--submodule=short",
    "--ignore-submodules=dirty",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

pub(crate) static DIFF: Tool = Tool {
    name: NAME,
    description: "Shows the differences of a git repository of the workspace: of the files to what is staged, or with \
                  `staged` of what is staged to the last commit. Untracked files are not shown, nor are files that may not \
                  be read without asking.",
    capabilities: &[Capability::GitDiff],
    parameters: &[
        Parameter::optional(
            "path",
            ParameterKind::Text,
            "A directory of the repository; the workspace itself if not given.",
        ),
        Parameter::optional("staged", ParameterKind::Flag, "Show what is staged; false if not given."),
        Parameter::optional("paths", ParameterKind::Texts, "Only these files and directories."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
    staged: Option<bool>,
    paths: Option<Vec<String>>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, staged, paths } = arguments::read(NAME, json)?;
    let repository = repository(planning, NAME, path.as_deref())?;
    let paths = paths_in(planning, NAME, &repository, &paths.unwrap_or_default())?;
    let staged = staged.unwrap_or(false);
    let top = repository.top().path().to_owned();
    let what = if staged { "what is staged" } else { "the changes" };
    let summary = format!("Show {what} in {}", planning.workspace.ground.shown(&top));
    let diff = Diff { staged, paths, searchable: planning.terms.searchable.clone() };
    let run = Run { repository, action: Action::Diff(diff), tool: NAME };
    let first = Demand::GitDiff { repo: top };
    Ok(Draft::reading(first, Vec::new(), summary, Operation::Git(Box::new(run))))
}

/// A planned look at differences.
#[derive(Debug)]
pub(super) struct Diff {
    staged: bool,
    paths: Vec<String>,
    searchable: Searchable,
}

impl Diff {
    pub(super) async fn run(
        &self,
        workspace: &Workspace,
        repository: &Repository,
        bounds: &Bounds,
    ) -> Result<String, GitError> {
        let git = Git::on(workspace, repository, Access::Look, bounds);
        let settings = inspect(workspace, repository, Purpose::Local, &git).await?;
        let git = git.without_filters(&settings.filters);
        let changed = self.changed(&git).await?;
        let files = Files::sort(&changed, |name| {
            workspace.is_searchable(&repository.top().path().join(name), &self.searchable)
        });
        let mut text = String::new();
        for batch in batches(&files.shown) {
            if text.len() > MAX_OUTPUT_BYTES {
                text.push_str("[more files differ: name some in `paths`]\n");
                break;
            }
            text.push_str(&git.run(&self.words(&[], batch), None).await?.text());
        }
        if text.is_empty() && files.withheld.is_empty() {
            text.push_str("[no differences]\n");
        }
        text.push_str(&files.note());
        text.push_str(&filter_note(&settings.filters));
        Ok(text)
    }

    /// Names of the files that differ, below the top of the work tree.
    async fn changed(&self, git: &Git<'_>) -> Result<BTreeSet<Vec<u8>>, GitError> {
        // A renamed file counts under both names.
        let words = self.words(&["--name-only", "-z", "--no-renames"], &self.paths);
        let answer = git.run(&words, None).await?;
        if !answer.whole {
            return Err(GitError::refused("too many files differ: name some in `paths`"));
        }
        let names = answer.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(<[u8]>::to_vec).collect())
    }

    fn words<'w>(&self, more: &[&'w str], paths: &'w [impl AsRef<str>]) -> Vec<&'w str> {
        let mut words = vec!["diff"];
        words.extend_from_slice(PLAIN);
        words.extend_from_slice(more);
        if self.staged {
            words.push("--cached");
        }
        words.push("--");
        words.extend(paths.iter().map(AsRef::as_ref));
        words
    }
}

/// The files that differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files<'n> {
    shown: Vec<&'n str>,
    withheld: Vec<&'n [u8]>,
}

impl<'n> Files<'n> {
    fn sort(names: &'n BTreeSet<Vec<u8>>, is_searchable: impl Fn(&str) -> bool) -> Self {
        let mut files = Self::default();
        for name in names {
            // A name that is no UTF-8 cannot be judged.
            match std::str::from_utf8(name) {
                Ok(text) if is_searchable(text) => files.shown.push(text),
                _ => files.withheld.push(name),
            }
        }
        // To git a name stands for what lies below it as well, and a file may have become a directory.
        let below = |name: &str, file: &[u8]| {
            file.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
        };
        let Self { shown, withheld } = files;
        let (covering, shown): (Vec<&str>, Vec<&str>) =
            shown.into_iter().partition(|name| withheld.iter().any(|file| below(name, file)));
        Self {
            shown,
            withheld: withheld.into_iter().chain(covering.iter().map(|name| name.as_bytes())).collect(),
        }
    }

    fn note(&self) -> String {
        if self.withheld.is_empty() {
            return String::new();
        }
        let names: Vec<String> = self
            .withheld
            .iter()
            .take(MAX_NAMED)
            .map(|name| visible::clipped_line(&String::from_utf8_lossy(name), MAX_NAME_CHARS))
            .collect();
        let more = self.withheld.len() - names.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let files = count(self.withheld.len(), "changed file");
        format!(
            "[{files} not shown, since reading needs to be asked for: {}{more}; use ReadFile]\n",
            names.join(", ")
        )
    }
}

/// Cuts a list of names so that each part fits into one command line.
fn batches<'b, 'n>(names: &'b [&'n str]) -> Vec<&'b [&'n str]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        if bytes > 0 && bytes + name.len() > BATCH_BYTES {
            parts.push(&names[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += name.len() + 1;
    }
    if start < names.len() {
        parts.push(&names[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(of: &[&str]) -> BTreeSet<Vec<u8>> {
        of.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_name_that_covers_a_withheld_one_is_withheld_too() {
        let changed = names(&["foo", "foo/.env", "food", "a"]);
        let files = Files::sort(&changed, |name| !name.ends_with(".env"));
        assert_eq!(files.shown, ["a", "food"]);
        assert_eq!(files.withheld, [&b"foo/.env"[..], b"foo"]);
    }

    #[test]
    fn a_name_that_cannot_be_read_is_withheld() {
        let changed = BTreeSet::from([vec![0xff], b"a".to_vec()]);
        let files = Files::sort(&changed, |_| true);
        assert_eq!((files.shown.as_slice(), files.withheld.as_slice()), (&["a"][..], &[&[0xff][..]][..]));
        assert!(files.note().contains("1 changed file not shown"), "{}", files.note());
    }

    proptest! {
        #[test]
        fn batches_are_whole_and_short(lengths in prop::collection::vec(1..40_000_usize, 0..12)) {
            let names: Vec<String> = lengths.iter().map(|length| "n".repeat(*length)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let parts = batches(&names);
            prop_assert_eq!(&parts.concat(), &names);
            for part in parts {
                prop_assert!(!part.is_empty());
                prop_assert!(part.iter().map(|name| name.len()).sum::<usize>() <= BATCH_BYTES);
            }
        }
    }
}
