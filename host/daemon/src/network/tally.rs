//! How often something happened on the network side, by name and reason.
//!
//! Counted in memory, where a flood costs nothing, and added to the store's counters by the desk every few seconds and
//! when the host stops. Every name is known when the host starts: nothing a peer says can make a new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use lanyard_pairing::Abort;
use lanyard_ports::journal::{Journal, JournalError};
use lanyard_protocol::health::{NetworkCounters, ReasonCount};
use lanyard_transport::close::CloseCode;

/// Names of the counters begin with one of these.
const PREFIXES: [&str; 2] = ["pairing.", "connection."];

/// Words that are no [`Abort`]: the device went away in the middle of a pairing.
pub(crate) const GONE: &str = "gone";

/// The device ended it; its own word for why could be any.
pub(crate) const BY_DEVICE: &str = "by_device";

/// Words for refusals, see `lanyard_transport::host::Refused`, and for caps.
const REFUSALS: [&str; 6] =
    ["not_paired", "handshake_timeout", "handshake_failed", "too_many_pairing", "too_many", "host_stopping"];

/// Words for endings nobody chose, see `lanyard_transport::close::Ended`.
const ENDINGS: [&str; 5] = ["closed_here", "timed_out", "reset", "lost", "failed"];

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A pairing window was opened.
    Window,
    /// A code was tried or a link used.
    Attempt,
    /// A device was approved.
    Paired,
    /// A pairing came to nothing; the word of an [`Abort`], [`GONE`] or [`BY_DEVICE`].
    Aborted(&'static str),
    /// A paired device connected.
    Accepted,
    /// Somebody was turned away.
    Refused(&'static str),
    /// A connection of a paired device ended.
    Ended(&'static str),
    /// A subscription went on from a cursor.
    Resumed,
}

impl Counted {
    fn name(self) -> String {
        match self {
            Counted::Window => "pairing.windows".to_owned(),
            Counted::Attempt => "pairing.attempts".to_owned(),
            Counted::Paired => "pairing.paired".to_owned(),
            Counted::Aborted(word) => format!("pairing.abort.{word}"),
            Counted::Accepted => "connection.accepted".to_owned(),
            Counted::Refused(word) => format!("connection.refused.{word}"),
            Counted::Ended(word) => format!("connection.ended.{word}"),
            Counted::Resumed => "connection.resumed".to_owned(),
        }
    }

    fn all() -> impl Iterator<Item = Counted> {
        let plain = [Counted::Window, Counted::Attempt, Counted::Paired, Counted::Accepted, Counted::Resumed];
        let aborts =
            Abort::ALL.iter().map(|abort| abort.word()).chain([GONE, BY_DEVICE]).map(Counted::Aborted);
        let refusals = REFUSALS.into_iter().map(Counted::Refused);
        let endings = CloseCode::ALL.iter().map(|code| code.word()).chain(ENDINGS).map(Counted::Ended);
        plain.into_iter().chain(aborts).chain(refusals).chain(endings)
    }
}

#[derive(Debug, Default)]
struct Count {
    /// Since the store was made.
    total: AtomicU64,
    /// What the store knows of it.
    stored: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally(BTreeMap<String, Count>);

impl Tally {
    /// Goes on from what the store holds.
    pub(crate) fn load(journal: &dyn Journal) -> Result<Self, JournalError> {
        let mut counts: BTreeMap<String, Count> =
            Counted::all().map(|counted| (counted.name(), Count::default())).collect();
        for prefix in PREFIXES {
            for (name, stored) in journal.counts(prefix)? {
                // A name of another version stays in the store and is not shown.
                if let Some(count) = counts.get_mut(&name) {
                    *count = Count { total: stored.into(), stored: stored.into() };
                }
            }
        }
        Ok(Self(counts))
    }

    /// Counts one.
    pub(crate) fn add(&self, counted: Counted) {
        match self.0.get(&counted.name()) {
            Some(count) => drop(count.total.fetch_add(1, Ordering::Relaxed)),
            None => tracing::warn!(?counted, "something without a counter happened"),
        }
    }

    /// What the store does not know yet. One caller: the desk.
    pub(super) fn unstored(&self) -> Vec<(String, u64)> {
        let missing = |count: &Count| {
            count.total.load(Ordering::Relaxed).saturating_sub(count.stored.load(Ordering::Relaxed))
        };
        let missing = self.0.iter().map(|(name, count)| (name.clone(), missing(count)));
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// The store has taken what [`Tally::unstored`] gave.
    pub(super) fn stored(&self, counts: &[(String, u64)]) {
        for (name, added) in counts {
            if let Some(count) = self.0.get(name) {
                count.stored.fetch_add(*added, Ordering::Relaxed);
            }
        }
    }

    /// For the health panel.
    pub(crate) fn counters(&self) -> NetworkCounters {
        let one = |counted: Counted| {
            self.0.get(&counted.name()).map_or(0, |count| count.total.load(Ordering::Relaxed))
        };
        NetworkCounters {
            windows_opened: one(Counted::Window),
            pairing_attempts: one(Counted::Attempt),
            pairings: one(Counted::Paired),
            pairing_aborts: self.by_reason("pairing.abort."),
            connections: one(Counted::Accepted),
            refused: self.by_reason("connection.refused."),
            disconnects: self.by_reason("connection.ended."),
            resumes: one(Counted::Resumed),
        }
    }

    fn by_reason(&self, prefix: &str) -> Vec<ReasonCount> {
        let under = self.0.iter().filter_map(|(name, count)| {
            let reason = name.strip_prefix(prefix)?.to_owned();
            Some(ReasonCount { reason, count: count.total.load(Ordering::Relaxed) })
        });
        under.filter(|row| row.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use lanyard_transport::host::Refused;

    use super::{Count, Counted, Tally};

    fn empty() -> Tally {
        Tally(Counted::all().map(|counted| (counted.name(), Count::default())).collect())
    }

    #[test]
    fn every_word_has_a_counter_and_the_store_holds_them_all() {
        let tally = empty();
        for refused in [
            Refused::NotPaired,
            Refused::TimedOut,
            Refused::TooMany,
            Refused::Failed(lanyard_transport::close::Ended::TimedOut),
        ] {
            assert!(tally.0.contains_key(&Counted::Refused(refused.word()).name()), "{refused}");
        }
        for ended in [
            lanyard_transport::close::Ended::Here,
            lanyard_transport::close::Ended::TimedOut,
            lanyard_transport::close::Ended::Reset,
            lanyard_transport::close::Ended::Lost,
            lanyard_transport::close::Ended::Failed(String::new()),
        ] {
            assert!(tally.0.contains_key(&Counted::Ended(ended.word()).name()), "{ended}");
        }
        // The store takes 256 names; the limit of typed codes needs thirty more.
        assert!(tally.0.len() < 200, "{}", tally.0.len());
    }

    #[test]
    fn what_the_store_has_taken_is_not_told_again() {
        let tally = empty();
        tally.add(Counted::Window);
        tally.add(Counted::Refused("not_paired"));
        let unstored = tally.unstored();
        assert_eq!(unstored.len(), 2);
        // Counted while the store was writing.
        tally.add(Counted::Window);
        tally.stored(&unstored);
        assert_eq!(tally.unstored(), [("pairing.windows".to_owned(), 1)]);
        let counters = tally.counters();
        assert_eq!(counters.windows_opened, 2);
        assert_eq!(counters.refused.len(), 1);
        assert_eq!((counters.refused[0].reason.as_str(), counters.refused[0].count), ("not_paired", 1));
    }
}
