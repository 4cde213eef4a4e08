//! Makes the thread fit before the model is asked: the steps of [`crate::compact`], with the model's help where older
//! turns are to be summarised.

use lanyard_ports::model::ModelRequest;
use lanyard_protocol::event::ContextCompacted;
use lanyard_protocol::message::{ConversationMessage, Provenance, Role, Trust};

use crate::budget::{Allowance, BYTES_PER_TOKEN, Calibration};
use crate::compact;
use crate::render::Outbound;
use crate::thread::Thread;
use crate::turn::record::SOURCE_HOST;

/// Tokens of a summary: about half a page.
const SUMMARY_TOKENS: u64 = 1_000;

/// Tokens kept free for a digest when older turns are cut.
const DIGEST_ROOM: u32 = 1_200;

/// How much of the limit the thread may take after compaction. Well below it, so that the next few steps do not
/// compact again, which would cost another summary and the gateway's prefix cache each time.
const TARGET_PERCENT: u64 = 60;

/// Sizes around one request, in real (calibrated) tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit {
    /// What the request may cost.
    pub(crate) room: Allowance,
    /// Tokens of the system message and the tools, estimated.
    pub(crate) frame: u32,
    /// From estimates to real tokens.
    pub(crate) calibration: Calibration,
}

impl Fit {
    /// Size of the request with this thread.
    pub(crate) fn size(&self, thread: &Thread) -> u32 {
        self.calibration.raise(self.frame.saturating_add(thread.tokens()))
    }

    /// Whether the thread must be compacted first.
    pub(crate) fn is_tight(&self, thread: &Thread) -> bool {
        self.size(thread) > self.room.compact_above
    }

    /// Estimated tokens the thread may have so that the request has at most `real` tokens.
    fn thread_target(&self, real: u64, thread: &Thread) -> u32 {
        let digest = thread.digest().map_or(0, compact::Digest::tokens);
        let real = u32::try_from(real).unwrap_or(u32::MAX);
        self.calibration.lower(real).saturating_sub(self.frame).saturating_sub(digest)
    }

    fn target(&self, thread: &Thread) -> u32 {
        self.thread_target(u64::from(self.room.compact_above) * TARGET_PERCENT / 100, thread)
    }

    /// Masks old outputs. Returns how many messages.
    pub(crate) fn mask(&self, thread: &mut Thread) -> u32 {
        let target = self.target(thread);
        compact::mask(thread.messages_mut(), target)
    }

    /// Where to cut off what is to be summarised.
    pub(crate) fn cut_point(&self, thread: &Thread) -> Option<usize> {
        compact::cut_point(thread.messages(), self.target(thread).saturating_sub(DIGEST_ROOM))
    }

    /// The last resort: cuts the newest texts until the request may be sent.
    pub(crate) fn shorten(&self, thread: &mut Thread) -> u32 {
        let target = self.thread_target(u64::from(self.room.compact_above), thread);
        compact::shorten(thread.messages_mut(), target)
    }

    /// Most bytes of a transcript to be summarised in one request.
    pub(crate) fn transcript_bytes(&self) -> usize {
        let tokens = self.calibration.lower(self.room.input) / 2;
        usize::try_from(tokens.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX)
    }
}

/// The request for a summary: no tools, the transcript as data. `template` lends its ids and time.
pub(crate) fn request(
    template: &ConversationMessage,
    transcript: &str,
    outbound: &Outbound<'_>,
) -> ModelRequest {
    let message = |role, content| ConversationMessage {
        role,
        content,
        tool_calls: Vec::new(),
        tool_call_id: None,
        token_count: None,
        provenance: Some(Provenance { source: SOURCE_HOST.to_owned(), trust: Trust::Trusted }),
        ..template.clone()
    };
    let transcript = outbound.nonce.wrap("transcript", &outbound.text(transcript));
    ModelRequest {
        session_id: template.session_id.clone(),
        messages: vec![
            message(Role::System, compact::SUMMARY_RULES.to_owned()),
            message(Role::User, format!("Summarise this protocol.\n{transcript}")),
        ],
        tools: Vec::new(),
        max_output_tokens: SUMMARY_TOKENS,
        pictures: Vec::new(),
    }
}

/// The event that tells what was done.
pub(crate) fn compacted(before: u32, after: u32, masked: u32, summarised: usize) -> ContextCompacted {
    ContextCompacted {
        tokens_before: before,
        tokens_after: after,
        outputs_masked: masked,
        messages_summarised: u32::try_from(summarised).unwrap_or(u32::MAX),
    }
}
