//! A task id used again: with the same prompt and options it is the same request, with others a mistake.

use lanyard_ports::journal::{Cursor, Journal, JournalError};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::{SessionId, TaskId};

use super::NewTask;

/// Events read at a time; a page of the log is bounded in bytes besides.
const PAGE: usize = 256;

/// Whether a known task was asked for with this prompt and these options. The log is read backward from its end:
/// whoever repeats a request does so soon.
pub(super) async fn is_same(
    journal: &dyn Journal,
    session: &SessionId,
    known: &TaskId,
    task: &NewTask,
) -> Result<bool, JournalError> {
    if let Some(mark) = journal.checkpoint(session)?.filter(|mark| mark.task_id == *known) {
        return Ok(mark.prompt == task.prompt && mark.options == task.options);
    }
    let mut cursor = Cursor::End;
    loop {
        let page = journal.events(session, cursor, PAGE)?;
        let started = page.events.iter().find_map(|event| match &event.body {
            EventBody::TaskStarted(started) if event.task_id.as_ref() == Some(known) => Some(started),
            _ => None,
        });
        if let Some(started) = started {
            return Ok(started.prompt == task.prompt && started.options == task.options);
        }
        let missing = || JournalError::Corrupt(format!("the start of task {known} of session {session}"));
        cursor = Cursor::Before(page.next.ok_or_else(missing)?);
        tokio::task::yield_now().await;
    }
}
