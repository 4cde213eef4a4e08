//! The built-in tools: plans what a call would do, and carries it out once it is permitted.
//!
//! [`plan()`] turns a model's request into demands for policy, a detail for a person and a [`Prepared`] operation;
//! [`execute()`] carries it out against a permit for exactly that call. Files are reached by directory handle only
//! (`ground`), programs run in a [`sandbox`], requests go to public addresses only. People look at files through
//! [`browse`], and send some along through `attach`.

mod arguments;
mod attach;
pub mod browse;
mod catalog;
mod command;
mod content;
mod diff;
mod execute;
mod files;
mod git;
mod ground;
mod http;
mod identity;
mod plan;
mod preview;
pub mod process;
pub mod sandbox;
mod search;
mod shorten;
mod text;
mod workspace;

pub use attach::{AttachError, attach, attached, attachment_path, is_full, picture};
pub use catalog::{demands_of, plans_with_programs, specs};
pub use execute::{MAX_OUTPUT_BYTES, Outcome, OutputSink, execute};
pub use ground::GroundError;
pub use http::{HttpClient, HttpSetupError};
pub use plan::{Plan, PlanError, PlanTerms, PreImage, Prepared, Searchable, plan};
pub use preview::preview;
pub use shorten::{Shortened, shorten};
pub use workspace::{Workspace, WorkspaceError, WorkspaceOptions};

/// A number nobody can guess: the keys of a `RandomState` come from the system's random source.
fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod testing;
