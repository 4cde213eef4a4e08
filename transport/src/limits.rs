//! The limits of a connection, at both ends, before and after the peer is known.
//!
//! Windows cost memory only while they are filled. What counts for a thousand idle devices is that nothing here is set
//! aside in advance; what counts against strangers is how much they can make a host hold.

use std::sync::Arc;
use std::time::Duration;

use quinn::{NoneTokenStore, TransportConfig, VarInt};

/// Silence after which a connection is given up. Long enough for a phone that changes networks.
pub const IDLE: Duration = Duration::from_secs(30);

/// How often a device makes itself heard, so that [`IDLE`] survives one lost packet and address translation stays open.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stranger may take for its handshake. A phone on a bad Wi-Fi needs one second.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// Strangers in the middle of a handshake, on each way into a host. Each costs some tens of KiB; an honest one is over in milliseconds.
pub const MAX_HANDSHAKES: usize = 64;

/// Handshakes under way from which on a stranger has to show that its address is its own (RFC 9000 §8.1.2), which costs
/// it a round trip and a flood of forged addresses all its effect.
pub const RETRY_ABOVE: usize = 16;

/// How long a handshake is safe from being given up for a newer one when all [`MAX_HANDSHAKES`] places are taken. Many
/// times what an honest one takes; so an attacker has to win every place again each time.
pub const HANDSHAKE_GRACE: Duration = Duration::from_millis(250);

/// Connections on the pairing protocol, on all ways into a host together. A household pairs one device at a time; those that wait for an answer count.
pub const MAX_PAIRING: usize = 32;

/// Streams a paired device may have open: [`lanyard_client::MAX_SUBSCRIPTIONS`], the host's log, and some requests;
/// further ones wait for one of them to end. Each costs an idle connection memory at both ends: 256 instead of 100 made
/// 50 KiB of its 34.
pub const SESSION_STREAMS: u32 = 100;

/// Streams of a stranger: pairing needs one.
const STRANGER_STREAMS: u32 = 2;

/// What a stranger may send without being read; a pairing message has at most 8 KiB.
const STRANGER_WINDOW: u32 = 64 * 1024;

/// What a paired device may send without being read: some of the longest frames.
const HOST_WINDOW: u32 = 4 << 20;

/// The same for one stream: a quarter of a frame in flight is enough on a local network.
const HOST_STREAM_WINDOW: u32 = 256 * 1024;

/// What a host holds for a device that does not read. 1 MiB in flight is 200 MB/s at 5 ms.
const HOST_SEND_WINDOW: u64 = 1 << 20;

/// What a device takes in advance: on one stream, a download at full speed; in all, several of them.
const DEVICE_STREAM_WINDOW: u32 = 1 << 20;
const DEVICE_WINDOW: u32 = 8 << 20;

/// What a device holds for a host that does not read: its longest frame, and room.
const DEVICE_SEND_WINDOW: u64 = 2 << 20;

/// The first guess of a round trip. QUIC's own, 333 ms, is for the wide world; here it would make one lost packet of the
/// handshake cost a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Connection attempts quinn keeps until they are looked at, and bytes of each and of all.
const MAX_INCOMING: usize = 64;
const INCOMING_BYTES: u64 = 8 * 1024;
const ALL_INCOMING_BYTES: u64 = 256 * 1024;

/// A host's endpoint.
pub(crate) fn host(tls: quinn::crypto::rustls::QuicServerConfig) -> quinn::ServerConfig {
    let mut transport = common();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STRANGER_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .stream_receive_window(VarInt::from_u32(HOST_STREAM_WINDOW))
        .send_window(u64::from(STRANGER_WINDOW));
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
    config
}

/// What a stranger gets once it is a paired device.
pub(crate) fn widen(connection: &quinn::Connection) {
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(SESSION_STREAMS));
    connection.set_receive_window(VarInt::from_u32(HOST_WINDOW));
    connection.set_send_window(HOST_SEND_WINDOW);
}

/// A device's connection.
pub(crate) fn device(tls: quinn::crypto::rustls::QuicClientConfig) -> quinn::ClientConfig {
    let mut transport = common();
    transport
        // A host opens one stream, for its welcome.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .receive_window(VarInt::from_u32(DEVICE_WINDOW))
        .stream_receive_window(VarInt::from_u32(DEVICE_STREAM_WINDOW))
        .send_window(DEVICE_SEND_WINDOW)
        .keep_alive_interval(Some(KEEP_ALIVE));
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    // Tokens are stored by name, and hosts have none here.
    config.transport_config(Arc::new(transport)).token_store(Arc::new(NoneTokenStore));
    config
}

fn common() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = VarInt::from_u32(u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX));
    transport.max_idle_timeout(Some(idle.into())).initial_rtt(INITIAL_RTT).datagram_receive_buffer_size(None);
    transport
}
