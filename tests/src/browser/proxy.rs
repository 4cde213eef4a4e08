//! A proxy between browser and host that ends TLS, as companies have them: a real nginx with a certificate of its own,
//! and behind it, in the clear, everything it passes on.
//!
//! ```text
//! browser ── TLS of nginx ──▶ nginx ── plain, kept ──▶ relay ── TLS of the host ──▶ host
//! ```
//! It stands at another loopback address with the host's own port, and leaves `Host` and `Origin` as the browser wrote
//! them. A host answers under its own names only; on one machine every loopback address is one of them. So this shows
//! what such a proxy sees, not that a proxy of another name would be served: it is refused, as DNS rebinding is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::machine::{Machine, own_loopback};

/// What the proxy does not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// It lets everything through.
    Nothing,
    /// WebSockets, with 403.
    WebSocket,
}

/// What went over one connection, each way, without TLS.
#[derive(Debug, Default)]
struct Seen {
    up: Vec<u8>,
    down: Vec<u8>,
}

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    nginx: Child,
    relay: JoinHandle<()>,
    at: String,
    seen: Arc<Mutex<Vec<Arc<Mutex<Seen>>>>>,
    dir: TempDir,
}

/// Name of the configuration in the proxy's directory.
const CONFIG: &str = "nginx.conf";

fn nginx(dir: &Path) -> Result<Child> {
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(dir).arg("-c").arg(dir.join(CONFIG)).args(["-e", "stderr"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().context("nginx (Debian: nginx-light)")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.relay.abort();
        // Ended already is as good; it is killed when dropped, too.
        let _ = self.nginx.start_kill();
    }
}

impl Proxy {
    /// Starts one before a host.
    ///
    /// # Errors
    /// nginx is not installed (`cargo xtask test` installs it), or does not start.
    pub async fn before(host: &Machine, refuses: Refuses) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lanyard-proxy-").tempdir()?;
        let at = own_loopback();
        let seen = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let behind = listener.local_addr()?;
        let relay = tokio::spawn(relay(listener, host.loopback()?, Arc::clone(&seen)));
        certificate(dir.path(), &at).await?;
        std::fs::write(dir.path().join(CONFIG), configuration(dir.path(), &at, behind, refuses))?;
        let proxy = Self { nginx: nginx(dir.path())?, relay, at, seen, dir };
        proxy.listens().await?;
        Ok(proxy)
    }

    /// It is killed, with every connection through it.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn falls(&mut self) -> Result<()> {
        Ok(self.nginx.kill().await?)
    }

    /// It is started anew.
    ///
    /// # Errors
    /// As [`Proxy::before`].
    pub async fn rises(&mut self) -> Result<()> {
        self.nginx = nginx(self.dir.path())?;
        self.listens().await
    }

    async fn listens(&self) -> Result<()> {
        for _ in 0..1_200 {
            if TcpStream::connect(&self.at).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::bail!("nginx does not listen at {}", self.at)
    }

    /// The same link, by way of the proxy.
    ///
    /// # Errors
    /// It is no link.
    pub fn leads(&self, link: &str) -> Result<String> {
        let (_, fragment) = link.split_once("/#").context("a link has a fragment")?;
        Ok(format!("https://{}/#{fragment}", self.at))
    }

    /// Everything that was passed on, up and down, as whoever owns the proxy reads it: WebSocket frames without the mask
    /// that browsers put over them.
    pub fn read(&self) -> Vec<u8> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for one in seen.iter() {
            let one = one.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(&one.up);
            if one.up.starts_with(b"GET /channel ") {
                all.extend(unmasked(&one.up));
            }
            all.extend_from_slice(&one.down);
        }
        all
    }

    /// Whether a text was passed on as it is.
    pub fn has_read(&self, text: &str) -> bool {
        self.read().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// A certificate of the proxy's own.
async fn certificate(dir: &Path, at: &str) -> Result<()> {
    let address = at.parse::<SocketAddr>()?.ip();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=proxy", "-keyout", "key.pem", "-out", "cert.pem"]);
    command.arg("-addext").arg(format!("subjectAltName=IP:{address}"));
    let output = command.current_dir(dir).stdin(Stdio::null()).output().await.context("openssl")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn configuration(dir: &Path, at: &str, behind: SocketAddr, refuses: Refuses) -> String {
    let dir = dir.display();
    let websocket = match refuses {
        Refuses::Nothing => "",
        Refuses::WebSocket => "location = /channel { return 403; }",
    };
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr crit;
events {{}}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    map $http_upgrade $passed_on {{ default upgrade; '' close; }}
    server {{
        listen {at} ssl;
        ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
        client_max_body_size 16m;
        {websocket}
        location / {{
            proxy_pass http://{behind};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $passed_on;
            proxy_buffering off; proxy_request_buffering off;
            proxy_read_timeout 1h; proxy_send_timeout 1h;
        }}
    }}
}}
"
    )
}

