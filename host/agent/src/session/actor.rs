//! The owner task of a session.

use std::time::Duration;

use lanyard_ports::journal::{Checkpoint, Journal, JournalError, NewEvent, SessionProgress, Write};
use lanyard_protocol::event::{EventBody, SessionCompleted, SessionPaused, SessionResumed};
use lanyard_protocol::id::{EventId, PrincipalId, SessionId, StepId, TaskId};
use lanyard_protocol::method::TaskAccepted;
use lanyard_protocol::session::{ModelInfo, SessionState};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::opening::{self, Surroundings};
use super::repeat;
use super::{CancelError, EndError, NewTask, ResumeError, Resumed, SessionSetup, StartError, Status};
use crate::Ports;
use crate::ask::Place;
use crate::calls::STOP_GRACE;
use crate::compact::Digest;
use crate::control::TaskControl;
use crate::driver::{Finish, Start, TaskDriver, TaskError};
use crate::instructions::{self, Instruction};
use crate::recorder::{RecordError, Recorder};
use crate::recovery::{self, Recovery, ResumeCause};
use crate::render::Nonce;
use crate::thread::Thread;
use crate::turn::Moved;
use crate::turn::record::Record;

/// How long a stopping task may take to reach its last commit; beyond the grace of its tools only the store is left to
/// wait for.
const LAST_WORDS: Duration = STOP_GRACE.saturating_mul(2);

/// Messages read at a time when tasks are counted.
const PAGE: usize = 64;

pub(super) enum Command {
    Start(Box<NewTask>, oneshot::Sender<Result<TaskAccepted, StartError>>),
    Cancel(TaskId, PrincipalId, oneshot::Sender<Result<TaskAccepted, CancelError>>),
    Resume(ResumeCause, oneshot::Sender<Result<Resumed, ResumeError>>),
    /// With why it is cancelled; it has done its work where it is not.
    End(Option<String>, oneshot::Sender<Result<(), EndError>>),
}

struct RunningTask {
    task_id: TaskId,
    control: TaskControl,
}

pub(super) struct Actor {
    setup: SessionSetup,
    ports: Ports,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    nonce: Nonce,
    digest: Option<Digest>,
    running: Option<RunningTask>,
    /// Holds the driver of the running task, and nothing else.
    drivers: JoinSet<Finish>,
}

impl Actor {
    pub(super) fn new(
        setup: SessionSetup,
        ports: Ports,
        status: watch::Sender<Status>,
        stop: CancellationToken,
    ) -> Self {
        let nonce = Nonce::new(ports.ids.fresh("data"));
        let drivers = JoinSet::new();
        Self { setup, ports, status, stop, nonce, digest: None, running: None, drivers }
    }

