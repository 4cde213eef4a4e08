//! How the connection stands, as it is told: once for each change.

use lanyard_client::Tick;
use rand_core::CryptoRngCore;

use super::{Driver, Output, Stage};
use crate::link::{CarrierKind, Ending};

/// As [`crate::Status`], with the driver's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Connecting,
    Connected { carrier: CarrierKind, rtt_ms: Option<u32> },
    Reconnecting { since: Tick, attempt: u32, why: String },
    Ended(Ending),
}

/// While there is no connection.
#[derive(Debug)]
pub(super) struct Down {
    since: Tick,
    pub(super) attempt: u32,
    /// None before anything has failed.
    pub(super) why: Option<String>,
}

impl Down {
    /// Nothing was tried yet.
    pub(super) fn first(now: Tick) -> Self {
        Self { since: now, attempt: 0, why: None }
    }

    /// There was one until now.
    pub(super) fn since(now: Tick) -> Self {
        Self::first(now)
    }
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Driver<R> {
    /// Tells how it stands, if that is not what was told last.
    pub(super) fn tell(&mut self) {
        let standing = match &self.stage {
            Stage::Up(up) => {
                Standing::Connected { carrier: self.kind, rtt_ms: up.rtt_ms.filter(|_| up.check.is_none()) }
            }
            Stage::Over(ending) => Standing::Ended(ending.clone()),
            Stage::Stopped => return,
            _ => match &self.down.why {
                None => Standing::Connecting,
                Some(why) => Standing::Reconnecting {
                    since: self.down.since,
                    attempt: self.down.attempt,
                    why: why.clone(),
                },
            },
        };
        if self.told.as_ref() != Some(&standing) {
            self.told = Some(standing.clone());
            self.outputs.push_back(Output::Standing(standing));
        }
    }
}
