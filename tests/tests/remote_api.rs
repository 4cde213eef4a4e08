//! The agent API as a paired device meets it: the same handlers as on the local socket, over QUIC streams.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::codec::{Codec, IncomingReply, PostcardCodec, ServerFrame};
use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::method::{Call, Request, Response};
use lanyard_protocol::method::{
    CreateSession, GetHistory, Identify, ListDevices, OpenPairing, RenameDevice, RotateHostKey,
    SetDeviceScopes, Shutdown, Subscribe, Unsubscribe,
};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::rpc::RequestId;
use lanyard_tests::device::TestDevice;
use lanyard_tests::host::TestHost;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::dial::Expect;
use lanyard_transport::session::Session;

/// A host and a device that holds every right.
async fn admin() -> Result<(TestHost, TestDevice)> {
    let host = TestHost::start().await?;
    let mut device = TestDevice::new("desk")?;
    device.about_mut().scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    device.pair_with(&host, PairingMethod::Link).await?;
    Ok((host, device))
}

/// Frames sent without waiting for anything: what an editor may do, and the client library does not.
struct Raw(Session);

impl Raw {
    async fn to(device: &TestDevice) -> Result<Self> {
        let home = device.home()?;
        let at = lanyard_tests::device::candidates(&[home.address]);
        let peer = device.dialer().session(&at, home.host.signing).await?;
        Ok(Self(Session::start(peer, device.dialer().clone())))
    }

    async fn send(&mut self, id: i64, call: impl Call) -> Result<()> {
        let frame = PostcardCodec.encode_call(&RequestId::Number(id), &call.into_request())?;
        Ok(self.0.send(frame).await?)
    }

    /// The next answer, events passed over.
    async fn answer(&mut self) -> Result<(RequestId, Result<Response, lanyard_protocol::WireError>)> {
        loop {
            let frame = tokio::time::timeout(lanyard_tests::host::PATIENCE, self.0.receive()).await??;
            let decoded = PostcardCodec.decode_server(&frame, &|_| None)?;
            if let IncomingReply::Frame(ServerFrame::Reply(Some(id), answer)) = decoded {
                return Ok((id, answer));
            }
        }
    }
}

