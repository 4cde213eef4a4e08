//! Runs the calls of one step: prepared in order, settled all at once, each run when the [`Schedule`] allows it.
//!
//! Every wait and every run is a task of its own in one [`JoinSet`], so nothing outlives the step. Stopping is bounded
//! by [`STOP_GRACE`]; after it, what still runs is given up and its outcome is unknown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::router::{PreparedCall, ReadyCall, Settled, TaskTerms, ToolRouter};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, WireError};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::{Stop, TaskControl};
use crate::driver::TaskFault;
use crate::recorder::Recorder;
use crate::schedule::{Prepared, Schedule};
use crate::turn::record::{AcceptedCall, CallOutcome};

/// How long running tools get after they were told to stop: a process has 5 s between TERM and KILL, and its result
/// must reach the disk.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// How the calls of a step ended.
#[derive(Debug)]
pub(crate) enum StepEnd {
    /// Each has its result, in the model's order.
    Finished(Vec<CallOutcome>),
    /// The task was cancelled; each has a result all the same.
    Cancelled(Vec<CallOutcome>, Option<PrincipalId>),
    /// The host stops; results are told on resume.
    Suspended,
}

/// Runs the calls of one step to their end.
pub(crate) async fn run(
    calls: &[AcceptedCall],
    router: &Arc<dyn ToolRouter>,
    terms: &TaskTerms,
    control: &TaskControl,
    recorder: &mut Recorder,
) -> Result<StepEnd, TaskFault> {
    let mut outcomes: Vec<Option<CallOutcome>> = Vec::with_capacity(calls.len());
    let mut prepared: Vec<Option<Box<dyn PreparedCall>>> = Vec::with_capacity(calls.len());
    for call in calls {
        if let Some(result) = call.refusal() {
            outcomes.push(Some(CallOutcome { result, told: false }));
            prepared.push(None);
            continue;
        }
        // A cancelled task still prepares what an earlier run left pending, so that settling withdraws the questions;
        // a call that was never announced is not announced any more.
        let announced = || recorder.knows(&call.request.tool_call_id);
        let wanted = match control.asked() {
            None => true,
            Some(Stop::Cancel(_)) => announced()?,
            Some(Stop::Suspend) => return Ok(StepEnd::Suspended),
        };
        let judged = if wanted { prepare(call, router, terms, control).await } else { None };
        outcomes.push(match judged {
            Some(_) => None,
            None => Some(CallOutcome { result: cancelled(call), told: !announced()? }),
        });
        prepared.push(judged);
    }
    Running::new(calls, outcomes, prepared, control).drive(control, recorder).await
}

/// Lets the router judge a call; once the task is to stop, for a bounded time.
async fn prepare(
    call: &AcceptedCall,
    router: &Arc<dyn ToolRouter>,
    terms: &TaskTerms,
    control: &TaskControl,
) -> Option<Box<dyn PreparedCall>> {
    let mut judging = router.prepare(call.request.clone(), terms);
    tokio::select! {
        biased;
        judged = &mut judging => return Some(judged),
        _ = control.stopped() => {}
    }
    timeout(STOP_GRACE, judging).await.ok()
}

/// What a task of the set brings back.
enum Brought {
    Settled(Settled),
    Ran(Box<ToolResult>),
    /// It was to run, but the task was stopped first.
    Withheld,
}

struct Running<'a> {
    calls: &'a [AcceptedCall],
    outcomes: Vec<Option<CallOutcome>>,
    ready: Vec<Option<Box<dyn ReadyCall>>>,
    schedule: Schedule,
    tasks: JoinSet<Brought>,
    positions: HashMap<Id, usize>,
    run_token: CancellationToken,
}

impl<'a> Running<'a> {
    fn new(
        calls: &'a [AcceptedCall],
        outcomes: Vec<Option<CallOutcome>>,
        prepared: Vec<Option<Box<dyn PreparedCall>>>,
        control: &TaskControl,
    ) -> Self {
        let planned = prepared.iter().map(|call| {
            let call = call.as_ref()?;
            Some(Prepared { lane: call.lane(), awaits_person: call.awaits_person() })
        });
        let mut running = Self {
            calls,
            outcomes,
            ready: calls.iter().map(|_| None).collect(),
            schedule: Schedule::new(planned),
            tasks: JoinSet::new(),
            positions: HashMap::new(),
            run_token: control.run_token(),
        };
        for (position, call) in prepared.into_iter().enumerate() {
            if let Some(call) = call {
                let token = control.settle_token();
                running.spawn(position, async move { Brought::Settled(call.settle(&token).await) });
            }
        }
        running
    }

    fn spawn(&mut self, position: usize, work: impl Future<Output = Brought> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.positions.insert(id, position);
    }

