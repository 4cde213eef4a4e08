//! What each event says about which item.

use std::sync::Arc;

use lanyard_protocol::event::{
    EventBody, LlmRequestCompleted, LlmRetry, SessionEvent, TaskStarted, TextDelta, ToolOutputDelta,
};
use lanyard_protocol::id::{StepId, StreamId, TaskId, ToolCallId};

use super::call::{Call, Question, Resolution, short};
use super::course::Held;
use super::item::{About, Answer, End, Ending, Item, LAST, Note, Place, Prompt, Step};
use super::{MAX_VOID, Timeline, Touched};
use crate::markdown::Document;
use crate::visible::{Marks, block, line};

/// Characters of a prompt that are shown; a pasted log is in the history.
const MAX_PROMPT_CHARS: usize = 20_000;

/// Answers cut at the model's limit and gone on with, looked at to find out what an end adds to them.
const MAX_JOINED: usize = 16;

impl Timeline {
    /// Takes a durable event, in any order and any number of times. An ephemeral one is taken as a piece that misses
    /// nothing.
    pub fn event(&mut self, event: &SessionEvent) -> Touched {
        if self.detached && event.seq.is_some_and(|seq| seq > self.high) {
            self.high = event.seq.unwrap_or(self.high);
            self.course.passed(self.high, event);
            return Touched { course: true, ..Touched::default() };
        }
        let touched = self.apply(event);
        let grows = touched.order || matches!(event.body, EventBody::ToolCompleted(_));
        if grows { touched.and(self.keep_bounds()) } else { touched }
    }

    pub(super) fn apply(&mut self, event: &SessionEvent) -> Touched {
        let Some(seq) = event.seq else { return self.delta(event, 0) };
        self.course.passed(seq, event);
        self.low = Some(self.low.map_or(seq, |low| low.min(seq)));
        self.high = self.high.max(seq);
        let mut touched = self.told(seq, event);
        touched.course = true;
        touched.and(self.release())
    }

    /// Takes a streamed piece, of which `missing` bytes before it never came.
    pub fn delta(&mut self, event: &SessionEvent, missing: u64) -> Touched {
        match &event.body {
            _ if self.detached => Touched::default(),
            EventBody::TextDelta(delta) => self.text(event, delta, missing),
            EventBody::ToolOutputDelta(delta) => self.output(event, delta, missing),
            _ => Touched::default(),
        }
    }

    fn told(&mut self, seq: u64, event: &SessionEvent) -> Touched {
        match &event.body {
            EventBody::TaskStarted(started) => self.task_started(seq, event, started),
            EventBody::StepStarted(step) => {
                let told = (step.step_number, step.max_steps);
                self.step(seq, event, &step.step_id, |at| at.started.tell(seq, told))
            }
            EventBody::StepCompleted(step) => {
                self.step(seq, event, &step.step_id, |at| at.calls.tell(seq, step.tool_calls))
            }
            EventBody::LlmRequestCompleted(done) => self.answered(seq, event, done),
            EventBody::LlmRetry(retry) => self.retried(seq, event, retry),
            EventBody::ToolRequested(asked) => {
                self.call(seq, event, &asked.tool_call_id, |call| call.tell_requested(seq, asked))
            }
            EventBody::PolicyDecided(decided) => {
                self.call(seq, event, &decided.tool_call_id, |call| call.tell_policy(seq, decided))
            }
            EventBody::ApprovalRequested(asked) => {
                let request = &asked.approval;
                let question = Question {
                    approval_id: request.approval_id.clone(),
                    // The host has written the marks in it.
                    title: line(&request.title, Marks::Written).into_owned(),
                    risk: request.risk_level,
                    deadline: request.deadline,
                };
                self.call(seq, event, &request.tool_call_id, |call| call.question.tell(seq, question))
            }
            EventBody::ApprovalResolved(resolved) => self.call(seq, event, &resolved.tool_call_id, |call| {
                call.tell_answer(seq, &resolved.answer, resolved.by_rule);
            }),
            EventBody::ApprovalExpired(expired) => self.call(seq, event, &expired.tool_call_id, |call| {
                call.resolution.tell(seq, Resolution::Expired);
            }),
            EventBody::ToolCompleted(done) => {
                self.call(seq, event, &done.result.tool_call_id, |call| call.tell_finished(seq, done))
            }
            body => match (ending(body), note(body)) {
                (Some((how, steps)), _) => self.ended(seq, event, how, steps),
                (_, Some(note)) => self.note(seq, event, note),
                _ => Touched::default(),
            },
        }
    }

