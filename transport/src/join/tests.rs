//! Whole pairings over loopback, against a host that uses `lanyard_pairing::host` directly.

use lanyard_pairing::Entrance;
use lanyard_pairing::host::{self as states, Confirmed, Provisional};
use lanyard_pairing::message::Hello;
use lanyard_pairing::window::Window;
use lanyard_pairing::{PairingCode, RotationRecord};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::{Tick, Timestamp};

use super::*;
use crate::lab::{LabHost, device, given, keys, signing};

const NOW: Tick = Tick::from_millis(1_000);

fn about() -> About {
    About { name: "phone".to_owned(), platform: "test".to_owned(), scopes: vec![Scope::Observe] }
}

fn grant() -> Grant {
    Grant {
        scopes: vec![Scope::Observe],
        device_name: "phone".to_owned(),
        granted_at: Timestamp::from_millis(7),
    }
}

/// A host with one open window; what the daemon does, without a disk.
struct Desk {
    host: LabHost,
    entrance: Entrance,
}

impl Desk {
    fn open() -> Self {
        let window = Window::open(NOW, true, &mut OsRng);
        Self { host: LabHost::start(1, &[2]), entrance: Entrance { window, ..Entrance::default() } }
    }

    fn code(&self) -> PairingCode {
        self.entrance.window.code(NOW).unwrap().clone()
    }

    fn candidates(&self) -> Vec<Candidate> {
        vec![given(self.host.address())]
    }

    async fn line(&mut self) -> HostPairing {
        HostPairing::accept(self.host.stranger().await).await.unwrap()
    }

    async fn confirm(&mut self, line: &mut HostPairing) -> Result<Confirmed, JoinError> {
        let hello = line.receive().await?.unwrap();
        let keys = keys(self.host.number);
        let channel = line.channel();
        let (state, offer) = states::greet(&keys, "desk", channel, hello, &self.entrance, NOW, &mut OsRng)?;
        line.send(&offer).await?;
        let consume = state.handle(line.receive().await?.unwrap(), &mut self.entrance, NOW)?;
        let (state, share) = consume.recorded();
        line.send(&share).await?;
        let (confirmed, proof) = state.handle(line.receive().await?.unwrap(), &mut self.entrance, NOW)?;
        line.send(&proof).await?;
        Ok(confirmed)
    }

