//! What the store forgets by itself: old host events, old command answers, old outbox rows, old connections. History
//! is never among it.

use lanyard_ports::journal::MAX_CONNECTIONS_KEPT;

use super::tables::Tables;
use crate::error::Fault;
use crate::keys;
use crate::record::{CentralRow, Record, Totals};
use crate::schema::CENTRAL_KEY;
use crate::table::TableId;

/// Host events kept at least. A client that was away longer lists the sessions anew, which is cheaper than replaying.
pub(crate) const HOST_EVENTS: u64 = 10_000;

/// Host events dropped at once, so that not every commit touches both ends of the log.
pub(crate) const HOST_EVENTS_SLACK: u64 = 256;

/// Answers kept at most; a client repeats a command within seconds.
pub(crate) const COMMANDS: u64 = 10_000;

/// Milliseconds an answer is kept: a day, for a laptop that slept in between.
pub(crate) const COMMAND_AGE: u64 = 24 * 60 * 60 * 1000;

/// Answers dropped per transaction at most.
const COMMANDS_AT_ONCE: usize = 64;

/// Outbox rows of this machine's own log kept at least: about as many calls (some tens of megabytes). Rows that wait for
/// central services are none of it and stay until they have been sent, however many they are; what bounds them is that
/// calls which change things are refused when too many wait.
pub(crate) const OUTBOX: u64 = 50_000;

/// Outbox rows dropped at once.
pub(crate) const OUTBOX_SLACK: u64 = 512;

/// Rows of connections dropped at once.
pub(crate) const CONNECTIONS_SLACK: usize = 64;

/// Keeps who was connected when a ring. By number of rows, not by the numbers in their keys: those may have gaps.
pub(super) fn connections(tables: &mut Tables<'_>) -> Result<(), Fault> {
    let kept = usize::try_from(tables.len(TableId::Connections)?).unwrap_or(usize::MAX);
    if kept < MAX_CONNECTIONS_KEPT + CONNECTIONS_SLACK {
        return Ok(());
    }
    for _ in MAX_CONNECTIONS_KEPT..kept {
        let Some(oldest) = tables.first(TableId::Connections)? else { return Ok(()) };
        tables.remove(TableId::Connections, &oldest)?;
    }
    Ok(())
}

/// Drops the oldest outbox rows beyond the bound, and none that waits to be sent.
pub(super) fn outbox(tables: &mut Tables<'_>, totals: &Totals) -> Result<(), Fault> {
    if tables.len(TableId::Outbox)? < OUTBOX + OUTBOX_SLACK {
        return Ok(());
    }
    let mut first = (totals.outbox_seq + 1).saturating_sub(OUTBOX);
    if let Some(bytes) = tables.get(TableId::Central, CENTRAL_KEY)? {
        // A row that cannot be read may stand for an enrolment: then everything stays.
        let unsent = CentralRow::decode(&bytes).map_or(Some(0), |row| row.first_unsent());
        first = unsent.map_or(first, |unsent| first.min(unsent));
    }
    tables.remove_range(TableId::Outbox, &keys::number(0), &keys::number(first))?;
    Ok(())
}

/// Keeps the host log a ring.
pub(super) fn host_events(tables: &mut Tables<'_>, totals: &mut Totals) -> Result<(), Fault> {
    let kept = (totals.host_seq + 1).saturating_sub(totals.host_first);
    if totals.host_first == 0 || kept < HOST_EVENTS + HOST_EVENTS_SLACK {
        return Ok(());
    }
    let first = totals.host_seq + 1 - HOST_EVENTS;
    tables.remove_range(TableId::HostEvents, &keys::number(totals.host_first), &keys::number(first))?;
    totals.host_first = first;
    Ok(())
}

/// Drops answers by number and by age, the age counted from the newest answer: no clock is needed.
pub(super) fn commands(tables: &mut Tables<'_>) -> Result<(), Fault> {
    for _ in 0..COMMANDS_AT_ONCE {
        let (Some(oldest), Some(newest)) =
            (tables.first(TableId::CommandsByTime)?, tables.last(TableId::CommandsByTime)?)
        else {
            return Ok(());
        };
        let age = keys::time_of(&newest).unwrap_or(0).saturating_sub(keys::time_of(&oldest).unwrap_or(0));
        if age <= COMMAND_AGE && tables.len(TableId::CommandsByTime)? <= COMMANDS {
            return Ok(());
        }
        if let Some(key) = keys::after_time(&oldest) {
            tables.remove(TableId::Commands, key)?;
        }
        tables.remove(TableId::CommandsByTime, &oldest)?;
    }
    Ok(())
}
