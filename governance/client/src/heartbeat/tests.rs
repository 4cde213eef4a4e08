//! Against a small server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lanyard_governance_api::agent::Heartbeat;
use lanyard_governance_api::endpoint::GetChainHead;
use lanyard_governance_api::enrolment::MachineInfo;
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::{ErrorCode, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Vitals, beat};
use crate::central::{CallError, ServerClock};
use crate::testing::{DAY, Pair, SOON, error, off_by, pair, plain, until};
use crate::{Central, Ended};

#[derive(Default)]
struct Well(AtomicU64);

#[async_trait]
impl Vitals for Well {
    async fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            machine: MachineInfo {
                name: "desk".to_owned(),
                os_family: "linux".to_owned(),
                os_version: "12".to_owned(),
                architecture: "x86_64".to_owned(),
                host_version: "0.1.0".to_owned(),
                host_id: None,
            },
            policy_epoch: 0,
            sandbox_level: SandboxLevel::default(),
            outbox_depth: self.0.fetch_add(1, Ordering::SeqCst),
            uptime_seconds: 0,
            tasks_running: 0,
            sessions: 0,
            rss_bytes: None,
            devices: 0,
            accepts_jobs: false,
            accepts_answers: false,
            workspaces: Vec::new(),
            client_time: Timestamp::default(),
        }
    }
}

struct Beating {
    cancel: CancellationToken,
    task: JoinHandle<Ended>,
}

fn begin(central: &Central) -> Beating {
    let cancel = CancellationToken::new();
    let task = tokio::spawn(beat(central.clone(), Arc::new(Well::default()), cancel.clone()));
    Beating { cancel, task }
}

impl Beating {
    async fn end(self) -> Ended {
        self.cancel.cancel();
        timeout(SOON, self.task).await.expect("it ends when told").unwrap()
    }
}

const BEAT: &str = "/agents/agent-1/heartbeat";

#[tokio::test]
async fn a_beat_says_who_is_there_and_hears_what_changed() {
    let Pair { fake, central, running: _running, .. } = pair(true, DAY, off_by(DAY)).await;
    let mut reach = central.reach();
    let beating = begin(&central);
    reach.wait_for(|reach| reach.policy_epoch == 7).await.unwrap();
    assert!((reach.borrow().server_offset_millis + DAY).abs() < 30_000);
    assert_eq!(reach.borrow().last_command, 3);
    fake.books().epoch = 8;
    reach.wait_for(|reach| reach.policy_epoch == 8).await.unwrap();
    fake.books().epoch = 0;
    let beats = fake.hits(BEAT).len();
    until("it beats on", || fake.hits(BEAT).len() > beats + 1).await;
    assert_eq!(reach.borrow().policy_epoch, 8, "not known is no news");
    let hits = fake.hits(BEAT);
    assert!(hits.iter().all(|hit| hit.peer.is_none() && hit.bearer.as_deref() == Some("service-1")));
    assert_eq!(hits[1].json()["outboxDepth"], 1);
    let told: Timestamp = hits[0].json()["clientTime"].as_str().unwrap().parse().unwrap();
    assert!(told.as_millis().abs_diff(Timestamp::now().as_millis()) > 86_000_000, "the host's own clock");
    assert_eq!(beating.end().await, Ended::Cancelled);
}

#[tokio::test]
async fn news_of_policy_are_confirmed_at_once() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.books().heartbeat_seconds = 3_000;
    let beating = begin(&central);
    until("it beats again, sooner than it was told", || fake.hits(BEAT).len() >= 2).await;
    // Once: a host that cannot confirm does not beat itself to death.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(fake.hits(BEAT).len(), 2);
    assert_eq!(beating.end().await, Ended::Cancelled);
}

