//! An attacker who knows the protocol and plays it by hand: with keys, nonces and shares of its own choosing.

use x25519_dalek::{EphemeralSecret, PublicKey};

use super::*;
use crate::identity::PublicIdentity;
use crate::message::{ConfirmA, ConfirmB, Hello, Offer, ShareA, ShareB, Sid, ToDevice, ToHost, VERSIONS};
use crate::proof::{Role, prove};
use crate::schedule::Schedule;
use crate::spake::{Exchange, Shared, Terms};
use crate::transcript::{Said, Transcript, commitment};
use lanyard_protocol::principal::Scope;

/// Any keys, claimed or owned.
pub(super) fn keys(seed: u64) -> IdentityKeys {
    IdentityKeys::generate(&mut SeededRng::new(seed))
}

/// A device in the attacker's hands: `claimed` need not be the keys it has.
pub(super) struct ForgedDevice {
    pub(super) owned: IdentityKeys,
    pub(super) hello: Hello,
    pub(super) channel: Channel,
    rng: SeededRng,
}

impl ForgedDevice {
    pub(super) fn new(owned: IdentityKeys, claimed: PublicIdentity, channel: Channel) -> Self {
        let mut rng = SeededRng::new(99);
        let ephemeral = EphemeralSecret::random_from_rng(&mut rng);
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            name: "Mallory".to_owned(),
            platform: "linux".to_owned(),
            device: claimed,
            ephemeral: PublicKey::from(&ephemeral).to_bytes(),
            scopes: vec![Scope::Observe],
            link_mac: None,
        };
        Self { owned, hello, channel, rng }
    }

    pub(super) fn hello(&self) -> Vec<u8> {
        ToHost::Hello(self.hello.clone()).encode()
    }

    /// With the right secret; what is proven is up to the keys owned.
    pub(super) fn share(&mut self, offer: &Offer, shared: &Shared) -> (Exchange, ShareA) {
        let terms = Terms {
            version: offer.version,
            binding: &self.channel.binding,
            sid: &offer.sid,
            device: &self.hello.device,
            host: &offer.host,
        };
        let exchange = Exchange::start(Role::Device, shared, &terms, &mut self.rng);
        let share = ShareA { share: exchange.share().to_vec(), nonce: [5; 32] };
        (exchange, share)
    }

    pub(super) fn confirm(
        &self,
        offer: &Offer,
        (exchange, share_a): (Exchange, ShareA),
        share_b: &ShareB,
    ) -> ConfirmA {
        let exchanged = exchange.finish(&share_b.share).unwrap();
        let said =
            Said { binding: &self.channel.binding, hello: &self.hello, offer, share_a: &share_a, share_b };
        let transcript = Transcript::of(&said);
        let schedule = Schedule::derive(&transcript, &exchanged);
        let peer = &self.channel.peer;
        ConfirmA {
            confirmation: schedule.confirmation(Role::Device, &transcript),
            proof: prove(&self.owned, peer, &offer.ephemeral, Role::Device, &transcript).unwrap(),
        }
    }

    /// Plays to the end; the frames are what the host says, the result what it says last.
    pub(super) fn play(
        &mut self,
        lab: &mut Lab,
        line: Line,
        shared: &Shared,
        change: impl FnOnce(&mut ConfirmA),
    ) -> ToDevice {
        let offer = match self.ask(lab, line, self.hello()) {
            ToDevice::Offer(offer) => offer,
            other => return other,
        };
        let (exchange, share) = self.share(&offer, shared);
        let theirs = match self.ask(lab, line, ToHost::ShareA(share.clone()).encode()) {
            ToDevice::ShareB(share) => share,
            other => return other,
        };
        let mut confirm = self.confirm(&offer, (exchange, share), &theirs);
        change(&mut confirm);
        self.ask(lab, line, ToHost::ConfirmA(confirm).encode())
    }

    /// The line must be one of the attacker's: the host's answer is read off the host.
    pub(super) fn ask(&self, lab: &mut Lab, line: Line, frame: Vec<u8>) -> ToDevice {
        lab.post(line, Side::Host, vec![frame]);
        assert!(lab.step());
        let mut answers = lab.intercept();
        answers.pop().and_then(|answer| answer.to_device()).expect("the host answers")
    }
}

/// What a forged host does differently from an honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deviation {
    None,
    /// Another nonce than the one committed to.
    Nonce,
    /// Another share than the one committed to.
    Share,
    /// Confirms with a random value.
    Confirmation,
    /// Proves nothing.
    Proof,
}

