//! What no QUIC host can be faster than: plain quinn with the same TLS (mutual Ed25519 raw public keys, RFC 7250), and an
//! echo server that does nothing. The server has threads of its own, as a host has.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_pairing::IdentityKeys;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rand_core::OsRng;

use super::tls;

/// Size of an echo: about a light request's.
pub(crate) const ECHO: usize = 64;

/// Spoken by the floor alone.
const ALPN: &[u8] = b"floor";

/// First byte of a message: its echo is all, and ends the stream with it.
const ONCE: u8 = b'1';

/// More messages follow.
const AGAIN: u8 = b'+';

/// It asks for bytes instead of its echo; their number follows.
const BULK: u8 = b'B';

/// Written at a time when asked for bytes.
static CHUNK: [u8; 64 * 1024] = [7; 64 * 1024];

/// A server without a host behind it, and a client of it. The server ends with the process.
pub(crate) struct Floor {
    client: Endpoint,
    address: SocketAddr,
}

impl Floor {
    /// Starts the server on a free port of loopback.
    pub(crate) fn start() -> Result<Self> {
        let (host, device) = (IdentityKeys::generate(&mut OsRng), IdentityKeys::generate(&mut OsRng));
        let server = QuicServerConfig::try_from(tls::server(&host, ALPN)?)?;
        let server = quinn::ServerConfig::with_crypto(Arc::new(server));
        let (told, address) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("floor".into()).spawn(move || -> Result<()> {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async {
                let endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
                told.send(endpoint.local_addr()?)?;
                while let Some(incoming) = endpoint.accept().await {
                    tokio::spawn(async move {
                        // A client that goes away in the middle is how each of them ends.
                        if let Ok(connection) = incoming.await {
                            serve(connection).await;
                        }
                    });
                }
                Ok(())
            })
        })?;
        let address = address.recv().context("the floor's server did not start")?;
        let mut client = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        client.set_default_client_config(client_config(&device, ALPN, host.public().signing)?);
        Ok(Self { client, address })
    }

    /// A connection, its handshake done on this side.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        Ok(self.client.connect(self.address, "floor")?.await?)
    }
}

/// A client's configuration with quinn's own defaults.
pub(crate) fn client_config(
    keys: &IdentityKeys,
    alpn: &[u8],
    server: [u8; 32],
) -> Result<quinn::ClientConfig> {
    let client = QuicClientConfig::try_from(tls::client(keys, alpn, server)?)?;
    Ok(quinn::ClientConfig::new(Arc::new(client)))
}

async fn serve(connection: Connection) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            // The client's stream ends however it likes; it measures what it gets.
            let _ = stream(send, receive).await;
        });
    }
}

async fn stream(mut send: SendStream, mut receive: RecvStream) -> Result<()> {
    let mut message = [0; ECHO];
    while receive.read_exact(&mut message).await.is_ok() {
        if message[0] != BULK {
            send.write_all(&message).await?;
            // At once, so that the end goes out with the echo, in one packet.
            if message[0] == ONCE {
                break;
            }
            continue;
        }
        let mut left = u64::from_be_bytes(message[1..9].try_into()?);
        while left > 0 {
            let part = CHUNK.len().min(usize::try_from(left)?);
            send.write_all(&CHUNK[..part]).await?;
            left -= part as u64;
        }
    }
    send.finish()?;
    // So that nothing is left unread, which would be told to the client.
    receive.read_to_end(0).await?;
    Ok(())
}

/// One echo on a stream of its own, as a request has; as there, the last byte counts, not the end of the stream.
pub(crate) async fn echo(connection: &Connection) -> Result<Duration> {
    let (message, mut echoed) = ([ONCE; ECHO], [0; ECHO]);
    let started = Instant::now();
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&message).await?;
    send.finish()?;
    receive.read_exact(&mut echoed).await?;
    let took = started.elapsed();
    anyhow::ensure!(receive.read_to_end(0).await.is_ok(), "more than the echo came");
    Ok(took)
}

/// Echoes on one stream that stays open.
pub(crate) async fn echoes(connection: &Connection, count: usize) -> Result<Vec<Duration>> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let (message, mut echoed) = ([AGAIN; ECHO], [0; ECHO]);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        send.write_all(&message).await?;
        receive.read_exact(&mut echoed).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

/// So many bytes on one stream, from the request to the last of them.
pub(crate) async fn bulk(connection: &Connection, bytes: u64) -> Result<Duration> {
    let mut message = [0; ECHO];
    message[0] = BULK;
    message[1..9].copy_from_slice(&bytes.to_be_bytes());
    let started = Instant::now();
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&message).await?;
    send.finish()?;
    let (mut buffer, mut got) = (vec![0; CHUNK.len()], 0);
    while let Some(read) = receive.read(&mut buffer).await? {
        got += read as u64;
    }
    anyhow::ensure!(got == bytes, "{got} of {bytes} bytes came");
    Ok(started.elapsed())
}
