//! The database facade on both databases: isolation, rollback, wake-ups, bulk inserts, values no database takes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::database::{DatabaseError, Value};
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::{Database, Migration, Signals, Statement, credentials};
use lanyard_protocol::ErrorCode;

const TABLES: &[Migration] = &[Migration {
    service: "notes",
    number: 1,
    sql: "CREATE TABLE notes (tenant_id TEXT NOT NULL, id TEXT NOT NULL, n BIGINT, raw {{bytes}},
    PRIMARY KEY (tenant_id, id));
{{isolate notes}}
",
}];

fn of(tenant: &str) -> Caller {
    Caller::Service { tenant: Some(TenantId::new(tenant).unwrap()) }
}

async fn put(ground: &Ground, tenant: &str, id: &str) {
    let mut tx = ground.foundation.database.write(&of(tenant)).await.unwrap();
    let sql = "INSERT INTO notes (tenant_id, id, n, raw) VALUES ($1, $2, $3, $4)";
    tx.run(Statement::new(sql).bind(id).bind(7_i64).bind(vec![1_u8, 2])).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_and_a_statement_without_tenant_is_refused() {
    on_both(TABLES, |ground| async move {
        put(&ground, "a", "1").await;
        put(&ground, "b", "1").await;
        let mut tx = ground.foundation.database.read(&of("a")).await.unwrap();
        let rows = tx.all(Statement::new("SELECT id, n, raw FROM notes WHERE tenant_id = $1")).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count("n").unwrap(), rows[0].bytes("raw").unwrap()), (7, vec![1, 2]));
        let refused = tx.all(Statement::new("SELECT id FROM notes")).await;
        assert!(matches!(refused, Err(DatabaseError::Defect(_))), "{refused:?}");
        if ground.foundation.database.is_postgres() {
            // The second wall: a statement that names the tenant and yet reaches for every row.
            let all = "SELECT id FROM notes WHERE tenant_id = $1 OR 1 = 1";
            assert_eq!(tx.all(Statement::new(all)).await.unwrap().len(), 1);
        }
        drop(tx);
        let mut tx = ground.foundation.database.across_read().await.unwrap();
        assert_eq!(tx.all(Statement::new("SELECT id FROM notes")).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn taken_keys_nul_characters_and_dropped_transactions() {
    on_both(TABLES, |ground| async move {
        put(&ground, "a", "1").await;
        let insert = || Statement::new("INSERT INTO notes (tenant_id, id) VALUES ($1, $2)");
        let mut tx = ground.foundation.database.write(&of("a")).await.unwrap();
        assert!(matches!(tx.run(insert().bind("1")).await, Err(DatabaseError::Taken)));
        drop(tx);
        let mut tx = ground.foundation.database.write(&of("a")).await.unwrap();
        assert!(matches!(tx.run(insert().bind("a\0b")).await, Err(DatabaseError::Value(_))));
        tx.run(insert().bind("2")).await.unwrap();
        drop(tx);
        let mut tx = ground.foundation.database.read(&of("a")).await.unwrap();
        let left = tx.all(Statement::new("SELECT id FROM notes WHERE tenant_id = $1")).await.unwrap();
        assert_eq!(left.len(), 1, "the second row was rolled back");
    })
    .await;
}

#[tokio::test]
async fn many_rows_at_once_and_a_wake_up_only_after_the_commit() {
    on_both(TABLES, |ground| async move {
        let mut waiter = ground.foundation.signals.listen("notes/a");
        // The listener of PostgreSQL wakes everybody when it begins to hear. After that, until it is quiet.
        let mut tx = ground.foundation.database.write(&of("a")).await.unwrap();
        tx.wake("notes/a").await.unwrap();
        tx.commit().await.unwrap();
        waiter.wait(Duration::from_secs(60)).await;
        loop {
            let quiet = std::time::Instant::now();
            waiter.wait(Duration::from_millis(500)).await;
            if quiet.elapsed() >= Duration::from_millis(490) {
                break;
            }
        }
        let rows = (0..25_000).map(|n| vec![Value::from(n.to_string()), Value::from(i64::from(n))]).collect();
        let mut tx = ground.foundation.database.write(&of("a")).await.unwrap();
        let tail = "ON CONFLICT DO NOTHING";
        assert_eq!(tx.insert_many("notes", &["id", "n"], rows, tail).await.unwrap(), 25_000);
        let again =
            vec![vec![Value::from("7"), Value::from(0_i64)], vec![Value::from("x"), Value::from(0_i64)]];
        assert_eq!(tx.insert_many("notes", &["id", "n"], again, tail).await.unwrap(), 1);
        tx.wake("notes/a").await.unwrap();
        let early = std::time::Instant::now();
        waiter.wait(Duration::from_millis(200)).await;
        assert!(early.elapsed() >= Duration::from_millis(190), "woken before the commit");
        tx.commit().await.unwrap();
        let woken = std::time::Instant::now();
        waiter.wait(Duration::from_secs(120)).await;
        assert!(woken.elapsed() < Duration::from_secs(60), "not woken by the commit");
    })
    .await;
}

#[tokio::test]
async fn steps_are_applied_once_and_neither_changed_nor_unlearnt() {
    on_both(TABLES, |ground| async move {
        let all = |own: &[Migration]| -> Vec<Migration> {
            credentials::MIGRATIONS.iter().chain(own).copied().collect()
        };
        let open = |steps: Vec<Migration>| {
            let url = ground.url.clone();
            async move { Database::open(&url, Signals::default(), &steps).await }
        };
        open(all(TABLES)).await.unwrap().close().await;
        let changed = Migration { sql: "CREATE TABLE notes (tenant_id TEXT)", ..TABLES[0] };
        assert!(open(all(&[changed])).await.unwrap_err().to_string().contains("other content"));
        let second =
            Migration { number: 2, sql: "CREATE INDEX notes_n ON notes (tenant_id, n);\n", ..TABLES[0] };
        open(all(&[TABLES[0], second])).await.unwrap().close().await;
        assert!(open(all(TABLES)).await.unwrap_err().to_string().contains("older than the database"));
    })
    .await;
}

#[tokio::test]
async fn a_credential_counts_until_it_ends_or_is_revoked() {
    use lanyard_governance_api::endpoint::AgentScope;
    use lanyard_governance_api::people::Role;
    use lanyard_governance_foundation::Clock as _;
    use lanyard_governance_foundation::credentials::{Holder, add, authenticate, hash, revoke_agent};
    on_both(&[], |ground| async move {
        let (database, now) = (&ground.foundation.database, ground.clock.now());
        let (tenant, agent) = (TenantId::new("a").unwrap(), "agt_1".parse().unwrap());
        let holder = Holder::Agent {
            tenant: tenant.clone(),
            agent: "agt_1".parse().unwrap(),
            user: "usr_1".parse().unwrap(),
            scope: AgentScope::Heartbeat,
        };
        let mut tx = database.across_write().await.unwrap();
        add(&mut tx, hash(b"secret"), &holder, now, now.plus_millis(60_000)).await.unwrap();
        tx.commit().await.unwrap();
        let who = |secret: &'static [u8], at| authenticate(database, hash(secret), at);
        assert!(matches!(who(b"secret", now).await.unwrap(), Caller::Agent(_)));
        assert_eq!(who(b"other", now).await.unwrap(), Caller::Nobody);
        assert_eq!(who(b"secret", now.plus_millis(60_000)).await.unwrap(), Caller::Nobody);
        let mut tx = database.across_write().await.unwrap();
        revoke_agent(&mut tx, &tenant, &agent, "stolen", now).await.unwrap();
        tx.commit().await.unwrap();
        let caller = who(b"secret", now).await.unwrap();
        assert_eq!(caller.tenant().unwrap_err().wire.code, ErrorCode::AgentRevoked);
        // Sign-ins are removed; one that is marked like this by hand opens nothing either.
        let (tenant, user, name) = (tenant.clone(), "usr_1".parse().unwrap(), "Ada".to_owned());
        let person = Holder::Person { tenant, user, name, role: Role::Admin, operator: true };
        let mut tx = database.across_write().await.unwrap();
        add(&mut tx, hash(b"cookie"), &person, now, now.plus_millis(60_000)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(who(b"cookie", now).await.unwrap(), Caller::Person(_)));
        let mut tx = database.across_write().await.unwrap();
        tx.run(Statement::new("UPDATE credentials SET revoked_at = 1")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(who(b"cookie", now).await.unwrap(), Caller::Nobody);
    })
    .await;
}

#[tokio::test]
async fn one_tenants_many_writers_wait_for_their_turns_and_nobody_elses() {
    let ground = Ground::sqlite(TABLES).await;
    let held = ground.foundation.database.write(&of("z")).await.unwrap();
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    for tenant in ["a", "a", "a", "a", "b", "a", "b", "c"] {
        let (database, told) = (ground.foundation.database.clone(), told.clone());
        tokio::spawn(async move {
            let tx = database.write(&of(tenant)).await.unwrap();
            told.send(tenant).unwrap();
            tx.commit().await.unwrap();
        });
        // It stands in the queue before the next one comes.
        tokio::task::yield_now().await;
    }
    drop((told, held));
    let mut seen = String::new();
    while let Some(tenant) = order.recv().await {
        seen.push_str(tenant);
    }
    assert_eq!(seen, "abcabaaa");
}
