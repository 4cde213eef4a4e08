//! Finding a host, and talking to one that misbehaves.

mod elsewhere;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lanyard_client::Incoming;
use lanyard_protocol::codec::{Codec, JsonRpcCodec, ServerFrame};
use lanyard_protocol::method::{Done, GetHistory, ListRules, Response, RulePage, Shutdown};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{Connection, Happening, HostError, Patience, attach, lock_is_held};
use crate::exit::{Exit, Failure};

/// A state directory with a manifest and a socket, as a host leaves them.
struct Place {
    dir: tempfile::TempDir,
    listener: UnixListener,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("x.sock")).unwrap();
        announce(dir.path(), dir.path().join("x.sock"), lanyard_protocol::version::PROTOCOL_VERSION);
        Self { dir, listener }
    }

    /// The host's side of the next connection.
    fn accept(&self) -> tokio::net::UnixStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        tokio::net::UnixStream::from_std(stream).unwrap()
    }

    fn connect(&self, patience: Patience) -> Connection {
        Connection::new(attach(self.dir.path()).unwrap(), self.dir.path().to_owned(), patience).unwrap()
    }
}

fn announce(dir: &Path, socket: PathBuf, protocol: u16) {
    let manifest = serde_json::json!({
        "pid": std::process::id(), "socket": socket, "version": "0.0.1", "protocolVersion": protocol,
        "startedAt": "2026-01-01T00:00:00Z",
    });
    std::fs::write(dir.join("server.json"), manifest.to_string()).unwrap();
}

/// Answers one call and returns its line.
async fn answer(stream: &mut tokio::net::UnixStream, response: Option<Response>) -> String {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).await.unwrap();
    let call = JsonRpcCodec.decode_call(line.trim_end().as_bytes()).unwrap();
    if let Some(response) = response {
        let mut frame = JsonRpcCodec.encode_server(&ServerFrame::Reply(call.id, Ok(response))).unwrap();
        frame.push(b'\n');
        // In two pieces, as a socket may deliver it.
        let (first, second) = frame.split_at(frame.len() / 2);
        writer.write_all(first).await.unwrap();
        tokio::task::yield_now().await;
        writer.write_all(second).await.unwrap();
    }
    line
}

#[test]
fn no_host_a_dead_one_and_one_of_another_version() {
    let dir = tempfile::tempdir().unwrap();
    let none = attach(dir.path()).unwrap_err();
    assert!(none.is_absence() && none.to_string().contains("lanyard up"), "{none}");

    announce(dir.path(), dir.path().join("gone.sock"), 1);
    assert!(attach(dir.path()).unwrap_err().is_absence(), "a manifest without a socket is a leftover");

    let socket = dir.path().join("dead.sock");
    drop(UnixListener::bind(&socket).unwrap());
    announce(dir.path(), socket, 1);
    assert!(attach(dir.path()).unwrap_err().is_absence(), "a socket nobody serves is a leftover");

    let place = Place::new();
    announce(place.dir.path(), place.dir.path().join("x.sock"), 999);
    let other = attach(place.dir.path()).unwrap_err();
    assert!(matches!(other, HostError::Version { theirs: 999, .. }) && !other.is_absence(), "{other}");

    std::fs::write(dir.path().join("server.json"), "{").unwrap();
    let broken = attach(dir.path()).unwrap_err();
    assert!(matches!(broken, HostError::Manifest { .. }) && !broken.is_absence(), "{broken}");
}

#[test]
fn the_lock_is_seen_and_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!lock_is_held(dir.path()));
    let lock = std::fs::File::create(dir.path().join("lock")).unwrap();
    assert!(!lock_is_held(dir.path()));
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(lock_is_held(dir.path()));
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();
    assert!(!lock_is_held(dir.path()));
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[tokio::test]
async fn a_call_gets_its_answer() {
    let place = Place::new();
    let mut connection = place.connect(Patience::None);
    let mut host = place.accept();
    let page = RulePage { rules: Vec::new() };
    let served = answer(&mut host, Some(Response::ListRules(page.clone())));
    let (got, line) = tokio::join!(connection.call(ListRules {}), served);
    assert_eq!(got.unwrap(), page);
    assert!(line.contains("\"method\":\"ListRules\""), "{line}");
}

#[tokio::test]
async fn without_patience_a_broken_connection_ends_the_command() {
    let place = Place::new();
    let mut connection = place.connect(Patience::None);
    drop(place.accept());
    let failure = connection.call(ListRules {}).await.unwrap_err();
    assert!(matches!(failure, Failure::Host(HostError::Gone(_))), "{failure}");
    assert_eq!(failure.exit(), Exit::Unreachable);
}

#[tokio::test]
async fn with_patience_the_call_is_made_again() {
    let place = Place::new();
    let mut connection = place.connect(Patience::For(Duration::from_secs(60)));
    let mut first = place.accept();
    let id = connection.send(ListRules {}).unwrap();
    let served = async {
        let sent = answer(&mut first, None).await;
        drop(first);
        sent
    };
    let (happening, sent) = tokio::join!(connection.next(), served);
    assert!(matches!(happening.unwrap(), Happening::Reconnecting));
    // The listener queues the connection, so that it can be taken after it was made.
    assert!(matches!(connection.next().await.unwrap(), Happening::Reconnected));
    let mut second = place.accept();
    let page = Response::ListRules(RulePage { rules: Vec::new() });
    let (happening, again) = tokio::join!(connection.next(), answer(&mut second, Some(page)));
    assert_eq!(sent, again, "the very same call");
    assert!(matches!(happening.unwrap(), Happening::Incoming(Incoming::Reply { id: of, .. }) if of == id));
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_is_not() {
    let place = Place::new();
    let mut connection = place.connect(Patience::For(Duration::from_secs(60)));
    let mut first = place.accept();
    let served = async {
        answer(&mut first, None).await;
        drop(first);
    };
    let (called, ()) = tokio::join!(connection.call(Shutdown {}), served);
    assert!(matches!(called, Err(Failure::Unanswered("Shutdown"))), "{called:?}");
}

#[tokio::test]
async fn patience_ends() {
    let place = Place::new();
    let mut connection = place.connect(Patience::For(Duration::ZERO));
    drop(place.accept());
    std::fs::remove_file(place.dir.path().join("server.json")).unwrap();
    assert!(matches!(connection.next().await.unwrap(), Happening::Reconnecting));
    assert!(matches!(connection.next().await, Err(Failure::Host(HostError::Gone(_)))));
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let place = Place::new();
    let mut connection = place.connect(Patience::None);
    let mut host = place.accept();
    let served = async {
        host.write_all(b"\xff\xfe not json\n\n{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}\n")
            .await
            .unwrap();
        answer(&mut host, Some(Response::Shutdown(Done {}))).await
    };
    let (got, _) = tokio::join!(connection.call(Shutdown {}), served);
    assert_eq!(got.unwrap(), Done {});
}

#[tokio::test]
async fn what_is_too_long_is_not_sent() {
    let place = Place::new();
    let mut connection = place.connect(Patience::None);
    let query = Some("x".repeat(lanyard_protocol::limits::MAX_FRAME_BYTES));
    let session_id = lanyard_protocol::id::SessionId::new("s").unwrap();
    let huge = GetHistory { session_id, after_seq: None, before_seq: None, limit: None, query };
    assert!(matches!(connection.call(huge).await, Err(Failure::NotSent(_))));
}
