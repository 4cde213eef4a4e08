//! The service over its routes, on both databases.

mod commands;
mod enrol;
mod heartbeat;
mod jobs;
mod pairings;
mod renew;
mod streams;
mod tenants;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use http::{Request, Response, StatusCode, header};
use lanyard_governance_api::agent::{AgentInfo, Heartbeat};
use lanyard_governance_api::endpoint::{self as ep, AgentScope, Call, Service};
use lanyard_governance_api::enrolment::{
    ExchangeRequest, IssuedEnrolmentToken, IssuedIdentity, MachineInfo, NewEnrolmentToken, Proof, Purpose,
    proof_text,
};
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::people::{Role, Standing, Standings};
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::clock::random;
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Ask, Caller, Fault, Foundation, Routes, Statement, credentials};
use lanyard_protocol::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{Authority, Settings, routes};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Other services, as a test plays them; those that it does not are away.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<HashMap<Service, Router>>>);

impl Others {
    fn of(&self, service: Service) -> Router {
        let others = self.clone();
        Router::new().fallback(move |request: Request<Body>| async move {
            let router = others.0.lock().unwrap().get(&service).cloned();
            match router {
                Some(router) => router.oneshot(request).await.unwrap(),
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        })
    }
}

/// People as the Identity Service knows them: administrators, unless something else is said.
#[derive(Clone, Default)]
struct People(Arc<Mutex<HashMap<String, Option<Role>>>>);

impl People {
    /// Somebody is something else from here on, or nobody.
    fn put(&self, user: &str, role: Option<Role>) {
        self.0.lock().unwrap().insert(user.to_owned(), role);
    }

    fn router(&self) -> Router {
        async fn standings(people: People, ask: Ask<ep::GetStandings>) -> Result<Standings, Fault> {
            let known = people.0.lock().unwrap();
            let standing = |user: &UserId| Standing {
                user_id: user.clone(),
                role: known.get(user.as_str()).copied().unwrap_or(Some(Role::Admin)),
                handed_by: Vec::new(),
                more: false,
            };
            Ok(Standings { standings: ask.body.user_ids.iter().map(standing).collect() })
        }
        Routes::new(self.clone()).on::<ep::GetStandings, _, _>(standings).finish().0
    }
}

/// The service over a database.
struct World {
    people: People,
    others: Others,
    ground: Arc<Ground>,
    router: Router,
    ca: Arc<Authority>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// An answer: status and body.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl World {
    fn new(ground: Arc<Ground>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Arc::new(Authority::load_or_create(dir.path(), ground.foundation.clock.now()).unwrap());
        let stop = CancellationToken::new();
        let settings = Settings { ca: ca.clone(), tokens_name_ca: true, stop: stop.clone() };
        let (router, served) = routes(ground.foundation.clone(), settings).finish();
        let all: Vec<_> =
            ep::ENDPOINTS.iter().filter(|e| e.service == Service::Enrolment).map(|e| e.id).collect();
        assert_eq!(served, all, "every endpoint is served");
        let (people, others) = (People::default(), Others::default());
        let played = [Service::Identity, Service::Policy, Service::Approval];
        ground.foundation.peers.set_here(played.map(|service| (service, others.of(service))).into());
        let world = Self { people, others, ground, router, ca, stop, _dir: dir };
        world.peers([(Service::Identity, world.people.router())]);
        world
    }

    /// Another replica over the same database.
    fn replica(&self) -> Self {
        let settings = Settings { ca: self.ca.clone(), tokens_name_ca: true, stop: self.stop.clone() };
        let (router, _) = routes(self.foundation().clone(), settings).finish();
        let dir = tempfile::tempdir().unwrap();
        Self {
            people: self.people.clone(),
            others: self.others.clone(),
            ground: self.ground.clone(),
            router,
            ca: self.ca.clone(),
            stop: self.stop.clone(),
            _dir: dir,
        }
    }

    fn foundation(&self) -> &Foundation {
        &self.ground.foundation
    }

