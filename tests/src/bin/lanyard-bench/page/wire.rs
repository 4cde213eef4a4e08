//! What a browser does below the page, natively: a WebSocket over TLS to the host's page, past the warning about its
//! certificate, and a client of the API over the channel inside. And a server that only echoes, as floor.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use lanyard_client::{Client, Incoming, Tick};
use lanyard_pairing::IdentityKeys;
use lanyard_protocol::codec::PostcardCodec;
use lanyard_protocol::method::Call;
use lanyard_tests::device::TestDevice;
use lanyard_transport::noise::{Carrier, CarrierEnd, NoisePeer, device};
use lanyard_transport::session::Session;
use rand_core::{OsRng, RngCore};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::PATIENCE;
use crate::network::raw::ECHO;
use crate::network::tls;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// What a page calls the protocol inside its WebSocket.
const PROTOCOL: &str = "lanyard.v1";

/// All of HTTP that a WebSocket begins with.
const ALPN: &[u8] = b"http/1.1";

/// `protocol`: what is spoken inside, where the server wants to know.
async fn socket(address: SocketAddr, tls: ClientConfig, protocol: Option<&str>) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(address.ip().into(), stream).await?;
    let mut request = format!("wss://{address}/channel").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("origin", format!("https://{address}").parse()?);
    if let Some(protocol) = protocol {
        headers.insert("sec-websocket-protocol", protocol.parse()?);
    }
    let (socket, _) = client_async(request, stream).await.context("no WebSocket")?;
    Ok(socket)
}

/// A page without a browser: the API over the channel of a paired device. The connection ends when it is dropped.
pub(super) struct Tab {
    client: Client<PostcardCodec, fn() -> u128>,
    session: Session<NoisePeer>,
    since: Instant,
}

impl Tab {
    /// Connects as a device that is paired already, with the keys it has.
    pub(super) async fn of(device: &TestDevice) -> Result<Self> {
        let home = device.home()?;
        let socket = socket(home.address, anybody()?, Some(PROTOCOL)).await?;
        let (carrier, end) = Carrier::new(home.address);
        tokio::spawn(carry(socket, end));
        let peer = device::connect(carrier, device.keys(), &home.host.agreement).await?;
        let mut client = Client::new(PostcardCodec, chance as fn() -> u128).without_probes();
        client.on_connected(Tick::from_millis(0));
        Ok(Self { client, session: Session::over(peer), since: Instant::now() })
    }

    /// Calls a method that is expected to work.
    pub(super) async fn call<C: Call>(&mut self, call: C) -> Result<C::Result> {
        let wanted = self.client.call(call)?;
        let answered = async {
            loop {
                while let Some(frame) = self.client.poll_transmit() {
                    self.session.send(frame).await?;
                }
                let frame = self.session.receive().await?;
                let now = Tick::from_millis(u64::try_from(self.since.elapsed().as_millis())?);
                for incoming in self.client.feed(&frame, now)? {
                    match incoming {
                        Incoming::Reply { id, answer, .. } if id == wanted => {
                            return C::from_response(*answer?).context("an answer to another method");
                        }
                        Incoming::Unanswered { .. } => bail!("whether the call took effect is unknown"),
                        _ => {}
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.context("no answer came")?
    }
}

fn chance() -> u128 {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// Moves the channel's messages until either side ends.
async fn carry(socket: Socket, CarrierEnd { arrived, mut departing }: CarrierEnd) {
    let (mut sink, mut stream) = socket.split();
    let sending = async {
        while let Some(message) = departing.recv().await {
            if sink.send(Message::Binary(message.into())).await.is_err() {
                return;
            }
        }
        // The host ends the line when it has heard this; whoever dropped the tab does not wait for it.
        let _ = sink.close().await;
    };
    let receiving = async {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Binary(bytes) = message
                && arrived.send(bytes.into()).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
}

/// A server of WebSockets over TLS without a host behind it, and a connection to it. The server ends with the process.
pub(super) struct Echo(Socket);

impl Echo {
    /// Starts the server on a free port of loopback, with threads of its own as a host has, and connects.
    pub(super) async fn start() -> Result<Self> {
        let (host, device) = (IdentityKeys::generate(&mut OsRng), IdentityKeys::generate(&mut OsRng));
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(&host, ALPN)?));
        let (told, address) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("echo".into()).spawn(move || -> Result<()> {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                told.send(listener.local_addr()?)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        // The client measures what it gets; how its connection ends is of no interest.
                        let _ = echo(acceptor, stream).await;
                    });
                }
            })
        })?;
        let address = address.recv().context("the echo's server did not start")?;
        Ok(Self(socket(address, tls::client(&device, ALPN, host.public().signing)?, None).await?))
    }

    /// One message there and back.
    pub(super) async fn round_trip(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.0.send(Message::Binary([7; ECHO].to_vec().into())).await?;
        let echoed = self.0.next().await.context("the echo's server hung up")??;
        let took = started.elapsed();
        anyhow::ensure!(echoed.len() == ECHO, "{echoed:?} came back");
        Ok(took)
    }
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        match message? {
            message @ Message::Binary(_) => socket.send(message).await?,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// TLS to whoever answers, as in a browser whose person goes on past the warning: the channel inside proves the host.
fn anybody() -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
