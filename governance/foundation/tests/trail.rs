//! The trail on both databases: what is written is bounded, and what one tenant's records meet stops nobody else's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use http::StatusCode;
use lanyard_governance_api::audit::{AuditAccepted, ServiceRecords};
use lanyard_governance_api::endpoint::Service;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Caller, Fault, Statement};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope};
use serde_json::{Value, json};

/// What a stand-in for the Audit Service says of a batch.
type Says = fn(&TenantId, &[EventEnvelope]) -> Option<Fault>;

/// Tenant and names of the records of a call, and whether they were taken.
type Said = (String, Vec<String>, bool);

/// A stand-in, and every call of it.
#[derive(Clone)]
struct Audit {
    says: Arc<Mutex<Says>>,
    calls: Arc<Mutex<Vec<Said>>>,
}

impl Audit {
    fn beside(ground: &Ground, says: Says) -> Self {
        let audit = Audit { says: Arc::new(Mutex::new(says)), calls: Arc::default() };
        let this = audit.clone();
        let take = post(move |caller: axum::Extension<Caller>, body: axum::Json<ServiceRecords>| {
            let this = this.clone();
            async move { this.take(caller.tenant().unwrap(), &body.events) }
        });
        let router = Router::new().route("/audit/services", take).layer(DefaultBodyLimit::disable());
        ground.foundation.peers.set_here(HashMap::from([(Service::Audit, router)]));
        audit
    }

    fn take(
        &self,
        tenant: &TenantId,
        events: &[EventEnvelope],
    ) -> Result<(StatusCode, axum::Json<AuditAccepted>), Fault> {
        let fault = (self.says.lock().unwrap())(tenant, events);
        let names = events.iter().map(name).collect();
        self.calls.lock().unwrap().push((tenant.to_string(), names, fault.is_none()));
        match fault {
            Some(fault) => Err(fault),
            None => {
                let taken = AuditAccepted { last_seq: 1, accepted: 1, duplicates: 0, conflicts: 0 };
                Ok((StatusCode::ACCEPTED, axum::Json(taken)))
            }
        }
    }

    fn taken(&self, tenant: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let mut taken: Vec<String> =
            calls.iter().filter(|call| call.0 == tenant && call.2).flat_map(|call| call.1.clone()).collect();
        taken.sort();
        taken
    }
}

