//! Keeps streamed text behind the events it belongs to.
//!
//! Pieces of text are sent as they are written; events are sent once they are on the disk. A fast model is therefore
//! heard in step N+1 before step N is told to the end. Its words wait until their step has begun here too.

use lanyard_protocol::event::{EventBody, SessionEvent, TextDelta};
use lanyard_protocol::id::{StepId, StreamId};

/// Most bytes of text held: far more than a model writes while a few events reach the disk. The rest comes with the
/// whole answer.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// How far the durable events are.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing tells yet: somebody attached in the middle of a task. Text is shown as it comes.
    Unknown,
    /// The task began, none of its steps did.
    Task,
    /// In this step.
    Step(StepId),
}

impl Place {
    /// Takes a durable event into account.
    pub(super) fn passed(&mut self, event: &SessionEvent) {
        match (&event.body, &event.step_id) {
            (EventBody::TaskStarted(_), _) => *self = Place::Task,
            (EventBody::StepStarted(step), _) => *self = Place::Step(step.step_id.clone()),
            (_, Some(step)) if matches!(self, Place::Unknown) => *self = Place::Step(step.clone()),
            _ => {}
        }
    }

    /// Whether the step is still to come.
    pub(super) fn is_before(&self, step: &StepId) -> bool {
        match self {
            Place::Unknown => false,
            Place::Task => true,
            Place::Step(here) => here != step,
        }
    }
}

/// Text of a step that is still to come.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) step: StepId,
    stream: StreamId,
    /// Each with the bytes missing before it.
    pieces: Vec<(TextDelta, u64)>,
    bytes: usize,
}

impl Held {
    /// Holds a piece. Text of another step or stream before it is void: only one answer is written at a time.
    pub(super) fn hold(slot: &mut Option<Self>, step: &StepId, delta: &TextDelta, missing: u64) {
        let same = |held: &Self| held.step == *step && held.stream == delta.stream_id;
        let held = match slot.take().filter(same) {
            Some(held) => slot.insert(held),
            None => slot.insert(Self {
                step: step.clone(),
                stream: delta.stream_id.clone(),
                pieces: Vec::new(),
                bytes: 0,
            }),
        };
        let room = held.bytes.saturating_add(delta.text.len()) <= MAX_HELD_BYTES;
        held.bytes = held.bytes.saturating_add(delta.text.len());
        if room {
            held.pieces.push((delta.clone(), missing));
        }
    }

    /// What was held, in order. Where it was too much, the last piece is an empty one that tells what is missing.
    pub(super) fn pieces(self) -> Vec<(TextDelta, u64)> {
        let mut pieces = self.pieces;
        let kept: usize = pieces.iter().map(|(delta, _)| delta.text.len()).sum();
        let lost = u64::try_from(self.bytes.saturating_sub(kept)).unwrap_or(u64::MAX);
        if lost > 0 {
            let offset = pieces.last().map_or(0, |(delta, _)| {
                delta.offset.saturating_add(u64::try_from(delta.text.len()).unwrap_or(u64::MAX))
            });
            pieces.push((TextDelta { stream_id: self.stream, offset, text: String::new() }, lost));
        }
        pieces
    }
}
