//! A task id used again: with the same prompt, model and options it is the same request, with others a mistake. And how a
//! task began, for whoever takes it up again.

use lanyard_ports::journal::{Cursor, Journal, JournalError};
use lanyard_ports::model::NAMED_BY_TASK;
use lanyard_protocol::event::{EventBody, TaskStarted};
use lanyard_protocol::id::{SessionId, TaskId};

use super::NewTask;

/// Events read at a time; a page of the log is bounded in bytes besides.
const PAGE: usize = 256;

/// Whether a known task was asked for with this prompt, this model and these options.
pub(super) async fn is_same(
    journal: &dyn Journal,
    session: &SessionId,
    known: &TaskId,
    task: &NewTask,
) -> Result<bool, JournalError> {
    let begun = started(journal, session, known).await?;
    let model = match &task.model {
        None => begun.model.source != NAMED_BY_TASK,
        Some(name) => begun.model.name == *name && (begun.model.source == NAMED_BY_TASK || begun.model.demo),
    };
    Ok(model && begun.prompt == task.prompt && begun.options == task.options)
}

/// How a task of a session began. The log is read backward from its end: whoever repeats a request, or takes a task up
/// again, does so soon.
pub(super) async fn started(
    journal: &dyn Journal,
    session: &SessionId,
    task: &TaskId,
) -> Result<TaskStarted, JournalError> {
    let mut cursor = Cursor::End;
    loop {
        let page = journal.events(session, cursor, PAGE)?;
        let started = page.events.into_iter().find_map(|event| match event.body {
            EventBody::TaskStarted(started) if event.task_id.as_ref() == Some(task) => Some(started),
            _ => None,
        });
        if let Some(started) = started {
            return Ok(started);
        }
        let missing = || JournalError::Corrupt(format!("the start of task {task} of session {session}"));
        cursor = Cursor::Before(page.next.ok_or_else(missing)?);
        tokio::task::yield_now().await;
    }
}
