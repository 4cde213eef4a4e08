//! A whole host and a page over a carrier in memory: calls, a subscription, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanyard_pairing::IdentityKeys;
use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::link::PairingLink;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::codec::{Codec, IncomingReply, PostcardCodec, ServerFrame};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::{DeviceId, SessionId};
use lanyard_protocol::method::{
    Call, CreateSession, DecidePairing, GetFile, Identify, ListDevices, StartTask, Subscribe, Unpair,
};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::session::TaskOptions;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::framing::write_frame;
use lanyard_transport::join;
use lanyard_transport::noise::{Carrier, NoisePeer, device};
use lanyard_transport::peer::Connection;
use lanyard_transport::session::Session;
use rand_core::OsRng;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::until;
use crate::command::NewCommand;
use crate::config::{Config, ConfigSources};
use crate::host::Host;
use crate::network::devices::device_id;
use crate::network::{HostIdentity, KEY_FILE};
use crate::principals::owner;
use crate::start::{Parts, build};
use crate::state_dir::StateDir;

/// Far longer than anything takes that is to happen.
const SOON: Duration = Duration::from_secs(60);

/// A host in this process, and the keys of a device that is paired with it.
pub(super) struct House {
    parts: Parts,
    keys: IdentityKeys,
    dir: tempfile::TempDir,
    _state: StateDir,
}

impl House {
    pub(super) async fn open() -> Self {
        // Fails when another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let mut config = Config::load(ConfigSources {
            state_dir: Some(dir.path().join("state")),
            workspaces: vec![work],
            listen: Some("127.0.0.1:0".parse().unwrap()),
        })
        .unwrap();
        config.discovery = false;
        let state = StateDir::claim(&config.state_dir).unwrap();
        let parts = build(config, &state, CancellationToken::new()).unwrap();
        let keys = IdentityKeys::generate(&mut OsRng);
        let house = Self { parts, keys, dir, _state: state };
        house.pair().await;
        house
    }

    pub(super) fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    /// The far end of a carrier that somebody opened.
    fn carrier(&self) -> Carrier {
        self.carrier_from(SocketAddr::from(([192, 0, 2, 7], 40_000)))
    }

    /// The same for somebody at this address.
    pub(super) fn carrier_from(&self, from: SocketAddr) -> Carrier {
        let (far, near) = Carrier::pair(from);
        self.host().network.browser(self.host(), near);
        far
    }

    async fn pair(&self) {
        let desk = self.host().network.desk();
        let link = PairingLink::parse(&desk.open_window().await.unwrap().link).unwrap();
        let about = About {
            name: "Phone".to_owned(),
            platform: "a browser".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate],
        };
        let peer = device::pair(self.carrier(), &self.keys).await.unwrap();
        let secret = Secret::Link(link.secret.clone(), link.host);
        let mut waiting = join::join_over(peer, &self.keys, &about, secret).await.unwrap();
        let pairing_id = desk.pairings(owner().unwrap()).await.unwrap().1[0].pairing_id.clone();
        let answer = DecidePairing {
            pairing_id,
            decision: Decision::Approved,
            digits: None,
            scopes: None,
            name: None,
            command_id: None,
        };
        let owner = owner().unwrap();
        let command = NewCommand::of(&owner, None);
        desk.decide(owner, answer, command).await.unwrap();
        waiting.answer().await.unwrap();
        waiting.acknowledge().await.unwrap();
    }

    async fn peer(&self) -> NoisePeer {
        self.peer_over(self.carrier(), &self.keys).await
    }

    async fn peer_over(&self, carrier: Carrier, keys: &IdentityKeys) -> NoisePeer {
        let file = self.host().state_dir.join(KEY_FILE);
        let host = HostIdentity::open(&file).unwrap().public().agreement;
        device::connect(carrier, keys, &host).await.unwrap()
    }

    /// The page of another device.
    pub(super) async fn page_of(&self, keys: &IdentityKeys, from: SocketAddr) -> Page {
        let peer = self.peer_over(self.carrier_from(from), keys).await;
        Page { session: Session::over(peer), last: 0, events: Vec::new() }
    }

    async fn page(&self) -> Page {
        Page { session: Session::over(self.peer().await), last: 0, events: Vec::new() }
    }

    fn id(&self) -> DeviceId {
        device_id(&self.keys.public()).unwrap()
    }

    async fn connected(&self, connections: u64) {
        until(|| self.host().network.devices().count() == (1, connections)).await;
    }

    pub(super) async fn stop(self) {
        self.host().stop.cancel();
        self.host().sessions.stop().await;
        self.host().network.stop().await;
        self.parts.store.close().unwrap();
        drop(self.dir);
    }
}

/// A page's calls, and the events that came meanwhile.
pub(super) struct Page {
    session: Session<NoisePeer>,
    last: i64,
    events: Vec<SessionEvent>,
}

impl Page {
    async fn ask(&mut self, call: impl Call) -> i64 {
        self.last += 1;
        let frame = PostcardCodec.encode_call(&RequestId::Number(self.last), &call.into_request()).unwrap();
        self.session.send(frame).await.unwrap();
        self.last
    }

    async fn frame(&mut self) -> Result<ServerFrame, Ended> {
        let frame = tokio::time::timeout(SOON, self.session.receive()).await.unwrap()?;
        match PostcardCodec.decode_server(&frame, &|_| None).unwrap() {
            IncomingReply::Frame(frame) => Ok(frame),
            IncomingReply::Unknown(what) => panic!("{what}"),
        }
    }

