//! Sessions against hosts made by hand.

use super::*;
use crate::lab::{LabHost, device};

/// A session and the host's end of it.
async fn session() -> (Session, Dialer, Peer, LabHost) {
    let mut host = LabHost::start(1, &[2]);
    let dialer = device(2);
    let peer = host.session_of(&dialer).await.unwrap();
    let seen = host.device().await;
    (Session::start(peer, dialer.clone()), dialer, seen, host)
}

/// Answers every frame with itself and an event.
fn echo(peer: Peer) {
    tokio::spawn(async move {
        while let Ok((mut send, mut recv)) = peer.accept().await {
            tokio::spawn(async move {
                let frame = read_frame(&mut recv, 1 << 20).await.unwrap().unwrap();
                assert!(read_frame(&mut recv, 1 << 20).await.unwrap().is_none(), "one frame a stream");
                write_frame(&mut send, &frame).await.unwrap();
                write_frame(&mut send, b"event").await.unwrap();
                send.finish().unwrap();
            });
        }
    });
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered() {
    let (mut session, _, peer, _host) = session().await;
    echo(peer);
    // More than there are streams, and none received in between.
    for number in 0..1_000_u32 {
        session.send(number.to_be_bytes().to_vec()).await.unwrap();
    }
    let (mut replies, mut events) = (Vec::new(), 0);
    for _ in 0..2_000 {
        match session.receive().await.unwrap().as_slice() {
            b"event" => events += 1,
            reply => replies.push(u32::from_be_bytes(reply.try_into().unwrap())),
        }
    }
    replies.sort_unstable();
    assert_eq!((replies, events), ((0..1_000).collect(), 1_000));
}

#[tokio::test]
async fn long_frames_go_both_ways_and_none_is_long_beyond_bounds() {
    let (mut session, _, peer, _host) = session().await;
    let host = tokio::spawn(async move {
        let (mut send, mut recv) = peer.accept().await.unwrap();
        let frame = read_frame(&mut recv, 1 << 20).await.unwrap().unwrap();
        assert_eq!(frame.len(), 1 << 20);
        write_frame(&mut send, &vec![7; MAX_ANSWER_BYTES]).await.unwrap();
        // Announced, never sent.
        tokio::io::AsyncWriteExt::write_all(&mut send, &u32::MAX.to_be_bytes()).await.unwrap();
        peer.ended().await
    });
    session.send(vec![7; 1 << 20]).await.unwrap();
    assert_eq!(session.receive().await.unwrap().len(), MAX_ANSWER_BYTES);
    let ended = session.receive().await.unwrap_err();
    assert!(matches!(&ended, Ended::Failed(why) if why.contains("bounds")), "{ended:?}");
    assert_eq!(host.await.unwrap(), Ended::ByPeer(CloseCode::Protocol));
}

#[tokio::test]
async fn a_broken_stream_ends_the_connection() {
    for half_a_frame in [false, true] {
        let (mut session, _, peer, _host) = session().await;
        session.send(b"subscribe".to_vec()).await.unwrap();
        let (mut send, _recv) = peer.accept().await.unwrap();
        if half_a_frame {
            write_frame(&mut send, b"reply").await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut send, b"\0\0\0\x09half").await.unwrap();
        }
        send.finish().unwrap();
        if half_a_frame {
            assert_eq!(session.receive().await.unwrap(), b"reply");
        }
        let ended = session.receive().await.unwrap_err();
        assert!(matches!(&ended, Ended::Failed(why) if why.contains("broke off")), "{ended:?}");
        assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Done));
    }
}

#[tokio::test]
async fn a_reader_that_was_cut_off_knows_why() {
    let (mut session, _, peer, _host) = session().await;
    session.send(b"subscribe".to_vec()).await.unwrap();
    let (mut send, _recv) = peer.accept().await.unwrap();
    send.reset(quinn::VarInt::from_u32(CloseCode::Slow.number())).unwrap();
    assert_eq!(session.receive().await.unwrap_err(), Ended::ByPeer(CloseCode::Slow));
}

#[tokio::test]
async fn the_hosts_reason_reaches_sender_and_receiver() {
    let (mut session, _, peer, _host) = session().await;
    peer.close(CloseCode::Revoked);
    assert_eq!(session.receive().await.unwrap_err(), Ended::ByPeer(CloseCode::Revoked));
    assert_eq!(session.send(Vec::new()).await.unwrap_err(), Ended::ByPeer(CloseCode::Revoked));
}

#[tokio::test]
async fn a_dropped_session_ends_its_connection() {
    let (mut session, _, peer, _host) = session().await;
    session.send(b"subscribe".to_vec()).await.unwrap();
    let streams = peer.accept().await.unwrap();
    drop(session);
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Done));
    drop(streams);
}

#[tokio::test]
async fn a_session_that_is_not_read_stops_the_host_and_loses_nothing() {
    let (mut session, _, peer, _host) = session().await;
    session.send(b"subscribe".to_vec()).await.unwrap();
    let (mut send, _recv) = peer.accept().await.unwrap();
    let sent = tokio::spawn(async move {
        for number in 0..400_u32 {
            let mut frame = vec![0; 64 * 1024];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            write_frame(&mut send, &frame).await.unwrap();
        }
        send.finish().unwrap();
        peer.ended().await
    });
    for number in 0..400_u32 {
        assert!(session.inbox.len() <= INBOX);
        assert_eq!(session.receive().await.unwrap()[..4], number.to_be_bytes());
    }
    drop(session);
    sent.await.unwrap();
}

#[tokio::test]
async fn a_session_survives_a_moved_socket() {
    let (mut session, dialer, peer, _host) = session().await;
    echo(peer.clone());
    let before = peer.address();
    dialer.rebind().unwrap();
    // What is said at once may still go through the socket before.
    for _ in 0..100 {
        session.send(b"still here".to_vec()).await.unwrap();
        assert_eq!(session.receive().await.unwrap(), b"still here");
        assert_eq!(session.receive().await.unwrap(), b"event");
        if peer.address() != before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("its address is {before} as before");
}

#[test]
fn the_socket_moves_once_for_each_change() {
    let (home, away) = (IpAddr::from([192, 168, 1, 2]), IpAddr::from([10, 0, 0, 2]));
    let watch = OwnAddress { last: Some(home), moves: 3 };
    assert!(!watch.must_move(Some(home), 3), "nothing changed");
    assert!(watch.must_move(Some(away), 3), "another network");
    assert!(!watch.must_move(None, 3), "no network: there is nothing to move to");
    assert!(!watch.must_move(Some(away), 4), "another session moved it");
    let offline = OwnAddress { last: None, moves: 3 };
    assert!(offline.must_move(Some(home), 3), "back");
}
