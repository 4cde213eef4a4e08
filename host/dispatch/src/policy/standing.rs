//! What is held of a policy, and whether it may be used at an instant. No IO and no clock.

use std::sync::Arc;
use std::time::Duration;

use lanyard_policy::layer::Layers;
use lanyard_ports::authority::{CENTRAL_LAYER, PolicyNews, Reach, SessionGateway};
use lanyard_protocol::{Tick, Timestamp};

/// How long after its last answer the issuer still counts as in reach: two and a half heartbeats, which is also how long
/// the centre calls a silent host online.
pub(super) const CONTACT_WINDOW: Duration = Duration::from_secs(150);

/// A bundle issued this recently needs no other proof that its issuer is in reach, although another attempt may have
/// failed meanwhile. Spares a request for each call of a step.
const JUST_ISSUED: Duration = Duration::from_secs(5);

/// What was issued last.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) layers: Arc<Layers>,
    pub(super) gateway: Option<SessionGateway>,
    /// What central services said; `None` where they issued nothing.
    pub(super) central: Option<Central>,
    /// The epoch of the news when the authority was asked.
    pub(super) news_epoch: u64,
    /// When it was asked.
    pub(super) asked_at: Tick,
    /// When the first layer runs out, on the boot clock.
    pub(super) runs_out: Tick,
}

/// What central services said of their bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Central {
    pub(super) epoch: u64,
    pub(super) grace: Duration,
}

impl Central {
    pub(super) fn of(layers: &Layers, pause_when_away: bool) -> Option<Self> {
        let central = || layers.iter().filter(|layer| layer.name() == CENTRAL_LAYER).map(|l| l.bundle());
        let epoch = central().map(|bundle| bundle.policy_epoch).min()?;
        let grace = central().map(|bundle| bundle.offline_grace_seconds).min()?;
        let grace = if pause_when_away { 0 } else { grace };
        Some(Self { epoch, grace: Duration::from_secs(grace) })
    }
}

/// How what is held stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be used.
    InForce,
    /// There is news of another policy, or that there is none.
    Outrun,
    /// It has run out.
    Expired,
    /// Its issuer has been silent for so long, which is longer than its grace.
    Away(Duration),
}

impl Held {
    /// Whether news make what is held unusable.
    pub(super) fn outrun_by(&self, news: &PolicyNews) -> bool {
        match self.central {
            Some(central) => {
                news.epoch > central.epoch || (news.revoked.is_some() && news.epoch >= central.epoch)
            }
            // Whoever asked at that epoch and got no central bundle is not governed by it.
            None => news.epoch > self.news_epoch,
        }
    }

    pub(super) fn standing(&self, news: &PolicyNews, reach: Reach, now: Timestamp, boot: Tick) -> Standing {
        if self.outrun_by(news) {
            return Standing::Outrun;
        }
        if self.layers.expires_at() <= now || self.runs_out <= boot {
            return Standing::Expired;
        }
        let Some(central) = self.central else { return Standing::InForce };
        let heard_at = reach.heard_at.map_or(self.asked_at, |heard| heard.max(self.asked_at));
        let silent = boot.since(heard_at);
        let in_reach = !reach.failing && silent <= CONTACT_WINDOW;
        let just_issued = boot.since(self.asked_at) <= JUST_ISSUED;
        if in_reach || just_issued || silent <= central.grace {
            Standing::InForce
        } else {
            Standing::Away(silent)
        }
    }
}
