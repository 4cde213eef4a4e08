//! Strangers at the door: thousands of handshakes that never end, keys nobody knows, pairings that are opened and left.
//! What five paired devices notice of it, and the host's memory.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use lanyard_pairing::IdentityKeys;
use lanyard_protocol::method::Identify;
use lanyard_tests::device::{DeviceConnection, TestDevice, candidates};
use lanyard_tests::host::TestHost;
use lanyard_transport::close::CloseCode;
use lanyard_transport::{ALPN_PAIRING, ALPN_SESSION};
use quinn::Endpoint;
use rand_core::OsRng;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::raw;
use crate::memory::resident;
use crate::table::{Samples, Table};

/// First packets of handshakes that never go on, each of another connection.
const HALF_OPEN: usize = 10_000;

/// Whole handshakes with a key nobody knows.
const UNKNOWN: usize = 1_000;

/// Pairing connections that open a stream, begin a frame and stall.
const STALLED: usize = 200;

/// Sockets the half-open ones come from.
const SOCKETS: usize = 64;

/// Half-open ones sent at a time, and the pause between: 4,000 a second.
const BURST: usize = 40;
const PAUSE: Duration = Duration::from_millis(10);

/// Strangers with an unknown key, and stalling ones, at a time.
const AT_A_TIME: usize = 8;

const CLIENTS: usize = 5;

/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(5);

/// How long the clients are watched before and after.
const CALM: Duration = Duration::from_secs(3);

/// Longer than any limit on a handshake or an idle pairing, after which nothing should be left.
const SETTLE: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    During,
    Settling,
    After,
    Over,
}

const MEASURED: [(Phase, &str); 3] =
    [(Phase::Before, "before"), (Phase::During, "during"), (Phase::After, "after")];

/// Each request: when it was made, and how long it took.
type Requests = Vec<(Phase, Duration)>;

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let host = super::host().await?;
    let mut devices = Vec::new();
    for number in 0..=CLIENTS {
        devices.push(super::device(&host, &format!("device {number}")).await?);
    }
    let comes_and_goes = devices.pop().context("no device")?;
    let (address, key) = (comes_and_goes.home()?.address, comes_and_goes.home()?.host.signing);
    let strangers = Strangers { keys: IdentityKeys::generate(&mut OsRng), address, host: key };
    let packets = strangers.first_packets().await?;

    let (phase, now) = watch::channel(Phase::Before);
    let connections = try_join_all(devices.iter().map(TestDevice::connect)).await?;
    let clients: Vec<_> = connections.into_iter().map(|c| tokio::spawn(requests(c, now.clone()))).collect();
    let memory = tokio::spawn(peak(std::sync::Arc::new(host), now.clone()));
    let visitor = tokio::spawn(visits(comes_and_goes, now));
    tokio::time::sleep(CALM).await;
    phase.send_replace(Phase::During);
    let began = Instant::now();
    // Those that stall are held until the others are through.
    let (stalled, half_open, unknown) =
        tokio::join!(strangers.stall(), strangers.half_open(&packets), strangers.unknown_keys());
    half_open?;
    let (held, turned_away) = (stalled?, unknown?);
    let took = began.elapsed();
    phase.send_replace(Phase::Settling);
    drop(held);
    tokio::time::sleep(SETTLE).await;
    phase.send_replace(Phase::After);
    tokio::time::sleep(CALM).await;
    phase.send_replace(Phase::Over);
    let mut all = Requests::new();
    for client in clients {
        all.extend(client.await??);
    }
    let visits = visitor.await??;
    let attempts = (HALF_OPEN + UNKNOWN + STALLED) as f64 / took.as_secs_f64();
    table.number("strangers: attempts a second", attempts, "1/s");
    table.number("strangers: unknown keys turned away", 100.0 * turned_away as f64 / UNKNOWN as f64, "%");
    report(table, "request of a device", &all)?;
    report(table, "connecting of a device", &visits)?;
    for (name, bytes) in ["before", "peak", "after"].into_iter().zip(memory.await??) {
        table.memory(&format!("strangers: memory of the host, {name}"), bytes, None)?;
    }
    Ok(())
}

fn report(table: &mut Table, what: &str, all: &Requests) -> Result<()> {
    for (phase, name) in MEASURED {
        let times: Vec<_> = all.iter().filter(|(at, _)| *at == phase).map(|(_, took)| *took).collect();
        table.times(&format!("strangers: {what}, {name}"), &Samples::of(&times)?, None);
    }
    Ok(())
}

/// One paired device that goes on with its work.
async fn requests(mut connection: DeviceConnection, phase: watch::Receiver<Phase>) -> Result<Requests> {
    let mut times = Requests::new();
    loop {
        let at = *phase.borrow();
        if at == Phase::Over {
            return Ok(times);
        }
        let started = Instant::now();
        connection.call(Identify {}).await.with_context(|| format!("a paired device, {at:?}"))?;
        times.push((at, started.elapsed()));
        tokio::time::sleep(PACE).await;
    }
}