    fn task_started(&mut self, seq: u64, event: &SessionEvent, started: &TaskStarted) -> Touched {
        let Some(task) = &event.task_id else { return Touched::default() };
        let (about, at) = (About::Task(task.clone()), event.timestamp);
        let touched =
            self.put(about, Place(seq, 1), Some(task.clone()), at, || Item::Prompt(prompt(started)));
        // An end that was told before knows now how long it took.
        touched.and(self.edit(&About::End(task.clone()), |item| {
            if let Item::End(end) = item {
                end.began = Some(at);
            }
        }))
    }

    fn step(
        &mut self,
        seq: u64,
        event: &SessionEvent,
        id: &StepId,
        change: impl FnOnce(&mut Step),
    ) -> Touched {
        let (about, at) = (About::Step(id.clone()), event.timestamp);
        let new = || Item::Step(Step::default());
        let touched = self.put(about.clone(), Place(seq, 0), event.task_id.clone(), at, new);
        touched.and(self.edit(&about, |item| {
            if let Item::Step(step) = item {
                change(step);
            }
        }))
    }

    fn call(
        &mut self,
        seq: u64,
        event: &SessionEvent,
        id: &ToolCallId,
        change: impl FnOnce(&mut Call),
    ) -> Touched {
        self.call_at(Place(seq, 1), event, id, change)
    }

    fn call_at(
        &mut self,
        place: Place,
        event: &SessionEvent,
        id: &ToolCallId,
        change: impl FnOnce(&mut Call),
    ) -> Touched {
        let about = About::Call(id.clone());
        let over = event.task_id.as_ref().is_some_and(|task| self.find(&About::End(task.clone())).is_some());
        let new = || Item::Call(Box::new(Call { over, ..Call::default() }));
        let touched = self.put(about.clone(), place, event.task_id.clone(), event.timestamp, new);
        touched.and(self.edit(&about, |item| {
            if let Item::Call(call) = item {
                change(call);
            }
        }))
    }

    fn note(&mut self, seq: u64, event: &SessionEvent, note: Note) -> Touched {
        self.put(About::Event(seq), Place(seq, 1), event.task_id.clone(), event.timestamp, || {
            Item::Note(note)
        })
    }

    fn answered(&mut self, seq: u64, event: &SessionEvent, done: &LlmRequestCompleted) -> Touched {
        self.held.take_if(|held| held.stream == done.stream_id);
        let mut touched = match &event.step_id {
            Some(step) => self.step(seq, event, step, |step| step.usage.tell(seq, done.usage)),
            None => Touched::default(),
        };
        let about = About::Stream(done.stream_id.clone());
        if done.text.trim().is_empty() {
            // What streamed of it was empty too.
            return touched.and(self.remove(&about));
        }
        let new = || Item::Answer(Answer::default());
        touched =
            touched.and(self.put(about.clone(), Place(seq, 1), event.task_id.clone(), event.timestamp, new));
        touched = touched.and(self.edit(&about, |item| {
            if let Item::Answer(answer) = item
                && answer.whole.seq() < seq
            {
                answer.text.complete(done.text.trim());
                answer.whole.tell(seq, Arc::from(done.text.as_str()));
                answer.incomplete = false;
                answer.lost = false;
                answer.cut = done.finish_reason == "length";
            }
        }));
        match &event.task_id {
            Some(task) => touched.and(self.settle_end(&task.clone())),
            None => touched,
        }
    }

    fn retried(&mut self, seq: u64, event: &SessionEvent, retry: &LlmRetry) -> Touched {
        self.held.take_if(|held| held.stream == retry.stream_id);
        if !self.void.contains(&retry.stream_id) {
            if self.void.len() >= MAX_VOID {
                self.void.pop_front();
            }
            self.void.push_back(retry.stream_id.clone());
        }
        let about = About::Stream(retry.stream_id.clone());
        let streams = self
            .find(&about)
            .is_some_and(|entry| matches!(&entry.item, Item::Answer(answer) if answer.streams()));
        let gone = if streams { self.remove(&about) } else { Touched::default() };
        let note = Note::Retry {
            why: line(&retry.error.message, Marks::Missing).into_owned(),
            next: retry.attempt.saturating_add(1),
            of: retry.max_attempts,
            delay_ms: retry.delay_ms,
        };
        gone.and(self.note(seq, event, note))
    }

