//! One row of a batch: checked against the invariants, then staged.

use std::sync::Arc;

use lanyard_ports::journal::{Baseline, Checkpoint, CommandRecord, JournalError, NewEvent, Write};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::message::ConversationMessage;

use super::stage::Stage;
use crate::error::{Rejection, refused, unstorable};
use crate::keys;
use crate::record::Digest;
use crate::table::TableId;

impl Stage<'_, '_> {
    /// Stages one row, or says which invariant it breaks.
    pub(super) fn apply(&mut self, write: Write) -> Result<(), Rejection> {
        match write {
            Write::Session(record) => self.add_session(*record),
            Write::Progress(progress) => self.progress(*progress),
            Write::Event(event) => self.event(*event),
            Write::Message(message) => self.message(&message),
            Write::Call(record) => self.call(*record),
            Write::Approval(record) => self.approval(&record),
            Write::Rule(rule) => self.rule(&rule),
            Write::RemoveRule(id) => {
                self.remove(TableId::Rules, id.as_str().as_bytes().to_vec());
                Ok(())
            }
            Write::Checkpoint(checkpoint) => self.checkpoint(&checkpoint),
            Write::ClearCheckpoint(id) => self.clear_checkpoint(&id),
            // Looked at before the batch, see `refusals`.
            Write::Reread(_) => Ok(()),
            Write::Baseline(baseline) => self.baseline(&baseline),
            Write::Command(record) => self.command(&record),
            Write::Audit(envelope) => self.audit(*envelope),
            Write::Host(body) => self.tell_host(Timestamp::now(), *body),
            Write::Device(record) => self.device(&record),
            Write::RemoveDevice(id) => self.remove_device(&id),
            Write::Connection(record) => self.connection(&record),
            Write::Count(counts) => self.count(counts),
            Write::DeleteSession(id) => self.delete_session(&id),
            Write::Enrol(enrolment) => self.enrol(*enrolment),
            Write::Unenrol => self.unenrol(),
            Write::AcknowledgeOutbox { up_to, head } => self.acknowledge_outbox(up_to, head),
            Write::AuditHead(head) => self.audit_head(head),
            Write::CentralSession(session) => self.central_session(*session),
            Write::Shipped { session_id, seq } => self.shipped(&session_id, seq),
            Write::ForgetCentralSession(id) => self.forget_central_session(&id),
            Write::CentralCommand(number) => self.central_command(number),
        }
    }

    fn event(&mut self, event: NewEvent) -> Result<(), Rejection> {
        if !event.body.is_durable() {
            return Err(refused(format!("{} is ephemeral and has no place in the log", event.body.name())));
        }
        let mut head = self.head(&event.session_id)?;
        head.last_seq += 1;
        self.put(event.session_id.as_str().as_bytes().to_vec(), &head)?;
        let NewEvent { event_id, workspace_id, session_id, task_id, step_id, timestamp, body } = event;
        let seq = Some(head.last_seq);
        let event =
            SessionEvent { event_id, seq, workspace_id, session_id, task_id, step_id, timestamp, body };
        self.put(keys::numbered(&event.session_id, head.last_seq), &event)?;
        match &event.body {
            EventBody::TaskStarted(started) => self.digest(&event.session_id, &started.prompt)?,
            EventBody::TaskCompleted(completed) => self.digest(&event.session_id, &completed.text)?,
            _ => {}
        }
        self.log_grew(&event.session_id)?;
        self.outcome.events.push(Arc::new(event));
        Ok(())
    }

    /// Makes a session findable by a text.
    fn digest(&mut self, session: &SessionId, text: &str) -> Result<(), Rejection> {
        let key = session.as_str().as_bytes();
        let mut digest: Digest = self.get(key)?.unwrap_or_default();
        digest.add(text);
        self.put(key.to_vec(), &digest)
    }

    fn message(&mut self, message: &ConversationMessage) -> Result<(), Rejection> {
        let mut head = self.head(&message.session_id)?;
        self.put(keys::numbered(&message.session_id, head.messages), message)?;
        head.messages += 1;
        self.put(message.session_id.as_str().as_bytes().to_vec(), &head)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Rejection> {
        self.expect_session(&checkpoint.session_id)?;
        self.put(checkpoint.session_id.as_str().as_bytes().to_vec(), checkpoint)
    }

    fn baseline(&mut self, baseline: &Baseline) -> Result<(), Rejection> {
        self.expect_session(&baseline.session_id)?;
        let key = keys::baseline(&baseline.session_id, &baseline.task_id, &baseline.path)
            .map_err(|why| unstorable(TableId::Baselines, &why))?;
        if self.has(TableId::Baselines, &key)? {
            return Ok(());
        }
        self.put(key, baseline)
    }

    fn command(&mut self, record: &CommandRecord) -> Result<(), Rejection> {
        let key = keys::command(&record.principal, &record.command_id);
        if let Some(before) = self.get::<CommandRecord>(&key)? {
            let id = &record.command_id;
            if before.fingerprint == record.fingerprint {
                let text = format!("command {id} was carried out already: its answer is kept");
                return Err(Rejection::Batch(JournalError::Repeated(text)));
            }
            return Err(refused(format!(
                "command {id} was used for another request: choose a new commandId"
            )));
        }
        self.mark(
            TableId::CommandsByTime,
            keys::command_by_time(record.at, &record.principal, &record.command_id),
        );
        self.put(key, record)
    }
}
