//! The agent loop: a pure turn machine and the thin driver that feeds it.
//!
//! A task is a chain of steps; a step is one model call and the tool calls it asked for. What happens next is decided
//! without IO in [`turn`] (one task), [`schedule`] (the calls of one step), [`compact`] and [`budget`] (what fits into
//! the model's window) and [`recovery`] (what a restart may do). Around them, `driver` carries out one task and
//! [`session`] owns a session's tasks.
//!
//! The loop sees tools, policy, store and gateway only through the ports: it cannot run anything the router has not
//! let through, and it knows no tool by name.
//!
//! Who records what: the router (dispatch) records `tool_requested`, `policy_decided`, the approval events,
//! `tool_completed` and call records up to `FINISHED`. The loop records everything else, and these two events for calls
//! that never reach the router or never run: malformed calls, and calls dropped by a cancel.
//!
//! What a step costs on disk: the loop only *appends* (`step_started`, `llm_request_*`, messages, checkpoints, state).
//! The two commits of a step with a tool are the router's (`STARTED`, `FINISHED`), and each carries what the loop
//! appended before it. The loop itself commits when a task starts, ends, pauses or resumes.

mod ask;
mod attached;
mod audit;
pub mod budget;
mod calls;
pub mod compact;
mod control;
mod driver;
pub mod gate;
pub mod instructions;
pub mod prompt;
mod recorder;
pub mod recovery;
pub mod render;
mod result_text;
pub mod schedule;
pub mod session;
mod stream;
mod summary;
#[cfg(test)]
mod tests;
mod text;
pub mod thread;
pub mod turn;

use std::sync::Arc;

use lanyard_ports::journal::Journal;
use lanyard_ports::model::{Model, NAMED_BY_TASK, Pictures};
use lanyard_ports::router::ToolRouter;
use lanyard_ports::sink::DeltaSink;
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::session::ModelInfo;

pub use driver::{TaskError, TaskOutcome};
pub use gate::{InForce, ModelLimits, PolicyGate, PolicyStop, Redactor};
pub use recovery::ResumeCause;
pub use session::{Session, SessionSetup};

/// What the loop is built on. One set per session; the parts may be shared.
#[derive(Clone)]
pub struct Ports {
    /// The durable record.
    pub journal: Arc<dyn Journal>,
    /// The model. A task holds on to one ([`Model::held`]), so that its thread is not sent to another halfway.
    pub model: Arc<dyn Model>,
    /// The session's tools.
    pub router: Arc<dyn ToolRouter>,
    /// Where text goes while it streams.
    pub deltas: Arc<dyn DeltaSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
    /// Whether the model may be called.
    pub gate: Arc<dyn PolicyGate>,
    /// What must not leave.
    pub redactor: Arc<dyn Redactor>,
    /// Pictures attached to the session's prompts.
    pub pictures: Arc<dyn Pictures>,
}

impl Ports {
    /// The ports of one task, with the model it keeps to its end: the one it names, else the host's choice. `None`: there
    /// is no model of that name.
    fn for_task(&self, named: Option<&str>) -> Option<Self> {
        let mut ports = self.clone();
        ports.model = match named {
            Some(name) => self.model.named(name)?,
            None => self.model.held().unwrap_or_else(|| self.model.clone()),
        };
        Some(ports)
    }

    /// The ports of a task that goes on. A model that it named is asked again, at the place where it was named only: the
    /// owner may have changed the gateway meanwhile.
    fn for_resumed(&self, model: Option<&ModelInfo>) -> Self {
        let host = self.for_task(None).unwrap_or_else(|| self.clone());
        let named = model
            .filter(|model| model.source == NAMED_BY_TASK && model.endpoint == host.model.info().endpoint);
        named.and_then(|model| self.for_task(Some(&model.name))).unwrap_or(host)
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("model", &self.model.info().name).finish_non_exhaustive()
    }
}
