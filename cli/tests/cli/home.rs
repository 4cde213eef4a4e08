//! Runs the command in a home of its own.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longest wait for anything; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A home directory, a runtime directory and a workspace; a host that was started in them is stopped at the end.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["work", "run"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The command, with nothing of the tester's environment but the path.
    pub(crate) fn lanyard(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanyard"));
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            // The demo model, whatever runs on this machine.
            .env("LANYARD_MODEL_DETECT", "false")
            // Hosts of many tests at once share no port, and none of them is announced.
            .env("LANYARD_LISTEN", "off")
            .current_dir(self.work())
            .stdin(Stdio::null())
            .arg("--state-dir")
            .arg(self.state())
            .args(args);
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.lanyard(args).output().unwrap()
    }

    /// Exit code, standard output, standard error.
    pub(crate) fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.output(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Also when a test has failed; that no host runs is fine.
        let _ = self.lanyard(&["stop"]).output();
    }
}