    fn now(&self) -> Timestamp {
        self.foundation().clock.now()
    }

    async fn raw<C: Call>(
        &self,
        caller: &Caller,
        path: &[&str],
        query: &str,
        body: &impl Serialize,
    ) -> Response<Body> {
        let mut target = String::new();
        let mut values = path.iter();
        for part in C::ENDPOINT.path.split('/').skip(1) {
            target.push('/');
            target.push_str(if part.starts_with('{') { values.next().unwrap() } else { part });
        }
        let request = Request::builder()
            .method(C::ENDPOINT.method.as_str())
            .uri(format!("{target}{query}"))
            .header(header::CONTENT_TYPE, "application/json")
            .extension(caller.clone())
            .body(Body::from(serde_json::to_vec(body).unwrap()))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn call<C: Call>(
        &self,
        caller: &Caller,
        path: &[&str],
        query: &str,
        body: &impl Serialize,
    ) -> Answer {
        let response = self.raw::<C>(caller, path, query, body).await;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 26).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{status} {body}");
        Answer { status, body }
    }

    /// A call that succeeds.
    async fn ok<C: Call>(
        &self,
        caller: &Caller,
        path: &[&str],
        query: &str,
        body: &impl Serialize,
    ) -> C::Response
    where
        C::Response: serde::de::DeserializeOwned,
    {
        let answer = self.call::<C>(caller, path, query, body).await;
        assert_eq!(answer.status.as_u16(), C::ENDPOINT.success, "{} {}", C::ENDPOINT.id, answer.body);
        serde_json::from_value(answer.body).unwrap()
    }

    async fn token(&self, tenant: &str, change: impl FnOnce(&mut NewEnrolmentToken)) -> IssuedEnrolmentToken {
        let mut body = NewEnrolmentToken {
            user_id: Some(UserId::new("usr_owner").unwrap()),
            class: "laptop".to_owned(),
            note: None,
            expires_in_seconds: None,
            max_uses: None,
        };
        change(&mut body);
        self.ok::<ep::CreateEnrolmentToken>(&admin(tenant), &[], "", &body).await
    }

    async fn exchange(&self, token: &str, csr: &str) -> Answer {
        self.call::<ep::ExchangeToken>(&Caller::Nobody, &[], "", &exchange_body(token, csr)).await
    }

    /// An enrolled host.
    async fn enrol(&self, tenant: &str) -> Host {
        let token = self.token(tenant, |_| {}).await;
        let key = Key::new();
        let answer = self.exchange(&token.token, &key.csr("first")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        Host { key, issued: serde_json::from_value(answer.body).unwrap() }
    }

    /// An enrolled host that is online, takes jobs in `/code`, and takes answers.
    async fn online(&self, tenant: &str) -> Host {
        let host = self.enrol(tenant).await;
        self.beat(&host, |_| {}).await;
        host
    }

    async fn beat(
        &self,
        host: &Host,
        change: impl FnOnce(&mut Heartbeat),
    ) -> lanyard_governance_api::agent::HeartbeatAnswer {
        let mut beat = heartbeat(self.now());
        change(&mut beat);
        self.ok::<ep::SendHeartbeat>(&host.with(AgentScope::Heartbeat), &[host.id()], "", &beat).await
    }

    async fn agent(&self, host: &Host) -> AgentInfo {
        self.ok::<ep::GetAgent>(&viewer(host.tenant()), &[host.id()], "", &json!({})).await
    }

    /// Who a secret is, now.
    async fn who(&self, secret: &[u8]) -> Caller {
        credentials::authenticate(&self.foundation().database, credentials::hash(secret), self.now())
            .await
            .unwrap()
    }

    /// Types of what was recorded for a tenant.
    async fn trail(&self, tenant: &str) -> Vec<String> {
        let mut tx = self.foundation().database.read_of(&TenantId::new(tenant).unwrap()).await.unwrap();
        let sql = "SELECT event FROM trail WHERE tenant_id = $1 ORDER BY at, event_id";
        let rows = tx.all(Statement::new(sql)).await.unwrap();
        let kind = |row: &lanyard_governance_foundation::Row| {
            row.json::<Value>("event").unwrap()["eventType"].as_str().unwrap().to_owned()
        };
        rows.iter().map(kind).collect()
    }

    /// Answers calls to other services.
    fn peers(&self, routers: impl IntoIterator<Item = (Service, Router)>) {
        self.others.0.lock().unwrap().extend(routers);
    }
}

fn admin(tenant: &str) -> Caller {
    person(tenant, Role::Admin)
}

fn viewer(tenant: &str) -> Caller {
    person(tenant, Role::Viewer)
}

fn person(tenant: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: TenantId::new(tenant).unwrap(),
        user: UserId::new("usr_ada").unwrap(),
        name: "Ada".to_owned(),
        role,
        operator: false,
        credential: [0; 32],
    })
}

