//! Token arithmetic: how large a request is, how large it may be, and what of the session's budget is left. Pure.
//!
//! Sizes are estimates made without a tokenizer, which would have to match a model the host does not know: four bytes
//! of ASCII count as one token, any other character as one, plus [`MESSAGE_OVERHEAD`] for the frame of a message.
//! English text comes out within about 15 %; source code is denser, so [`Calibration`] raises the estimate to what the
//! gateway really reported. It is never lowered: erring high only compacts earlier.

use std::io;

use lanyard_protocol::event::Usage;
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::tool::ToolSpec;
use serde::Serialize;

use crate::gate::ModelLimits;

/// Tokens a message costs beside its text (role, separators, ids).
pub const MESSAGE_OVERHEAD: u32 = 4;

/// Bytes of ASCII to one token.
pub const BYTES_PER_TOKEN: u32 = 4;

/// The answer is given at most this part of the window; the rest belongs to the question.
const ANSWER_SHARE: u64 = 4;

/// Estimated tokens of a text.
pub fn text_tokens(text: &str) -> u32 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let other = text.chars().filter(|c| !c.is_ascii()).count();
    clamp(ascii.div_ceil(BYTES_PER_TOKEN as usize).saturating_add(other))
}

/// Estimated tokens of a message with its tool calls.
pub fn message_tokens(message: &ConversationMessage) -> u32 {
    let calls = message.tool_calls.iter().map(|call| {
        MESSAGE_OVERHEAD
            .saturating_add(text_tokens(&call.tool_name))
            .saturating_add(json_tokens(&call.arguments))
    });
    calls.fold(MESSAGE_OVERHEAD.saturating_add(text_tokens(&message.content)), u32::saturating_add)
}

/// Estimated tokens of several messages.
pub fn thread_tokens(messages: &[ConversationMessage]) -> u32 {
    messages.iter().map(message_tokens).fold(0, u32::saturating_add)
}

/// Estimated tokens of the tools offered.
pub fn spec_tokens(specs: &[ToolSpec]) -> u32 {
    let each = specs.iter().map(|spec| {
        let words = text_tokens(&spec.name).saturating_add(text_tokens(&spec.description));
        MESSAGE_OVERHEAD.saturating_add(words).saturating_add(json_tokens(&spec.input_schema))
    });
    each.fold(0, u32::saturating_add)
}

/// Estimated tokens of a value's JSON text, which is counted, not built.
fn json_tokens(value: &impl Serialize) -> u32 {
    let mut counter = Counter(0);
    // Counting cannot fail; a value that cannot be written (it never leaves either) counts as what was written.
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) | Err(_) => clamp(counter.0.div_ceil(BYTES_PER_TOKEN as usize)),
    }
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn clamp(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// How far estimates must be raised to meet what the gateway counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    per_mille: u32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { per_mille: Self::NEUTRAL }
    }
}

impl Calibration {
    const NEUTRAL: u32 = 1_000;
    /// Estimates are raised threefold at most: a gateway that reports nonsense must not empty the window.
    const MOST: u32 = 3_000;

    /// Learns from a request whose real size is known. `estimated` is the size before calibration.
    pub fn learn(&mut self, estimated: u32, reported: u64) {
        let ratio = reported.saturating_mul(u64::from(Self::NEUTRAL)) / u64::from(estimated.max(1));
        self.per_mille = u32::try_from(ratio).unwrap_or(u32::MAX).clamp(Self::NEUTRAL, Self::MOST);
    }

    /// An estimate as the gateway would count it.
    pub fn raise(self, estimated: u32) -> u32 {
        scale(estimated, self.per_mille, Self::NEUTRAL)
    }

    /// The estimate that a real size corresponds to; the inverse of [`Calibration::raise`], rounded down.
    pub fn lower(self, real: u32) -> u32 {
        scale(real, Self::NEUTRAL, self.per_mille)
    }
}

fn scale(value: u32, by: u32, over: u32) -> u32 {
    u32::try_from(u64::from(value) * u64::from(by) / u64::from(over.max(1))).unwrap_or(u32::MAX)
}

/// What one request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Most tokens of the request.
    pub input: u32,
    /// The request is compacted above this: 90 % of the window, or less where policy says so.
    pub compact_above: u32,
    /// Most tokens of the answer.
    pub output: u64,
}

