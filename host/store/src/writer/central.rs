//! Rows about the central services: enrolment, what they hold of the outbox, what they know of each session.
//!
//! `central_queue` is the line of sessions that have something to be sent: a session joins it with the event (or the
//! deletion) that puts it ahead of what the centre has, and leaves it when the centre has everything. So finding what
//! waits costs what waits, however many sessions there are.

use lanyard_ports::journal::{AuditHead, CentralSession, Enrolment};
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::id::SessionId;

use super::stage::Stage;
use crate::error::{Rejection, refused};
use crate::keys;
use crate::record::{CentralRow, CentralSessionRow, EnrolmentRow};
use crate::schema::CENTRAL_KEY;
use crate::table::TableId;

impl Stage<'_, '_> {
    fn central(&mut self) -> Result<CentralRow, Rejection> {
        Ok(self.get(CENTRAL_KEY)?.unwrap_or_default())
    }

    fn put_central(&mut self, row: &CentralRow) -> Result<(), Rejection> {
        self.put(CENTRAL_KEY.to_vec(), row)
    }

    /// Adds a record to the outbox, as one of the tenant the host belongs to.
    pub(super) fn audit(&mut self, mut envelope: EventEnvelope) -> Result<(), Rejection> {
        if let Some(enrolment) = self.central()?.enrolment {
            envelope.tenant_id = enrolment.tenant_id;
        }
        self.totals.outbox_seq += 1;
        self.put(keys::number(self.totals.outbox_seq), &envelope)
    }

    pub(super) fn enrol(&mut self, enrolment: Enrolment) -> Result<(), Rejection> {
        let Enrolment { agent_id, tenant_id, first_outbox: _ } = enrolment;
        let mut row = self.central()?;
        let next = self.totals.outbox_seq + 1;
        let first_outbox = match row.enrolment.take() {
            Some(before) if before.agent_id == agent_id && before.tenant_id == tenant_id => {
                return Ok(());
            }
            before => {
                self.forget_central_sessions()?;
                let waits = row.sent;
                row = CentralRow { place: row.place, sent: row.sent, ..CentralRow::default() };
                match before {
                    // What waited for the tenant still does, whatever it calls this host now.
                    Some(before) if before.tenant_id == tenant_id => before.first_outbox.max(waits + 1),
                    _ => next,
                }
            }
        };
        row.enrolment = Some(EnrolmentRow { agent_id, tenant_id, first_outbox });
        self.put_central(&row)
    }

    pub(super) fn unenrol(&mut self) -> Result<(), Rejection> {
        self.forget_central_sessions()?;
        let row = self.central()?;
        self.put_central(&CentralRow { place: row.place, sent: row.sent, ..CentralRow::default() })
    }

    fn forget_central_sessions(&mut self) -> Result<(), Rejection> {
        for table in [TableId::CentralSessions, TableId::CentralQueue] {
            for key in self.keys_under(table, &[])? {
                self.remove(table, key);
            }
        }
        Ok(())
    }

    pub(super) fn acknowledge_outbox(&mut self, up_to: u64, head: AuditHead) -> Result<(), Rejection> {
        let mut row = self.central()?;
        let Some(first) = row.first_unsent() else {
            return Err(refused("this host is enrolled nowhere: nobody can have taken its audit records"));
        };
        if up_to < first || up_to > self.totals.outbox_seq {
            let last = self.totals.outbox_seq;
            return Err(refused(format!(
                "outbox rows up to {up_to} cannot be acknowledged: {first} to {last} wait"
            )));
        }
        if head.seq <= row.head_seq {
            return Err(refused(format!(
                "the chain ends at {} already and cannot go back to {}",
                row.head_seq, head.seq
            )));
        }
        for number in first..=up_to {
            self.remove(TableId::Outbox, keys::number(number));
        }
        row.sent = up_to;
        (row.head_seq, row.head_hash) = (head.seq, head.hash);
        self.put_central(&row)
    }

    pub(super) fn audit_head(&mut self, head: AuditHead) -> Result<(), Rejection> {
        let mut row = self.central()?;
        if row.enrolment.is_none() {
            return Err(refused("this host is enrolled nowhere: its audit records are in no chain"));
        }
        (row.head_seq, row.head_hash) = (head.seq, head.hash);
        self.put_central(&row)
    }

