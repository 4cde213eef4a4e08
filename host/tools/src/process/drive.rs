//! A running program and the loop that looks after it.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::{End, Finished, Invocation, MAX_OUTPUT, OutputChunk, RunError, TERMINATE_GRACE};
use crate::sandbox::{Confinement, KILL_PAUSE, Modes, Pass, SandboxReport, Tree, explain_spawn_error};

/// How long output may still come from processes left in the background once the program itself has ended.
const LINGER: Duration = Duration::from_millis(250);
/// How often the processes of a call are counted. A count takes some 0.1 ms; a fork bomb needs longer than this to
/// hurt.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is looked whether processes asked to end are gone.
const POLL: Duration = Duration::from_millis(20);
/// How long a killed process is waited for.
const SETTLE: Duration = Duration::from_secs(1);

/// Why the loop ended.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Ended(ExitStatus),
    TimedOut,
    Cancelled,
    OutputLimit,
    ProcessLimit,
}

/// A started program. Dropping it ends all its processes.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    exited: Option<ExitStatus>,
    stdin: Option<(ChildStdin, Vec<u8>)>,
    output: Output,
    modes: Modes,
    tree: TreeGuard,
    tasks: u32,
    started: Instant,
    deadline: Instant,
    sandbox: Arc<SandboxReport>,
}

impl Running {
    /// Starts the program. Blocks for the time of a fork and an exec, well under a millisecond.
    pub(super) fn start(
        confinement: &Confinement,
        invocation: Invocation,
        sink: Option<mpsc::Sender<OutputChunk>>,
    ) -> Result<Self, RunError> {
        let program = confinement.resolve(&invocation.program)?;
        let (mut command, tree, inlet) =
            confinement.command(&program, &invocation.args).map_err(RunError::Lost)?;
        command.stdin(if invocation.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let output = Output::attach(&mut command, &invocation, sink).map_err(RunError::Lost)?;
        let mut command = tokio::process::Command::from(command);
        let mut child =
            command.kill_on_drop(true).spawn().map_err(|error| match explain_spawn_error(error) {
                (Some(step), source) => RunError::Sandbox { step, source },
                (None, source) => RunError::Spawn { program, source },
            })?;
        // Our copies of the pipes' other ends are in there.
        drop(command);
        let mut tree = TreeGuard { tree, armed: true, confinement: confinement.clone() };
        if let Some(pid) = child.id() {
            tree.tree.started(pid);
        }
        let modes = inlet.listen().map_err(RunError::Lost)?;
        let started = Instant::now();
        Ok(Self {
            stdin: child.stdin.take().zip(invocation.stdin),
            child,
            exited: None,
            output,
            modes,
            tree,
            tasks: confinement.limits().tasks,
            started,
            deadline: started + invocation.timeout.get(),
            sandbox: Arc::clone(confinement.report()),
        })
    }

    pub(super) async fn finish(mut self, cancel: &CancellationToken) -> Result<Finished, RunError> {
        let stop = self.watch(cancel).await.map_err(RunError::Lost)?;
        let patient = matches!(stop, Stop::TimedOut | Stop::Cancelled);
        let (ended_descendants, surviving_processes) =
            self.end_tree(patient).await.map_err(RunError::Lost)?;
        self.output.drain().await.map_err(RunError::Lost)?;
        let end = match stop {
            Stop::Ended(status) => outcome(status),
            Stop::TimedOut => End::TimedOut,
            Stop::Cancelled => End::Cancelled,
            Stop::OutputLimit => End::OutputLimit,
            Stop::ProcessLimit => End::ProcessLimit,
        };
        let (stdout, stderr) = self.output.finish();
        Ok(Finished {
            end,
            stdout,
            stderr,
            duration: self.started.elapsed(),
            sandbox: self.sandbox,
            ended_descendants,
            surviving_processes,
            restored: self.tree.confinement.restore_protected(),
        })
    }

    /// Feeds and reads until the program has ended and its output is read, or it has to be ended.
    async fn watch(&mut self, cancel: &CancellationToken) -> io::Result<Stop> {
        let mut feed = std::pin::pin!(feed(self.stdin.take()));
        let mut fed = false;
        let mut count = interval_at(self.started + COUNT_INTERVAL, COUNT_INTERVAL);
        let mut linger = self.deadline;
        loop {
            if let Some(status) = self.exited
                && self.output.is_done()
            {
                return Ok(Stop::Ended(status));
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Stop::Cancelled),
                () = sleep_until(linger), if self.exited.is_some() => {
                    return Ok(self.exited.map_or(Stop::TimedOut, Stop::Ended));
                }
                () = sleep_until(self.deadline) => return Ok(Stop::TimedOut),
                _ = count.tick() => {
                    if self.tree.tree.count()? > self.tasks {
                        return Ok(Stop::ProcessLimit);
                    }
                }
                status = self.child.wait(), if self.exited.is_none() => {
                    self.exited = Some(status?);
                    linger = Instant::now() + LINGER;
                }
                () = &mut feed, if !fed => fed = true,
                attended = attend(&mut self.output, &mut self.modes) => {
                    attended?;
                    if self.output.total() > MAX_OUTPUT {
                        return Ok(Stop::OutputLimit);
                    }
                }
            }
        }
    }