/// A host in the attacker's hands who knows the code; gives what the device makes of it.
pub(super) fn forged_host(
    carrier: Carrier,
    owned: &IdentityKeys,
    claimed: PublicIdentity,
    deviation: Deviation,
) -> Result<crate::device::PendingJoin, Abort> {
    let mut rng = SeededRng::new(12);
    let device = keys(13);
    let about = Lab::new(1).devices[0].about.clone();
    let code = PairingCode::generate(&mut rng);
    let shared = Shared::Code(code.clone());
    let peer = match carrier {
        Carrier::Quic => ChannelKey::Signing(owned.public().signing),
        Carrier::Noise => ChannelKey::Agreement(owned.public().agreement),
    };
    let channel = Channel { binding: [3; 32], peer };
    let (state, message) =
        crate::device::start(&device, &about, Secret::Code(code), channel, &mut rng).unwrap();
    let ToHost::Hello(hello) = message else { panic!("no hello") };
    let sid = Sid([4; 16]);
    let terms =
        Terms { version: 1, binding: &channel.binding, sid: &sid, device: &hello.device, host: &claimed };
    let exchange = Exchange::start(Role::Host, &shared, &terms, &mut rng);
    let committed = if deviation == Deviation::Share { vec![b'B'; 33] } else { exchange.share().to_vec() };
    let ephemeral = EphemeralSecret::random_from_rng(&mut rng);
    let offer = Offer {
        version: 1,
        sid,
        host: claimed,
        ephemeral: PublicKey::from(&ephemeral).to_bytes(),
        name: "workstation".to_owned(),
        commitment: commitment(&sid, &[6; 32], &committed),
    };
    let (state, message) = state.handle(ToDevice::Offer(offer.clone()), &mut rng)?;
    let ToHost::ShareA(share_a) = message else { panic!("no share") };
    let share_b = ShareB { share: exchange.share().to_vec() };
    let exchanged = exchange.finish(&share_a.share)?;
    let said = Said {
        binding: &channel.binding,
        hello: &hello,
        offer: &offer,
        share_a: &share_a,
        share_b: &share_b,
    };
    let transcript = Transcript::of(&said);
    let schedule = Schedule::derive(&transcript, &exchanged);
    let (state, _) = state.handle(ToDevice::ShareB(share_b))?;
    // The device's own channel key kind says which proof is due.
    let mut confirm = ConfirmB {
        confirmation: schedule.confirmation(Role::Host, &transcript),
        proof: prove(owned, &channel.peer, &hello.ephemeral, Role::Host, &transcript)?,
        nonce: [6; 32],
    };
    match deviation {
        Deviation::None | Deviation::Share => {}
        Deviation::Nonce => confirm.nonce = [7; 32],
        Deviation::Confirmation => confirm.confirmation = [8; 32],
        Deviation::Proof => confirm.proof = Vec::new(),
    }
    state.handle(ToDevice::ConfirmB(confirm))
}

/// Keys of which only one half is the attacker's own: the half the channel proves.
pub(super) fn half_of(own: &IdentityKeys, victim: &PublicIdentity, carrier: Carrier) -> PublicIdentity {
    match carrier {
        Carrier::Quic => PublicIdentity { signing: own.public().signing, agreement: victim.agreement },
        Carrier::Noise => PublicIdentity { signing: victim.signing, agreement: own.public().agreement },
    }
}

#[test]
fn an_honest_player_gets_through_so_the_others_fail_for_what_they_do() {
    for carrier in CARRIERS {
        let own = keys(20);
        let pending = forged_host(carrier, &own, own.public(), Deviation::None).unwrap();
        assert_eq!(*pending.host(), own.public());
        let mut lab = Lab::new(5).over(carrier);
        let line = lab.attack(&own, 0);
        let shared = lab.hosts[0].entrance.window.shared(false, lab.now).unwrap();
        // The forger's end of the channel sees the host's key.
        let channel = Channel {
            peer: carrier.key_of(&lab.hosts[0].keys().public()),
            ..lab.channel(line, Side::Host).unwrap()
        };
        let mut device = ForgedDevice::new(own.clone(), own.public(), channel);
        let last = device.play(&mut lab, line, &shared, |_| {});
        assert!(matches!(last, ToDevice::ConfirmB(_)), "{last:?}");
    }
}

#[test]
fn a_host_that_deviates_is_found_out_before_anything_is_shown() {
    for carrier in CARRIERS {
        let own = keys(20);
        let outcome = |deviation| forged_host(carrier, &own, own.public(), deviation).unwrap_err();
        assert_eq!(outcome(Deviation::Nonce), Abort::BadCommitment);
        assert_eq!(outcome(Deviation::Share), Abort::BadCommitment);
        assert_eq!(outcome(Deviation::Confirmation), Abort::WrongSecret);
        assert_eq!(outcome(Deviation::Proof), Abort::BadProof);
    }
}