/// Takes what nginx passes on, keeps it, and carries it to the host.
async fn relay(listener: TcpListener, host: SocketAddr, seen: Arc<Mutex<Vec<Arc<Mutex<Seen>>>>>) {
    let connector = TlsConnector::from(Arc::new(trusting()));
    while let Ok((plain, _)) = listener.accept().await {
        let kept: Arc<Mutex<Seen>> = Arc::default();
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&kept));
        let connector = connector.clone();
        tokio::spawn(async move {
            let Ok(line) = TcpStream::connect(host).await else { return };
            let Ok(line) = connector.connect(ServerName::from(host.ip()), line).await else { return };
            let (mut from_browser, mut to_browser) = plain.into_split();
            let (mut from_host, mut to_host) = tokio::io::split(line);
            let up = carry(&mut from_browser, &mut to_host, |bytes| keep(&kept, |seen| &mut seen.up, bytes));
            let down =
                carry(&mut from_host, &mut to_browser, |bytes| keep(&kept, |seen| &mut seen.down, bytes));
            // Either end means that it is over; nginx says so, too.
            tokio::select! { () = up => {} () = down => {} }
        });
    }
}

fn keep(kept: &Mutex<Seen>, which: impl Fn(&mut Seen) -> &mut Vec<u8>, bytes: &[u8]) {
    which(&mut kept.lock().unwrap_or_else(PoisonError::into_inner)).extend_from_slice(bytes);
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    keep: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        keep(&buffer[..read]);
        let passed = async {
            to.write_all(&buffer[..read]).await?;
            to.flush().await
        };
        if read == 0 || passed.await.is_err() {
            return;
        }
    }
}

/// The payloads of a browser's frames (RFC 6455 §5.2), after the request that opened the WebSocket.
fn unmasked(up: &[u8]) -> Vec<u8> {
    let mut rest = up.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |at| &up[at + 4..]);
    let mut all = Vec::new();
    while let [_, short, after @ ..] = rest {
        let (length, after) = match (short & 0x7f, after) {
            (126, [a, b, after @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), after),
            (127, long) if long.len() >= 8 => {
                let (long, after) = long.split_at(8);
                (long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), after)
            }
            (short, after) => (u64::from(short), after),
        };
        let Some((mask, after)) = after.split_at_checked(4) else { break };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(after.len());
        all.extend(after[..length].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        rest = &after[length..];
    }
    all
}

/// Like proxies that are told not to look at certificates.
fn trusting() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    // The provider has all of them.
    let versions = versions.unwrap_or_else(|error| panic!("no TLS: {error}"));
    versions.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::unmasked;

    #[test]
    fn frames_are_read_under_their_masks() {
        let mut up = b"GET /channel HTTP/1.1\r\n\r\n".to_vec();
        let mask = [1, 2, 3, 4];
        let masked =
            |text: &[u8]| text.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
        up.extend([0x82, 0x80 | 5]);
        up.extend(mask);
        up.extend(masked(b"short"));
        up.extend([0x82, 0x80 | 126, 0, 200]);
        up.extend(mask);
        up.extend(masked(&[b'x'; 200]));
        assert_eq!(unmasked(&up), [&b"short"[..], &[b'x'; 200]].concat());
        assert_eq!(unmasked(b"GET /channel HTTP/1.1\r\n"), b"");
    }
}