/// Why a request is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetStop {
    /// The session's tokens are used up.
    #[error(
        "the session has used {used} of its {limit} tokens; start a new session or raise maxSessionTokens in the policy"
    )]
    SessionSpent {
        /// Used, the request about to be sent included.
        used: u64,
        /// `maxSessionTokens`.
        limit: u64,
    },
    /// What cannot be left out is larger than a request may be.
    #[error(
        "the request needs about {needed} tokens where {limit} fit; shorten the prompt, or choose a model with a larger window"
    )]
    TooLarge {
        /// Estimated size.
        needed: u32,
        /// Most tokens of a request.
        limit: u32,
    },
}

/// What the next request may cost, given the model's window, the limits in force and the tokens used so far.
pub fn allowance(window: u32, limits: &ModelLimits, used: u64) -> Result<Allowance, BudgetStop> {
    let left = limits.max_session_tokens.saturating_sub(used);
    if left == 0 {
        return Err(BudgetStop::SessionSpent { used, limit: limits.max_session_tokens });
    }
    let window = u64::from(window);
    let output = limits.max_output_tokens.min(window / ANSWER_SHARE).min(left).max(1);
    let input = limits.max_input_tokens.min(window.saturating_sub(output));
    let compact_above = input.min(window / 10 * 9);
    Ok(Allowance {
        input: u32::try_from(input).unwrap_or(u32::MAX),
        compact_above: u32::try_from(compact_above).unwrap_or(u32::MAX),
        output,
    })
}

/// Refuses a request that would overrun the session's budget or the window.
pub fn admit(tokens: u32, room: &Allowance, limits: &ModelLimits, used: u64) -> Result<(), BudgetStop> {
    if tokens > room.input {
        return Err(BudgetStop::TooLarge { needed: tokens, limit: room.input });
    }
    let used = used.saturating_add(u64::from(tokens));
    if used >= limits.max_session_tokens {
        return Err(BudgetStop::SessionSpent { used, limit: limits.max_session_tokens });
    }
    Ok(())
}

/// Input and output together.
pub fn total(usage: &Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens)
}

/// Two usages together.
pub fn sum(a: Usage, b: Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ModelLimits =
        ModelLimits { max_input_tokens: 50_000, max_output_tokens: 4_000, max_session_tokens: 100_000 };

    #[test]
    fn text_is_counted_by_bytes_where_ascii_and_by_characters_elsewhere() {
        assert_eq!(text_tokens(""), 0);
        assert_eq!(text_tokens("abcd"), 1);
        assert_eq!(text_tokens("abcde"), 2);
        assert_eq!(text_tokens("日本語"), 3);
    }

    #[test]
    fn the_answer_gets_a_quarter_of_a_small_window() {
        let room = allowance(8_000, &LIMITS, 0).unwrap();
        assert_eq!((room.output, room.input, room.compact_above), (2_000, 6_000, 6_000));
    }

    #[test]
    fn a_large_window_is_compacted_near_nine_tenths_and_policy_can_say_earlier() {
        let wide = ModelLimits { max_input_tokens: u64::MAX, ..LIMITS };
        let room = allowance(100_000, &wide, 0).unwrap();
        assert_eq!((room.output, room.input, room.compact_above), (4_000, 96_000, 90_000));
        assert_eq!(allowance(100_000, &LIMITS, 0).unwrap().compact_above, 50_000);
    }

    #[test]
    fn a_spent_session_gets_no_request_and_a_nearly_spent_one_no_large_one() {
        assert!(matches!(allowance(8_000, &LIMITS, 100_000), Err(BudgetStop::SessionSpent { .. })));
        let room = allowance(8_000, &LIMITS, 99_000).unwrap();
        assert_eq!(room.output, 1_000);
        assert!(admit(900, &room, &LIMITS, 99_000).is_ok());
        assert!(matches!(admit(1_000, &room, &LIMITS, 99_000), Err(BudgetStop::SessionSpent { .. })));
        assert!(matches!(admit(7_500, &room, &LIMITS, 0), Err(BudgetStop::TooLarge { .. })));
    }

    #[test]
    fn calibration_only_raises_and_within_bounds() {
        let mut calibration = Calibration::default();
        calibration.learn(1_000, 500);
        assert_eq!(calibration.raise(100), 100);
        calibration.learn(1_000, 1_500);
        assert_eq!((calibration.raise(100), calibration.lower(150)), (150, 100));
        calibration.learn(1, u64::MAX);
        assert_eq!(calibration.raise(100), 300);
    }
}
