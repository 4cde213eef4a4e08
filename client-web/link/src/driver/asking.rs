//! Asking whoever answers in the host's place how its keys follow from the known ones.

use lanyard_client::Tick;
use lanyard_pairing::identity::Lineage;
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_pairing::{Channel, PublicIdentity};
use rand_core::CryptoRngCore;

use super::{Driver, Errand, Output, Stage};
use crate::link::Ending;
use crate::stranger::{Said, Stranger};

impl<R: CryptoRngCore + std::fmt::Debug + Send> Driver<R> {
    /// Says hello as a stranger on a carrier that is open.
    pub(super) fn ask(&mut self, now: Tick) {
        match Stranger::start(&self.keys, &mut self.client.random().0) {
            Ok(stranger) => {
                self.stage = Stage::Asking { stranger: Box::new(stranger), channel: None, since: now };
            }
            Err(fault) => self.fail(fault.to_string(), now),
        }
    }

    /// A message of whoever was asked.
    pub(super) fn heard(
        &mut self,
        mut stranger: Box<Stranger>,
        mut channel: Option<Channel>,
        since: Tick,
        message: &[u8],
        now: Tick,
    ) {
        if let Err(fault) = stranger.feed(message) {
            return self.fail(fault.to_string(), now);
        }
        while let Some(said) = stranger.poll() {
            match (said, channel) {
                (Said::Ready(ready), _) if ready.peer.belongs_to(&self.host) => {
                    return self.fail("the host did not take the connection".to_owned(), now);
                }
                (Said::Ready(ready), _) => {
                    channel = Some(ready);
                    stranger.send(&ToHost::Lineage(self.host.fingerprint()));
                }
                (Said::Message(ToDevice::Lineage(lineage)), Some(channel)) => {
                    return match follow(&lineage, &self.host, &channel) {
                        Some(new) => {
                            self.host = new;
                            self.outputs.push_back(Output::Followed(new));
                            self.dial(Errand::Connect, now);
                        }
                        None => self.end(Ending::AnotherHost),
                    };
                }
                // It says nothing about itself, now; that is no answer.
                (Said::Message(_) | Said::Finished, _) => {
                    return self.fail("another host answers in this one's place".to_owned(), now);
                }
            }
        }
        self.stage = Stage::Asking { stranger, channel, since };
    }
}

/// The identity that the records lead to and that the channel has proven.
fn follow(lineage: &Lineage, known: &PublicIdentity, channel: &Channel) -> Option<PublicIdentity> {
    let claimed = lineage.0.iter().map(|record| record.new).find(|new| channel.peer.belongs_to(new))?;
    let reached = lineage.follow(known, &claimed.signing).ok()?;
    // The chain was followed to a signing key; the channel has proven the other one.
    (channel.peer.belongs_to(&reached)).then_some(reached)
}