    /// One device, as far as the digits, or the reason told to it.
    async fn serve(&mut self) -> Result<(HostPairing, Confirmed), Abort> {
        let mut line = self.line().await;
        match self.confirm(&mut line).await {
            Ok(confirmed) => Ok((line, confirmed)),
            Err(JoinError::Abort(why)) => {
                line.abort(why).await;
                Err(why)
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn join_with(
    desk: &mut Desk,
    secret: Secret,
) -> (Result<Waiting, JoinError>, Result<(HostPairing, Confirmed), Abort>) {
    let (dialer, keys, candidates, about) = (device(2), keys(2), desk.candidates(), about());
    tokio::join!(join(&dialer, &keys, &candidates, &about, secret), desk.serve())
}

#[tokio::test]
async fn a_device_joins_with_a_code_and_then_has_a_session() {
    let mut desk = Desk::open();
    let code = Secret::Code(desk.code());
    let (waiting, confirmed) = join_with(&mut desk, code).await;
    let (mut waiting, (mut line, confirmed)) = (waiting.unwrap(), confirmed.unwrap());
    assert_eq!(waiting.pending().digits().to_string(), confirmed.digits().to_string());
    assert_eq!((waiting.pending().host(), waiting.address()), (&keys(1).public(), desk.host.address()));
    assert_eq!(confirmed.device(), &keys(2).public());

    let provisional = confirmed.approve(&grant(), &mut OsRng);
    line.set_patience(None);
    line.send(&provisional.grant()).await.unwrap();
    assert_eq!(waiting.answer().await.unwrap(), grant());
    let (acknowledged, message) = tokio::join!(waiting.acknowledge(), line.receive());
    acknowledged.unwrap();
    assert!(provisional.is_acknowledged_by(&message.unwrap().unwrap()));
    line.finish().await;
    desk.host.session_of(&device(2)).await.unwrap();
}

#[tokio::test]
async fn a_device_joins_with_the_link_and_only_the_host_of_the_link() {
    let mut desk = Desk::open();
    let link = |desk: &Desk| desk.entrance.window.link(NOW).unwrap().clone();
    let secret = Secret::Link(link(&desk), keys(7).public().fingerprint());
    let (waiting, confirmed) = join_with(&mut desk, secret).await;
    assert!(matches!(waiting, Err(JoinError::Abort(Abort::WrongHost))), "{waiting:?}");
    assert_eq!(confirmed.unwrap_err(), Abort::WrongHost, "the host is told");
    let secret = Secret::Link(link(&desk), keys(1).public().fingerprint());
    let (waiting, confirmed) = join_with(&mut desk, secret).await;
    assert!(waiting.is_ok() && confirmed.is_ok());
}

#[tokio::test]
async fn a_wrong_code_is_told_to_both() {
    let mut desk = Desk::open();
    let wrong = loop {
        let code = PairingCode::generate(&mut OsRng);
        if code != desk.code() {
            break code;
        }
    };
    let (waiting, confirmed) = join_with(&mut desk, Secret::Code(wrong)).await;
    let error = waiting.unwrap_err();
    assert!(matches!(error, JoinError::Abort(Abort::WrongSecret)), "{error:?}");
    assert!(error.to_string().contains("code is wrong"), "{error}");
    assert_eq!(confirmed.unwrap_err(), Abort::WrongSecret);
}

#[tokio::test]
async fn a_host_without_a_window_says_what_to_do() {
    let mut desk = Desk::open();
    let code = desk.code();
    desk.entrance.window = Window::closed();
    let (waiting, _) = join_with(&mut desk, Secret::Code(code)).await;
    let text = waiting.unwrap_err().to_string();
    assert!(text.contains("lanyard pair"), "{text}");
}

#[tokio::test]
async fn a_wait_survives_a_broken_connection() {
    let mut desk = Desk::open();
    let code = Secret::Code(desk.code());
    let (waiting, confirmed) = join_with(&mut desk, code).await;
    let (mut waiting, (line, confirmed)) = (waiting.unwrap(), confirmed.unwrap());
    let pending = waiting.pending().clone();
    drop(line);
    assert!(matches!(waiting.answer().await, Err(JoinError::Ended(_))));

    let (dialer, candidates) = (device(2), desk.candidates());
    let (waiting, mut line) = tokio::join!(resume(&dialer, &candidates, pending.clone()), desk.line());
    let mut waiting = waiting.unwrap();
    let channel = line.channel();
    let message = line.receive().await.unwrap().unwrap();
    assert!(confirmed.is_resumed_by(&message, &channel));
    // Nobody has answered yet: the device goes on waiting.
    line.send(&ToDevice::Waiting).await.unwrap();
    let provisional = confirmed.approve(&grant(), &mut OsRng);
    line.send(&provisional.grant()).await.unwrap();
    assert_eq!(waiting.answer().await.unwrap(), grant());
    drop((waiting, line));

    // After a restart the host has the record alone, and sends the grant again.
    let provisional = Provisional::from_bytes(&provisional.to_bytes()).unwrap();
    let (waiting, mut line) = tokio::join!(resume(&dialer, &candidates, pending), desk.line());
    let channel = line.channel();
    assert!(provisional.is_resumed_by(&line.receive().await.unwrap().unwrap(), &channel));
    line.send(&provisional.grant()).await.unwrap();
    assert_eq!(waiting.unwrap().answer().await.unwrap(), grant());
}

#[tokio::test]
async fn a_wait_is_not_resumed_at_another_host() {
    let mut desk = Desk::open();
    let code = Secret::Code(desk.code());
    let (waiting, _confirmed) = join_with(&mut desk, code).await;
    let other = LabHost::start(5, &[]);
    let error = resume(&device(2), &[given(other.address())], waiting.unwrap().pending().clone()).await;
    assert!(matches!(error, Err(JoinError::Dial(DialError::OtherKey { .. }))), "{error:?}");
}

#[tokio::test]
async fn a_denial_reaches_the_waiting_device() {
    let mut desk = Desk::open();
    let code = Secret::Code(desk.code());
    let (waiting, confirmed) = join_with(&mut desk, code).await;
    let (mut waiting, (line, _)) = (waiting.unwrap(), confirmed.unwrap());
    let (answer, ()) = tokio::join!(waiting.answer(), line.abort(Abort::Denied));
    assert!(matches!(answer, Err(JoinError::Abort(Abort::Denied))), "{answer:?}");
}

#[tokio::test]
async fn a_cancelled_wait_for_the_answer_loses_nothing() {
    let mut desk = Desk::open();
    let code = Secret::Code(desk.code());
    let (waiting, confirmed) = join_with(&mut desk, code).await;
    let (mut waiting, (mut line, confirmed)) = (waiting.unwrap(), confirmed.unwrap());
    let message = confirmed.approve(&grant(), &mut OsRng).grant().encode();
    let mut framed = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(message);
    let (first, second) = framed.split_at(20);
    line.line.send.write_all(first).await.unwrap();
    // Some of it is read, then the wait is cancelled.
    while !waiting.line.line.reader.has_begun() {
        assert!(crate::lab::at_once(waiting.answer()).is_none());
        tokio::task::yield_now().await;
    }
    line.line.send.write_all(second).await.unwrap();
    assert_eq!(waiting.answer().await.unwrap(), grant());
}

#[tokio::test]
async fn asks_how_a_key_follows_from_another() {
    let mut host = LabHost::start(4, &[]);
    let known = keys(1).public();
    let mut lineage_of_host = Lineage::default();
    lineage_of_host.push(RotationRecord::sign(&keys(1), &keys(4), Timestamp::from_millis(7)));
    let (dialer, candidates) = (device(2), [given(host.address())]);
    let asked = lineage(&dialer, &candidates, known.fingerprint());
    let serve = async {
        let mut line = HostPairing::accept(host.stranger().await).await.unwrap();
        assert_eq!(line.receive().await.unwrap(), Some(ToHost::Lineage(known.fingerprint())));
        line.send(&ToDevice::Lineage(lineage_of_host)).await.unwrap();
        assert_eq!(line.receive().await.unwrap(), None);
    };
    let (answer, ()) = tokio::join!(asked, serve);
    let (records, presented) = answer.unwrap();
    assert_eq!(presented, signing(4));
    assert_eq!(records.follow(&known, &presented).unwrap(), keys(4).public());
}

/// A pairing connection by hand, with its stream open at both ends.
async fn raw_line(host: &mut LabHost) -> (Peer, quinn::SendStream, quinn::RecvStream, HostPairing) {
    let peer = device(2).pairing(&[given(host.address())], Expect::Anybody).await.unwrap();
    let (mut send, recv) = peer.open().await.unwrap();
    // A stream exists for the peer once something is on it.
    send.write_all(&[0, 0]).await.unwrap();
    let line = HostPairing::accept(host.stranger().await).await.unwrap();
    (peer, send, recv, line)
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    for bytes in [&[0x20, 1][..], &[0xff, 0xff], &[0, 3, 0xff, 0xff, 0xff]] {
        let mut host = LabHost::start(1, &[]);
        let (_peer, mut send, mut recv, mut line) = raw_line(&mut host).await;
        send.write_all(bytes).await.unwrap();
        let error = line.receive().await.unwrap_err();
        assert!(matches!(error, JoinError::Abort(Abort::Malformed)), "{error:?}");
        let told = async { crate::framing::read_frame(&mut recv, MAX_MESSAGE_BYTES).await.unwrap().unwrap() };
        let (told, ()) = tokio::join!(told, line.abort(Abort::Malformed));
        assert_eq!(ToDevice::decode(&told).unwrap(), ToDevice::Abort(Abort::Malformed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_stops_within_a_message_is_given_up() {
    let mut host = LabHost::start(1, &[]);
    let (peer, _send, _recv, mut line) = raw_line(&mut host).await;
    let error = line.receive().await.unwrap_err();
    assert!(matches!(error, JoinError::Abort(Abort::Timeout)), "{error:?}");
    line.abort(Abort::Timeout).await;
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Done));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_opens_no_stream_is_given_up() {
    let mut host = LabHost::start(1, &[]);
    let peer = device(2).pairing(&[given(host.address())], Expect::Anybody).await.unwrap();
    let begin = tokio::time::Instant::now();
    assert_eq!(HostPairing::accept(host.stranger().await).await.unwrap_err(), Ended::Here);
    // The clock stands still but for what is waited for.
    assert!(begin.elapsed() < 2 * MESSAGE);
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_is_given_up() {
    let mut host = LabHost::start(1, &[]);
    let (dialer, keys, candidates, about) = (device(2), keys(2), [given(host.address())], about());
    let code = Secret::Code(PairingCode::generate(&mut OsRng));
    let silent = async {
        let mut line = HostPairing::accept(host.stranger().await).await.unwrap();
        let hello = line.receive().await.unwrap();
        assert!(matches!(hello, Some(ToHost::Hello(Hello { .. }))));
        line.set_patience(None);
        line.receive().await
    };
    let (joined, last_words) = tokio::join!(join(&dialer, &keys, &candidates, &about, code), silent);
    assert!(matches!(joined, Err(JoinError::Abort(Abort::Timeout))), "{joined:?}");
    assert_eq!(last_words.unwrap(), Some(ToHost::Abort(Abort::Timeout)));
}
