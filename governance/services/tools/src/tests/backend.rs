//! A tool: an HTTP server on loopback that does as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

/// The tool. Ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Backend {
    port: u16,
    inner: Arc<Mutex<Inner>>,
    /// Calls wait here while it is told to.
    gate: Arc<Semaphore>,
}

struct Inner {
    calls: Vec<(HeaderMap, serde_json::Value)>,
    status: StatusCode,
    output: Vec<u8>,
    held: bool,
    breaks: bool,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            calls: Vec::new(),
            status: StatusCode::OK,
            output: b"found".to_vec(),
            held: false,
            breaks: false,
        };
        let backend = Self {
            port: listener.local_addr().unwrap().port(),
            inner: Arc::new(Mutex::new(inner)),
            gate: Arc::new(Semaphore::new(0)),
        };
        let router = Router::new().fallback(serve).with_state(backend.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        backend
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap())
    }

    pub(crate) fn answers(&self, status: u16, output: impl Into<Vec<u8>>) {
        let output = output.into();
        self.with(|inner| (inner.status, inner.output) = (StatusCode::from_u16(status).unwrap(), output));
    }

    /// Answers only when let.
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(usize::MAX >> 4);
        self.with(|inner| inner.held = true);
    }

    pub(crate) fn let_all(&self) {
        self.with(|inner| inner.held = false);
        self.gate.add_permits(100);
    }

    /// Breaks the answer off in the middle.
    pub(crate) fn break_off(&self) {
        self.with(|inner| inner.breaks = true);
    }

    pub(crate) fn calls(&self) -> Vec<(HeaderMap, serde_json::Value)> {
        self.with(|inner| inner.calls.clone())
    }

    pub(crate) async fn called(&self, times: usize) {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while self.calls().len() < times {
            assert!(std::time::Instant::now() < until, "nobody called");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn serve(State(backend): State<Backend>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (held, breaks) = backend.with(|inner| {
        inner.calls.push((parts.headers, body));
        (inner.held, inner.breaks)
    });
    if held {
        backend.gate.acquire().await.unwrap().forget();
    }
    let (status, output) = backend.with(|inner| (inner.status, inner.output.clone()));
    let mut response = Response::new(Body::from(output));
    if breaks {
        let pieces = [Ok("half"), Err(std::io::Error::other("broken"))];
        *response.body_mut() = Body::from_stream(futures_util::stream::iter(pieces));
    }
    *response.status_mut() = status;
    if status.is_redirection() {
        response.headers_mut().insert(http::header::LOCATION, "/elsewhere".parse().unwrap());
    }
    response
}