#[tokio::test]
async fn changes_are_carried_out_in_the_order_in_which_they_were_asked_for() -> Result<()> {
    let (_host, device) = admin().await?;
    let mut raw = Raw::to(&device).await?;
    let device_id = device.id()?;
    for n in 0..60 {
        raw.send(n, RenameDevice { device_id: device_id.clone(), name: format!("name {n}") }).await?;
    }
    for n in 0..60 {
        let (id, answer) = raw.answer().await?;
        let Response::RenameDevice(renamed) = answer? else { anyhow::bail!("another method's answer") };
        ensure!(id == RequestId::Number(n) && renamed.name == format!("name {n}"), "{id}: {}", renamed.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_full_of_subscriptions_refuses_the_next_and_stays_usable() -> Result<()> {
    let (_host, device) = admin().await?;
    let mut connection = device.connect().await?;
    let mut sessions = Vec::new();
    for _ in 0..80 {
        let opened = connection.call(CreateSession::default()).await?;
        connection.call(Unsubscribe { session_id: opened.session_id.clone() }).await?;
        sessions.push(opened.session_id);
    }
    let mut raw = Raw::to(&device).await?;
    let mut refused = 0;
    for (n, session_id) in sessions.iter().enumerate() {
        raw.send(i64::try_from(n)?, Subscribe { session_id: session_id.clone(), after_seq: 0 }).await?;
        match raw.answer().await?.1 {
            Ok(_) => ensure!(refused == 0, "one was taken after one was refused"),
            Err(error) => {
                ensure!(
                    error.code == ErrorCode::RateLimited && error.message.contains("unsubscribe"),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    ensure!((1..40).contains(&refused), "{refused} of 80 were refused");
    raw.send(1_000, Identify {}).await?;
    raw.answer().await?.1?;
    raw.send(1_001, Unsubscribe { session_id: sessions[0].clone() }).await?;
    raw.answer().await?.1?;
    let last = sessions.last().context("a session")?.clone();
    raw.send(1_002, Subscribe { session_id: last, after_seq: 0 }).await?;
    raw.answer().await?.1?;
    Ok(())
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_answered_before_it_ends() -> Result<()> {
    let (_host, device) = admin().await?;
    // Fewer rights for itself: the answer comes, then the connection goes and the next one has them.
    let mut raw = Raw::to(&device).await?;
    let less = SetDeviceScopes { device_id: device.id()?, scopes: vec![Scope::Observe, Scope::Admin] };
    raw.send(1, less).await?;
    raw.answer().await?.1?;
    ensure!(raw.0.receive().await == Err(Ended::ByPeer(CloseCode::ScopesChanged)));
    let mut connection = device.connect().await?;
    let identity = connection.call(Identify {}).await?;
    ensure!(identity.principal.scopes == [Scope::Observe, Scope::Admin]);
    // The host stops: told so, in an answer.
    let mut raw = Raw::to(&device).await?;
    raw.send(1, Shutdown {}).await?;
    raw.answer().await?.1?;
    ensure!(raw.0.receive().await == Err(Ended::ByPeer(CloseCode::Stopping)));
    Ok(())
}

#[tokio::test]
async fn an_admin_elsewhere_is_not_the_owner_at_the_machine() -> Result<()> {
    let (_host, device) = admin().await?;
    let mut connection = device.connect().await?;
    for refused in [
        connection.try_call(OpenPairing {}).await?.err(),
        connection.try_call(RotateHostKey { compromised: false }).await?.err(),
    ] {
        let error = refused.context("it was carried out")?;
        ensure!(error.code == ErrorCode::Unauthorized, "{error}");
    }
    ensure!(connection.call(ListDevices {}).await?.devices.len() == 1);
    Ok(())
}

#[tokio::test]
async fn each_scope_opens_its_methods_and_no_others() -> Result<()> {
    let host = TestHost::start().await?;
    let mut device = TestDevice::new("watcher")?;
    device.about_mut().scopes = vec![Scope::Observe];
    device.pair_with(&host, PairingMethod::Code).await?;
    let mut connection = device.connect().await?;
    let identity = connection.call(Identify {}).await?;
    ensure!(identity.principal.scopes == [Scope::Observe] && !identity.principal.local);
    let error = connection.try_call(CreateSession::default()).await?.err().context("it was carried out")?;
    ensure!(error.code == ErrorCode::Unauthorized && error.message.contains("operate"), "{error}");
    let error = connection.try_call(ListDevices {}).await?.err().context("it was carried out")?;
    ensure!(error.code == ErrorCode::Unauthorized && error.message.contains("admin"), "{error}");
    let nothing = GetHistory {
        session_id: "sess_none".parse()?,
        after_seq: None,
        before_seq: None,
        limit: None,
        query: None,
    };
    let error = connection.try_call(nothing).await?.err().context("there is no such session")?;
    ensure!(error.code == ErrorCode::SessionNotFound, "{error}");
    Ok(())
}

#[tokio::test]
async fn frames_that_are_no_request_are_answered_and_harm_nobody() -> Result<()> {
    let (_host, device) = admin().await?;
    let mut raw = Raw::to(&device).await?;
    for garbage in [
        vec![],
        vec![0xff; 64],
        PostcardCodec.encode_call(&RequestId::Number(1), &Request::Identify(Identify {}))?[..2].to_vec(),
    ] {
        raw.0.send(garbage).await?;
        let frame = raw.0.receive().await?;
        let IncomingReply::Frame(ServerFrame::Reply(None, Err(error))) =
            PostcardCodec.decode_server(&frame, &|_| None)?
        else {
            anyhow::bail!("garbage was taken for a request");
        };
        ensure!(error.message.contains("not understood"), "{error}");
    }
    raw.send(7, Identify {}).await?;
    raw.answer().await?.1?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_gets_no_further_than_the_pairing_protocol() -> Result<()> {
    let (_host, device) = admin().await?;
    let stranger = TestDevice::new("stranger")?;
    let home = device.home()?;
    let at = lanyard_tests::device::candidates(&[home.address]);
    let refused = stranger.dialer().session(&at, home.host.signing).await.err().context("it was let in")?;
    ensure!(refused.to_string().contains("does not know this device"), "{refused}");
    // On the pairing protocol an API request is none.
    let peer = stranger.dialer().pairing(&at, Expect::Key(home.host.signing)).await?;
    let (mut to, mut from) = peer.open().await?;
    let request = PostcardCodec.encode_call(&RequestId::Number(1), &Request::Identify(Identify {}))?;
    lanyard_transport::framing::write_frame(&mut to, &request).await?;
    let answer = lanyard_transport::framing::read_frame(&mut from, 64 * 1024).await?.context("no answer")?;
    let answer = lanyard_pairing::message::ToDevice::decode(&answer)?;
    ensure!(matches!(answer, lanyard_pairing::message::ToDevice::Abort(_)), "{answer:?}");
    Ok(())
}
