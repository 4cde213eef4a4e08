//! One model call, with what must come before it: the policy gate, the budget, compaction, redaction.

use std::path::PathBuf;

use lanyard_ports::model::{
    AskedArguments, Model, ModelAnswer, ModelError, ModelRequest, PROGRESS_CAPACITY, Picture,
};
use lanyard_protocol::event::{EventBody, LlmRequestStarted, Usage};
use lanyard_protocol::id::{MessageId, PrincipalId};
use lanyard_protocol::message::{ConversationMessage, Provenance, Role, Trust};
use lanyard_protocol::session::SessionState;
use lanyard_protocol::tool::ToolSpec;
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Ports;
use crate::attached::{PICTURE_TOKENS, Shown};
use crate::budget::{self, Allowance, BudgetStop, Calibration, spec_tokens, text_tokens};
use crate::compact;
use crate::control::{Stop, TaskControl};
use crate::driver::TaskFault;
use crate::gate::{InForce, PolicyStop};
use crate::instructions::Instruction;
use crate::prompt::{self, Scene};
use crate::recorder::{RecordError, Recorder};
use crate::render::{Nonce, Outbound, merge_prompts};
use crate::stream::TextStream;
use crate::summary::{self, Fit};
use crate::thread::Thread;
use crate::turn::record::{Record, SOURCE_HOST};
use crate::turn::{Answered, Asking};

/// How a model call ended.
#[derive(Debug)]
pub(crate) enum Asked {
    /// With an answer.
    Answered(Answered),
    /// Without one, for good.
    Failed(WireError),
    /// It was not made: the bundle ran out.
    Expired { expired_at: Timestamp, reason: String },
    /// It was not made, or was ended: policy does not let it go on for now.
    Paused { reason: String },
    /// The task was cancelled.
    Cancelled(Option<PrincipalId>),
    /// The host stops.
    Suspended,
}

impl From<Stop> for Asked {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancel(by) => Asked::Cancelled(by),
            Stop::Suspend => Asked::Suspended,
        }
    }
}

impl From<PolicyStop> for Asked {
    fn from(stop: PolicyStop) -> Self {
        let reason = stop.to_string();
        match stop {
            PolicyStop::Expired { expired_at } => Asked::Expired { expired_at, reason },
            PolicyStop::Revoked { .. } | PolicyStop::Unconfirmed { .. } => Asked::Paused { reason },
            PolicyStop::Denied(error) => Asked::Failed(error),
        }
    }
}

impl From<BudgetStop> for Asked {
    fn from(stop: BudgetStop) -> Self {
        Asked::Failed(WireError::new(ErrorCode::LlmBudgetExceeded, stop.to_string()))
    }
}

/// What the system prompt is made from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Directories of the workspace.
    pub(crate) roots: Vec<PathBuf>,
    /// The session's random word.
    pub(crate) nonce: Nonce,
    /// Instructions in force.
    pub(crate) instructions: Vec<Instruction>,
}

/// Asks the model on behalf of one task.
pub(crate) struct Asker<'a> {
    ports: &'a Ports,
    control: &'a TaskControl,
    nonce: &'a Nonce,
    system: ConversationMessage,
    specs: Vec<ToolSpec>,
    /// Attached to prompts of the thread; those of a prompt that has left it are not sent.
    pictures: Vec<Shown>,
    /// Tokens of system message, tools and pictures, estimated.
    frame: u32,
    calibration: Calibration,
    /// Tokens the session has used, this task included.
    used: u64,
}

impl<'a> Asker<'a> {
    /// Prepares what is the same for every call of the task.
    pub(crate) fn new(
        ports: &'a Ports,
        control: &'a TaskControl,
        place: &'a Place,
        recorder: &Recorder,
        used: u64,
        pictures: Vec<Shown>,
    ) -> Result<Self, TaskFault> {
        let outbound = Outbound { nonce: &place.nonce, redactor: &*ports.redactor };
        let now = recorder.clock.now();
        let today = now.to_string();
        let today = today.split('T').next().unwrap_or_default();
        let scene =
            Scene { roots: &place.roots, os: std::env::consts::OS, today, instructions: &place.instructions };
        let system = ConversationMessage {
            message_id: MessageId::new(recorder.ids.fresh("msg")).map_err(RecordError::from)?,
            session_id: recorder.session_id().clone(),
            task_id: Some(recorder.task_id().clone()),
            step_id: None,
            role: Role::System,
            content: prompt::system(&scene, &outbound),
            tool_calls: Vec::new(),
            tool_call_id: None,
            token_count: None,
            provenance: Some(Provenance { source: SOURCE_HOST.to_owned(), trust: Trust::Trusted }),
            timestamp: now,
        };
        let specs = ports.router.specs();
        let seen = PICTURE_TOKENS.saturating_mul(u32::try_from(pictures.len()).unwrap_or(u32::MAX));
        let frame = text_tokens(&system.content).saturating_add(spec_tokens(&specs)).saturating_add(seen);
        let calibration = Calibration::default();
        Ok(Self { ports, control, nonce: &place.nonce, system, specs, pictures, frame, calibration, used })
    }

