//! The list of what is to go from the store.
//!
//! A key is listed before anything is written under it ([`intend`]), due in a day; [`keep`] takes it off in the
//! transaction that makes the object count; [`due_now`] makes it due. [`sweep`] removes what is due: it marks the row
//! first, so that an object which is being removed can no longer come to count.

use futures_util::StreamExt as _;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::clock::random;
use lanyard_governance_foundation::{Fault, Statement, Tx};
use lanyard_protocol::Timestamp;
use object_store::path::Path;

use crate::State;

/// Topic that wakes whoever sweeps.
pub(crate) const TOPIC: &str = "workspace/removals";

/// An upload that is not done a day after it began is not going to be, in milliseconds.
const GIVEN_UP_AFTER: i64 = 24 * 3_600_000;

/// After a failure an object is tried again so much later, in milliseconds (five minutes).
const TRY_AGAIN_AFTER: i64 = 300_000;

/// Objects looked at in one go, and removed at once.
const BATCH: i64 = 200;
const AT_ONCE: usize = 8;

/// A key that was never used: the content's hash and a number that is drawn anew each time.
pub(crate) fn key_of(tenant: &TenantId, sha256: &str) -> Result<Path, Fault> {
    Ok(Path::from(format!("{tenant}/sha256/{}/{sha256}.{}", sha256.get(..2).unwrap_or("00"), drawn()?)))
}

/// A key for content whose hash is not known yet.
pub(crate) fn incoming_key(tenant: &TenantId) -> Result<Path, Fault> {
    Ok(Path::from(format!("{tenant}/incoming/{}", drawn()?)))
}

fn drawn() -> Result<String, Fault> {
    Ok(data_encoding::BASE32_NOPAD.encode(&random::<15>()?).to_lowercase())
}

/// Says that something is going to be written under a key.
pub(crate) async fn intend(tx: &mut Tx, key: &Path, now: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT INTO workspace_removals (tenant_id, store_key, due_at, claimed) VALUES ($1, $2, $3, 0)";
    tx.run(Statement::new(sql).bind(key.as_ref()).bind(now.plus_millis(GIVEN_UP_AFTER))).await?;
    Ok(())
}

/// Takes a key off the list: the object counts from this transaction on.
pub(crate) async fn keep(tx: &mut Tx, key: &str) -> Result<(), Fault> {
    let sql = "DELETE FROM workspace_removals WHERE tenant_id = $1 AND store_key = $2 AND claimed = 0";
    match tx.run(Statement::new(sql).bind(key)).await? {
        0 => Err(Fault::unavailable("the upload took so long that its content was given up; send it again")),
        _ => Ok(()),
    }
}

/// Makes a listed key due.
pub(crate) async fn due_now(tx: &mut Tx, key: &str, now: Timestamp) -> Result<(), Fault> {
    let sql = "UPDATE workspace_removals SET due_at = $3 WHERE tenant_id = $1 AND store_key = $2";
    tx.run(Statement::new(sql).bind(key).bind(now)).await?;
    tx.wake(TOPIC).await?;
    Ok(())
}

/// Removes what is due, of every tenant. Returns how many objects went. What cannot be removed now is tried again later.
pub(crate) async fn sweep(state: &State) -> Result<u64, Fault> {
    let mut gone = 0;
    loop {
        let now = state.foundation.clock.now();
        let mut tx = state.foundation.database.across_read().await?;
        let sql =
            "SELECT tenant_id, store_key FROM workspace_removals WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
        let rows = tx.all(Statement::new(sql).bind(now).bind(BATCH)).await?;
        drop(tx);
        let mut due = Vec::new();
        for row in &rows {
            due.push((row.id::<TenantId>("tenant_id")?, row.text("store_key")?));
        }
        if due.is_empty() {
            return Ok(gone);
        }
        let removed = futures_util::stream::iter(due)
            .map(|(tenant, key)| async move { remove(state, &tenant, &key, now).await })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for removed in removed {
            gone += u64::from(removed?);
        }
    }
}

/// Removes one. `false`: it came to count meanwhile, or the store refused.
pub(crate) async fn remove(
    state: &State,
    tenant: &TenantId,
    key: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let database = &state.foundation.database;
    let mut tx = database.write_of(tenant).await?;
    let sql =
        "UPDATE workspace_removals SET claimed = 1 WHERE tenant_id = $1 AND store_key = $2 AND due_at <= $3";
    let claimed = tx.run(Statement::new(sql).bind(key).bind(now)).await?;
    tx.commit().await?;
    if claimed == 0 {
        return Ok(false);
    }
    let removed = match Path::parse(key) {
        Ok(path) => state.settings.remove(&path).await,
        Err(error) => Err(error.into()),
    };
    let mut tx = database.write_of(tenant).await?;
    let removed = match removed {
        Ok(()) => {
            let sql = "DELETE FROM workspace_removals WHERE tenant_id = $1 AND store_key = $2";
            tx.run(Statement::new(sql).bind(key)).await?;
            true
        }
        Err(error) => {
            tracing::warn!(%error, key, "an object cannot be removed from the artifact store; it is tried again");
            let sql = "UPDATE workspace_removals SET due_at = $3 WHERE tenant_id = $1 AND store_key = $2";
            tx.run(Statement::new(sql).bind(key).bind(now.plus_millis(TRY_AGAIN_AFTER))).await?;
            false
        }
    };
    tx.commit().await?;
    Ok(removed)
}
