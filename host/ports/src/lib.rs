//! The traits along which the host is cut, and the types that cross them. No logic lives here.
//!
//! | port | used by | implemented by |
//! |---|---|---|
//! | [`router::ToolRouter`] | the agent loop | `lanyard-dispatch` |
//! | [`model::Model`] | the agent loop | `lanyard-model` |
//! | [`journal::Journal`], [`journal::ArtifactStore`] | agent, dispatch, daemon | `lanyard-store` |
//! | [`authority::SessionAuthority`] | daemon, dispatch | the daemon: local, and central where enrolled |
//! | [`authority::TokenSource`] | model | `lanyard-dispatch` |
//! | [`remote::RemoteTools`] | dispatch | the daemon, over the central services |
//! | [`sink::DeltaSink`], [`sink::CommitObserver`] | agent, dispatch, store | the daemon's event hub |
//! | [`source::Clock`], [`source::BootClock`], [`source::IdSource`] | everyone | the daemon; fixed ones in tests |

pub mod authority;
pub mod fault;
pub mod journal;
pub mod model;
pub mod remote;
pub mod router;
pub mod sink;
pub mod source;
