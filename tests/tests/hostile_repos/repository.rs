//! Repositories with a program in them that leaves a mark when it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use lanyard_tests::executable;

/// A repository with one commit, one changed file, and a program that leaves a mark when it runs.
pub(crate) struct Repository {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) bait: String,
}

impl Repository {
    pub(crate) fn new(dir: &Path, work: &Path, name: &'static str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let bait = work.join(format!("bait-{name}"));
        // Where a confined program may write depends on the tool; one of these is always open to it.
        let text = format!(
            "#!/bin/sh\nfor d in \"$TMPDIR\" \"$HOME\" '{}' .; do touch \"$d/ran-{name}\"; done 2>/dev/null\n",
            work.display()
        );
        executable::write(&bait, &text)?;
        let repository =
            Self { name, dir: dir.to_owned(), work: work.to_owned(), bait: bait.display().to_string() };
        repository.git(&["init", "-q", "-b", "main"])?;
        // Whoever runs the tests need not be known to git.
        repository.set("user.name", "Tester")?;
        repository.set("user.email", "tester@example.com")?;
        std::fs::write(dir.join("file"), "one\n")?;
        repository.git(&["add", "file"])?;
        repository.git(&["commit", "-q", "-m", "first"])?;
        std::fs::write(dir.join("file"), "one\ntwo\n")?;
        Ok(repository)
    }

    pub(crate) fn git(&self, words: &[&str]) -> Result<()> {
        let output = git(&self.dir).args(words).output()?;
        ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<()> {
        self.git(&["config", key, value])
    }

    pub(crate) fn attribute(&self, line: &str) -> Result<()> {
        Ok(std::fs::write(self.dir.join(".gitattributes"), format!("{line}\n"))?)
    }

    pub(crate) fn hook(&self, directory: &Path, name: &str) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        executable::copy(self.bait.as_ref(), &directory.join(name))
    }

    pub(crate) fn hooks(&self, directory: &Path) -> Result<()> {
        let names = [
            "pre-commit",
            "commit-msg",
            "post-commit",
            "post-index-change",
            "reference-transaction",
            "pre-push",
        ];
        names.iter().try_for_each(|name| self.hook(directory, name))
    }
}

/// Plain git, as somebody who knows nothing of the trap would run it.
pub(crate) fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(dir).stdin(Stdio::null()).env("HOME", dir).env("TMPDIR", dir);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_VARIANT", "ssh");
    for (name, value) in [("AUTHOR", "t"), ("COMMITTER", "t")] {
        git.env(format!("GIT_{name}_NAME"), value).env(format!("GIT_{name}_EMAIL"), "t@example.com");
    }
    git
}

/// Marks anywhere below a directory; removed when found.
pub(crate) fn marks(below: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![below.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                pending.push(path);
            } else if name.starts_with("ran-") {
                std::fs::remove_file(&path)?;
                found.push(name);
            }
        }
    }
    Ok(found)
}
