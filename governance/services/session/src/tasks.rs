//! Tasks: reported when they begin and when they end, each as often as a host likes.

use lanyard_governance_api::endpoint::{CompleteTask, CreateTask, ListTasks};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::page::Page;
use lanyard_governance_api::session::{CentralTask, TaskCompletion, TaskReport};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx};
use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::limits::MAX_PROMPT_BYTES;
use lanyard_protocol::session::TaskState;
use lanyard_protocol::{ErrorCode, Json, Timestamp, WireError};

use crate::standing::clipped;
use crate::{State, store};

/// Columns of a task `t`.
pub(crate) const COLUMNS: &str =
    "t.task_id, t.prompt, t.state AS task_state, t.steps, t.tokens, t.error, t.started_at, t.ended_at";

/// The same for lists, with the beginning of the prompt: in a page of whole ones there could be a quarter gibibyte.
pub(crate) const LISTED: &str = "t.task_id, SUBSTR(t.prompt, 1, 2000) AS prompt, t.state AS task_state, t.steps, t.tokens, t.error, \
    t.started_at, t.ended_at";

/// Particulars kept of why a task did not succeed, in bytes of JSON. Lists hold them whole.
const MAX_PARTICULARS_BYTES: usize = 8 << 10;

/// A task of a row that holds [`COLUMNS`] or [`LISTED`].
pub(crate) fn task(row: &Row) -> Result<CentralTask, DatabaseError> {
    Ok(CentralTask {
        task_id: row.id("task_id")?,
        prompt: row.opt_text("prompt")?,
        state: row.json("task_state")?,
        steps: u32::try_from(row.count("steps")?).unwrap_or(u32::MAX),
        tokens: row.count("tokens")?,
        error: row.opt_json("error")?,
        started_at: row.time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
    })
}

async fn find(tx: &mut Tx, session: &SessionId, id: &TaskId) -> Result<Option<CentralTask>, DatabaseError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM session_tasks t WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.task_id = $3"
    );
    let row = tx.one(Statement::new(sql).bind_id(session).bind_id(id)).await?;
    row.as_ref().map(task).transpose()
}

fn no_task(id: &TaskId) -> Fault {
    Fault::new(ErrorCode::TaskNotFound, format!("there is no task {id} in this session"))
}

/// `POST /sessions/{id}/tasks`.
pub(crate) async fn create(state: State, ask: Ask<CreateTask>) -> Result<CentralTask, Fault> {
    let session: SessionId = ask.path.get("session_id")?;
    let TaskReport { task_id, prompt, started_at } = ask.body;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let held = store::held(&mut tx, &ask.caller, &session).await?;
    if let Some(known) = find(&mut tx, &session, &task_id).await? {
        return Ok(known);
    }
    if held.tasks >= state.settings.max_tasks {
        let text = format!("the session has {} tasks, and no more are kept; start a new one", held.tasks);
        return Err(Fault::new(ErrorCode::PayloadTooLarge, text));
    }
    // Where the tenant does not want the timeline, a prompt that was sent all the same is not kept.
    let prompt = prompt.filter(|_| held.timeline);
    let prompt = prompt.as_deref().map(|prompt| clipped(prompt, MAX_PROMPT_BYTES));
    let sql = "INSERT INTO session_tasks (tenant_id, session_id, task_id, number, prompt, state, steps, tokens, \
               started_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7)";
    let statement = Statement::new(sql).bind_id(&session).bind_id(&task_id).bind(held.tasks + 1).bind(prompt);
    tx.run(statement.bind_json(&TaskState::Running).bind(started_at)).await?;
    let sql = "UPDATE sessions SET tasks = tasks + 1, last_task = $3, updated_at = $4 \
               WHERE tenant_id = $1 AND session_id = $2";
    let now = state.foundation.clock.now();
    tx.run(Statement::new(sql).bind_id(&session).bind_id(&task_id).bind(now)).await?;
    let task = find(&mut tx, &session, &task_id).await?.ok_or_else(|| no_task(&task_id))?;
    tx.commit().await?;
    Ok(task)
}

/// `POST /sessions/{id}/tasks/{tid}/complete`.
pub(crate) async fn complete(state: State, ask: Ask<CompleteTask>) -> Result<CentralTask, Fault> {
    let session: SessionId = ask.path.get("session_id")?;
    let id: TaskId = ask.path.get("task_id")?;
    let completion = TaskCompletion { error: ask.body.error.map(bounded), ..ask.body };
    if completion.state == TaskState::Running {
        return Err(Fault::invalid("a task that is running has not ended"));
    }
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    store::held(&mut tx, &ask.caller, &session).await?;
    let known = find(&mut tx, &session, &id).await?.ok_or_else(|| no_task(&id))?;
    if known.state != TaskState::Running {
        return match said(&known) == completion {
            true => Ok(known),
            false => Err(Fault::conflict(format!("the task {id} was reported to have ended otherwise"))),
        };
    }
    let TaskCompletion { state: how, steps, tokens, error, ended_at } = completion;
    let error = error.map(|error| serde_json::to_string(&error)).transpose();
    let error = error.map_err(|e| Fault::internal("the error of a task cannot be written", &e))?;
    let sql = "UPDATE session_tasks SET state = $4, steps = $5, tokens = $6, error = $7, ended_at = $8 \
               WHERE tenant_id = $1 AND session_id = $2 AND task_id = $3";
    let statement = Statement::new(sql).bind_id(&session).bind_id(&id).bind_json(&how).bind(steps);
    tx.run(statement.bind_u64(tokens).bind(error).bind(ended_at)).await?;
    let sql = "UPDATE sessions SET updated_at = $3 WHERE tenant_id = $1 AND session_id = $2";
    tx.run(Statement::new(sql).bind_id(&session).bind(state.foundation.clock.now())).await?;
    let task = find(&mut tx, &session, &id).await?.ok_or_else(|| no_task(&id))?;
    tx.commit().await?;
    Ok(task)
}

/// Why a task did not succeed, as it is kept. A host that says too much is not refused for it: how a task ended is known.
fn bounded(error: WireError) -> WireError {
    let fits = serde_json::to_vec(&error.details).is_ok_and(|json| json.len() <= MAX_PARTICULARS_BYTES);
    let details = if fits { error.details } else { Json::object() };
    WireError { message: clipped(&error.message, MAX_TEXT_BYTES).to_owned(), details, ..error }
}

/// The completion that made a task what it is.
fn said(task: &CentralTask) -> TaskCompletion {
    TaskCompletion {
        state: task.state,
        steps: task.steps,
        tokens: task.tokens,
        error: task.error.clone().map(bounded),
        ended_at: task.ended_at.unwrap_or_default(),
    }
}

/// `GET /sessions/{id}/tasks`.
pub(crate) async fn list(state: State, ask: Ask<ListTasks>) -> Result<Page<CentralTask>, Fault> {
    let session: SessionId = ask.path.get("session_id")?;
    // Their numbers order tasks as instants do other things.
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::seen(&mut tx, &ask.caller, &session).await?;
    let sql = format!(
        "SELECT {LISTED}, t.number FROM session_tasks t WHERE t.tenant_id = $1 AND t.session_id = $2"
    );
    let statement = cut.apply(Statement::new(sql).bind_id(&session), "AND", "t.number", "t.task_id")?;
    let rows = tx.all(statement).await?;
    let key = |row: &Row| Ok((Timestamp::from_millis(row.int("number")?), row.text("task_id")?));
    cut.page(rows, key, |row| Ok(task(row)?))
}
