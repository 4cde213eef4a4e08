//! The server: a thread, a runtime, axum.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::serve::ListenerExt;
use futures_util::{Stream, stream};
use tokio::sync::oneshot;

use super::turn::Part;
use super::{MODEL, Recorded, Script, Turn, models};

/// Longest request; a thread with large tool results fits.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// A gateway that does what its script says. Stops when dropped.
#[derive(Debug)]
pub struct ScriptedGateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    offers: Turn,
    requests: Mutex<Vec<Recorded>>,
}

impl ScriptedGateway {
    /// Starts on a free loopback port; offers one model, [`MODEL`].
    ///
    /// # Panics
    /// When the machine has no free port or no thread left.
    pub fn start(script: impl Into<Script>) -> Self {
        Self::start_offering(script, models(&[MODEL]))
    }

    /// [`ScriptedGateway::start`] with another answer to `GET /v1/models`; see [`models`].
    ///
    /// # Panics
    /// As [`ScriptedGateway::start`].
    pub fn start_offering(script: impl Into<Script>, offers: Turn) -> Self {
        Self::try_start(script.into(), offers).unwrap_or_else(|e| panic!("no scripted gateway: {e}"))
    }

    fn try_start(script: Script, offers: Turn) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { script: Mutex::new(script), offers, requests: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("scripted-gateway".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, state) => panic!("the scripted gateway ended by itself: {ended:?}"),
                    // Dropped with the gateway or told to stop: the same.
                    _ = stopped => {}
                }
            });
            // Dropping the runtime closes every connection.
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The base address, ending in `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Chat completion requests so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.all_requests()
            .into_iter()
            .filter(|request| request.path.ends_with("/chat/completions"))
            .collect()
    }

    /// Every request so far.
    pub fn all_requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for ScriptedGateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
            panic!("the scripted gateway panicked; see above");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Shared>) -> io::Result<()> {
    // Without it small writes wait 40 ms for the acknowledgement of the one before.
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
        if let Err(e) = stream.set_nodelay(true) {
            eprintln!("scripted gateway: {e}");
        }
    });
    let app =
        Router::new().fallback(answer).with_state(state).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.unwrap_or_default();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let recorded = Recorded {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        peer,
    };
    let turn = match (recorded.method.as_str(), recorded.path.as_str()) {
        ("POST", path) if path.ends_with("/chat/completions") => lock(&shared.script).next(&recorded),
        ("GET", path) if path.ends_with("/models") => shared.offers.clone(),
        _ => Turn::json(404, &serde_json::json!({"detail": "Not Found"})),
    };
    lock(&shared.requests).push(recorded);
    respond(turn)
}

fn respond(turn: Turn) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(body(turn.parts)));
    *response.status_mut() = StatusCode::from_u16(turn.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &turn.headers {
        let header = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = header else {
            panic!("the script names an impossible header: {name}: {value}")
        };
        response.headers_mut().insert(name, value);
    }
    response
}

/// The parts one after the other, each flushed before the next.
fn body(parts: Vec<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(parts.into_iter(), |mut parts| async move {
        loop {
            // Pending once: hyper writes out what it has before it asks again.
            tokio::task::yield_now().await;
            let item = match parts.next()? {
                Part::Bytes(bytes) => Ok(Bytes::from(bytes)),
                Part::Pause(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Part::Stall => {
                    let never: Infallible = std::future::pending().await;
                    match never {}
                }
                Part::Cut => Err(io::Error::other("cut by the script")),
                Part::Repeat(_, 0) => continue,
                Part::Repeat(bytes, times) => {
                    let item = Ok(Bytes::from(bytes.clone()));
                    let rest: Vec<Part> =
                        std::iter::once(Part::Repeat(bytes, times - 1)).chain(parts).collect();
                    return Some((item, rest.into_iter()));
                }
            };
            return Some((item, parts));
        }
    })
}
