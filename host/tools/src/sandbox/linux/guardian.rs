//! A small process that outlives a killed host just long enough to end the host's children.
//!
//! It is forked once, waits for the end of a pipe whose other end only the host holds, and then ends every process
//! with the host's tag. `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that forked ends, which threads of
//! an async runtime do at will, and it reaches the first child only. Should the guardian be killed together with the
//! host, the next start of the host does the same ([`Sandbox::end_leftovers`](crate::sandbox::Sandbox::end_leftovers)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::sys;
use super::tree::{self, Instance, Selection};

#[derive(Debug)]
pub(super) struct Guardian {
    instance: Instance,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    /// Never written to: its closing is the message.
    lifeline: Option<OwnedFd>,
}

impl Guardian {
    pub(super) fn start(instance: Instance) -> io::Result<Self> {
        Ok(Self { instance, running: Mutex::new(Running::start(instance)?) })
    }

    /// Starts another one if somebody ended it. Cheap: one system call.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match waitpid(Some(running.pid), WaitOptions::NOHANG) {
            Ok(None) => Ok(()),
            // Ended, or taken by somebody who waits for any child.
            Ok(Some(_)) | Err(_) => {
                *running = Running::start(self.instance)?;
                Ok(())
            }
        }
    }
}

impl Running {
    fn start(instance: Instance) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let pid = sys::fork_bare(read.as_fd(), instance, watch)?;
        Ok(Self { pid, lifeline: Some(write) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifeline = None;
        // It ends within milliseconds; nobody else would take its exit status. An error means somebody did.
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The guardian's whole life. Runs in a forked copy: system calls only.
fn watch(lifeline: BorrowedFd<'_>, instance: Instance) {
    let mut byte = [0_u8];
    while let Err(rustix::io::Errno::INTR) = rustix::io::read(lifeline, &mut byte) {}
    // The host is gone and nobody is left to be told of a failure.
    let _ = tree::end_now(Selection::Host(instance));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::process::{Signal, kill_process, test_kill_process};

    use super::*;

    #[test]
    fn another_one_takes_the_place_of_an_ended_one() {
        let guardian = Guardian::start(Instance::of(Path::new("/a state directory of nobody"))).unwrap();
        let pid = || guardian.running.lock().unwrap().pid;
        let first = pid();
        guardian.ensure().unwrap();
        assert_eq!(pid(), first);

        kill_process(first, Signal::TERM).unwrap();
        guardian.ensure().unwrap();
        assert_eq!(pid(), first, "a service's stop signal ends it before the host");

        kill_process(first, Signal::KILL).unwrap();
        while pid() == first {
            guardian.ensure().unwrap();
        }
        let second = pid();
        test_kill_process(second).unwrap();
        drop(guardian);
        test_kill_process(second).unwrap_err();
    }
}