    /// Ends every process of the call. Returns how many others than the first there were, and how many are left.
    async fn end_tree(&mut self, patient: bool) -> io::Result<(u32, u32)> {
        let live = self.tree.tree.count()?;
        let descendants = live.saturating_sub(u32::from(self.exited.is_none()));
        let mut surviving = 0;
        if live > 0 {
            if patient {
                self.terminate().await?;
            }
            surviving = self.kill().await?;
        }
        self.tree.armed = false;
        if self.exited.is_none() {
            // It has been killed; only one stuck in the kernel is not collected at once.
            if let Ok(status) = timeout(SETTLE, self.child.wait()).await {
                self.exited = Some(status?);
            }
        }
        Ok((descendants, surviving))
    }

    /// Not on a thread for blocking work: when processes have run out there is none to be had.
    async fn kill(&self) -> io::Result<u32> {
        let mut ending = self.tree.tree.ending();
        loop {
            match ending.pass()? {
                Pass::Again => tokio::task::yield_now().await,
                Pass::Wait => sleep(KILL_PAUSE).await,
                Pass::Done(left) => return Ok(left),
            }
        }
    }

    /// Asks all processes to end and reads on meanwhile, so that none is stuck writing.
    async fn terminate(&mut self) -> io::Result<()> {
        let killed_at = Instant::now() + TERMINATE_GRACE;
        let mut live = self.tree.tree.terminate()?;
        while live > 0 && Instant::now() < killed_at {
            tokio::select! {
                () = sleep(POLL) => live = self.tree.tree.count()?,
                attended = attend(&mut self.output, &mut self.modes) => attended?,
                status = self.child.wait(), if self.exited.is_none() => {
                    self.exited = Some(status?);
                    live = self.tree.tree.count()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads output or answers a request, whichever comes; neither keeps the other waiting. Cancel-safe.
async fn attend(output: &mut Output, modes: &mut Modes) -> io::Result<()> {
    tokio::select! {
        progress = output.progress() => progress,
        served = modes.serve() => served,
    }
}

fn outcome(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited { code },
        (None, Some(signal)) => End::Signaled { signal },
        // `wait` reports ended processes only, so one of the two is there.
        (None, None) => End::Exited { code: -1 },
    }
}

/// Writes the input and closes it. A program that does not read all of it is no error.
async fn feed(stdin: Option<(ChildStdin, Vec<u8>)>) {
    if let Some((mut pipe, bytes)) = stdin
        && let Err(error) = pipe.write_all(&bytes).await
    {
        tracing::debug!(%error, "program did not read all of its input");
    }
}

/// Kills the processes of a call whose future was dropped.
#[derive(Debug)]
struct TreeGuard {
    tree: Tree,
    armed: bool,
    confinement: Confinement,
}

impl Drop for TreeGuard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        match self.tree.end_now() {
            Ok(0) => {}
            Ok(left) => tracing::warn!(left, "processes of an abandoned call survive SIGKILL"),
            Err(error) => tracing::warn!(%error, "processes of an abandoned call could not be looked for"),
        }
        // Nobody is left to be told; what was restored is in the log.
        self.confinement.restore_protected();
    }
}
