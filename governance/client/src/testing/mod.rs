//! A small centre to test against: real sockets, real TLS, a real CA.

mod ca;
mod server;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ed25519_dalek::{Signature, VerifyingKey};
use lanyard_governance_api::enrolment::{Purpose, proof_text};
use lanyard_governance_api::id::AgentId;
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use serde_json::{Value, json};

pub(crate) use ca::Ca;
pub(crate) use server::{Running, cut_answer, drip};

use crate::central::{Central, ServerClock};
use crate::identity::{AgentKey, Identity, IdentityStore};
use crate::secret::Secret;

pub(crate) const DAY: i64 = 86_400_000;
pub(crate) const AGENT: &str = "agent-1";

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) bearer: Option<String>,
    pub(crate) headers: axum::http::HeaderMap,
    /// The client certificate's DER.
    pub(crate) peer: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

impl Hit {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Plan = Box<dyn Fn(&Hit) -> Option<Response> + Send + Sync>;

/// What the centre knows and has seen.
pub(crate) struct Books {
    pub(crate) hits: Vec<Hit>,
    /// Access tokens that are taken.
    pub(crate) tokens: HashSet<String>,
    pub(crate) issued_tokens: u32,
    /// Lifetime of access tokens, seconds.
    pub(crate) token_life: i64,
    /// Lifetime of certificates, milliseconds.
    pub(crate) certificate_life: i64,
    pub(crate) service_token: String,
    /// Public key of the agent.
    pub(crate) key: Option<[u8; 32]>,
    /// Certificates by request.
    issued: HashMap<String, String>,
    /// Uses of the enrolment token.
    pub(crate) uses: u32,
    nonces: HashSet<String>,
    pub(crate) revoked: bool,
    pub(crate) renew: bool,
    pub(crate) epoch: u64,
    /// Seconds between heartbeats.
    pub(crate) heartbeat_seconds: u32,
    /// Answers have no `Date` that can be read.
    pub(crate) hides_date: bool,
}

/// The centre.
pub(crate) struct Fake {
    pub(crate) ca: Ca,
    books: Mutex<Books>,
    plan: Mutex<Plan>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let books = Books {
            hits: Vec::new(),
            tokens: HashSet::new(),
            issued_tokens: 0,
            token_life: 900,
            certificate_life: DAY,
            service_token: "service-0".to_owned(),
            key: None,
            issued: HashMap::new(),
            uses: 0,
            nonces: HashSet::new(),
            revoked: false,
            renew: false,
            epoch: 7,
            heartbeat_seconds: 1,
            hides_date: false,
        };
        Arc::new(Self { ca: Ca::new(), books: Mutex::new(books), plan: Mutex::new(Box::new(|_| None)) })
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// What answers before the usual answers do.
    pub(crate) fn plan(&self, plan: impl Fn(&Hit) -> Option<Response> + Send + Sync + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    pub(crate) fn issued_tokens(&self) -> u32 {
        self.books().issued_tokens
    }

    /// Requests to a path so far.
    pub(crate) fn hits(&self, path: &str) -> Vec<Hit> {
        self.books().hits.iter().filter(|hit| hit.path == path).cloned().collect()
    }

    fn answer(&self, hit: Hit) -> Response {
        self.books().hits.push(hit.clone());
        if let Some(planned) = (self.plan.lock().unwrap())(&hit) {
            return planned;
        }
        match hit.path.as_str() {
            "/enrolment/ca" => self.ca.pem().into_response(),
            "/enrolment/exchange" => self.exchange(&hit.json()),
            "/agents/agent-1/renew" => self.renew(&hit.json()),
            "/agents/agent-1/access-tokens" => self.access_token(&hit.json()),
            "/agents/agent-1/heartbeat" => self.heartbeat(&hit),
            _ => match self.refuse(&hit) {
                Some(refused) => refused,
                None => axum::Json(json!({ "lastSeq": 0, "hash": "0".repeat(64) })).into_response(),
            },
        }
    }

    /// Who is not the agent gets no further.
    pub(crate) fn refuse(&self, hit: &Hit) -> Option<Response> {
        let books = self.books();
        if books.revoked {
            return Some(revoked());
        }
        let by_token = hit.bearer.as_ref().is_some_and(|token| books.tokens.contains(token));
        if by_token || hit.peer.is_some() {
            return None;
        }
        Some(error(401, ErrorCode::Unauthorized, "who are you"))
    }

    fn exchange(&self, body: &Value) -> Response {
        if body["token"].as_str().is_none_or(|token| !token.contains("GOODGOODGOODGOOD")) {
            return error(401, ErrorCode::EnrolmentRefused, "the token is unknown");
        }
        let csr = body["csrPem"].as_str().unwrap();
        if !self.books().issued.contains_key(csr) {
            self.books().uses += 1;
        }
        (StatusCode::CREATED, axum::Json(self.issue(csr, &body["nonce"]))).into_response()
    }

    fn renew(&self, body: &Value) -> Response {
        if let Some(refused) = self.refuse_proof(Purpose::Renew, &body["proof"]) {
            return refused;
        }
        axum::Json(self.issue(body["csrPem"].as_str().unwrap(), &body["nonce"])).into_response()
    }

    /// The identity of a request; of the same one, the same.
    fn issue(&self, csr: &str, nonce: &Value) -> Value {
        let now = Timestamp::now();
        let mut books = self.books();
        let key = ca::key_of(csr);
        books.key = Some(key);
        let not_after = Timestamp::from_millis((now.as_millis() + books.certificate_life) / 1_000 * 1_000);
        let not_before = now.min(not_after).plus_millis(-3_600_000);
        let certificate = books.issued.entry(csr.to_owned());
        let certificate = certificate.or_insert_with(|| self.ca.client(key, not_before, not_after)).clone();
        let serial = books.issued.len();
        books.service_token = format!("service-{serial}");
        json!({
            "agentId": AGENT, "tenantId": "tenant-1", "userId": "user-1",
            "certificatePem": certificate, "caChainPem": self.ca.pem(),
            "serviceToken": books.service_token, "heartbeatSeconds": 60,
            "notAfter": not_after.to_string(), "serverTime": now.to_string(), "nonce": nonce,
        })
    }

    fn access_token(&self, body: &Value) -> Response {
        if let Some(refused) = self.refuse_proof(Purpose::AccessToken, &body["proof"]) {
            return refused;
        }
        let mut books = self.books();
        books.issued_tokens += 1;
        let token = format!("access-{}", books.issued_tokens);
        books.tokens.insert(token.clone());
        let now = Timestamp::now();
        let expires = now.plus_millis(books.token_life * 1_000);
        let made = json!({
            "token": token, "expiresAt": expires.to_string(), "serverTime": now.to_string(),
        });
        (StatusCode::CREATED, axum::Json(made)).into_response()
    }

    fn refuse_proof(&self, purpose: Purpose, proof: &Value) -> Option<Response> {
        let mut books = self.books();
        if books.revoked {
            return Some(revoked());
        }
        let timestamp: Timestamp = proof["timestamp"].as_str().unwrap().parse().unwrap();
        let nonce = proof["nonce"].as_str().unwrap();
        let agent = AgentId::new(AGENT).unwrap();
        let text = proof_text(purpose, &agent, timestamp, nonce);
        let signature =
            data_encoding::BASE64URL_NOPAD.decode(proof["signature"].as_str().unwrap().as_bytes()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        let key = VerifyingKey::from_bytes(&books.key.unwrap()).unwrap();
        key.verify_strict(text.as_bytes(), &signature).expect("the proof's signature");
        assert!(books.nonces.insert(nonce.to_owned()), "a nonce is used once");
        let now = Timestamp::now();
        if timestamp.as_millis().abs_diff(now.as_millis()) > 300_000 {
            let refused = WireError::new(ErrorCode::Unauthorized, "the clock is wrong");
            return Some(answer(401, &refused.with("serverTime", now.to_string())));
        }
        None
    }

    fn heartbeat(&self, hit: &Hit) -> Response {
        let books = self.books();
        if books.revoked {
            return revoked();
        }
        if hit.bearer.as_deref() != Some(books.service_token.as_str()) {
            return error(401, ErrorCode::Unauthorized, "unknown service token");
        }
        axum::Json(json!({
            "policyEpoch": books.epoch, "lastCommand": 3, "renew": books.renew,
            "serverTime": Timestamp::now().to_string(), "heartbeatSeconds": books.heartbeat_seconds,
        }))
        .into_response()
    }
}

pub(crate) fn answer(status: u16, error: &WireError) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(error)).into_response()
}

pub(crate) fn error(status: u16, code: ErrorCode, message: &str) -> Response {
    answer(status, &WireError::new(code, message))
}

fn revoked() -> Response {
    error(403, ErrorCode::AgentRevoked, "the machine was sold")
}

/// A store in a directory that goes away.
pub(crate) fn store() -> (tempfile::TempDir, IdentityStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(dir.path().join("central"));
    (dir, store)
}

/// An identity that the centre knows, for a server at `url`.
pub(crate) fn identity(fake: &Fake, url: &str, life: i64) -> Identity {
    let key = AgentKey::generate().unwrap();
    let csr = key.request("test", "test").unwrap();
    fake.books().certificate_life = life;
    let issued = fake.issue(&csr, &json!("00"));
    fake.books().certificate_life = DAY;
    let issued: lanyard_governance_api::enrolment::IssuedIdentity = serde_json::from_value(issued).unwrap();
    let not_after = issued.not_after;
    let issued_at = issued.server_time.min(not_after.plus_millis(-DAY));
    Identity {
        agent_id: issued.agent_id,
        tenant_id: issued.tenant_id,
        user_id: issued.user_id,
        central: url.parse().unwrap(),
        certificate_pem: issued.certificate_pem,
        ca_chain_pem: issued.ca_chain_pem,
        heartbeat_seconds: 1,
        issued_at,
        not_after,
        key,
        service_token: Secret::new(issued.service_token),
    }
}

/// A server and this host's client of it.
pub(crate) struct Pair {
    pub(crate) fake: Arc<Fake>,
    pub(crate) central: Central,
    pub(crate) store: IdentityStore,
    /// Until it is dropped; the store's directory with it.
    pub(crate) running: Running,
}

/// Over loopback HTTP.
pub(crate) async fn plain() -> Pair {
    pair(false, DAY, ServerClock::default()).await
}

/// Over TLS or not, with a certificate of some life, and a host's clock.
pub(crate) async fn pair(tls: bool, life: i64, clock: ServerClock) -> Pair {
    let fake = Fake::new();
    let mut running = if tls { fake.serve_tls("127.0.0.1").await } else { fake.serve().await };
    let identity = identity(&fake, &running.url, life);
    let (dir, store) = store();
    store.save(&identity).unwrap();
    let central = Central::with_clock(identity, store.clone(), clock).unwrap();
    running.directory = Some(dir);
    Pair { fake, central, store, running }
}

/// A host's clock that is off.
pub(crate) fn off_by(millis: i64) -> ServerClock {
    ServerClock::on(move || Timestamp::now().plus_millis(millis))
}

/// How long anything a test waits for may take on a loaded machine; shorter than what looks by itself rests.
pub(crate) const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// Waits until something is so; fails after [`SOON`].
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + SOON;
    while std::time::Instant::now() < until {
        if so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