    async fn drive(mut self, control: &TaskControl, recorder: &mut Recorder) -> Result<StepEnd, TaskFault> {
        let mut stop: Option<(Stop, Instant)> = None;
        while !self.schedule.is_done() {
            if control.asked().is_none() {
                self.start_runnable();
                recorder.state(self.schedule.state()).await?;
            }
            if self.tasks.is_empty() {
                return Err(TaskFault::LostCalls);
            }
            let deadline = stop.as_ref().map(|(_, deadline)| *deadline);
            tokio::select! {
                biased;
                asked = control.stopped(), if stop.is_none() => {
                    self.halt(&asked)?;
                    stop = Some((asked, Instant::now() + STOP_GRACE));
                }
                Some(brought) = self.tasks.join_next_with_id() => self.take(brought, recorder)?,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.give_up(recorder)?;
                }
            }
        }
        Ok(match stop {
            None => StepEnd::Finished(self.into_outcomes()?),
            Some((Stop::Cancel(by), _)) => StepEnd::Cancelled(self.into_outcomes()?, by),
            Some((Stop::Suspend, _)) => StepEnd::Suspended,
        })
    }

    fn start_runnable(&mut self) {
        while let Some(position) = self.schedule.start_next() {
            if let Some(call) = self.ready[position].take() {
                let token = self.run_token.clone();
                self.spawn(position, async move {
                    if token.is_cancelled() {
                        return Brought::Withheld;
                    }
                    Brought::Ran(Box::new(call.run(&token).await))
                });
            }
        }
    }

    /// Nothing starts from here on. What runs has been told to end by its token; waits are withdrawn by theirs on a
    /// cancel, and dropped with the set on a suspend, which leaves their questions pending.
    fn halt(&mut self, stop: &Stop) -> Result<(), TaskFault> {
        self.schedule.halt();
        for (position, started) in self.schedule.unfinished() {
            let dropped = self.ready[position].take().is_some();
            if !started && (dropped || *stop == Stop::Suspend) {
                self.close(position, cancelled(&self.calls[position]), false)?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        brought: Result<(Id, Brought), JoinError>,
        recorder: &Recorder,
    ) -> Result<(), TaskFault> {
        let id = brought.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(position) = self.positions.remove(&id) else { return Ok(()) };
        if self.outcomes[position].is_some() {
            return Ok(());
        }
        match brought {
            Ok((_, Brought::Withheld)) => self.close(position, cancelled(&self.calls[position]), false),
            Ok((_, Brought::Settled(Settled::Ready(_)))) if self.run_token.is_cancelled() => {
                self.close(position, cancelled(&self.calls[position]), false)
            }
            Ok((_, Brought::Settled(Settled::Ready(call)))) => {
                self.ready[position] = Some(call);
                Ok(self.schedule.ready(position)?)
            }
            Ok((_, Brought::Settled(Settled::Done(result)))) => self.close(position, *result, true),
            Ok((_, Brought::Ran(result))) => self.close(position, *result, true),
            Err(error) => {
                tracing::error!(%error, position, "a call broke off");
                self.lose(position, recorder)
            }
        }
    }

    /// The grace is over: whatever has no result gets one that says so.
    fn give_up(&mut self, recorder: &Recorder) -> Result<(), TaskFault> {
        self.tasks.abort_all();
        for (position, _) in self.schedule.unfinished() {
            tracing::warn!(position, "a call did not end in time after it was told to");
            self.lose(position, recorder)?;
        }
        Ok(())
    }

    /// A call that will bring nothing any more: the recorded outcome, if the router got that far.
    fn lose(&mut self, position: usize, recorder: &Recorder) -> Result<(), TaskFault> {
        let call = &self.calls[position];
        if let Some(completed) = recorder.outcome(&call.request.tool_call_id)? {
            return self.close(position, completed.result, true);
        }
        let result = if self.schedule.has_started(position) { unknown(call) } else { unjudged(call) };
        self.close(position, result, false)
    }

    fn close(&mut self, position: usize, result: ToolResult, told: bool) -> Result<(), TaskFault> {
        self.schedule.done(position)?;
        self.outcomes[position] = Some(CallOutcome { result, told });
        Ok(())
    }

    fn into_outcomes(self) -> Result<Vec<CallOutcome>, TaskFault> {
        self.outcomes.into_iter().collect::<Option<Vec<_>>>().ok_or(TaskFault::LostCalls)
    }
}

/// The result of a call that never ran because its task was stopped.
fn cancelled(call: &AcceptedCall) -> ToolResult {
    ToolResult::of(&call.request, ToolStatus::Cancelled)
}

/// The result of a call whose run broke off.
fn unknown(call: &AcceptedCall) -> ToolResult {
    let message =
        format!("{} did not end in time and was given up; look at what it changed", call.request.tool_name);
    ToolResult::of(&call.request, ToolStatus::Indeterminate)
        .with_error(WireError::new(ErrorCode::OutcomeUnknown, message))
}

/// The result of a call whose judging broke off.
fn unjudged(call: &AcceptedCall) -> ToolResult {
    let message =
        format!("the host could not judge this call of {}; nothing was run", call.request.tool_name);
    ToolResult::of(&call.request, ToolStatus::Failed)
        .with_error(WireError::new(ErrorCode::InternalError, message))
}
