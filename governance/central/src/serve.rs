//! Taking connections: plain HTTP on loopback only, TLS everywhere else, client certificates optional.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::authenticate::PeerCertificate;
use crate::proxy::{self, Network, ProxyError};

/// Connections at once. Each host keeps one or two; the next waits until one ends.
const MAX_CONNECTIONS: usize = 25_000;

/// How long a handshake, and the head of a request, may take.
const SLOW: Duration = Duration::from_secs(15);

/// How long answers under way may take once it stops.
const STOP: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a caller is listened to that goes on sending although it has its answer: as much as
/// is on its way through slow networks, and as long as an answer takes to be read.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: u64 = 64 << 20;

/// Where a request came from: its own address, also behind a proxy that says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From(pub(crate) SocketAddr);

/// How connections are taken.
pub(crate) enum Transport {
    /// Loopback only.
    Plain,
    /// The configuration of the moment: certificates are renewed while it runs.
    Tls(watch::Receiver<Arc<ServerConfig>>),
}

/// Serves until stopped, then lets answers under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    transport: Transport,
    proxies: Vec<Network>,
    router: Router,
    stop: CancellationToken,
) {
    let proxies: Arc<[Network]> = proxies.into();
    let (connections, places) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, for one: others must end first.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers at once.
        let _ = stream.set_nodelay(true);
        let (router, stop, proxies) = (router.clone(), stop.clone(), proxies.clone());
        let config = match &transport {
            Transport::Plain => None,
            Transport::Tls(current) => Some(current.borrow().clone()),
        };
        connections.spawn(async move {
            let _place = place;
            // What is needed to begin is not kept for as long as it lasts: each future is as large as the largest thing
            // it ever holds, and there is one for each of ten thousand hosts that wait.
            match Box::pin(begin(stream, from, &proxies, config)).await {
                Ok(begun) => converse(begun, router, stop).await,
                Err(error) => tracing::debug!(%error, %from, "a connection is not taken"),
            }
        });
    }
    connections.close();
    if tokio::time::timeout(STOP, connections.wait()).await.is_err() {
        tracing::debug!("some answers did not end in time");
    }
}

/// Bytes in both directions, in the clear or through TLS. Boxed: it is moved about, and is not small.
trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

/// A connection that is ready for requests.
struct Begun {
    stream: Pin<Box<dyn Duplex>>,
    /// Where it came from.
    from: SocketAddr,
    certificate: Option<PeerCertificate>,
}

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("a TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("a TLS handshake took too long")]
    Slow,
}

/// What comes before the first request: the proxy's word, the TLS handshake.
async fn begin(
    mut stream: TcpStream,
    from: SocketAddr,
    proxies: &[Network],
    config: Option<Arc<ServerConfig>>,
) -> Result<Begun, BeginError> {
    let from = proxy::source(proxies, &mut stream, from).await?;
    let Some(config) = config else {
        return Ok(Begun { stream: Box::pin(stream), from, certificate: None });
    };
    let accepted = tokio::time::timeout(SLOW, TlsAcceptor::from(config).accept(stream)).await;
    let stream = accepted.map_err(|_| BeginError::Slow)?.map_err(BeginError::Handshake)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.map(|der| PeerCertificate(der.as_ref().into()));
    Ok(Begun { stream: Box::pin(stream), from, certificate })
}

async fn converse(begun: Begun, router: Router, stop: CancellationToken) {
    let Begun { stream, from, certificate } = begun;
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(From(from));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        router.clone().oneshot(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOW)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = stop.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    match ended {
        Ok(()) => Box::pin(part(connection.into_parts().io.into_inner())).await,
        Err(error) => tracing::debug!(%error, %from, "a connection ended early"),
    }
}

/// Ends a connection so that the last answer is read. Whoever was refused in the middle of a long body would otherwise
/// find the connection broken, and never see why; what still comes is thrown away.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever came of it, the connection is over.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
