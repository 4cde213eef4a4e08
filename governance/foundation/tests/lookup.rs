//! Looking callers up, many at once, and answers that do not outlive the credential they were asked with.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::credentials::{self, Holder};
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::{Caller, Lookup, Statement, Tx};
use tokio::sync::mpsc;

/// Longer than any test: only a wake-up is heard.
const NEVER: Duration = Duration::from_secs(3_600);

/// Often: what woke nobody is noticed soon.
const SOON: Duration = Duration::from_millis(10);

/// Nothing takes so long that is done at all.
const PATIENCE: Duration = Duration::from_secs(60);

const LIFE: i64 = 3_600_000;

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

fn user() -> UserId {
    UserId::new("usr_1").unwrap()
}

fn agent(number: usize) -> AgentId {
    AgentId::new(format!("agt_{number}")).unwrap()
}

fn person() -> Holder {
    let (name, role) = ("Ada".to_owned(), Role::Admin);
    Holder::Person { tenant: tenant(), user: user(), name, role, operator: false }
}

fn host(number: usize) -> Holder {
    Holder::Agent { tenant: tenant(), agent: agent(number), user: user(), scope: AgentScope::Agent }
}

async fn changed(ground: &Ground, change: impl AsyncFnOnce(&mut Tx)) {
    let mut tx = ground.foundation.database.across_write().await.unwrap();
    change(&mut tx).await;
    tx.commit().await.unwrap();
}

async fn known(ground: &Ground, secret: &str, holder: Holder) -> [u8; 32] {
    let (hash, now) = (credentials::hash(secret.as_bytes()), ground.foundation.clock.now());
    changed(ground, async |tx| {
        credentials::add(tx, hash, &holder, now, now.plus_millis(LIFE)).await.unwrap()
    })
    .await;
    hash
}

/// Something that is being sent, and the hand that sends it.
struct Sending {
    more: mpsc::Sender<Bytes>,
    data: BodyDataStream,
}

async fn sending(lookup: &Lookup, hash: [u8; 32]) -> Sending {
    sending_as(lookup, hash, Response::new).await
}

async fn sending_as(lookup: &Lookup, hash: [u8; 32], answer: impl FnOnce(Body) -> Response) -> Sending {
    let caller = lookup.authenticate(hash).await.unwrap();
    let (more, taken) = mpsc::channel(1);
    let taken = stream::unfold(taken, async |mut taken| {
        let bytes: Bytes = taken.recv().await?;
        Some((Ok::<_, std::io::Error>(bytes), taken))
    });
    let answer = lookup.guard(hash, &caller, answer(Body::from_stream(taken)));
    let mut sending = Sending { more, data: answer.into_body().into_data_stream() };
    sending.goes_on().await;
    sending
}

impl Sending {
    async fn goes_on(&mut self) {
        self.more.send(Bytes::from_static(b"more")).await.unwrap();
        assert_eq!(self.data.next().await.unwrap().unwrap(), "more");
    }

    /// It ends, as streams of events do.
    async fn ends(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.data.next()).await.expect("it goes on");
        assert!(ended.is_none(), "{ended:?}");
    }

    /// It ends in the middle, and not as if it were whole.
    async fn breaks(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.data.next()).await.expect("it goes on");
        let error = ended.unwrap().unwrap_err();
        assert!(error.to_string().contains("does not allow it any more"), "{error}");
    }
}

