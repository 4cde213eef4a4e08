//! Counters that keep a model from going in circles: repeated calls, empty answers, answers cut at the limit.
//!
//! They live in memory only. After a restart they begin again, which the step limit bounds.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use lanyard_protocol::tool::{ToolRequest, ToolResult};

/// Results remembered. Wide enough to notice a loop of several calls, small enough that an honest repetition (looking
/// at the same status after each of many edits) is forgotten.
const REMEMBERED_RESULTS: usize = 48;

/// The model is told at every multiple of this many identical results.
const TELL_EVERY: u32 = 5;

/// Identical results after which the task fails: the model was told twice and went on.
pub const MAX_IDENTICAL_RESULTS: u32 = 3 * TELL_EVERY;

/// Answers in a row that hold neither text nor calls; small models recover from one, hardly ever from three.
pub const MAX_EMPTY_ANSWERS: u32 = 2;

/// Times an answer cut at the output limit is continued.
pub const MAX_CONTINUATIONS: u32 = 3;

/// What a repeated result calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repetition {
    /// Nothing.
    Harmless,
    /// Tell the model that it got the same result this many times.
    Tell(u32),
    /// Give up after this many.
    Stop(u32),
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    results: VecDeque<u64>,
    /// Empty answers in a row.
    pub empty_answers: u32,
    /// Continuations in a row.
    pub continuations: u32,
    /// Text of an answer that is being continued.
    pub partial: String,
}

impl Guards {
    /// Counts a result. Two results are the same when tool, arguments, status, output and error are; fingerprints are
    /// 64 bits, and a collision costs one needless note.
    pub fn count(&mut self, request: &ToolRequest, result: &ToolResult) -> Repetition {
        let mut hasher = DefaultHasher::new();
        request.tool_name.hash(&mut hasher);
        request.arguments.0.to_string().hash(&mut hasher);
        (result.status, &result.output_text, result.error.as_ref().map(|e| &e.message)).hash(&mut hasher);
        let fingerprint = hasher.finish();
        if self.results.len() == REMEMBERED_RESULTS {
            self.results.pop_front();
        }
        self.results.push_back(fingerprint);
        let same = self.results.iter().filter(|one| **one == fingerprint).count();
        match u32::try_from(same).unwrap_or(u32::MAX) {
            n if n >= MAX_IDENTICAL_RESULTS => Repetition::Stop(n),
            n if n % TELL_EVERY == 0 => Repetition::Tell(n),
            _ => Repetition::Harmless,
        }
    }

    /// The model did something: called a tool or answered in full.
    pub fn progressed(&mut self) {
        self.empty_answers = 0;
        self.continuations = 0;
        self.partial.clear();
    }
}
