//! Talking to a paired host over QUIC, with hosts of our own on loopback.

use std::time::Duration;

use lanyard_client::Incoming;
use lanyard_pairing::ChannelKey;
use lanyard_pairing::identity::{IdentityKeys, Lineage, PublicIdentity, RotationRecord};
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_protocol::codec::{Codec, PostcardCodec, ServerFrame, from_postcard, to_postcard};
use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_protocol::method::{Done, ListRules, Response, RulePage, Shutdown};
use lanyard_transport::close::CloseCode;
use lanyard_transport::framing::{read_frame, write_frame};
use lanyard_transport::host::{Admission, Arrival, HostEndpoint};
use lanyard_transport::join::HostPairing;
use lanyard_transport::peer::Peer;
use rand_core::OsRng;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Happening, HostError, Patience, RemoteError, Renewal, Route};
use crate::known::samples::host;
use crate::known::{HostsFile, KnownHost, device_key_or_new};

/// Admits everybody, or nobody.
struct Door(bool);

impl Admission for Door {
    fn admits(&self, _: &ChannelKey) -> bool {
        self.0
    }
}

/// A host, and a device that is paired with it.
struct Pair {
    dir: tempfile::TempDir,
    keys: IdentityKeys,
    endpoint: HostEndpoint,
    known: KnownHost,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = IdentityKeys::generate(&mut OsRng);
        let endpoint = HostEndpoint::bind("127.0.0.1:0".parse().unwrap(), &keys).unwrap();
        let known = KnownHost {
            identity: keys.public(),
            addresses: vec![endpoint.local_address()],
            ..host("nas", 1)
        };
        let pair = Self { dir, keys, endpoint, known };
        device_key_or_new(&pair.file()).unwrap();
        pair.file().change(|hosts| hosts.hosts.push(pair.known.clone())).unwrap();
        pair
    }

    fn file(&self) -> HostsFile {
        HostsFile::of(self.dir.path())
    }

    /// By remembered addresses only: no network but loopback is asked.
    fn route(&self) -> Route {
        Route::new(self.known.clone(), self.file()).unwrap().listening(Duration::ZERO)
    }

    /// Lets the next one in, or not; the host's end of it.
    async fn arrival(&self, door: bool) -> Option<Arrival> {
        self.endpoint.knock().await.unwrap().admit(&Door(door)).await.ok()
    }

    async fn session(&self) -> Peer {
        match self.arrival(true).await {
            Some(Arrival::Session(peer)) => peer,
            other => panic!("{other:?}"),
        }
    }

    /// A connection and the host's end of it.
    async fn connected(&self, patience: Patience) -> (Connection, Peer) {
        let (reached, peer) = tokio::join!(self.route().reach(), self.session());
        (Connection::over(reached.unwrap(), patience), peer)
    }
}

/// Takes one call and answers it; the call's bytes.
async fn answer(peer: &Peer, response: Option<Response>) -> Vec<u8> {
    let (mut send, mut recv) = peer.accept().await.unwrap();
    let frame = read_frame(&mut recv, MAX_FRAME_BYTES).await.unwrap().unwrap();
    if let Some(response) = response {
        let call = PostcardCodec.decode_call(&frame).unwrap();
        let reply = PostcardCodec.encode_server(&ServerFrame::Reply(call.id, Ok(response))).unwrap();
        write_frame(&mut send, &reply).await.unwrap();
        send.finish().unwrap();
    }
    frame
}

fn rules() -> Response {
    Response::ListRules(RulePage { rules: Vec::new() })
}

