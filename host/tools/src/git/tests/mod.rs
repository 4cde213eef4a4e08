//! The git tools against real repositories, made with the real git.

mod hostile;
mod pushing;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::testing::Bench;

/// A workspace that is a repository with one commit of `a.txt`.
pub(super) struct Repo {
    pub(super) bench: Bench,
}

impl Repo {
    pub(super) fn new() -> Self {
        let repo = Self { bench: Bench::new() };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        std::fs::write(
            repo.bench.beside("home/.gitconfig"),
            "[user]\n\tname = Mia Owner\n\temail = mia@example.org\n",
        )
        .unwrap();
        repo.bench.write("a.txt", "one\n");
        repo.git(&["add", "."]);
        repo.git(&["commit", "--quiet", "-m", "first"]);
        repo
    }

    /// Plain git, unconfined, as the owner would run it.
    pub(super) fn git(&self, args: &[&str]) -> String {
        let (ok, text) = self.try_git(&self.bench.at(""), args);
        assert!(ok, "git {args:?}: {text}");
        text
    }

    pub(super) fn try_git(&self, directory: &Path, args: &[&str]) -> (bool, String) {
        let output = Command::new("git")
            .args(args)
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.bench.beside("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .expect("git is needed to test the git tools");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    /// A program that leaves a mark when it is run. Every confined child could leave it: it lies in the session's
    /// private directory.
    pub(super) fn trap(&self, name: &str) -> Trap {
        let mark = self.bench.beside("scratch").join(format!("mark-{name}"));
        let program = self.bench.beside("outside").join(format!("trap-{name}"));
        self.program(&program, &mark);
        Trap { mark, program }
    }

    pub(super) fn program(&self, at: &Path, mark: &Path) {
        crate::testing::executable(at, &format!("#!/bin/sh\ntouch '{}'\ncat\nexit 0\n", mark.display()));
    }
}

pub(super) struct Trap {
    pub(super) mark: PathBuf,
    pub(super) program: PathBuf,
}

impl Trap {
    /// As a command a child can also run when it may not read the program: the shell touches the mark itself.
    pub(super) fn command(&self) -> String {
        format!("touch '{}'; cat; :", self.mark.display())
    }

    pub(super) fn sprung(&self) -> bool {
        self.mark.exists()
    }

    pub(super) fn reset(&self) {
        if self.mark.exists() {
            std::fs::remove_file(&self.mark).unwrap();
        }
    }
}
