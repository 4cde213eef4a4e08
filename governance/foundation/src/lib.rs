//! What the central services are built of: the database with one tenant at a time, callers and their credentials, typed
//! routes, the way from one service to another, wake-ups, time and ids.
//!
//! A service is a crate with `MIGRATIONS`, `routes` and `chores`; `lanyard-central` puts them together. Services never
//! call each other's code: [`peers::Peers`] speaks HTTP to them, in one process without a socket.

pub mod caller;
pub mod clock;
pub mod credentials;
pub mod database;
pub mod fault;
pub mod gather;
pub mod lookup;
pub mod pace;
pub mod page;
pub mod peers;
pub mod permits;
pub mod refusals;
pub mod signals;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trail;
pub mod web;

use std::sync::Arc;

pub use caller::Caller;
pub use clock::{Clock, fresh_id};
pub use database::{Database, Migration, Row, Statement, Tx};
pub use fault::Fault;
pub use lookup::Lookup;
pub use peers::Peers;
pub use refusals::Refusals;
pub use signals::Signals;
pub use web::{Ask, RawAsk, Routes};

/// What every service is handed.
#[derive(Clone)]
pub struct Foundation {
    /// Where everything is kept.
    pub database: Database,
    /// The other services.
    pub peers: Peers,
    /// Wake-ups.
    pub signals: Signals,
    /// Server time; only this counts.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Foundation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foundation").field("database", &self.database).finish_non_exhaustive()
    }
}
