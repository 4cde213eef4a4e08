//! The way of a tool call: prepared (policy), settled (approval), run (execution and audit).
//!
//! The loop prepares the calls of a step in order, settles all of them at once, and runs each when its [`Lane`]
//! allows. Every stage consumes the one before, so no stage can be skipped.

use std::path::PathBuf;

use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolSpec};
use tokio_util::sync::CancellationToken;

/// What the task allows; the same for each of its calls.
#[derive(Debug, Clone)]
pub struct TaskTerms {
    /// How the task may run.
    pub options: TaskOptions,
    /// Who started it.
    pub initiator: Principal,
}

/// How a call may run beside others of its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// Changes nothing: beside any other `Read`, and beside writes.
    Read,
    /// Changes these paths only: beside calls that touch none of them.
    Write(Vec<PathBuf>),
    /// Alone: everything before it is finished, nothing after it has begun.
    Barrier,
}

/// Tools of one session.
#[async_trait::async_trait]
pub trait ToolRouter: Send + Sync {
    /// Tools offered to the model.
    fn specs(&self) -> Vec<ToolSpec>;

    /// Judges a call. A call that a crash interrupted is recognised by its id: a finished one yields its recorded
    /// result, an interrupted one is treated by its kind (see `docs/architecture.md`, recovery).
    async fn prepare(&self, request: ToolRequest, terms: &TaskTerms) -> Box<dyn PreparedCall>;
}

/// A call that policy has judged.
#[async_trait::async_trait]
pub trait PreparedCall: Send {
    /// How it may run beside others.
    fn lane(&self) -> Lane;

    /// Whether a person must answer before it can run.
    fn awaits_person(&self) -> bool;

    /// Waits for the answer where one is needed. A call that will not run gives its result at once. Cancel-safe:
    /// a dropped wait leaves the question pending, `cancel` settles it as cancelled.
    async fn settle(self: Box<Self>, cancel: &CancellationToken) -> Settled;
}

/// What became of a judged call.
pub enum Settled {
    /// It may run.
    Ready(Box<dyn ReadyCall>),
    /// It will not run, or has run already; this is its result, already recorded.
    Done(Box<ToolResult>),
}

impl std::fmt::Debug for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Settled::Ready(_) => f.write_str("Ready"),
            Settled::Done(result) => f.debug_tuple("Done").field(result).finish(),
        }
    }
}

/// A call that may run.
#[async_trait::async_trait]
pub trait ReadyCall: Send {
    /// Runs it to its end and records the result before returning it. Not cancel-safe: use the token, which ends
    /// the call within bounded time and still records the result.
    async fn run(self: Box<Self>, cancel: &CancellationToken) -> ToolResult;
}
