//! One connection: plain or TLS by its first byte, then requests, each checked before it is answered.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::carrier::{self, Bearer, stopped};
use super::own::{Origin, Scheme, Standing, Way, asked_by_page, read_by_page, standing};
use super::places::Place;
use super::{Site, headers, pages};

/// Most bytes of a request's headers, and most of them. A browser sends one kilobyte and twenty.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// First byte of a TLS handshake (RFC 8446 §5.1); no method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// When the kernel asks a silent peer, how often, and after how many questions without an answer the connection ends. A
/// phone that has left does not say so.
const PROBE_AFTER: Duration = Duration::from_secs(20);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// How long what was sent may stay unconfirmed, or untaken.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(45);

/// A line, plain or TLS.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<L: AsyncRead + AsyncWrite + Send + Unpin> Line for L {}

/// Somebody who is connected.
struct Visit {
    site: Arc<Site>,
    place: Arc<Place>,
    way: Way,
    from: SocketAddr,
}

/// Serves a connection to its end. Bounded: by the place, by the times above, and by the host's stop.
pub(super) async fn attend(site: Arc<Site>, stream: TcpStream, from: SocketAddr, place: Place) {
    let place = Arc::new(place);
    let served = async {
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "a connection could not be tuned");
        }
        let Ok(local) = stream.local_addr() else { return };
        let local = local.ip().to_canonical();
        let begun = timeout(site.pace.handshake, begin(&site, stream, local)).await;
        let Ok(Some((scheme, line))) = begun else { return };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let way = Way { scheme, peer: from.ip(), local, port: site.port };
        let visit = Visit { site: site.clone(), place: place.clone(), way, from };
        serve(Arc::new(visit), line).await;
    };
    tokio::select! {
        () = served => {}
        () = place.given_up() => {}
        () = stopped(&site.stop) => {}
    }
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes.with_retries(PROBES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    Ok(())
}

/// Looks at the first byte, and does the TLS handshake where it begins one.
async fn begin(site: &Site, stream: TcpStream, local: IpAddr) -> Option<(Scheme, Box<dyn Line>)> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first != [TLS_HANDSHAKE] {
        return Some((Scheme::Http, Box::new(stream)));
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let asked = hello.client_hello().server_name().map(str::to_ascii_lowercase);
    let certificate = match site.certificates.choose(asked.as_deref(), &site.name(), local).await {
        Ok(certificate) => certificate,
        // Logged, and in the health report.
        Err(_) => return None,
    };
    match hello.into_stream(certificate.tls).await {
        Ok(line) => Some((Scheme::Https, Box::new(line))),
        Err(error) => {
            // A browser that does not like the certificate hangs up here, each time before it asks its user.
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

async fn serve(visit: Arc<Visit>, line: Box<dyn Line>) {
    let (stop, headers) = (visit.site.stop.clone(), visit.site.pace.headers);
    let service = service_fn(move |request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(answer(&visit, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            // What is under way is finished; `attend` bounds how long.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer(visit: &Visit, request: Request<Incoming>) -> Response<Body> {
    let mut response = match standing(&visit.way, &visit.site.name(), request.uri(), request.headers()) {
        Ok(Standing::Served(origin)) => Box::pin(route(visit, &origin, request.map(Body::new))).await,
        Ok(Standing::Elsewhere(secure)) => unencrypted(visit, &secure, &request),
        Err(refusal) => {
            tracing::debug!(from = %visit.from, why = %refusal, "a request was refused");
            pages::refused(refusal)
        }
    };
    headers::secure(response.headers_mut());
    response
}

/// What somebody elsewhere gets without encryption: what anybody may have, which has to be compared with the host's
/// screen either way, and else where the page is.
fn unencrypted(visit: &Visit, secure: &Origin, request: &Request<Incoming>) -> Response<Body> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let found = if reads { visit.site.downloads.answer(request.uri().path()) } else { None };
    found.unwrap_or_else(|| pages::elsewhere(secure, &visit.site.host_name))
}

/// What there is. `origin` is the one that the request was made to, and it is ours.
async fn route(visit: &Visit, origin: &Origin, request: Request<Body>) -> Response<Body> {
    let site = &visit.site;
    let path = request.uri().path();
    match (path, path.strip_prefix("/carrier/"), request.method()) {
        ("/channel", _, &Method::GET) => match asked_by_page(origin, request.headers()) {
            Ok(()) => carrier::upgrade(request.into_parts().0, bearer(visit)).await,
            Err(refusal) => pages::refused(refusal),
        },
        ("/channel", ..) => pages::not_allowed("GET"),
        ("/carrier", _, &Method::GET) => match read_by_page(origin, request.headers()) {
            Ok(()) => carrier::stream(request.headers(), &site.fetching, &visit.place, site.pace),
            Err(refusal) => pages::refused(refusal),
        },
        ("/carrier", _, &Method::POST) => match asked_by_page(origin, request.headers()) {
            Ok(()) => carrier::open(request.into_body(), &site.fetching, bearer(visit)).await,
            Err(refusal) => pages::refused(refusal),
        },
        ("/carrier", ..) => pages::not_allowed("GET, POST"),
        (_, Some(number), &Method::POST) => match asked_by_page(origin, request.headers()) {
            Ok(()) => {
                let number = number.to_owned();
                let (parts, body) = request.into_parts();
                carrier::post(&number, &parts.headers, body, &site.fetching, site.pace).await
            }
            Err(refusal) => pages::refused(refusal),
        },
        (_, Some(_), _) => pages::not_allowed("POST"),
        (path, None, &Method::GET | &Method::HEAD) => {
            let page = || site.assets.answer(path, origin, request.headers());
            site.downloads.answer(path).or_else(page).unwrap_or_else(pages::not_found)
        }
        (_, None, _) => pages::not_allowed("GET, HEAD"),
    }
}

fn bearer(visit: &Visit) -> Bearer {
    Bearer {
        address: visit.from,
        place: visit.place.clone(),
        opener: visit.site.opener.clone(),
        pace: visit.site.pace,
        tasks: visit.site.tasks.clone(),
        stop: visit.site.stop.clone(),
    }
}