    pub(super) async fn call<C: Call>(&mut self, call: C) -> Result<C::Result, WireError> {
        let asked = RequestId::Number(self.ask(call).await);
        loop {
            match self.frame().await.unwrap() {
                ServerFrame::Reply(Some(id), answer) if id == asked => {
                    return answer.map(|answer| C::from_response(answer).unwrap());
                }
                ServerFrame::SessionEvent(event) => self.events.push(*event),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn event(&mut self) -> Result<SessionEvent, Ended> {
        if !self.events.is_empty() {
            return Ok(self.events.remove(0));
        }
        loop {
            if let ServerFrame::SessionEvent(event) = self.frame().await? {
                return Ok(*event);
            }
        }
    }

    /// Numbered events up to the end of a task.
    async fn task(&mut self) -> Vec<SessionEvent> {
        let mut numbered = Vec::new();
        loop {
            let event = self.event().await.unwrap();
            let ended = matches!(event.body, EventBody::TaskCompleted(_));
            numbered.extend(event.seq.is_some().then_some(event));
            if ended {
                return numbered;
            }
        }
    }

    pub(super) async fn end(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.event().await {
                return ended;
            }
        }
    }
}

fn task(session_id: &SessionId) -> StartTask {
    StartTask {
        session_id: session_id.clone(),
        task_id: None,
        prompt: "Say hello.".to_owned(),
        task_options: TaskOptions::default(),
        model: None,
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn a_page_runs_a_task_sees_it_stream_and_comes_back_to_what_it_missed() {
    let house = House::open().await;
    let mut page = house.page().await;
    let who = page.call(Identify {}).await.unwrap().principal;
    assert_eq!((who.id.as_str(), who.local), (house.id().as_str(), false));
    assert_eq!(who.scopes, [Scope::Observe, Scope::Operate]);
    let refused = page.call(ListDevices {}).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthorized, "a right it does not hold");

    let session = page.call(CreateSession::default()).await.unwrap().session_id;
    page.call(task(&session)).await.unwrap();
    let live = page.task().await;
    let numbers: Vec<u64> = live.iter().filter_map(|event| event.seq).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    // The page goes to sleep; something happens; it comes back with its cursor.
    let seen = *numbers.last().unwrap();
    drop(page);
    house.connected(0).await;
    let mut page = house.page().await;
    page.call(task(&session)).await.unwrap();
    page.call(Subscribe { session_id: session.clone(), after_seq: seen }).await.unwrap();
    let missed = page.task().await;
    assert_eq!(missed.first().and_then(|event| event.seq), Some(seen + 1), "no gap, nothing twice");
    // From the beginning, it is the same story.
    page.call(Subscribe { session_id: session, after_seq: 0 }).await.unwrap();
    let all: Vec<u64> = page.task().await.iter().filter_map(|event| event.seq).collect();
    assert_eq!(all.first(), Some(&1));
    house.stop().await;
}

#[tokio::test]
async fn revoking_cuts_a_subscription_that_is_live() {
    let house = House::open().await;
    let mut page = house.page().await;
    page.call(CreateSession::default()).await.unwrap();
    house.connected(1).await;
    let nothing = Box::new(|_| Box::pin(std::future::ready(())) as _);
    let by = owner().unwrap();
    let command = NewCommand::of(&by, None);
    house.host().network.desk().revoke(house.id(), by, command, nothing).await.unwrap();
    assert_eq!(page.end().await, Ended::ByPeer(CloseCode::Revoked));
    let mut again = house.page().await;
    assert_eq!(again.end().await, Ended::ByPeer(CloseCode::NotPaired));
    house.stop().await;
}

#[tokio::test]
async fn the_last_answer_of_a_page_arrives_before_its_end() {
    let house = House::open().await;
    let mut page = house.page().await;
    page.call(Unpair {}).await.unwrap();
    assert_eq!(page.end().await, Ended::ByPeer(CloseCode::Unpaired));
    house.stop().await;
    let house = House::open().await;
    let mut page = house.page().await;
    page.call(CreateSession::default()).await.unwrap();
    house.stop().await;
    assert_eq!(page.end().await, Ended::ByPeer(CloseCode::Stopping));
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_a_page_full_of_subscriptions_stays_usable() {
    let house = House::open().await;
    let mut page = house.page().await;
    page.session.send(vec![0xff; 40]).await.unwrap();
    assert!(matches!(page.frame().await, Ok(ServerFrame::Reply(_, Err(_)))));
    let streams = NoisePeer::STREAMS;
    let mut refused = 0;
    for _ in 0..streams {
        // Creating one follows it.
        match page.call(CreateSession::default()).await {
            Ok(_) => assert_eq!(refused, 0, "one was taken after one was refused"),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::RateLimited, "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, streams / 4, "some streams are kept for requests");
    page.call(Identify {}).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_page_that_does_not_read_is_cut_and_told_why() {
    let house = House::open().await;
    let file = house.dir.path().join("work").join("long");
    std::fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
    let peer = house.peer().await;
    // Asks for more than a stream may be ahead of its reader, and reads the first byte of it only.
    let (mut send, mut recv) = peer.open(lanyard_pairing::mux::Class::Bulk).await.unwrap();
    let path = std::fs::canonicalize(&file).unwrap().display().to_string();
    let request = GetFile { path, offset: 0, length: None }.into_request();
    let frame = PostcardCodec.encode_call(&RequestId::Number(1), &request).unwrap();
    write_frame(&mut send, &frame).await.unwrap();
    send.finish().await.unwrap();
    recv.read_u8().await.unwrap();
    // From here on it is a matter of time alone.
    tokio::time::pause();
    let waits = tokio::time::Instant::now();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Slow));
    assert!((29..=34).contains(&waits.elapsed().as_secs()), "{:?}", waits.elapsed());
    tokio::time::resume();
    drop(recv);
    let mut page = house.page().await;
    page.call(Identify {}).await.unwrap();
    house.stop().await;
}