fn name(event: &EventEnvelope) -> String {
    event.payload.0["name"].as_str().unwrap_or_default().to_owned()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn named(name: &str) -> Record {
    Record::new("tried", Component::PolicyService, BoundedContext::Approval).with("name", name)
}

async fn put(ground: &Ground, of: &str, record: Record) {
    let mut tx = ground.foundation.database.write_of(&tenant(of)).await.unwrap();
    trail::record(&mut tx, &tenant(of), ground.foundation.clock.as_ref(), record).await.unwrap();
    tx.commit().await.unwrap();
}

/// Rows by hand, as an earlier version may have left them.
async fn raw(ground: &Ground, of: &str, id: &str, event: &str) {
    let mut tx = ground.foundation.database.write_of(&tenant(of)).await.unwrap();
    let sql = "INSERT INTO trail (tenant_id, event_id, at, event) VALUES ($1, $2, 1, $3)";
    tx.run(Statement::new(sql).bind(id).bind(event)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Rows that wait, and rows set aside.
async fn left(ground: &Ground) -> (usize, usize) {
    let mut tx = ground.foundation.database.across_read().await.unwrap();
    let rows = tx.all(Statement::new("SELECT parked FROM trail")).await.unwrap();
    let parked = rows.iter().filter(|row| row.int("parked").unwrap() > 0).count();
    (rows.len() - parked, parked)
}

async fn payload(ground: &Ground) -> Value {
    let mut tx = ground.foundation.database.across_read().await.unwrap();
    let row = tx.one(Statement::new("SELECT event FROM trail")).await.unwrap().unwrap();
    row.json::<Value>("event").unwrap()["payload"].clone()
}

#[tokio::test]
async fn a_tenant_that_cannot_deliver_stops_no_other_and_is_tried_again() {
    on_both(&[], |ground| async move {
        let audit = Audit::beside(&ground, |tenant, _| {
            (tenant.as_str() == "a").then(|| Fault::unavailable("its database is away"))
        });
        // The oldest is that of the tenant that fails.
        for (of, name) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")] {
            put(&ground, of, named(name)).await;
        }
        trail::deliver_all(&ground.foundation).await.unwrap();
        assert_eq!(
            (audit.taken("a").len(), audit.taken("b"), audit.taken("c")),
            (0, vec!["2".to_owned()], vec!["3".to_owned()])
        );
        assert_eq!(audit.calls.lock().unwrap().iter().filter(|call| call.0 == "a").count(), 1, "once a call");
        assert_eq!(left(&ground).await, (2, 0), "what may be taken later is not set aside");
        // Nothing at all can be delivered: the chore makes a pause.
        assert_eq!(trail::deliver_all(&ground.foundation).await.unwrap_err().status(), 503);
        // Nor does a wrong key, or an address that leads elsewhere, set anything aside.
        for says in [
            (|_, _| Some(Fault::unknown_caller("who?"))) as Says,
            |_, _| Some(Fault::forbidden("no")),
            |_, _| Some(Fault::not_found("page", "x")),
            |_, _| Some(Fault::slow_down("later", 1)),
        ] {
            *audit.says.lock().unwrap() = says;
            trail::deliver_all(&ground.foundation).await.unwrap_err();
            assert_eq!(left(&ground).await, (2, 0));
        }
        *audit.says.lock().unwrap() = |_, _| None;
        trail::deliver_all(&ground.foundation).await.unwrap();
        assert_eq!((audit.taken("a"), left(&ground).await), (vec!["1".to_owned(), "4".to_owned()], (0, 0)));
    })
    .await;
}

#[tokio::test]
async fn a_refused_batch_is_halved_down_to_the_record_at_fault() {
    on_both(&[], |ground| async move {
        let audit = Audit::beside(&ground, |_, events| {
            let bad = events.iter().any(|event| name(event).starts_with("bad"));
            bad.then(|| Fault::new(ErrorCode::PayloadTooLarge, "one of them is too long"))
        });
        for n in 0..40 {
            let name = if n == 7 || n == 8 { format!("bad{n}") } else { format!("{n:02}") };
            ground.clock.set(n * 1_000);
            put(&ground, "a", named(&name)).await;
        }
        put(&ground, "b", named("other")).await;
        trail::deliver_all(&ground.foundation).await.unwrap();
        assert_eq!(audit.taken("a").len(), 38);
        assert_eq!(audit.taken("b"), ["other"]);
        assert_eq!(left(&ground).await, (0, 2));
        let calls = audit.calls.lock().unwrap().len();
        assert!(calls < 25, "halved, not one by one: {calls}");
        // Later ones arrive, and those set aside are not tried again.
        put(&ground, "a", named("later")).await;
        trail::deliver_all(&ground.foundation).await.unwrap();
        assert!(audit.taken("a").contains(&"later".to_owned()));
        assert_eq!((left(&ground).await, audit.calls.lock().unwrap().len()), ((0, 2), calls + 1));
    })
    .await;
}

#[tokio::test]
async fn a_row_that_is_no_event_of_its_tenant_is_set_aside() {
    on_both(&[], |ground| async move {
        let audit = Audit::beside(&ground, |_, _| None);
        raw(&ground, "a", "evt_1", "{").await;
        put(&ground, "b", named("of b")).await;
        let mut tx = ground.foundation.database.across_read().await.unwrap();
        let row =
            tx.one(Statement::new("SELECT event FROM trail WHERE tenant_id = 'b'")).await.unwrap().unwrap();
        let foreign: Value = row.json("event").unwrap();
        drop(tx);
        raw(&ground, "a", foreign["eventId"].as_str().unwrap(), &foreign.to_string()).await;
        put(&ground, "a", named("of a")).await;
        trail::deliver_all(&ground.foundation).await.unwrap();
        assert_eq!((audit.taken("a"), audit.taken("b")), (vec!["of a".to_owned()], vec!["of b".to_owned()]));
        assert_eq!(left(&ground).await, (0, 2));
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_bounded_by_records_and_by_bytes() {
    on_both(&[], |ground| async move {
        let audit = Audit::beside(&ground, |_, _| None);
        put(&ground, "x", named("model")).await;
        let mut tx = ground.foundation.database.across_read().await.unwrap();
        let row = tx.one(Statement::new("SELECT event FROM trail")).await.unwrap().unwrap();
        let model: Value = row.json("event").unwrap();
        drop(tx);
        // Rows of before there was a bound, two of them longer than a batch may be.
        for (n, bytes) in [2 << 20, 400 << 10, 400 << 10, 400 << 10, 2 << 20].into_iter().enumerate() {
            let mut event = model.clone();
            (event["eventId"], event["tenantId"]) = (json!(format!("evt_{n}")), json!("a"));
            event["payload"] = json!({"name": n.to_string(), "text": "x".repeat(bytes)});
            raw(&ground, "a", &format!("evt_{n}"), &event.to_string()).await;
        }
        for n in 0..250 {
            put(&ground, "b", named(&n.to_string())).await;
        }
        trail::deliver_all(&ground.foundation).await.unwrap();
        let calls = audit.calls.lock().unwrap().clone();
        let sizes = |of: &str| -> Vec<usize> {
            calls.iter().filter(|call| call.0 == of).map(|call| call.1.len()).collect()
        };
        assert_eq!((sizes("a"), sizes("b")), (vec![1, 2, 1, 1], vec![200, 50]));
        assert_eq!(left(&ground).await, (0, 0));
    })
    .await;
}

#[tokio::test]
async fn values_and_the_whole_payload_are_cut_when_they_are_written() {
    on_both(&[], |ground| async move {
        let mut record = named(&"ü".repeat(50_000)).with("list", json!([{"deep": "y".repeat(5_000)}]));
        for n in 0..40 {
            record = record.with(&format!("more{n}"), "z".repeat(2_000));
        }
        put(&ground, "a", record.with("fits", 1)).await;
        let payload = payload(&ground).await;
        let name = payload["name"].as_str().unwrap();
        assert!(name.len() <= 1_000 && name.len() > 990 && name.ends_with("ü…"), "{}", name.len());
        assert_eq!(payload["list"][0]["deep"].as_str().unwrap().len(), 1_000);
        assert!(payload.to_string().len() <= 16 * 1024 + 100, "{}", payload.to_string().len());
        let kept = (0..40).filter(|n| payload.get(format!("more{n}")).is_some()).count() as u64;
        assert!(kept > 10 && kept < 16, "{kept}");
        assert_eq!((payload["leftOut"].as_u64(), payload["fits"].as_u64()), (Some(40 - kept), Some(1)));
    })
    .await;
}