    fn ended(&mut self, seq: u64, event: &SessionEvent, how: Ending, steps: u32) -> Touched {
        let Some(task) = &event.task_id else { return Touched::default() };
        let began = self.find(&About::Task(task.clone())).map(|entry| entry.at);
        let new = || Item::End(End { how, steps, began });
        let about = About::End(task.clone());
        let mut touched = self.put(about, Place(seq, 1), Some(task.clone()), event.timestamp, new);
        // Nothing of the task goes on after its end, whatever was or was not told of it.
        let left: Vec<About> = self
            .in_order()
            .rev()
            .filter(|entry| entry.task.as_ref() == Some(task))
            .take_while(|entry| !matches!(entry.item, Item::Prompt(_)))
            .filter(|entry| match &entry.item {
                Item::Call(call) => !call.over,
                Item::Answer(answer) => answer.streams(),
                _ => false,
            })
            .map(|entry| entry.about.clone())
            .collect();
        for about in left {
            touched = touched.and(match &about {
                // Words that were read do not vanish under the reader's eyes, although the host keeps none of them.
                About::Stream(_) => self.cut_off(&about, seq, event),
                _ => self.edit(&about, |item| {
                    if let Item::Call(call) = item {
                        call.over = true;
                    }
                }),
            });
        }
        self.held = None;
        touched.and(self.settle_end(task))
    }

    /// An answer that streams will not be finished.
    fn cut_off(&mut self, about: &About, seq: u64, event: &SessionEvent) -> Touched {
        let new = || Item::Answer(Answer::default());
        let touched = self.put(about.clone(), Place(seq, 0), event.task_id.clone(), event.timestamp, new);
        touched.and(self.edit(about, |item| {
            if let Item::Answer(answer) = item {
                answer.lost = true;
            }
        }))
    }

    /// Finds out what the end of a task says beyond the answers above it.
    fn settle_end(&mut self, task: &TaskId) -> Touched {
        let about = About::End(task.clone());
        let Some(end) = self.find(&about) else { return Touched::default() };
        let Item::End(End { how: Ending::Completed { whole, .. }, .. }) = &end.item else {
            return Touched::default();
        };
        let (whole, place) = (whole.clone(), end.place);
        let answers: Vec<&Answer> = self
            .order
            .range(..place)
            .rev()
            .filter_map(|(_, no)| self.entries.get(no))
            .take_while(|entry| entry.task.as_ref() == Some(task))
            .filter_map(|entry| match &entry.item {
                Item::Answer(answer) => Some(answer),
                _ => None,
            })
            .take(MAX_JOINED)
            .collect();
        let added = Document::whole(added_to(&answers, whole.trim()));
        self.edit(&about, |item| {
            if let Item::End(End { how: Ending::Completed { added: shown, .. }, .. }) = item {
                *shown = added;
            }
        })
    }

    fn text(&mut self, event: &SessionEvent, delta: &TextDelta, missing: u64) -> Touched {
        if self.void.contains(&delta.stream_id) {
            return Touched::default();
        }
        match &event.step_id {
            Some(step) if self.course.is_before(step) => {
                Held::hold(&mut self.held, step, delta, missing);
                Touched::default()
            }
            _ => {
                self.write(event.task_id.clone(), event.timestamp, &delta.stream_id, &delta.text, missing > 0)
            }
        }
    }

    /// Shows what was held for the step that has begun.
    fn release(&mut self) -> Touched {
        let course = &self.course;
        let Some(held) = self.held.take_if(|held| !course.is_before(&held.step)) else {
            return Touched::default();
        };
        let (task, at) = (self.course.task().cloned(), Default::default());
        self.write(task, at, &held.stream, &held.text, held.incomplete)
    }

