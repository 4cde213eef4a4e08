//! An answer on its way to the clients, piece by piece.

use lanyard_ports::model::ModelProgress;
use lanyard_protocol::event::{EventBody, LlmRetry, TextDelta};
use lanyard_protocol::id::StreamId;

use crate::Ports;
use crate::driver::TaskFault;
use crate::recorder::{RecordError, Recorder};
use crate::thread::Thread;
use crate::turn::record::Record;

/// The text of one attempt on its way to the clients.
pub(crate) struct TextStream {
    id: StreamId,
    offset: u64,
}

impl TextStream {
    pub(crate) fn open(recorder: &Recorder) -> Result<Self, TaskFault> {
        Ok(Self { id: recorder.fresh_stream().map_err(RecordError::from)?, offset: 0 })
    }

    /// Hands text on, records a retry. After a retry the text so far is void and a new stream begins.
    pub(crate) async fn follow(
        &mut self,
        progress: ModelProgress,
        ports: &Ports,
        recorder: &mut Recorder,
        thread: &mut Thread,
    ) -> Result<(), TaskFault> {
        match progress {
            ModelProgress::Text(text) => {
                let length = text.len() as u64;
                let delta = TextDelta { stream_id: self.id.clone(), offset: self.offset, text };
                let event = recorder.ephemeral(EventBody::TextDelta(delta)).map_err(RecordError::from)?;
                ports.deltas.delta(event);
                self.offset = self.offset.saturating_add(length);
            }
            ModelProgress::Retry { attempt, max_attempts, delay_ms, error } => {
                let void = std::mem::replace(self, Self::open(recorder)?);
                let retry = LlmRetry { attempt, max_attempts, delay_ms, error, stream_id: void.id };
                let record = Record::of_step(&recorder.mark().step_id, EventBody::LlmRetry(retry));
                recorder.append(vec![record], thread).await?;
            }
        }
        Ok(())
    }

    /// The stream of the attempt that counts.
    pub(crate) fn into_id(self) -> StreamId {
        self.id
    }
}