fn remote(failure: Failure) -> RemoteError {
    match failure {
        Failure::Host(HostError::Remote(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_gets_its_answer() {
    let pair = Pair::new();
    let (mut connection, peer) = pair.connected(Patience::None).await;
    let (got, _) = tokio::join!(connection.call(ListRules {}), answer(&peer, Some(rules())));
    assert_eq!(got.unwrap().rules, []);
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_the_call_with_it() {
    let pair = Pair::new();
    let (mut connection, peer) = pair.connected(Patience::For(Duration::from_secs(60))).await;
    let id = connection.send(ListRules {}).unwrap();
    let host = async {
        let sent = answer(&peer, None).await;
        peer.close(CloseCode::Stopping);
        sent
    };
    let (happening, sent) = tokio::join!(connection.next(), host);
    assert!(matches!(happening.unwrap(), Happening::Reconnecting));
    let (happening, peer) = tokio::join!(connection.next(), pair.session());
    assert!(matches!(happening.unwrap(), Happening::Reconnected));
    let (happening, again) = tokio::join!(connection.next(), answer(&peer, Some(rules())));
    assert_eq!(sent, again, "the very same call");
    assert!(matches!(happening.unwrap(), Happening::Incoming(Incoming::Reply { id: of, .. }) if of == id));
}

#[tokio::test]
async fn an_attempt_to_reconnect_survives_who_looks_at_other_things() {
    let pair = Pair::new();
    let (mut connection, peer) = pair.connected(Patience::For(Duration::from_secs(60))).await;
    peer.close(CloseCode::Slow);
    assert!(matches!(connection.next().await.unwrap(), Happening::Reconnecting));
    let host = pair.session();
    tokio::pin!(host);
    // As a loop with a status line does: given up and begun again, many times.
    let mut peer = None;
    loop {
        tokio::select! {
            biased;
            accepted = &mut host, if peer.is_none() => peer = Some(accepted),
            happening = connection.next() => {
                assert!(matches!(happening.unwrap(), Happening::Reconnected));
                break;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    let peer = match peer {
        Some(peer) => peer,
        None => host.await,
    };
    let (got, _) = tokio::join!(connection.call(ListRules {}), answer(&peer, Some(rules())));
    got.unwrap();
}

#[tokio::test]
async fn without_patience_a_broken_connection_ends_the_command() {
    let pair = Pair::new();
    let (mut connection, peer) = pair.connected(Patience::None).await;
    peer.close(CloseCode::Stopping);
    let failure = connection.call(ListRules {}).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(matches!(remote(failure), RemoteError::Gone { .. }));
}

#[tokio::test]
async fn new_rights_and_new_keys_are_come_back_for_without_patience_too() {
    for (code, renewal) in
        [(CloseCode::ScopesChanged, Renewal::Rights), (CloseCode::KeyChanged, Renewal::Keys)]
    {
        let pair = Pair::new();
        let (mut connection, peer) = pair.connected(Patience::None).await;
        peer.close(code);
        let host = async {
            let peer = pair.session().await;
            answer(&peer, Some(rules())).await;
            peer.ended().await
        };
        tokio::select! {
            got = connection.call(ListRules {}) => drop(got.unwrap()),
            ended = host => panic!("{code:?}: {ended}"),
        }
        let told = connection.next().await.unwrap();
        assert!(matches!(told, Happening::Renewing(what) if what == renewal), "{told:?}");
    }
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_is_not() {
    let pair = Pair::new();
    let (mut connection, peer) = pair.connected(Patience::For(Duration::from_secs(60))).await;
    let host = async {
        answer(&peer, None).await;
        peer.close(CloseCode::Slow);
        pair.session().await
    };
    let (called, _) = tokio::join!(connection.call(Shutdown {}), host);
    assert!(matches!(called, Err(Failure::Unanswered("Shutdown"))), "{called:?}");
}

#[tokio::test]
async fn a_host_that_ends_the_pairing_ends_the_command_instead_of_a_new_attempt() {
    for (code, exit) in [
        (CloseCode::Revoked, Exit::Denied),
        (CloseCode::Unpaired, Exit::Unreachable),
        (CloseCode::NotPaired, Exit::Unreachable),
    ] {
        let pair = Pair::new();
        // With patience it would come back, and end otherwise.
        let (mut connection, peer) = pair.connected(Patience::For(Duration::ZERO)).await;
        peer.close(code);
        let failure = connection.call(ListRules {}).await.unwrap_err();
        assert_eq!(failure.exit(), exit, "{code:?}");
        assert!(matches!(remote(failure), RemoteError::TurnedAway { .. }), "{code:?}");
    }
}

#[tokio::test]
async fn an_unknown_device_is_told_so_at_once() {
    let pair = Pair::new();
    let (reached, _) = tokio::join!(pair.route().reach(), pair.arrival(false));
    let error = reached.unwrap_err();
    assert!(error.to_string().contains("nas: ") && error.to_string().contains("lanyard join"), "{error}");
    assert!(matches!(error, RemoteError::TurnedAway { .. }) && !error.is_revocation());
}

/// Answers whoever asks how the host's key follows from an older one.
async fn explain(pair: &Pair, lineage: Lineage) {
    loop {
        match pair.arrival(true).await {
            Some(Arrival::Pairing(peer)) => {
                let mut line = HostPairing::accept(peer).await.unwrap();
                assert!(matches!(line.receive().await.unwrap(), Some(ToHost::Lineage(_))));
                line.send(&ToDevice::Lineage(lineage)).await.unwrap();
                line.finish().await;
                return;
            }
            // A device that expects another key breaks the handshake off.
            Some(Arrival::Session(_)) | None => {}
        }
    }
}

#[tokio::test]
async fn new_keys_are_followed_and_kept() {
    let pair = Pair::new();
    let new = IdentityKeys::generate(&mut OsRng);
    pair.endpoint.use_keys(&new).unwrap();
    let mut lineage = Lineage::default();
    lineage.push(RotationRecord::sign(&pair.keys, &new, crate::known::samples::at()));
    let host = async {
        explain(&pair, lineage).await;
        pair.session().await
    };
    let (reached, peer) = tokio::join!(pair.route().reach(), host);
    let reached = reached.unwrap();
    assert!(reached.notice.as_ref().unwrap().contains(&new.public().fingerprint().to_string()));
    assert_eq!(pair.file().read().unwrap().hosts[0].identity, new.public(), "the pin is the new one");
    let mut connection = Connection::over(reached, Patience::None);
    let (got, _) = tokio::join!(connection.call(ListRules {}), answer(&peer, Some(rules())));
    got.unwrap();
}

/// A record that names an old key and is signed by another.
fn claiming(old: PublicIdentity, signer: &IdentityKeys, new: &IdentityKeys) -> RotationRecord {
    let mut bytes = to_postcard(&RotationRecord::sign(signer, new, crate::known::samples::at())).unwrap();
    // The old keys come first.
    bytes[..64].copy_from_slice(&[old.signing, old.agreement].concat());
    from_postcard(&bytes).unwrap()
}

#[tokio::test]
async fn a_key_that_does_not_follow_is_never_taken() {
    // No record at all; a record somebody else signed; one that leads elsewhere.
    let stranger = || IdentityKeys::generate(&mut OsRng);
    for forged in 0..3 {
        let pair = Pair::new();
        let (new, other) = (stranger(), stranger());
        pair.endpoint.use_keys(&new).unwrap();
        let mut lineage = Lineage::default();
        match forged {
            0 => {}
            1 => lineage.push(claiming(pair.keys.public(), &other, &new)),
            _ => lineage.push(RotationRecord::sign(&pair.keys, &other, crate::known::samples::at())),
        }
        let (reached, ()) = tokio::join!(pair.route().reach(), explain(&pair, lineage));
        let error = reached.unwrap_err();
        assert!(matches!(error, RemoteError::IdentityChanged { .. }), "{forged}: {error}");
        assert!(!error.is_absence(), "waiting does not mend it");
        let text = error.to_string();
        assert!(
            text.contains("identity changed") && text.contains("impostor") && text.contains("lanyard join")
        );
        assert_eq!(pair.file().read().unwrap().hosts[0].identity, pair.keys.public(), "the pin stays");
    }
}

#[tokio::test]
async fn where_it_was_found_is_remembered_first() {
    let mut pair = Pair::new();
    // Nothing answers there, and the right address is tried beside it.
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    pair.known.addresses.insert(0, dead);
    pair.file().change(|hosts| hosts.hosts = vec![pair.known.clone()]).unwrap();
    let (_, peer) = pair.connected(Patience::None).await;
    drop(peer);
    let addresses = pair.file().read().unwrap().hosts[0].addresses.clone();
    assert_eq!(addresses, [pair.endpoint.local_address(), dead]);
}

#[tokio::test]
async fn a_connection_for_later_is_made_when_it_is_waited_for() {
    let pair = Pair::new();
    let way = crate::host::Way::Paired(Box::new(pair.route()));
    let mut connection = Connection::later(way, Patience::Forever);
    connection.send(Shutdown {}).unwrap();
    let (happening, peer) = tokio::join!(connection.next(), pair.session());
    assert!(matches!(happening.unwrap(), Happening::Reconnected));
    let (happening, _) = tokio::join!(connection.next(), answer(&peer, Some(Response::Shutdown(Done {}))));
    assert!(matches!(happening.unwrap(), Happening::Incoming(Incoming::Reply { answer: Ok(_), .. })));
}