    fn write(
        &mut self,
        task: Option<TaskId>,
        at: lanyard_protocol::Timestamp,
        stream: &StreamId,
        text: &str,
        missing: bool,
    ) -> Touched {
        let about = About::Stream(stream.clone());
        // Models like to begin with empty lines; an answer of nothing is none.
        if self.find(&about).is_none() && text.trim().is_empty() && !missing {
            return Touched::default();
        }
        if task.as_ref().is_some_and(|task| self.find(&About::End(task.clone())).is_some()) {
            return Touched::default();
        }
        let place = Place(LAST, self.next);
        let mut touched = self.put(about.clone(), place, task, at, || Item::Answer(Answer::default()));
        touched = touched.and(self.edit(&about, |item| {
            let Item::Answer(answer) = item else { return };
            if answer.streams() {
                answer.incomplete |= missing;
                // A text with a hole is not shown as if it were one piece.
                if !answer.incomplete {
                    answer.text.push(text);
                }
            }
        }));
        touched.course = true;
        touched
    }

    fn output(&mut self, event: &SessionEvent, delta: &ToolOutputDelta, missing: u64) -> Touched {
        let place = Place(LAST, self.next);
        let mut touched =
            self.call_at(place, event, &delta.tool_call_id, |call| call.piece(&delta.text, missing));
        touched.course = touched.order;
        touched
    }
}

fn prompt(started: &TaskStarted) -> Prompt {
    let count = started.prompt.chars().count();
    let cut = count.saturating_sub(MAX_PROMPT_CHARS);
    let text: String = started.prompt.trim().chars().take(MAX_PROMPT_CHARS).collect();
    let shown = |text: &String| line(text, Marks::Missing).into_owned();
    Prompt {
        text: Arc::from(block(&text, Marks::Missing).as_ref()),
        cut,
        by: started.initiator.id.clone(),
        by_name: short(&started.initiator.name, 64),
        model: short(&started.model.name, 100),
        demo: started.model.demo,
        instructions: started.instructions.iter().take(16).map(shown).collect(),
        max_steps: started.options.max_steps,
        network: started.options.allow_network,
    }
}

fn ending(body: &EventBody) -> Option<(Ending, u32)> {
    Some(match body {
        EventBody::TaskCompleted(done) => {
            let whole = Arc::from(done.text.as_str());
            (Ending::Completed { added: Document::default(), whole, usage: done.usage }, done.steps)
        }
        EventBody::TaskFailed(failed) => {
            let why = block(&failed.error.message, Marks::Missing).into_owned();
            (Ending::Failed { why, code: failed.error.code.as_str() }, failed.steps)
        }
        EventBody::TaskCancelled(cancelled) => {
            (Ending::Cancelled { by: cancelled.by.clone() }, cancelled.steps)
        }
        _ => return None,
    })
}

fn note(body: &EventBody) -> Option<Note> {
    let shown = |text: &str| line(text, Marks::Missing).into_owned();
    Some(match body {
        EventBody::ContextCompacted(compacted) => {
            Note::Compacted { before: compacted.tokens_before, after: compacted.tokens_after }
        }
        EventBody::SessionPaused(paused) => Note::Paused(shown(&paused.reason)),
        EventBody::SessionResumed(resumed) => Note::Resumed(shown(&resumed.reason)),
        EventBody::StepLimitNear(near) => Note::StepLimit { step: near.step_number, of: near.max_steps },
        EventBody::PolicyExpired(_) => Note::PolicyExpired,
        EventBody::SessionCompleted(_) => Note::SessionEnded,
        EventBody::SessionFailed(failed) => Note::SessionFailed(shown(&failed.error.message)),
        _ => return None,
    })
}

/// What a whole answer says beyond the model's last words, newest first; those that were cut at the model's limit and
/// gone on with count as one.
fn added_to<'a>(answers: &[&Answer], whole: &'a str) -> &'a str {
    let mut joined = String::new();
    for (number, answer) in answers.iter().enumerate() {
        if number > 0 && !answer.cut {
            break;
        }
        joined.insert_str(0, answer.whole().unwrap_or_default());
        if let Some(rest) = whole.strip_prefix(joined.trim())
            && (rest.is_empty() || rest.starts_with('\n'))
        {
            return rest.trim();
        }
    }
    whole
}
