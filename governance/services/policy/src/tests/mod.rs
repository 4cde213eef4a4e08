//! The service over both databases, with the command channel played by the test.

mod life;
mod telling;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use lanyard_governance_api::agent::EpochCounts;
use lanyard_governance_api::command::{CommandsQueued, NewCommand, Order};
use lanyard_governance_api::endpoint::{BroadcastCommand, CountEpoch, Service};
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Ask, Caller, Fault, Routes};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::{Settings, routes};

/// A command channel that remembers what it was told, and can be away.
#[derive(Clone, Default)]
pub(crate) struct Channel {
    pub(crate) told: Arc<Mutex<Vec<(String, NewCommand)>>>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) slow: Arc<Mutex<Option<Slow>>>,
}

/// Whoever tells this epoch is held up until it rings.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) epoch: u64,
    pub(crate) reached: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
}

impl Channel {
    fn router(&self) -> Router {
        let routes = Routes::new(self.clone())
            .on::<BroadcastCommand, _, _>(|channel: Channel, ask: Ask<BroadcastCommand>| async move {
                if channel.away.load(Ordering::Relaxed) {
                    return Err(Fault::unavailable("the command channel is away"));
                }
                let tenant = ask.caller.tenant()?.to_string();
                let slow = channel.slow.lock().unwrap().clone();
                if let (Order::PolicyEpoch { epoch, .. }, Some(slow)) = (&ask.body.order, slow)
                    && *epoch == slow.epoch
                {
                    slow.reached.notify_one();
                    slow.go.notified().await;
                }
                channel.told.lock().unwrap().push((tenant, ask.body));
                Ok(CommandsQueued { agents: 2 })
            })
            .on::<CountEpoch, _, _>(|channel: Channel, _: Ask<CountEpoch>| async move {
                if channel.away.load(Ordering::Relaxed) {
                    return Err(Fault::unavailable("the command channel is away"));
                }
                Ok(EpochCounts { online: 2, confirmed: 1, waiting: vec!["agt_b".parse().unwrap()] })
            });
        routes.finish().0
    }

    /// Epochs told, in order, and whether as revoked.
    pub(crate) fn epochs(&self) -> Vec<(u64, bool)> {
        let told = self.told.lock().unwrap();
        let epoch = |(_, command): &(String, NewCommand)| match &command.order {
            Order::PolicyEpoch { epoch, revoked } => (*epoch, revoked.is_some()),
            other => panic!("{other:?}"),
        };
        told.iter().map(epoch).collect()
    }
}

/// The service, and whoever it talks to.
pub(crate) struct Stage {
    pub(crate) ground: Arc<Ground>,
    pub(crate) router: Router,
    pub(crate) channel: Channel,
}

impl Stage {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        Self::with(ground, Settings::default())
    }

    pub(crate) fn with(ground: Arc<Ground>, settings: Settings) -> Self {
        let channel = Channel::default();
        let router = routes(ground.foundation.clone(), settings).finish().0;
        let here = HashMap::from([(Service::Policy, router.clone()), (Service::Enrolment, channel.router())]);
        ground.foundation.peers.set_here(here);
        Self { ground, router, channel }
    }

    pub(crate) async fn call(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .extension(caller.clone())
            .body(body)
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(crate) async fn ok(&self, caller: &Caller, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(caller, method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }
}

pub(crate) fn person(tenant: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: tenant.parse().unwrap(),
        user: "usr_mia".parse().unwrap(),
        name: "Mia".into(),
        role,
        operator: false,
        credential: [7; 32],
    })
}

pub(crate) fn admin(tenant: &str) -> Caller {
    person(tenant, Role::Admin)
}

pub(crate) fn service(tenant: &str) -> Caller {
    Caller::Service { tenant: Some(tenant.parse().unwrap()) }
}

pub(crate) fn agent(tenant: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: tenant.parse().unwrap(),
        agent: "agt_a".parse().unwrap(),
        user: "usr_mia".parse().unwrap(),
        scope: lanyard_governance_api::endpoint::AgentScope::Agent,
    })
}

/// `POST /policies` with the first document.
pub(crate) fn new(comment: &str, activate: bool, based_on: Option<u64>) -> Option<Value> {
    let document = serde_json::to_value(crate::first_document().unwrap()).unwrap();
    Some(
        serde_json::json!({"document": document, "comment": comment, "activate": activate, "basedOn": based_on}),
    )
}
