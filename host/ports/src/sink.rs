//! Where events go once they may be seen.

use std::sync::Arc;

use lanyard_protocol::event::{HostEvent, SessionEvent};

/// Takes ephemeral events (`text_delta`, `tool_output_delta`). Never blocks; a slow subscriber loses the oldest.
pub trait DeltaSink: Send + Sync {
    /// Hands one on.
    fn delta(&self, event: SessionEvent);
}

/// Told by the store's writer, in commit order, after each commit. Must not block and must not call the store.
pub trait CommitObserver: Send + Sync {
    /// Durable events of one commit, numbered.
    fn committed(&self, events: &[Arc<SessionEvent>], host_events: &[Arc<HostEvent>]);
}