/// One paired device that connects again and again: its handshake stands in line with the strangers'.
async fn visits(device: TestDevice, phase: watch::Receiver<Phase>) -> Result<Requests> {
    let (to, key) = (candidates(&[device.home()?.address]), device.home()?.host.signing);
    let mut times = Requests::new();
    loop {
        let at = *phase.borrow();
        if at == Phase::Over {
            return Ok(times);
        }
        let started = Instant::now();
        let peer = device.dialer().session(&to, key).await;
        let peer = peer.with_context(|| format!("a paired device connects, {at:?}"))?;
        times.push((at, started.elapsed()));
        peer.close(CloseCode::Done);
        tokio::time::sleep(PACE * 4).await;
    }
}

/// Resident memory before, at its highest, and at the end. Keeps the host alive meanwhile.
async fn peak(host: std::sync::Arc<TestHost>, phase: watch::Receiver<Phase>) -> Result<[u64; 3]> {
    let before = resident(&host)?;
    let (mut highest, mut last) = (before, before);
    while *phase.borrow() != Phase::Over {
        last = resident(&host)?;
        highest = highest.max(last);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok([before, highest, last])
}

/// Somebody without a pairing who knows where the host is, and its key.
struct Strangers {
    keys: IdentityKeys,
    address: SocketAddr,
    host: [u8; 32],
}

impl Strangers {
    fn config(&self, alpn: &[u8]) -> Result<quinn::ClientConfig> {
        raw::client_config(&self.keys, alpn, self.host)
    }

    /// First packets of as many connections, caught by a socket that never answers. Made beforehand: what is measured
    /// later is the host, not their making.
    async fn first_packets(&self) -> Result<Vec<Vec<u8>>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (to, config) = (socket.local_addr()?, self.config(ALPN_SESSION)?);
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let (mut known, mut packets) = (HashSet::new(), Vec::with_capacity(HALF_OPEN));
        let mut buffer = [0; 2048];
        while packets.len() < HALF_OPEN {
            let connecting = endpoint.connect_with(config.clone(), to, "strangers")?;
            loop {
                let length = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await??;
                // RFC 9000 §17.2: flags, version (4), length of the connection id, connection id.
                let packet = &buffer[..length];
                let id = packet.get(6..6 + usize::from(packet[5])).context("not a long header")?;
                // Seen ones are repetitions, and the farewells of those given up below.
                if known.insert(id.to_vec()) {
                    packets.push(packet.to_vec());
                    break;
                }
            }
            drop(connecting);
        }
        Ok(packets)
    }

    /// Sends first packets and nothing after them; answers are never read.
    async fn half_open(&self, packets: &[Vec<u8>]) -> Result<()> {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.push(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        for (burst, some) in packets.chunks(BURST).enumerate() {
            for (number, packet) in some.iter().enumerate() {
                sockets[(burst * BURST + number) % SOCKETS].send_to(packet, self.address).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Whole handshakes with a key nobody knows, each until the host turns it away. Returns how many it told so.
    async fn unknown_keys(&self) -> Result<usize> {
        let (endpoint, config) =
            (Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?, self.config(ALPN_SESSION)?);
        let one = || async {
            let connecting = endpoint.connect_with(config.clone(), self.address, "strangers")?;
            let Ok(connection) = connecting.await else { return anyhow::Ok(0) };
            ensure!(connection.accept_bi().await.is_err(), "a stranger was served");
            let told = connection.close_reason();
            let right = u64::from(CloseCode::NotPaired.number());
            Ok(usize::from(
                matches!(told, Some(quinn::ConnectionError::ApplicationClosed(close)) if close.error_code.into_inner() == right),
            ))
        };
        let mut told = 0;
        for _ in 0..UNKNOWN / AT_A_TIME {
            told += try_join_all((0..AT_A_TIME).map(|_| one())).await?.into_iter().sum::<usize>();
        }
        Ok(told)
    }

    /// Opens pairings and goes no further. Returns those the host has let in so far.
    async fn stall(&self) -> Result<Vec<(Endpoint, quinn::Connection, quinn::SendStream)>> {
        let config = self.config(ALPN_PAIRING)?;
        let one = || async {
            let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
            let connecting = endpoint.connect_with(config.clone(), self.address, "strangers")?;
            let Ok(connection) = connecting.await else { return anyhow::Ok(None) };
            let Ok((mut send, _)) = connection.open_bi().await else { return Ok(None) };
            // The length of a frame that never comes. Being cut off already is one of the right answers.
            let _ = send.write_all(&[0, 0, 1, 0]).await;
            Ok(Some((endpoint, connection, send)))
        };
        let mut held = Vec::new();
        for _ in 0..STALLED / AT_A_TIME {
            held.extend(try_join_all((0..AT_A_TIME).map(|_| one())).await?.into_iter().flatten());
        }
        Ok(held)
    }
}
