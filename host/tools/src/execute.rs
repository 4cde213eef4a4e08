//! Carries out a permitted call.

use std::fmt;
use std::sync::Arc;

use lanyard_policy::decide::Limits;
use lanyard_policy::demand::PlannedCall;
use lanyard_policy::permit::Permitted;
use lanyard_policy::visible;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::FileChange;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::tool::ToolStatus;
use tokio_util::sync::CancellationToken;

use crate::ground::PathError;
use crate::plan::Prepared;
use crate::workspace::Workspace;
use crate::{command, git, http};

/// Bytes of output kept of one call. The model gets less ([`crate::shorten()`]), the whole is kept as an artifact; more
/// than this nobody reads.
pub const MAX_OUTPUT_BYTES: usize = 10 << 20;

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Succeeded, failed or cancelled.
    pub status: ToolStatus,
    /// Whole, at most about [`MAX_OUTPUT_BYTES`]; not yet shortened.
    pub output: String,
    /// Why it did not succeed.
    pub error: Option<WireError>,
    /// Exit code of the program, for tools that run one.
    pub exit_code: Option<i32>,
    /// Files changed, as far as the tool knows.
    pub changes: Vec<FileChange>,
    /// How the child really was confined; `none` for tools without a child.
    pub sandbox_level: SandboxLevel,
    /// Where the output comes from: `file:src/a.rs`, `tool:RunCommand`, `http:example.com`.
    pub source: String,
}

impl Outcome {
    pub(crate) fn succeeded(source: impl Into<String>, output: impl Into<String>) -> Self {
        Self {
            status: ToolStatus::Succeeded,
            output: output.into(),
            error: None,
            exit_code: None,
            changes: Vec::new(),
            sandbox_level: SandboxLevel::None,
            source: source.into(),
        }
    }

    pub(crate) fn failed(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::error(source, WireError::new(ErrorCode::ToolExecutionFailed, reason))
    }

    pub(crate) fn error(source: impl Into<String>, error: WireError) -> Self {
        Self { status: ToolStatus::Failed, error: Some(error), ..Self::succeeded(source, "") }
    }

    pub(crate) fn cancelled(source: impl Into<String>) -> Self {
        let error = WireError::new(ErrorCode::ToolExecutionFailed, "cancelled");
        Self { status: ToolStatus::Cancelled, ..Self::error(source, error) }
    }

    /// A path that could not be used after all.
    pub(crate) fn path(source: impl Into<String>, error: &PathError) -> Self {
        let code =
            if error.is_denial() { ErrorCode::CapabilityDenied } else { ErrorCode::ToolExecutionFailed };
        Self::error(source, WireError::new(code, error.to_string()))
    }

    pub(crate) fn with_changes(mut self, changes: Vec<FileChange>) -> Self {
        self.changes = changes;
        self
    }
}

/// Takes output while a call runs, in pieces that never split a character. Must not block for long: the program
/// waits meanwhile.
#[derive(Clone)]
pub struct OutputSink(Arc<dyn Fn(&str) + Send + Sync>);

impl OutputSink {
    /// Hands each piece to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Drops everything.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn piece(&self, text: &str) {
        if !text.is_empty() {
            (self.0)(text);
        }
    }
}

impl fmt::Debug for OutputSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutputSink")
    }
}

/// What an operation has to keep to.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Ends it.
    pub(crate) cancel: CancellationToken,
    /// Numbers policy sets.
    pub(crate) limits: Limits,
}

impl Bounds {
    /// The largest file that may be read whole: the tool's own limit, or policy's where it is smaller.
    pub(crate) fn file_bytes(&self, own: u64) -> u64 {
        self.limits.max_file_size_bytes.map_or(own, |policy| policy.min(own))
    }
}

/// What is left to do of a planned call.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Files only.
    Blocking(Box<dyn Blocking>),
    Command(Box<command::Run>),
    Git(Box<git::Run>),
    Http(Box<http::Send>),
}

/// Work on files, done on a thread that may block.
pub(crate) trait Blocking: fmt::Debug + Send {
    /// Does it. Looks at `bounds.cancel` wherever it may take long.
    fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome;
}

/// Carries out a call that policy, and a person where needed, allowed.
///
/// Not cancel-safe: end it with `cancel`, which it honours within [`crate::process::TERMINATE_GRACE`] and some
/// milliseconds. A change of one file happens whole or not at all, whatever happens.
pub async fn execute(
    workspace: &Arc<Workspace>,
    permit: Permitted<PlannedCall>,
    prepared: Prepared,
    output: &OutputSink,
    cancel: &CancellationToken,
) -> Outcome {
    if *permit.get() != prepared.call {
        let reason = "the permit is for another call: nothing was done";
        return Outcome::error("host", WireError::new(ErrorCode::InternalError, reason));
    }
    let bounds = Bounds { cancel: cancel.clone(), limits: permit.limits() };
    carry_out(workspace, prepared, output, &bounds).await
}

/// [`execute`] behind the permit.
pub(crate) async fn carry_out(
    workspace: &Arc<Workspace>,
    prepared: Prepared,
    output: &OutputSink,
    bounds: &Bounds,
) -> Outcome {
    let source = format!("tool:{}", prepared.call.request().tool_name);
    if bounds.cancel.is_cancelled() {
        return Outcome::cancelled(source);
    }
    if !prepared.call.contents().is_empty() {
        let call = prepared.call.clone();
        let changed = blocking(workspace, move |workspace| workspace.changed_files(&call)).await;
        match changed {
            Err(lost) => return Outcome::error(source, lost),
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => return Outcome::failed(source, describe(workspace, &changed)),
        }
    }
    match prepared.operation {
        Operation::Blocking(operation) => {
            let bounds = bounds.clone();
            let done = blocking(workspace, move |workspace| operation.run(workspace, &bounds)).await;
            done.unwrap_or_else(|lost| Outcome::error(source, lost))
        }
        Operation::Command(run) => run.run(output, bounds).await,
        Operation::Git(run) => run.run(workspace, output, bounds).await,
        Operation::Http(send) => send.run(workspace, bounds).await,
    }
}

async fn blocking<T: Send + 'static>(
    workspace: &Arc<Workspace>,
    work: impl FnOnce(&Workspace) -> T + Send + 'static,
) -> Result<T, WireError> {
    let workspace = Arc::clone(workspace);
    tokio::task::spawn_blocking(move || work(&workspace)).await.map_err(|error| {
        tracing::error!(%error, "a file tool ended abnormally");
        WireError::new(ErrorCode::InternalError, "the tool ended abnormally: the host's log has the detail")
    })
}

fn describe(workspace: &Workspace, changed: &[std::path::PathBuf]) -> String {
    let names: Vec<String> = changed.iter().take(5).map(|path| workspace.shown(path)).collect();
    let more = changed.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let text = format!(
        "changed since the call was planned, so nothing was done: {}{more}; look again and repeat the call",
        names.join(", ")
    );
    visible::line(&text).into_owned()
}
