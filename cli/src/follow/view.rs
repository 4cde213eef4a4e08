//! How a task is shown: as a timeline for a person, or as events one a line for a script.

use std::io;

use lanyard_protocol::Timestamp;
use lanyard_protocol::codec::to_json_value;
use lanyard_protocol::event::SessionEvent;

use crate::render::Timeline;
use crate::terminal::Terminal;

/// See the module.
#[derive(Debug)]
pub(crate) enum View {
    /// For a person.
    Pretty(Box<Timeline>),
    /// For a script: each event exactly as on the wire.
    Json,
}

impl View {
    /// Shows a durable event.
    pub(crate) fn event(&mut self, terminal: &mut Terminal, event: &SessionEvent) -> io::Result<()> {
        match self {
            View::Pretty(timeline) => terminal.print(&timeline.event(event, Timestamp::now())),
            View::Json => terminal.line(&wire_line(event)?),
        }
    }

    /// Shows a piece of streamed text.
    pub(crate) fn delta(
        &mut self,
        terminal: &mut Terminal,
        event: &SessionEvent,
        missing: u64,
    ) -> io::Result<()> {
        match self {
            View::Pretty(timeline) => terminal.print(&timeline.delta(event, missing)),
            View::Json => terminal.line(&wire_line(event)?),
        }
    }

    /// Something for a person that is no event. It goes where the timeline is read, else to standard error.
    pub(crate) fn note(&self, terminal: &mut Terminal, text: &str) -> io::Result<()> {
        match self {
            View::Pretty(_) if terminal.stdout_is_terminal => terminal.line(text),
            _ => terminal.note(text),
        }
    }
}

/// An event as the host writes it on the wire: the same members in the same order.
pub(crate) fn wire_line(event: &SessionEvent) -> io::Result<String> {
    Ok(to_json_value(event)?.to_string())
}
