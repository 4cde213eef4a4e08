//! The one way from a tool call to its effect: plan, policy, approval, start, result, audit.
//!
//! [`SessionRouter`] implements the loop's `ToolRouter`. A call passes three values, each consuming the one before: it
//! is *prepared* (planned by the tools, judged by policy), *settled* (a person, a remembered answer or nobody had to
//! say yes) and *run* (`STARTED` is on disk before the tool begins, `FINISHED` with result, event and audit record
//! after it). [`ApprovalDesk`] owns the questions that wait; [`SessionPolicy`] the bundles in force.

mod backlog;
mod call;
mod desk;
mod output;
mod plan;
mod policy;
mod record;
mod recover;
mod remote;
mod router;

#[cfg(test)]
mod tests;

pub use desk::ApprovalDesk;
pub use lanyard_protocol::limits::MAX_AUDIT_BACKLOG;
pub use policy::{PolicyLapse, SessionPolicy};
pub use remote::{MAX_OFFERED, MAX_OFFERED_BYTES, NoRemoteTools, Screened, screened};
pub use router::{HostFacts, RouterParts, SessionRouter};
