//! Starts a planned command and waits for its end.

use std::time::Duration;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::tool::ToolStatus;
use tokio::sync::mpsc;

use super::{describe_end, forward};
use crate::execute::{Bounds, MAX_OUTPUT_BYTES, Outcome, OutputSink};
use crate::process::{self, End, Finished, Invocation, RunError, Timeout};
use crate::sandbox::Confinement;

/// Pieces of output on their way; a program that writes faster than they are taken waits.
const CHUNKS: usize = 64;

/// A command ready to be started.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) confinement: Confinement,
    pub(super) invocation: Invocation,
    pub(super) source: String,
}

impl Run {
    pub(crate) async fn run(mut self: Box<Self>, sink: &OutputSink, bounds: &Bounds) -> Outcome {
        if let Err(error) = self.keep_to(bounds) {
            return Outcome::failed(self.source, error.to_string());
        }
        self.invocation.keep = MAX_OUTPUT_BYTES;
        let seconds = self.invocation.timeout.get().as_secs();
        let level = self.confinement.report().level;
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let running = process::run(&self.confinement, self.invocation, Some(sender), &bounds.cancel);
        let (finished, ()) = tokio::join!(running, forward(chunks, sink));
        let mut outcome = match finished {
            Ok(finished) => outcome(self.source, &finished, seconds),
            Err(RunError::Cancelled) => Outcome::cancelled(self.source),
            Err(error) => Outcome::failed(self.source, error.to_string()),
        };
        outcome.sandbox_level = level;
        outcome
    }

    /// Policy may allow less time than the call asked for.
    fn keep_to(&mut self, bounds: &Bounds) -> Result<(), RunError> {
        if let Some(limit) = bounds.limits.max_execution_time_seconds
            && self.invocation.timeout.get() > Duration::from_secs(limit.into())
        {
            self.invocation.timeout = Timeout::from_secs(limit.into())?;
        }
        Ok(())
    }
}

fn outcome(source: String, finished: &Finished, seconds: u64) -> Outcome {
    let mut output = finished.stdout.to_text();
    let mut notes: Vec<String> = Vec::new();
    let end = describe_end(finished, seconds);
    notes.extend(end.clone());
    if finished.ended_descendants > 0 && matches!(finished.end, End::Exited { .. }) {
        notes.push(format!("{} processes left running were ended", finished.ended_descendants));
    }
    if finished.surviving_processes > 0 {
        notes.push(format!("{} processes could not be ended", finished.surviving_processes));
    }
    if !finished.restored.is_empty() {
        notes.push("it changed the mode of a directory of the host, which was put back".to_owned());
    }
    if output.is_empty() && notes.is_empty() {
        notes.push("no output".to_owned());
    }
    if !notes.is_empty() {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output.push_str(&format!("[{}]\n", notes.join("; ")));
    }
    let (status, error) = match (finished.end, end) {
        (_, None) => (ToolStatus::Succeeded, None),
        (End::Cancelled, Some(end)) => (ToolStatus::Cancelled, Some(end)),
        (_, Some(end)) => (ToolStatus::Failed, Some(end)),
    };
    let exit_code = match finished.end {
        End::Exited { code } => Some(code),
        _ => None,
    };
    Outcome {
        status,
        error: error.map(|end| WireError::new(ErrorCode::ToolExecutionFailed, end)),
        exit_code,
        ..Outcome::succeeded(source, output)
    }
}