    fn outbound(&self) -> Outbound<'a> {
        Outbound { nonce: self.nonce, redactor: &*self.ports.redactor }
    }

    /// What is offered may change while a task runs: with the policy, and with tools that are not this host's.
    fn look_at_tools(&mut self) {
        let specs = self.ports.router.specs();
        if specs != self.specs {
            let without = self.frame.saturating_sub(spec_tokens(&self.specs));
            self.frame = without.saturating_add(spec_tokens(&specs));
            self.specs = specs;
        }
    }

    /// Makes the one call an [`Asking`] stands for.
    pub(crate) async fn ask(
        &mut self,
        asking: &mut Asking,
        recorder: &mut Recorder,
        thread: &mut Thread,
    ) -> Result<Asked, TaskFault> {
        self.look_at_tools();
        let (mut room, mut terms) = match self.admitted().await {
            Ok(admitted) => admitted,
            Err(asked) => return Ok(asked),
        };
        let fit = Fit { room, frame: self.frame, calibration: self.calibration };
        if fit.is_tight(thread) {
            if let Some(asked) = self.compact(&fit, asking, recorder, thread).await? {
                return Ok(asked);
            }
            // A summary takes its time and its tokens: the bundle and the budget are looked at again.
            (room, terms) = match self.admitted().await {
                Ok(admitted) => admitted,
                Err(asked) => return Ok(asked),
            };
        }
        if let Err(stop) = budget::admit(fit.size(thread), &room, &terms.limits, self.used) {
            return Ok(stop.into());
        }
        let request = self.request(thread, room.output);
        self.answer(&request, recorder, thread).await
    }

    /// Asks policy, and works out what the call may cost. Comes before every model call.
    async fn admitted(&self) -> Result<(Allowance, InForce), Asked> {
        let model = self.ports.model.info();
        let checked = tokio::select! {
            biased;
            stop = self.control.stopped() => return Err(stop.into()),
            checked = self.ports.gate.model_call(&model) => checked,
        };
        let terms = checked?;
        let room = budget::allowance(self.ports.model.context_window(), &terms.limits, self.used)?;
        Ok((room, terms))
    }

    fn request(&self, thread: &Thread, max_output_tokens: u64) -> ModelRequest {
        let outbound = self.outbound();
        let digest = thread.digest().map(|digest| ConversationMessage {
            role: Role::User,
            content: digest.render(&outbound),
            ..self.system.clone()
        });
        let mut messages = vec![self.system.clone()];
        messages.extend(digest);
        messages.extend(outbound.thread(thread.messages()));
        let place = |(of, picture): &Shown| {
            let at = messages.iter().position(|m| m.role == Role::User && m.message_id == *of)?;
            Some((at, picture.clone()))
        };
        let shown: Vec<(usize, Picture)> = self.pictures.iter().filter_map(place).collect();
        let (messages, places) = merge_prompts(messages);
        let pictures = shown.into_iter().filter_map(|(at, picture)| Some((*places.get(at)?, picture)));
        ModelRequest {
            session_id: self.system.session_id.clone(),
            pictures: pictures.collect(),
            messages,
            tools: self.specs.clone(),
            max_output_tokens,
        }
    }

    /// Makes the thread fit. An answer means that the task was stopped meanwhile.
    async fn compact(
        &mut self,
        fit: &Fit,
        asking: &mut Asking,
        recorder: &mut Recorder,
        thread: &mut Thread,
    ) -> Result<Option<Asked>, TaskFault> {
        let before = fit.size(thread);
        let mut masked = fit.mask(thread);
        let mut summarised = 0;
        let mut spent = Usage::default();
        if fit.is_tight(thread)
            && let Some(at) = fit.cut_point(thread)
        {
            let summary = match self.summarise(fit, thread, at).await {
                Ok((summary, usage)) => {
                    spent = usage;
                    summary
                }
                Err(asked) => return Ok(Some(asked)),
            };
            summarised = thread.condense(at, summary);
        }
        if fit.is_tight(thread) {
            masked = masked.saturating_add(fit.shorten(thread));
        }
        self.used = self.used.saturating_add(budget::total(&spent));
        asking.spent(spent);
        let compacted = summary::compacted(before, fit.size(thread), masked, summarised);
        let mut records = vec![
            Record::of_step(&asking.mark().step_id, EventBody::ContextCompacted(compacted)),
            Record::Tokens(budget::total(&spent)),
        ];
        if budget::total(&spent) > 0 {
            records.push(Record::Summarised { model: self.ports.model.info().name, usage: spent });
        }
        recorder.append(records, thread).await?;
        Ok(None)
    }

    /// A summary of the messages before a cut point, by the model. No summary when the call fails: the cut is then made
    /// with the prompts alone. `Err` when policy or the task's owner stopped the call.
    async fn summarise(
        &self,
        fit: &Fit,
        thread: &Thread,
        at: usize,
    ) -> Result<(Option<String>, Usage), Asked> {
        let messages = thread.messages().get(..at).unwrap_or_default();
        let transcript = compact::transcript(thread.digest(), messages, fit.transcript_bytes());
        let request = summary::request(&self.system, &transcript, &self.outbound());
        let size = self.calibration.raise(budget::thread_tokens(&request.messages));
        let (room, terms) = self.admitted().await?;
        if budget::admit(size, &room, &terms.limits, self.used).is_err() {
            return Ok((None, Usage::default()));
        }
        // Nobody follows a summary as it is written; what is told about it is taken and dropped.
        let (progress, mut unread) = mpsc::channel(PROGRESS_CAPACITY);
        let cancel = CancellationToken::new();
        let _ends_with_the_call = cancel.clone().drop_guard();
        let answer = self.ports.model.answer(&request, &progress, &cancel);
        let revoked = self.ports.gate.revoked();
        tokio::pin!(answer, revoked);
        let answered = loop {
            tokio::select! {
                biased;
                stop = self.control.stopped() => return Err(stop.into()),
                stop = &mut revoked => return Err(stop.into()),
                answered = &mut answer => break answered,
                Some(_) = unread.recv() => {}
            }
        };
        match answered {
            Ok(answer) => {
                let usage = usage_of(&answer, size);
                Ok((Some(answer.text).filter(|text| !text.trim().is_empty()), usage))
            }
            Err(error) => {
                tracing::warn!(%error, "older messages could not be summarised and are left out");
                Ok((None, Usage::default()))
            }
        }
    }

    /// The call itself: streams the text, records retries.
    async fn answer(
        &mut self,
        request: &ModelRequest,
        recorder: &mut Recorder,
        thread: &mut Thread,
    ) -> Result<Asked, TaskFault> {
        let estimated = self.frame.saturating_add(thread.tokens());
        let info = self.ports.model.info();
        let started = EventBody::LlmRequestStarted(LlmRequestStarted {
            model: info.name,
            demo: info.demo,
            message_count: u32::try_from(request.messages.len()).unwrap_or(u32::MAX),
            estimated_tokens: self.calibration.raise(estimated),
        });
        let records = vec![
            Record::of_step(&recorder.mark().step_id, started),
            Record::State(SessionState::WaitingForLlm),
        ];
        recorder.append(records, thread).await?;

        let began = recorder.clock.now();
        let mut stream = TextStream::open(recorder)?;
        let (progress, mut told) = mpsc::channel(PROGRESS_CAPACITY);
        let cancel = CancellationToken::new();
        // Dropping the future ends the call; the token tells whatever the adapter has started besides.
        let _ends_with_the_call = cancel.clone().drop_guard();
        let model: &dyn Model = &*self.ports.model;
        let answer = model.answer(request, &progress, &cancel);
        let revoked = self.ports.gate.revoked();
        tokio::pin!(answer, revoked);
        let answered = loop {
            tokio::select! {
                biased;
                stop = self.control.stopped() => return Ok(stop.into()),
                stop = &mut revoked => return Ok(stop.into()),
                Some(progress) = told.recv() => stream.follow(progress, self.ports, recorder, thread).await?,
                answered = &mut answer => break answered,
            }
        };
        while let Ok(progress) = told.try_recv() {
            stream.follow(progress, self.ports, recorder, thread).await?;
        }
        let duration_ms = recorder.clock.now().millis_since(began);
        Ok(match answered {
            Ok(answer) => {
                if let Some(usage) = answer.usage {
                    self.calibration.learn(estimated, usage.input_tokens);
                }
                let usage = usage_of(&answer, self.calibration.raise(estimated));
                self.used = self.used.saturating_add(budget::total(&usage));
                Asked::Answered(Answered { answer, usage, stream_id: stream.into_id(), duration_ms })
            }
            Err(error @ ModelError::Cancelled) => {
                tracing::error!("the model gave a call up that nobody had cancelled");
                Asked::Failed(WireError::new(ErrorCode::InternalError, error.to_string()))
            }
            Err(error) => Asked::Failed(WireError::from(&error)),
        })
    }
}

/// Tokens as reported, else estimated.
fn usage_of(answer: &ModelAnswer, request_tokens: u32) -> Usage {
    answer.usage.unwrap_or_else(|| {
        let calls = answer.calls.iter().map(|call| match &call.arguments {
            AskedArguments::Object(json) => text_tokens(&json.0.to_string()),
            AskedArguments::Malformed { text, .. } => text_tokens(text),
        });
        let output = calls.fold(text_tokens(&answer.text), u32::saturating_add);
        Usage { input_tokens: u64::from(request_tokens), output_tokens: u64::from(output) }
    })
}
