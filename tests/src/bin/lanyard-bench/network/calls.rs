//! Handshakes and light requests of one device, by turns with the floor, so that both see the same machine.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Result;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{Call, GetSessionState, Identify};
use lanyard_tests::device::{DeviceConnection, TestDevice, candidates};
use lanyard_transport::ALPN_SESSION;
use lanyard_transport::close::CloseCode;

use super::raw::{self, Floor};
use crate::table::{Samples, Table};

const HANDSHAKES: usize = 300;

/// Turns, and requests of each kind in one of them.
const ROUNDS: usize = 20;
const REQUESTS: usize = 150;

/// Budget of a request: what the host does for it, over what the network costs.
const RATIO: f64 = 1.5;

pub(super) async fn measure(table: &mut Table, floor: &Floor) -> Result<()> {
    let host = super::host().await?;
    let session = host.connect().await?.session(&host.workspace()).await?.session_id;
    let device = super::device(&host, "bench").await?;
    handshakes(table, floor, &device).await?;
    requests(table, floor, &device, &session).await
}

async fn handshakes(table: &mut Table, floor: &Floor, device: &TestDevice) -> Result<()> {
    let home = device.home()?;
    let (to, key) = (candidates(&[home.address]), home.host.signing);
    // The same handshake with the host by a client that is nothing but quinn: what remains is the device's own library.
    let plain = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let config = raw::client_config(device.keys(), ALPN_SESSION, key)?;
    let (mut bare, mut used, mut welcomed, mut accepted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..HANDSHAKES {
        let started = Instant::now();
        let connection = floor.connect().await?;
        bare.push(started.elapsed());
        raw::echo(&connection).await?;
        used.push(started.elapsed());
        drop(connection);
        let started = Instant::now();
        let peer = device.dialer().session(&to, key).await?;
        accepted.push(started.elapsed());
        peer.close(CloseCode::Done);
        let started = Instant::now();
        let connection = plain.connect_with(config.clone(), home.address, "host")?.await?;
        // The host's first words, on a stream it opens: only then has it accepted the device's key.
        connection.accept_uni().await?;
        welcomed.push(started.elapsed());
        drop(connection);
    }
    let (bare, used) = (Samples::of(&bare)?, Samples::of(&used)?);
    table.times("quinn: handshake", &bare, None);
    table.times("quinn: handshake and first echo", &used, None);
    let of = "quinn's handshake and first echo";
    table.times_against("quinn: handshake with the host until accepted", &Samples::of(&welcomed)?, &used, of);
    table.times_against("device: handshake until accepted", &Samples::of(&accepted)?, &used, of);
    Ok(())
}

async fn requests(table: &mut Table, floor: &Floor, device: &TestDevice, session: &SessionId) -> Result<()> {
    let plain = floor.connect().await?;
    let mut connection = device.connect().await?;
    let (mut fresh, mut open, mut state, mut identify) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..REQUESTS {
            fresh.push(raw::echo(&plain).await?);
        }
        open.extend(raw::echoes(&plain, REQUESTS).await?);
        for _ in 0..REQUESTS {
            state.push(timed(&mut connection, GetSessionState { session_id: session.clone() }).await?);
        }
        for _ in 0..REQUESTS {
            identify.push(timed(&mut connection, Identify {}).await?);
        }
    }
    let fresh = Samples::of(&fresh)?;
    table.times("quinn: echo of 64 B, one open stream", &Samples::of(&open)?, None);
    table.times("quinn: echo of 64 B, a stream each", &fresh, None);
    for (name, times) in [("GetSessionState", state), ("Identify", identify)] {
        let times = Samples::of(&times)?;
        let ratio = times.at(0.5) / fresh.at(0.5);
        let basis = format!("{ratio:.2} × the echo, a stream each; {RATIO} allowed");
        table.times(&format!("device: {name}"), &times, Some((fresh.at(0.5) * RATIO, basis)));
    }
    Ok(())
}

async fn timed(connection: &mut DeviceConnection, call: impl Call) -> Result<std::time::Duration> {
    let started = Instant::now();
    connection.call(call).await?;
    Ok(started.elapsed())
}