    pub(super) fn central_command(&mut self, number: u64) -> Result<(), Rejection> {
        let mut row = self.central()?;
        if number <= row.command {
            return Ok(());
        }
        row.command = number;
        self.put_central(&row)
    }

    /// The centre knows a session.
    pub(super) fn central_session(&mut self, session: CentralSession) -> Result<(), Rejection> {
        let CentralSession { session_id, workspace_id, shipped_seq, timeline, upload, job_id, deleted: _ } =
            session;
        let last_seq = self.head(&session_id)?.last_seq;
        let Some(enrolment) = self.central()?.enrolment else {
            return Err(refused(format!(
                "this host is enrolled nowhere: session {session_id} is nobody else's"
            )));
        };
        self.belongs(&session_id, enrolment.agent_id)?;
        let known = self.known(&session_id)?.filter(|known| !known.deleted);
        let (shipped_seq, place) = known.map_or((shipped_seq, None), |it| (it.shipped_seq, it.place));
        if shipped_seq > last_seq {
            return Err(beyond(&session_id, shipped_seq, last_seq));
        }
        let row =
            CentralSessionRow { workspace_id, shipped_seq, timeline, upload, job_id, deleted: false, place };
        self.queue(&session_id, row, shipped_seq < last_seq)
    }

    /// The session is that enrolment's from now on, and never another's.
    fn belongs(&mut self, session: &SessionId, agent_id: String) -> Result<(), Rejection> {
        let mut record = self.session(session)?;
        match &record.agent_id {
            Some(its) if *its == agent_id => Ok(()),
            Some(its) => Err(refused(format!(
                "session {session} belongs to {its}, an earlier enrolment of this host: {agent_id} does not get it"
            ))),
            None => {
                record.agent_id = Some(agent_id);
                self.put(session.as_str().as_bytes().to_vec(), &record)
            }
        }
    }

    pub(super) fn shipped(&mut self, session: &SessionId, seq: u64) -> Result<(), Rejection> {
        let Some(mut row) = self.known(session)?.filter(|row| !row.deleted && row.shipped_seq < seq) else {
            return Ok(());
        };
        let last_seq = self.head(session)?.last_seq;
        if seq > last_seq {
            return Err(beyond(session, seq, last_seq));
        }
        row.shipped_seq = seq;
        // To the end of the line: a long log does not keep the others waiting.
        self.leave(session, &mut row);
        self.queue(session, row, seq < last_seq)
    }

    pub(super) fn forget_central_session(&mut self, session: &SessionId) -> Result<(), Rejection> {
        if let Some(mut row) = self.known(session)? {
            self.leave(session, &mut row);
            self.remove(TableId::CentralSessions, session.as_str().as_bytes().to_vec());
        }
        Ok(())
    }

    /// The session's log has grown.
    pub(super) fn log_grew(&mut self, session: &SessionId) -> Result<(), Rejection> {
        match self.known(session)? {
            Some(row) if row.place.is_none() => self.queue(session, row, true),
            _ => Ok(()),
        }
    }

    /// The session was deleted: what is left to send is that.
    pub(super) fn deleted_for_centre(&mut self, session: &SessionId) -> Result<(), Rejection> {
        match self.known(session)? {
            Some(row) => self.queue(session, CentralSessionRow { deleted: true, ..row }, true),
            None => Ok(()),
        }
    }

    fn known(&mut self, session: &SessionId) -> Result<Option<CentralSessionRow>, Rejection> {
        self.get(session.as_str().as_bytes())
    }

    /// Stores the row, in the line or out of it. One that stands in line keeps its place.
    fn queue(
        &mut self,
        session: &SessionId,
        mut row: CentralSessionRow,
        waits: bool,
    ) -> Result<(), Rejection> {
        if waits && row.place.is_none() {
            let mut central = self.central()?;
            central.place += 1;
            self.put_central(&central)?;
            row.place = Some(central.place);
            self.mark(TableId::CentralQueue, keys::queued(central.place, session));
        } else if !waits {
            self.leave(session, &mut row);
        }
        self.put(session.as_str().as_bytes().to_vec(), &row)
    }

    fn leave(&mut self, session: &SessionId, row: &mut CentralSessionRow) {
        if let Some(place) = row.place.take() {
            self.remove(TableId::CentralQueue, keys::queued(place, session));
        }
    }
}

fn beyond(session: &SessionId, seq: u64, last_seq: u64) -> Rejection {
    refused(format!("the log of session {session} ends at {last_seq}: {seq} cannot have been sent"))
}