fn service(tenant: &str) -> Caller {
    Caller::Service { tenant: Some(TenantId::new(tenant).unwrap()) }
}

fn machine() -> MachineInfo {
    MachineInfo {
        name: "workbench".to_owned(),
        os_family: "linux".to_owned(),
        os_version: "6.12".to_owned(),
        architecture: "x86_64".to_owned(),
        host_version: "0.1.0".to_owned(),
        host_id: None,
    }
}

fn heartbeat(now: Timestamp) -> Heartbeat {
    Heartbeat {
        machine: machine(),
        policy_epoch: 0,
        sandbox_level: lanyard_protocol::policy::SandboxLevel::Full,
        outbox_depth: 0,
        uptime_seconds: 100,
        tasks_running: 0,
        sessions: 1,
        rss_bytes: Some(1 << 20),
        devices: 0,
        accepts_jobs: true,
        accepts_answers: true,
        workspaces: vec!["/code".to_owned()],
        client_time: now,
    }
}

fn exchange_body(token: &str, csr: &str) -> ExchangeRequest {
    let (token, csr_pem) = (token.to_owned(), csr.to_owned());
    ExchangeRequest { token, csr_pem, nonce: "ab".repeat(16), machine: machine() }
}

/// A host's key.
struct Key {
    signing: SigningKey,
    pair: KeyPair,
}

impl Key {
    fn new() -> Self {
        let signing = SigningKey::from_bytes(&random::<32>().unwrap());
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend_from_slice(signing.as_bytes());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_ED25519).unwrap();
        Self { signing, pair }
    }

    /// A certificate request; `mark` tells one from another.
    fn csr(&self, mark: &str) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, mark);
        let der = params.serialize_request(&self.pair).unwrap().der().to_vec();
        let letters = data_encoding::BASE64.encode(&der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{letters}\n-----END CERTIFICATE REQUEST-----\n")
    }
}

/// An enrolled host.
struct Host {
    key: Key,
    issued: IssuedIdentity,
}

impl Host {
    fn id(&self) -> &str {
        self.issued.agent_id.as_str()
    }

    fn tenant(&self) -> &str {
        self.issued.tenant_id.as_str()
    }

    fn with(&self, scope: AgentScope) -> Caller {
        Caller::Agent(Agent {
            tenant: self.issued.tenant_id.clone(),
            agent: self.issued.agent_id.clone(),
            user: self.issued.user_id.clone(),
            scope,
        })
    }

    fn caller(&self) -> Caller {
        self.with(AgentScope::Agent)
    }

    fn proof(&self, purpose: Purpose, timestamp: Timestamp) -> Proof {
        let nonce = data_encoding::HEXLOWER.encode(&random::<16>().unwrap());
        let text = proof_text(purpose, &self.issued.agent_id, timestamp, &nonce);
        let signature = BASE64URL_NOPAD.encode(&self.key.signing.sign(text.as_bytes()).to_bytes());
        Proof { timestamp, nonce, signature }
    }
}

/// DER of the first certificate in PEM.
fn der(pem: &str) -> Vec<u8> {
    let letters: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    data_encoding::BASE64.decode(letters.as_bytes()).unwrap()
}
