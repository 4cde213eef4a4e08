//! What the store forgets by itself: old host events and old command answers. History is never among it.

use super::tables::Tables;
use crate::error::Fault;
use crate::keys;
use crate::record::Totals;
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
