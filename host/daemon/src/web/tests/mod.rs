//! The page over real sockets on the loopback address, with a browser's manners and without.

mod carriers;
mod certificates;
mod life;
mod meant;
mod posts;
mod requests;
mod trust;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lanyard_pairing::Fingerprint;
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::HostId;
use lanyard_transport::noise::Carrier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::assets::{self, Assets};
use super::pace::Pace;
use super::{Web, WebParts, name};

/// Far longer than anything takes that is to happen.
const SOON: Duration = Duration::from_secs(30);

/// Some day.
const START: i64 = 1_800_000_000_000;

/// A clock that a test moves.
#[derive(Default)]
struct Hand(AtomicI64);

impl Hand {
    fn forward_days(&self, days: i64) {
        self.0.fetch_add(days * 24 * 60 * 60 * 1000, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.0.load(Ordering::SeqCst))
    }
}

/// A page that is served.
struct Page {
    dir: tempfile::TempDir,
    web: Web,
    address: SocketAddr,
    clock: Arc<Hand>,
    id: watch::Sender<HostId>,
    opened: mpsc::UnboundedReceiver<Carrier>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn id(seed: u8) -> HostId {
    HostId::new(Fingerprint::from_bytes([seed; 32]).to_string()).unwrap()
}

impl Page {
    fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), assets::sample(), Pace::default())
    }

    fn at_pace(pace: Pace) -> Self {
        Self::with(tempfile::tempdir().unwrap(), assets::sample(), pace)
    }

    fn with(dir: tempfile::TempDir, assets: Assets, pace: Pace) -> Self {
        let listener = lanyard_transport::host::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(Hand::default());
        let (id, host_id) = watch::channel(id(7));
        let mut web = Web::new(WebParts {
            listener: Ok(Some(listener)),
            reachable: |bound| vec![bound],
            state_dir: dir.path(),
            clock: clock.clone(),
            host_id,
            host_name: "Mia's <b>studio</b>".to_owned(),
        });
        web.assets = assets;
        let (open, opened) = mpsc::unbounded_channel();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        web.serve_at(Arc::new(move |carrier| drop(open.send(carrier))), &tasks, &stop, pace);
        Self { dir, web, address, clock, id, opened, tasks, stop }
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(SOON, self.tasks.wait()).await.unwrap();
        self.dir
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    /// The own `.local` name.
    fn name(&self) -> String {
        name(&self.web.host_id)
    }

    /// `https://…` by name.
    fn origin(&self) -> String {
        format!("https://{}:{}", self.name(), self.port())
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// As a browser that was led here by name.
    async fn tls(&self) -> TlsStream<TcpStream> {
        self.tls_for(&self.name()).await
    }

    /// `asked` is a name, or an address, which is not told.
    async fn tls_for(&self, asked: &str) -> TlsStream<TcpStream> {
        connect(self.address, asked).await.unwrap()
    }

    /// A request by HTTPS, under the host's own name, with these lines of header besides.
    async fn ask(&self, line: &str, headers: &[(&str, &str)]) -> Answer {
        let host = format!("{}:{}", self.name(), self.port());
        exchange(self.tls().await, line, &host, headers, b"").await
    }

    /// A POST from the page.
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let host = format!("{}:{}", self.name(), self.port());
        let origin = self.origin();
        let all = [headers, &[("origin", origin.as_str())]].concat();
        exchange(self.tls().await, &format!("POST {path}"), &host, &all, body).await
    }

    async fn carrier(&mut self) -> Carrier {
        tokio::time::timeout(SOON, self.opened.recv()).await.unwrap().unwrap()
    }
}

async fn connect(address: SocketAddr, asked: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let asked = match asked.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(asked.to_owned()).unwrap(),
    };
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(asked, stream).await
}

/// Takes every certificate, as somebody who has clicked the warning away.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has headers");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn request(line: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || line.starts_with("POST") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// One request on a connection of its own.
async fn exchange(
    mut line: impl AsyncRead + AsyncWrite + Unpin,
    first: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let all = [headers, &[("connection", "close")]].concat();
    line.write_all(&request(first, host, &all, body)).await.unwrap();
    Answer::parse(&rest(line).await)
}

/// Everything until the other end hangs up, however it does.
async fn rest(mut line: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::time::timeout(SOON, async {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = line.read(&mut piece).await {
            all.extend_from_slice(&piece[..length]);
        }
    })
    .await
    .expect("the other end hangs up");
    all
}
