//! From the break of a connection until the device follows its session again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{GetSessionState, SetDeviceScopes, Subscribe};
use lanyard_protocol::principal::Scope;
use lanyard_tests::device::DeviceConnection;
use lanyard_tests::host::TestHost;

use crate::table::{Samples, Table};

/// Restarts at most, and how long they may take together: a device that has to wait for silence takes half a minute to
/// notice one.
const RESTARTS: usize = 20;
const RESTARTING: Duration = Duration::from_secs(15);

/// Connections the host closes in order.
const CLOSED: usize = 50;

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let mut host = super::host().await?;
    let mut owner = host.connect().await?;
    let session = owner.session(&host.workspace()).await?.session_id;
    let device = super::device(&host, "bench").await?;
    // A restarted host is expected where it was.
    let address = device.home()?.address;
    host.options_mut().env.push(("LANYARD_LISTEN".into(), address.to_string()));
    let mut connection = device.connect().await?;
    connection.call(follow(&session)).await?;

    let mut closed = Vec::new();
    for round in 0..CLOSED {
        // Other rights than before: the host ends the connection, so that the next one has them.
        let scopes = if round % 2 == 0 { vec![Scope::Observe] } else { vec![Scope::Observe, Scope::Operate] };
        let started = Instant::now();
        owner.call(SetDeviceScopes { device_id: device.id()?, scopes }).await?;
        closed.push(follow_again(&mut connection, &session, started).await?);
    }
    table.times("back: closed by the host (other rights)", &Samples::of(&closed)?, None);

    let (mut since_kill, mut since_answer) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while since_kill.len() < RESTARTS && began.elapsed() < RESTARTING {
        // The device is in the middle of something, as one that somebody looks at is: it asks, and gets no answer.
        let ask = Some(GetSessionState { session_id: session.clone() });
        let (killed, booted, back) = restart(&mut host, &mut connection, &session, ask).await?;
        since_kill.push(back.duration_since(killed));
        since_answer.push(back.saturating_duration_since(booted));
    }
    table.times("back: host killed and started", &Samples::of(&since_kill)?, None);
    table.times("back: since the host's first answer", &Samples::of(&since_answer)?, None);
    // Once only: an idle device notices when it next makes itself heard, which may take as long as it may be silent.
    let (killed, _, back) = restart(&mut host, &mut connection, &session, None).await?;
    table.times("back: the same, nothing under way", &Samples::of(&[back.duration_since(killed)])?, None);
    ensure!(host.address().await? == address, "the host is elsewhere");
    Ok(())
}

/// Kills the host and starts it again; when it was killed, when it answered at its socket, and when the device followed
/// its session again.
async fn restart(
    host: &mut TestHost,
    connection: &mut DeviceConnection,
    session: &SessionId,
    ask: Option<GetSessionState>,
) -> Result<(Instant, Instant, Instant)> {
    let killed = Instant::now();
    host.kill().await?;
    if let Some(ask) = ask {
        connection.send(ask)?;
    }
    let boot = async {
        host.boot().await?;
        anyhow::Ok(Instant::now())
    };
    let back = async {
        follow_again(connection, session, killed).await?;
        anyhow::Ok(Instant::now())
    };
    let (booted, back) = tokio::join!(boot, back);
    Ok((killed, booted?, back?))
}

fn follow(session: &SessionId) -> Subscribe {
    Subscribe { session_id: session.clone(), after_seq: 1 }
}

/// Notices the end, connects again and follows; returns the time since `started`.
async fn follow_again(
    connection: &mut DeviceConnection,
    session: &SessionId,
    started: Instant,
) -> Result<Duration> {
    connection.ended().await?;
    // The client would ask by itself; asked by hand its answer can be waited for.
    let asked = connection.send(follow(session))?;
    connection.reconnect_patiently().await?;
    connection.reply::<Subscribe>(&asked).await??;
    Ok(started.elapsed())
}