    pub(super) async fn run(mut self, mut mailbox: mpsc::Receiver<Command>) {
        let stop = self.stop.clone();
        let mut open = true;
        while open || self.running.is_some() {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(finish) = self.drivers.join_next() => self.finished(finish).await,
                command = mailbox.recv(), if open => match command {
                    Some(command) => self.obey(command).await,
                    None => open = false,
                },
            }
        }
        if let Some(running) = &self.running {
            running.control.suspend();
            self.join().await;
        }
    }

    async fn obey(&mut self, command: Command) {
        // Whoever asked may have gone; what was asked for is done all the same.
        match command {
            Command::Start(task, reply) => drop(reply.send(self.start(*task).await)),
            Command::Cancel(task, by, reply) => drop(reply.send(self.cancel(task, by).await)),
            Command::Resume(cause, reply) => drop(reply.send(self.resume(cause).await)),
            Command::End(cancelled, reply) => drop(reply.send(self.end(cancelled).await)),
        }
    }

    async fn start(&mut self, task: NewTask) -> Result<TaskAccepted, StartError> {
        opening::check(&task)?;
        let journal = self.ports.journal.clone();
        let session_id = self.setup.session_id.clone();
        if let Some(known) = &task.task_id
            && journal.task(&session_id, known)?.is_some()
        {
            return match repeat::is_same(&*journal, &session_id, known, &task).await? {
                true => Ok(self.accepted(known.clone())?),
                false => Err(StartError::OtherTask(known.clone())),
            };
        }
        self.settle_finished().await?;
        if let Some(running) = &self.running {
            return Err(StartError::Busy(running.task_id.clone()));
        }
        if let Some(paused) = self.reread().await? {
            return Err(StartError::Paused(paused.task_id));
        }
        let session = journal.session(&session_id)?;
        if session.summary.state.is_final() {
            return Err(StartError::SessionOver(session.summary.state));
        }
        journal.room()?;
        let named = task.model.as_deref();
        let gone = || StartError::NoSuchModel(named.unwrap_or_default().to_owned());
        let ports = self.ports.for_task(named).ok_or_else(gone)?;
        let model = ports.model.info();
        let terms = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(StartError::Stopping),
            terms = ports.gate.model_call(&model) => terms.map_err(StartError::Policy)?,
        };
        let instructions = self.instructions().await;

        let ids = &ports.ids;
        let task_id = task.task_id.clone().map_or_else(|| TaskId::new(ids.fresh("task")), Ok)?;
        let step_id = StepId::new(ids.fresh("step"))?;
        let attachments = task.attachments.clone();
        let mark = opening::mark(task, &session, (task_id.clone(), step_id), ports.clock.now());
        let mut recorder = self.recorder(mark.clone());
        let around = Surroundings {
            session: &session,
            terms: &terms,
            model,
            instructions: &instructions,
            attachments: &attachments,
        };
        let Moved { records, next } = opening::open(mark, around);
        recorder.commit(records, &mut Thread::default()).await?;
        // Read before the task can write more; whatever the answer, the task is on disk and goes on.
        let accepted = self.accepted(task_id);
        let control = TaskControl::default();
        self.drive(ports, Start::Begin(next), recorder, instructions, control, session.tokens_used);
        Ok(accepted?)
    }

    async fn cancel(&mut self, task_id: TaskId, by: PrincipalId) -> Result<TaskAccepted, CancelError> {
        let journal = self.ports.journal.clone();
        if journal.task(&self.setup.session_id, &task_id)?.is_none() {
            return Err(CancelError::NotFound(task_id));
        }
        match &self.running {
            Some(running) if running.task_id == task_id => running.control.cancel(Some(by)),
            Some(_) => {}
            None => self.cancel_paused(Some(&task_id), Some(by)).await?,
        }
        Ok(self.accepted(task_id)?)
    }

    /// Takes a paused task up only to end it: open calls get results, pending questions are withdrawn.
    async fn cancel_paused(
        &mut self,
        only: Option<&TaskId>,
        by: Option<PrincipalId>,
    ) -> Result<(), JournalError> {
        let Some(mark) = self.reread().await? else { return Ok(()) };
        if only.is_some_and(|task| *task != mark.task_id) {
            return Ok(());
        }
        let session = self.ports.journal.session(&self.setup.session_id)?;
        let control = TaskControl::default();
        control.cancel(by);
        let recorder = self.recorder(mark.clone());
        // Nothing is asked any more.
        let ports = self.ports.for_resumed(None);
        self.drive(ports, Start::Resume(mark), recorder, Vec::new(), control, session.tokens_used);
        Ok(())
    }

    async fn resume(&mut self, cause: ResumeCause) -> Result<Resumed, ResumeError> {
        self.settle_finished().await?;
        if let Some(running) = &self.running {
            return Ok(Resumed::Running(running.task_id.clone()));
        }
        let session_id = &self.setup.session_id;
        let Some(mark) = self.reread().await? else { return Ok(Resumed::Nothing) };
        let session = self.ports.journal.session(session_id)?;
        match recovery::decide(mark, session.summary.state, cause) {
            Recovery::Continue(mark) => {
                let body =
                    EventBody::SessionResumed(SessionResumed { reason: recovery::account(&mark, cause) });
                let recorder = self.note(mark.clone(), body, SessionState::SessionRunning).await?;
                let task_id = mark.task_id.clone();
                let instructions = self.instructions().await;
                let model = self.model_of(&task_id).await?;
                let (ports, control) = (self.ports.for_resumed(model.as_ref()), TaskControl::default());
                self.drive(ports, Start::Resume(mark), recorder, instructions, control, session.tokens_used);
                Ok(Resumed::Running(task_id))
            }
            Recovery::Pause { mark, reason } => {
                let body = EventBody::SessionPaused(SessionPaused { reason: reason.clone() });
                self.note(mark, body, SessionState::SessionPaused).await?;
                Ok(Resumed::StaysPaused { reason })
            }
            Recovery::Leave => {
                let reason = "the task is paused; resume the session to let it go on, or cancel the task";
                Ok(Resumed::StaysPaused { reason: reason.to_owned() })
            }
        }
    }

    /// The model a task began with; `None` when the log does not say, which stops no task.
    async fn model_of(&self, task: &TaskId) -> Result<Option<ModelInfo>, JournalError> {
        match repeat::started(&*self.ports.journal, &self.setup.session_id, task).await {
            Ok(started) => Ok(Some(started.model)),
            Err(error @ JournalError::Corrupt(_)) => {
                tracing::error!(%error, "a task goes on with the host's own choice of the model");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn end(&mut self, cancelled: Option<String>) -> Result<(), EndError> {
        let session_id = self.setup.session_id.clone();
        if self.ports.journal.session(&session_id)?.summary.state.is_final() {
            return Ok(());
        }
        match &self.running {
            Some(running) => running.control.cancel(None),
            None => self.cancel_paused(None, None).await?,
        }
        self.join().await;
        self.reread().await?;
        let tasks = count_tasks(&*self.ports.journal, &session_id).await?;
        let at = self.ports.clock.now();
        let state = match &cancelled {
            None => SessionState::SessionCompleted,
            Some(_) => SessionState::SessionCancelled,
        };
        let why = cancelled.map(|reason| EventBody::SessionPaused(SessionPaused { reason }));
        let over = EventBody::SessionCompleted(SessionCompleted { tasks });
        let mut batch = Vec::new();
        for body in why.into_iter().chain([over]) {
            batch.push(Write::Event(Box::new(NewEvent {
                event_id: EventId::new(self.ports.ids.fresh("evt"))?,
                workspace_id: self.setup.workspace_id.clone(),
                session_id: session_id.clone(),
                task_id: None,
                step_id: None,
                timestamp: at,
                body,
            })));
        }
        let progress = SessionProgress {
            session_id: session_id.clone(),
            state: Some(state),
            task: None,
            name: None,
            add_tokens: 0,
            at,
        };
        batch.extend([Write::ClearCheckpoint(session_id), Write::Progress(Box::new(progress))]);
        self.ports.journal.commit(batch).await?;
        self.status.send_replace(Status { state, task: None });
        Ok(())
    }

    /// Commits a change of the session's state with the checkpoint and the event that explain it.
    async fn note(
        &self,
        mark: Checkpoint,
        body: EventBody,
        state: SessionState,
    ) -> Result<Recorder, RecordError> {
        let mut recorder = self.recorder(mark.clone());
        let records = vec![Record::Checkpoint(mark), Record::of_task(body), Record::State(state)];
        recorder.commit(records, &mut Thread::default()).await?;
        Ok(recorder)
    }

    fn recorder(&self, mark: Checkpoint) -> Recorder {
        Recorder::new(&self.ports, self.setup.workspace_id.clone(), self.status.clone(), mark)
    }

    fn drive(
        &mut self,
        ports: Ports,
        start: Start,
        recorder: Recorder,
        instructions: Vec<Instruction>,
        control: TaskControl,
        used: u64,
    ) {
        self.running = Some(RunningTask { task_id: recorder.task_id().clone(), control: control.clone() });
        let place = Place { roots: self.setup.roots.clone(), nonce: self.nonce.clone(), instructions };
        let digest = self.digest.take();
        self.drivers.spawn(async move {
            let window = ports.model.context_window();
            let loaded = Thread::load(&*ports.journal, recorder.session_id(), digest, window).await;
            let mut thread = match loaded {
                Ok(thread) => thread,
                Err(error) => return Finish { outcome: Err(TaskError::Journal(error)), digest: None },
            };
            thread.ensure_prompt(&recorder.mark().prompt);
            TaskDriver { ports, place, control, recorder, thread, used }.run(start).await
        });
    }

    /// The store clears a task's checkpoint a moment before its driver returns; a client that saw the end event may
    /// already be back with the next prompt.
    async fn settle_finished(&mut self) -> Result<(), JournalError> {
        let over = self.ports.journal.checkpoint(&self.setup.session_id)?.is_none();
        if self.running.is_some() && over {
            self.join().await;
        }
        Ok(())
    }

    /// The checkpoint on which whoever comes next builds, read when all that an earlier driver appended is on disk or
    /// refused: a driver that stopped at a refused record leaves both kinds. To be called when none runs.
    async fn reread(&self) -> Result<Option<Checkpoint>, JournalError> {
        let session_id = &self.setup.session_id;
        self.ports.journal.commit(vec![Write::Reread(session_id.clone())]).await?;
        self.ports.journal.checkpoint(session_id)
    }

    /// Waits for the running task's driver, for a bounded time; what does not return is aborted and left as its
    /// checkpoint.
    async fn join(&mut self) {
        if self.running.is_none() {
            return;
        }
        match timeout(LAST_WORDS, self.drivers.join_next()).await {
            Ok(Some(finish)) => self.finished(finish).await,
            Ok(None) => self.running = None,
            Err(_) => {
                tracing::error!(session = %self.setup.session_id, "a task did not stop in time and was aborted");
                self.drivers.shutdown().await;
                self.running = None;
            }
        }
    }

    async fn finished(&mut self, finish: Result<Finish, JoinError>) {
        self.running = None;
        let error = match finish {
            Ok(Finish { outcome, digest }) => {
                self.digest = digest;
                match outcome {
                    Ok(_) => return,
                    Err(error) => error,
                }
            }
            Err(error) => TaskError::Defect(error.to_string()),
        };
        // The checkpoint is still there. If the store takes one more record, say so; else the log must do.
        if let Err(error) = self.pause_after(&error).await {
            tracing::error!(%error, session = %self.setup.session_id, "a broken-off task could not be recorded");
        }
    }

    async fn pause_after(&self, error: &TaskError) -> Result<(), RecordError> {
        let Some(mark) = self.reread().await? else { return Ok(()) };
        let reason = format!("{error}; resume the session to try again, or cancel the task");
        let body = EventBody::SessionPaused(SessionPaused { reason });
        self.note(mark, body, SessionState::SessionPaused).await.map(drop)
    }

    async fn instructions(&self) -> Vec<Instruction> {
        let roots = self.setup.roots.clone();
        match tokio::task::spawn_blocking(move || instructions::load(&roots)).await {
            Ok(instructions) => instructions,
            Err(error) => {
                tracing::error!(%error, "workspace instructions could not be loaded");
                Vec::new()
            }
        }
    }

    fn accepted(&self, task_id: TaskId) -> Result<TaskAccepted, JournalError> {
        let session_id = self.setup.session_id.clone();
        let summary = self.ports.journal.session(&session_id)?.summary;
        let state = self.status.borrow().state;
        Ok(TaskAccepted { session_id, task_id, state, last_seq: summary.last_seq })
    }
}

/// Tasks of a session, counted page by page: tasks follow each other in the thread.
async fn count_tasks(journal: &dyn Journal, session: &SessionId) -> Result<u32, JournalError> {
    let (mut tasks, mut last, mut at) = (0u32, None, 0u64);
    loop {
        let page = journal.messages(session, at, PAGE)?;
        if page.is_empty() {
            return Ok(tasks);
        }
        at += page.len() as u64;
        for message in page {
            if message.task_id.is_some() && message.task_id != last {
                tasks = tasks.saturating_add(1);
                last = message.task_id;
            }
        }
        tokio::task::yield_now().await;
    }
}