/// Somebody may know the code: it is on a screen. That does not make another's key theirs.
#[test]
fn a_claimed_key_has_to_be_owned() {
    let victim = keys(30).public();
    for carrier in CARRIERS {
        let own = keys(20);
        let claimed = half_of(&own, &victim, carrier);
        assert_eq!(forged_host(carrier, &own, claimed, Deviation::None).unwrap_err(), Abort::BadProof);
        let mut lab = Lab::new(5).over(carrier);
        let line = lab.attack(&own, 0);
        let shared = lab.hosts[0].entrance.window.shared(false, lab.now).unwrap();
        let channel = Channel {
            peer: carrier.key_of(&lab.hosts[0].keys().public()),
            ..lab.channel(line, Side::Host).unwrap()
        };
        let mut device = ForgedDevice::new(own, claimed, channel);
        let last = device.play(&mut lab, line, &shared, |_| {});
        assert_eq!(last, ToDevice::Abort(Abort::BadProof));
        assert_nobody_asks(&lab);
    }
}

/// A key for which everybody can make the proof is no key.
#[test]
fn keys_of_small_order_are_refused_by_both_sides() {
    let own = keys(20);
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        for (carrier, claimed) in [
            (Carrier::Quic, PublicIdentity { agreement: weak, ..own.public() }),
            (Carrier::Noise, PublicIdentity { signing: weak, ..own.public() }),
        ] {
            let refused = forged_host(carrier, &own, claimed, Deviation::None).unwrap_err();
            assert_eq!(refused, Abort::BadProof, "{carrier:?}");
            let mut lab = Lab::new(5).over(carrier);
            let line = lab.attack(&own, 0);
            let channel = lab.channel(line, Side::Host).unwrap();
            let device = ForgedDevice::new(own.clone(), claimed, channel);
            let answer = device.ask(&mut lab, line, device.hello());
            assert_eq!(answer, ToDevice::Abort(Abort::BadProof), "{carrier:?}");
        }
    }
}

/// A key of small order that the channel itself has "proven": anybody can sign under such a key.
#[test]
fn keys_of_small_order_are_refused_as_the_channels_own() {
    let own = keys(20);
    let mut one = [0; 32];
    one[0] = 1;
    for (carrier, claimed) in [
        (Carrier::Quic, PublicIdentity { signing: one, ..own.public() }),
        (Carrier::Noise, PublicIdentity { agreement: [0; 32], ..own.public() }),
    ] {
        let mut lab = Lab::new(5).over(carrier);
        let line = lab.attack(&own, 0);
        let channel = Channel { peer: carrier.key_of(&claimed), ..lab.channel(line, Side::Host).unwrap() };
        let hello = ToHost::Hello(ForgedDevice::new(own.clone(), claimed, channel).hello);
        let host = &lab.hosts[0];
        let mut rng = SeededRng::new(1);
        let refused =
            crate::host::greet(host.keys(), "host", channel, hello, &host.entrance, lab.now, &mut rng);
        assert_eq!(refused.unwrap_err(), Abort::BadProof, "{carrier:?}");

        let secret = Secret::Code(PairingCode::parse("K7QX92MD").unwrap());
        let device = &lab.devices[0];
        let (state, _) =
            crate::device::start(device.keys(), &device.about, secret, channel, &mut rng).unwrap();
        let offer = Offer {
            version: 1,
            sid: Sid([1; 16]),
            host: claimed,
            ephemeral: own.public().agreement,
            name: "host".to_owned(),
            commitment: [0; 32],
        };
        let refused = state.handle(ToDevice::Offer(offer), &mut rng);
        assert_eq!(refused.unwrap_err(), Abort::BadProof, "{carrier:?}");
    }
}

/// A one-time key of small order would make the victim's proof the same for every channel.
#[test]
fn one_time_keys_of_small_order_are_refused_by_both_sides() {
    let own = keys(20);
    let mut lab = Lab::new(5);
    let line = lab.attack(&own, 0);
    let shared = lab.hosts[0].entrance.window.shared(false, lab.now).unwrap();
    let channel = Channel {
        peer: Carrier::Quic.key_of(&lab.hosts[0].keys().public()),
        ..lab.channel(line, Side::Host).unwrap()
    };
    let mut device = ForgedDevice::new(own.clone(), own.public(), channel);
    device.hello.ephemeral = [0; 32];
    let last = device.play(&mut lab, line, &shared, |_| {});
    assert_eq!(last, ToDevice::Abort(Abort::BadProof));
    assert_nobody_asks(&lab);

    let mut lab = Lab::new(5).with_adversary(|mut message| {
        if let Some(ToDevice::Offer(mut offer)) = message.to_device() {
            offer.ephemeral = [0; 32];
            message.frame = ToDevice::Offer(offer).encode();
        }
        vec![message]
    });
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::BadProof));
    assert_nobody_asks(&lab);
}