#[tokio::test]
async fn the_identity_is_renewed_at_half_of_its_life_and_when_told() {
    let Pair { fake, central, store, running: _running, .. } = plain().await;
    let mut early = central.identity();
    early.issued_at = early.issued_at.plus_millis(-3 * DAY);
    let central = Central::new(early, store.clone()).unwrap();
    let beating = begin(&central);
    until("it is renewed", || fake.hits("/agents/agent-1/renew").len() == 1).await;
    until("it beats on by the new token", || {
        fake.hits(BEAT).last().is_some_and(|hit| hit.bearer.as_deref() == Some("service-2"))
    })
    .await;
    assert_eq!(fake.hits("/agents/agent-1/renew").len(), 1, "young again");
    fake.books().renew = true;
    until("it is renewed as told", || fake.hits("/agents/agent-1/renew").len() >= 2).await;
    fake.books().renew = false;
    // A renewal under way when it is cancelled may have got no further than the store.
    let beats = fake.hits(BEAT).len();
    until("it beats on", || fake.hits(BEAT).len() > beats + 1).await;
    beating.end().await;
    assert_eq!(store.load().unwrap().unwrap().certificate_pem, central.identity().certificate_pem);
}

#[tokio::test]
async fn a_renewal_that_fails_does_not_stop_the_heart() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.books().renew = true;
    fake.plan(|hit| hit.path.ends_with("/renew").then(|| error(503, ErrorCode::CentralUnavailable, "later")));
    let beating = begin(&central);
    until("it beats on", || fake.hits(BEAT).len() >= 3).await;
    assert!(!fake.hits("/agents/agent-1/renew").is_empty());
    assert!(central.reach().borrow().failing_since.is_none());
    beating.end().await;
}

#[tokio::test]
async fn a_revoked_host_is_told_and_stops() {
    for status in [401, 403] {
        let Pair { fake, central, running: _running, .. } = plain().await;
        fake.plan(move |_| Some(error(status, ErrorCode::AgentRevoked, "sold")));
        let Beating { task, .. } = begin(&central);
        assert_eq!(task.await.unwrap(), Ended::Revoked("sold".to_owned()));
        assert_eq!(central.reach().borrow().revoked.as_deref(), Some("sold"));
    }
}

#[tokio::test]
async fn a_centre_that_is_away_is_told_apart_and_found_again() {
    let Pair { fake, central, running, store: _store, .. } = plain().await;
    let mut reach = central.reach();
    let beating = begin(&central);
    reach.wait_for(|reach| reach.policy_epoch == 7).await.unwrap();
    let address = running.url.strip_prefix("http://").unwrap().to_owned();
    fake.plan(|_| Some(error(503, ErrorCode::CentralUnavailable, "its database is away")));
    reach.wait_for(|reach| reach.failing_since.is_some()).await.unwrap();
    assert!(reach.borrow().reason.as_deref().unwrap().contains("database"));
    drop(running);
    fake.plan(|_| None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Nobody else is given the port for long: a connection of another test may have it for a moment.
    let bound = async {
        loop {
            match tokio::net::TcpListener::bind(&address).await {
                Ok(tcp) => return tcp,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let tcp = timeout(SOON, bound).await.expect("the port is free again");
    let _again = fake.serve_on(tcp);
    reach.wait_for(|reach| reach.failing_since.is_none() && reach.reason.is_none()).await.unwrap();
    beating.end().await;
}

#[tokio::test]
async fn a_call_that_is_not_answered_makes_it_look_at_once() {
    let Pair { fake, central, running, .. } = pair(false, DAY, ServerClock::default()).await;
    // The next beat would be far away.
    fake.plan(|hit| {
        (hit.path == BEAT).then(|| {
            let told = serde_json::json!({
                "policyEpoch": 1, "lastCommand": 0, "renew": false,
                "serverTime": Timestamp::now().to_string(), "heartbeatSeconds": 3_600,
            });
            axum::response::IntoResponse::into_response(axum::Json(told))
        })
    });
    let mut reach = central.reach();
    let beating = begin(&central);
    reach.wait_for(|reach| reach.policy_epoch == 1).await.unwrap();
    drop(running);
    let gone = central.call::<GetChainHead>(&[], &Nothing {}, &Nothing {}).await;
    assert!(matches!(gone, Err(CallError::Unreachable { .. })), "{gone:?}");
    let told = timeout(SOON, reach.wait_for(|reach| reach.failing_since.is_some())).await;
    told.expect("it looked").unwrap();
    beating.end().await;
}