#[tokio::test]
async fn many_at_once_are_each_told_who_they_are() {
    on_both(&[], |ground| async move {
        let lookup = Lookup::new(&ground.foundation);
        let mut hashes = Vec::new();
        for number in 0..20 {
            hashes.push(known(&ground, &format!("secret {number}"), host(number)).await);
        }
        changed(&ground, async |tx| {
            let now = ground.foundation.clock.now();
            credentials::revoke_agent(tx, &tenant(), &agent(7), "lost", now).await.unwrap();
            let sql = "UPDATE credentials SET kind = 'robot' WHERE agent_id = 'agt_8'";
            tx.run(Statement::new(sql)).await.unwrap();
        })
        .await;
        hashes.push([9; 32]);
        let asked = (0..600).map(|turn| lookup.authenticate(hashes[turn % hashes.len()]));
        for (turn, found) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
            match (turn % hashes.len(), found) {
                (7, Ok(Caller::Revoked { reason, whose })) => {
                    assert!(reason.contains("lost"), "{reason}");
                    assert_eq!(whose.agent, agent(7));
                }
                // Its row cannot be read; nobody else suffers.
                (8, Err(_)) | (20, Ok(Caller::Nobody)) => {}
                (number, Ok(Caller::Agent(found))) => assert_eq!(found.agent, agent(number)),
                (number, found) => panic!("{number}: {found:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_being_sent_ends_with_the_credential_at_once() {
    on_both(&[], |ground| async move {
        let lookup = Lookup::new(&ground.foundation).again_every(NEVER);
        let now = ground.foundation.clock.now();
        let (lost, kept) = (known(&ground, "1", host(1)).await, known(&ground, "2", host(2)).await);
        let (lost, mut kept) = (sending(&lookup, lost).await, sending(&lookup, kept).await);
        changed(&ground, async |tx| {
            credentials::revoke_agent(tx, &tenant(), &agent(1), "lost", now).await.unwrap();
        })
        .await;
        lost.breaks().await;
        kept.goes_on().await;

        let (admin, other) = (known(&ground, "3", person()).await, known(&ground, "4", person()).await);
        let (sent, mut elsewhere) = (sending(&lookup, admin).await, sending(&lookup, other).await);
        changed(&ground, async |tx| credentials::remove(tx, &admin).await.unwrap()).await;
        sent.breaks().await;
        // Another sign-in of the same person.
        elsewhere.goes_on().await;
        changed(&ground, async |tx| {
            credentials::change_role(tx, &tenant(), &user(), Role::Viewer).await.unwrap();
        })
        .await;
        elsewhere.breaks().await;
        let viewer = sending(&lookup, other).await;
        changed(&ground, async |tx| credentials::remove_person(tx, &tenant(), &user()).await.unwrap()).await;
        viewer.breaks().await;
    })
    .await;
}

#[tokio::test]
async fn what_runs_out_or_woke_nobody_is_noticed_soon() {
    on_both(&[], |ground| async move {
        let lookup = Lookup::new(&ground.foundation).again_every(SOON);
        let hash = known(&ground, "1", host(1)).await;
        let mut one = sending(&lookup, hash).await;
        tokio::time::sleep(SOON * 5).await;
        one.goes_on().await;
        ground.clock.set(LIFE);
        one.breaks().await;
        ground.clock.set(0);
        let events = |body| ([("content-type", "text/event-stream")], body).into_response();
        let followed = sending_as(&lookup, hash, events).await;
        let two = sending(&lookup, hash).await;
        changed(&ground, async |tx| {
            let sql = "UPDATE credentials SET revoked_at = 1, reason = 'by hand'";
            tx.run(Statement::new(sql)).await.unwrap();
        })
        .await;
        two.breaks().await;
        followed.ends().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_there_as_a_whole_is_left_alone() {
    on_both(&[], |ground| async move {
        let lookup = Lookup::new(&ground.foundation).again_every(Duration::ZERO);
        let whole = lookup.guard([0; 32], &Caller::Nobody, Response::new(Body::from("whole")));
        assert_eq!(axum::body::to_bytes(whole.into_body(), 100).await.unwrap(), "whole");
        let hash = known(&ground, "1", host(1)).await;
        let caller = lookup.authenticate(hash).await.unwrap();
        changed(&ground, async |tx| credentials::remove(tx, &hash).await.unwrap()).await;
        let whole = lookup.guard(hash, &caller, Response::new(Body::from("whole")));
        assert_eq!(axum::body::to_bytes(whole.into_body(), 100).await.unwrap(), "whole");
    })
    .await;
}
