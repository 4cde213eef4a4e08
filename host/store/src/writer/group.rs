//! Group commit: everything that waits goes into one transaction.

use lanyard_ports::fault;
use lanyard_ports::journal::{JournalError, Write};
use lanyard_protocol::id::SessionId;
use redb::{Database, Durability, WriteTransaction};

use super::refusals::{Refusals, forgiven, sessions};
use super::stage::{Outcome, Stage};
use super::tables::Tables;
use crate::artifact::Hold;
use crate::error::{Fault, Rejection};
use crate::keys;
use crate::record::{OwnerRow, Record, Totals};
use crate::schema;
use crate::table::TableId;

/// A group about to be written.
pub(super) struct Group<'a> {
    /// Counters as they are.
    pub(super) totals: Totals,
    /// Artifacts put since the last group.
    pub(super) holds: &'a [Hold],
    /// What earlier appends came to.
    pub(super) refusals: &'a Refusals,
}

/// A group on disk.
pub(super) struct Done {
    /// Counters as they are now.
    pub(super) totals: Totals,
    /// What to tell and to tidy up.
    pub(super) outcome: Outcome,
    /// One for each batch, in order.
    pub(super) verdicts: Vec<Result<(), JournalError>>,
}

impl Group<'_> {
    /// Writes the batches in order; returns once they are on disk. `waits` says which batches have a caller.
    pub(super) fn write(
        mut self,
        db: &Database,
        batches: Vec<Vec<Write>>,
        waits: &[bool],
    ) -> Result<Done, Fault> {
        let txn = begin(db)?;
        let mut tables = Tables::new(&txn, self.totals.row_bytes);
        let mut outcome = Outcome::default();
        self.own_artifacts(&mut tables, &mut outcome)?;
        let mut verdicts = Vec::with_capacity(batches.len());
        for (batch, waited_for) in batches.into_iter().zip(waits) {
            let verdict = self.batch(&mut tables, batch, *waited_for, &mut outcome)?;
            verdicts.push(verdict);
        }
        super::prune::host_events(&mut tables, &mut self.totals)?;
        super::prune::commands(&mut tables)?;
        super::prune::outbox(&mut tables, &self.totals)?;
        super::prune::connections(&mut tables)?;
        let changed = tables.changed();
        self.totals.row_bytes = tables.row_bytes();
        if changed {
            let bytes = self.totals.encode().map_err(|why| std::io::Error::other(why.to_string()))?;
            tables.insert(TableId::Meta, schema::TOTALS_KEY, &bytes)?;
        }
        drop(tables);
        if changed {
            fault::point("commit.before");
            txn.commit()?;
            fault::point("commit.after");
        } else {
            txn.abort()?;
        }
        Ok(Done { totals: self.totals, outcome, verdicts })
    }

    /// One batch: written, or refused alone.
    fn batch(
        &mut self,
        tables: &mut Tables<'_>,
        batch: Vec<Write>,
        waited_for: bool,
        outcome: &mut Outcome,
    ) -> Result<Result<(), JournalError>, Fault> {
        if let Some(why) = self.refusals.held_against(&batch) {
            return Ok(Err(why));
        }
        let touched = if waited_for { Vec::new() } else { sessions(&batch).cloned().collect() };
        let forgiven = forgiven(&batch);
        match Stage::new(tables, self.totals).write(batch) {
            Ok((totals, told)) => {
                self.totals = totals;
                outcome.extend(told);
                self.refusals.forgive(&forgiven);
                Ok(Ok(()))
            }
            Err(Rejection::Batch(why)) => {
                self.refusals.note_sessions(existing(tables, touched)?, &why);
                Ok(Err(why))
            }
            Err(Rejection::Fault(fault)) => Err(fault),
        }
    }

    /// Records which session keeps which artifact alive.
    fn own_artifacts(&mut self, tables: &mut Tables<'_>, outcome: &mut Outcome) -> Result<(), Fault> {
        for hold in self.holds {
            let mut stage = Stage::new(tables, self.totals);
            match stage.own(hold) {
                Ok(()) => {
                    let (totals, told) = stage.pour()?;
                    self.totals = totals;
                    outcome.extend(told);
                }
                Err(Rejection::Fault(fault)) => return Err(fault),
                Err(Rejection::Batch(why)) => {
                    // Deleted while its tool was still writing output.
                    tracing::warn!(session = %hold.session, artifact = %hold.artifact, %why, "artifact not kept");
                    outcome.orphans.push(hold.artifact.clone());
                }
            }
        }
        Ok(())
    }
}

impl Stage<'_, '_> {
    fn own(&mut self, hold: &Hold) -> Result<(), Rejection> {
        self.expect_session(&hold.session)?;
        let owner = keys::owner(&hold.artifact, &hold.session);
        if self.has(TableId::ArtifactOwners, &owner)? {
            return Ok(());
        }
        if self.keys_under(TableId::ArtifactOwners, &keys::prefix(hold.artifact.as_str()))?.is_empty() {
            self.totals.artifact_bytes = self.totals.artifact_bytes.saturating_add(hold.size);
        }
        self.mark(TableId::ArtifactsBySession, keys::owned(&hold.session, &hold.artifact));
        self.put(owner, &OwnerRow { size: hold.size })
    }
}

/// Sessions that are there: what is gone has no log to have a hole in.
fn existing(tables: &mut Tables<'_>, sessions: Vec<SessionId>) -> Result<Vec<SessionId>, Fault> {
    let mut found = Vec::with_capacity(sessions.len());
    for session in sessions {
        if tables.get(TableId::Heads, session.as_str().as_bytes())?.is_some() {
            found.push(session);
        }
    }
    Ok(found)
}

/// A transaction that is on disk when it is committed and needs no repair after a crash. Quick repair implies
/// two-phase commit: two fsyncs.
pub(crate) fn begin(db: &Database) -> Result<WriteTransaction, Fault> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_quick_repair(true);
    Ok(txn)
}
