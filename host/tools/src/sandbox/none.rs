//! Systems without a sandbox yet: a scrubbed environment, a process group, and an honest report.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::paths::{Grant, WorkingDirectory};
use super::{Gap, Limits, PrepareError, SandboxReport, StartError};

/// Nothing to hold.
pub(super) type Handle = ();

pub(super) fn open_path(path: &Path) -> io::Result<(Handle, PathBuf)> {
    Ok(((), path.canonicalize()?))
}

/// Nothing to hold here either.
pub(super) fn handle_of(_directory: &std::fs::File) -> io::Result<Handle> {
    Ok(())
}

#[derive(Debug)]
pub(super) struct Platform;

impl Platform {
    pub(super) fn start(_state_dir: &Path) -> Result<(Self, SandboxReport), StartError> {
        let missing = vec![Gap::Platform, Gap::Files, Gap::SystemCalls, Gap::Signals, Gap::ProcessTree];
        Ok((Self, SandboxReport::new(missing, "process group".to_owned())))
    }

    /// Nothing marks them here.
    pub(super) fn end_leftovers(&self) -> io::Result<u32> {
        Ok(0)
    }

    pub(super) fn prepare(
        &self,
        _grants: &[Grant],
        _network: bool,
        _limits: Limits,
    ) -> Result<Prepared, PrepareError> {
        Ok(Prepared)
    }
}

#[derive(Debug)]
pub(super) struct Prepared;

impl Prepared {
    pub(super) fn arm(
        &self,
        _platform: &Platform,
        cwd: &WorkingDirectory,
        command: &mut Command,
    ) -> io::Result<(Tree, Inlet)> {
        command.current_dir(&cwd.path);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        Ok((Tree { group: None }, Inlet))
    }
}

/// The process group of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    group: Option<u32>,
}

impl Tree {
    pub(crate) fn started(&mut self, pid: u32) {
        self.group = Some(pid);
    }

    /// 1 while anything of the group is there; more is not known.
    pub(crate) fn count(&self) -> io::Result<u32> {
        Ok(u32::from(self.signal(None)))
    }

    pub(crate) fn terminate(&self) -> io::Result<u32> {
        #[cfg(unix)]
        return Ok(u32::from(self.signal(Some(rustix::process::Signal::TERM))));
        #[cfg(not(unix))]
        self.count()
    }

    pub(crate) fn end_now(&self) -> io::Result<u32> {
        #[cfg(unix)]
        self.signal(Some(rustix::process::Signal::KILL));
        Ok(0)
    }

    pub(crate) fn ending(&self) -> Ending {
        Ending(*self)
    }

    #[cfg(unix)]
    fn signal(&self, signal: Option<rustix::process::Signal>) -> bool {
        use rustix::process::{Pid, kill_process_group, test_kill_process_group};
        let Some(group) = self.group.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
            return false;
        };
        match signal {
            Some(signal) => kill_process_group(group, signal).is_ok(),
            None => test_kill_process_group(group).is_ok(),
        }
    }

    /// Windows: a job object is to be built; until then nothing beyond the child itself is reached.
    #[cfg(not(unix))]
    fn signal(&self, _signal: Option<()>) -> bool {
        false
    }
}

/// Children ask nothing here.
#[derive(Debug)]
pub(crate) struct Inlet;

impl Inlet {
    pub(crate) fn listen(self) -> io::Result<Modes> {
        Ok(Modes)
    }
}

/// Children ask nothing here.
#[derive(Debug)]
pub(crate) struct Modes;

impl Modes {
    /// Never returns.
    pub(crate) async fn serve(&mut self) -> io::Result<()> {
        std::future::pending().await
    }
}

/// Ends the group in one pass.
#[derive(Debug)]
pub(crate) struct Ending(Tree);

/// What to do after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Make the next one at once.
    Again,
    /// Make the next one after [`KILL_PAUSE`].
    Wait,
    /// All is done; so many processes still live.
    Done(u32),
}

pub(crate) const KILL_PAUSE: Duration = Duration::from_millis(2);

impl Ending {
    pub(crate) fn pass(&mut self) -> io::Result<Pass> {
        self.0.end_now().map(Pass::Done)
    }
}

/// There are no steps of its own here.
pub(crate) fn explain_spawn_error(error: io::Error) -> (Option<&'static str>, io::Error) {
    (None, error)
}

#[cfg(all(test, unix))]
mod tests {
    use lanyard_protocol::policy::SandboxLevel;

    use super::*;

    #[test]
    fn it_claims_nothing() {
        let (_, report) = Platform::start(Path::new("/")).unwrap();
        assert_eq!(report.level, SandboxLevel::None);
        assert!(report.missing.contains(&Gap::Platform));
    }

    #[test]
    fn the_group_is_ended() {
        let (handle, path) = super::super::platform::open_path(Path::new("/")).unwrap();
        let cwd = WorkingDirectory { handle: std::sync::Arc::new(handle), path };
        let mut command = Command::new("sleep");
        let (mut tree, _) = Prepared.arm(&Platform, &cwd, command.arg("1000")).unwrap();
        let mut child = command.spawn().unwrap();
        tree.started(child.id());
        assert_eq!(tree.count().unwrap(), 1);
        tree.end_now().unwrap();
        child.wait().unwrap();
        assert_eq!(tree.count().unwrap(), 0);
    }
}
