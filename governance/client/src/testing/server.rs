//! The centre's sockets.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, DATE};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures_util::stream;
use lanyard_protocol::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Ca, DAY, Fake, Hit};

/// A server, until it is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) directory: Option<tempfile::TempDir>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
struct Peer(Option<Vec<u8>>);

impl axum::extract::connect_info::Connected<IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        stream.remote_addr().clone()
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self(None)
    }
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Peer) {
        loop {
            let (tcp, _) = self.tcp.accept().await.unwrap();
            let Ok(stream) = self.acceptor.accept(tcp).await else { continue };
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = certificates.and_then(|chain| chain.first()).map(|first| first.to_vec());
            return (stream, Peer(peer));
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer(None))
    }
}

impl Fake {
    fn router(self: &Arc<Self>) -> Router {
        let fake = self.clone();
        Router::new().fallback(move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request| async move {
            let (head, body) = request.into_parts();
            let Ok(body) = to_bytes(body, 64 << 20).await else { return cut_answer() };
            let bearer = head.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            let mut answer = fake.answer(Hit {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                bearer: bearer.and_then(|bearer| Some(bearer.strip_prefix("Bearer ")?.to_owned())),
                headers: head.headers,
                peer: peer.0,
                body: body.to_vec(),
            });
            if fake.books().hides_date {
                answer.headers_mut().insert(DATE, HeaderValue::from_static("never"));
            }
            answer
        })
    }

    /// Over loopback HTTP.
    pub(crate) async fn serve(self: &Arc<Self>) -> Running {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.serve_on(tcp)
    }

    /// Over loopback HTTP, on a socket that is there already.
    pub(crate) fn serve_on(self: &Arc<Self>, tcp: TcpListener) -> Running {
        let address = tcp.local_addr().unwrap();
        let service = self.router().into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move { axum::serve(tcp, service).await.unwrap() });
        Running { url: format!("http://{address}"), directory: None, task }
    }

    /// Over TLS, with a certificate of its own CA for a name.
    pub(crate) async fn serve_tls(self: &Arc<Self>, name: &str) -> Running {
        let now = Timestamp::now();
        self.serve_tls_as(&self.ca, name, now.plus_millis(-60_000), now.plus_millis(90 * DAY)).await
    }

    /// Over TLS, with a certificate of some CA.
    pub(crate) async fn serve_tls_as(
        self: &Arc<Self>,
        ca: &Ca,
        name: &str,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Running {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let (certificate, key) = ca.server(name, not_before, not_after);
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = tcp.local_addr().unwrap();
        let listener = Tls { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let service = self.router().into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Running { url: format!("https://{address}"), directory: None, task }
    }
}

/// An answer that breaks off after its head.
pub(crate) fn cut_answer() -> Response {
    Body::from_stream(stream::once(async { Err::<Bytes, _>(io::Error::other("cut")) })).into_response()
}

/// An answer that never ends.
pub(crate) fn drip() -> Response {
    let piece = Bytes::from(vec![b' '; 1 << 16]);
    Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()))).into_response()
}
