//! Proofs of possession: whoever renews or asks for an access token shows that it holds the enrolled key, now.
//!
//! Timestamp first, because it needs no secret and helps a host whose clock is wrong; then the key; only then what is
//! known of the host. Whoever does not hold the key cannot tell an enrolled host from none.

use std::time::Instant;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use lanyard_governance_api::enrolment::{Proof, Purpose, proof_text};
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::pace::Pace;
use lanyard_governance_foundation::{Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::State;
use crate::check;
use crate::identity::{self, RENEWABLE_MILLIS, Whom};
use crate::trace::Trace;

/// Most that a proof's timestamp may differ from the server's clock, in milliseconds.
const MAX_SKEW_MILLIS: i64 = 5 * 60_000;

/// How long a nonce is kept, in milliseconds: a timestamp from the far end of the window, and clocks of replicas that
/// differ a little.
const NONCE_MILLIS: i64 = 3 * MAX_SKEW_MILLIS;

/// Proofs that a host makes: one every quarter of an hour and some for restarts. A host that starts over and over again
/// gets on; one gone wild does not fill the table of credentials.
const PROOFS_PER_SECOND: f64 = 0.5;
const PROOFS_AT_ONCE: f64 = 60.0;

/// Refusals recorded about one host or token: enough to be noticed, too few to bury what else is recorded.
const NOTES_PER_SECOND: f64 = 1.0 / 60.0;
const NOTES_AT_ONCE: f64 = 10.0;

/// The Policy Service is asked for a tenant's first epoch once in so many seconds, however many hosts beat.
const EPOCH_SECONDS: f64 = 5.0;

/// How often things are done for whoever asks.
#[derive(Debug)]
pub(crate) struct Paces {
    proofs: Pace<AgentId>,
    notes: Pace<String>,
    epochs: Pace<TenantId>,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            proofs: Pace::new(PROOFS_PER_SECOND, PROOFS_AT_ONCE),
            notes: Pace::new(NOTES_PER_SECOND, NOTES_AT_ONCE),
            epochs: Pace::new(1.0 / EPOCH_SECONDS, 1.0),
        }
    }
}

impl Paces {
    /// Whether the Policy Service may be asked for a tenant's first epoch now.
    pub(crate) fn first_epoch(&self, tenant: &TenantId, now: Instant) -> Result<(), u32> {
        self.epochs.take(tenant, now)
    }

    /// Records a refusal about something, in a transaction of its own, unless there were many. What goes wrong is for
    /// the log: the caller gets its refusal either way.
    pub(crate) async fn note(&self, foundation: &Foundation, tenant: &TenantId, about: &str, trace: Trace) {
        if self.notes.take(&about.to_owned(), Instant::now()).is_err() {
            tracing::warn!(about, "further refusals are not recorded one by one");
            return;
        }
        let written = async {
            let mut tx = foundation.database.write_of(tenant).await?;
            trace.write(&mut tx, tenant, foundation).await?;
            Ok::<_, Fault>(tx.commit().await?)
        };
        if let Err(fault) = written.await {
            tracing::error!(%fault, about, "a refusal could not be recorded");
        }
    }
}

/// A host that proved to hold its key.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) whom: Whom,
    /// The enrolled key.
    pub(crate) key: [u8; 32],
}

/// Checks a proof and uses its nonce up. Returns the transaction, across tenants, that holds the host's row and the
/// nonce: nothing counts before it is committed.
pub(crate) async fn check(
    state: &State,
    purpose: Purpose,
    agent: &AgentId,
    proof: &Proof,
    now: Timestamp,
) -> Result<(Tx, Proven), Fault> {
    check::hex("proof.nonce", &proof.nonce, 16, 16)?;
    let skew = proof.timestamp.as_millis().abs_diff(now.as_millis());
    if skew > MAX_SKEW_MILLIS.unsigned_abs() {
        let text = "the proof's timestamp is not within five minutes of the server's clock; sign again with the server's";
        return Err(Fault::unknown_caller(text).with("serverTime", now.to_string()));
    }
    let mut tx = state.foundation.database.across_write().await?;
    let sql = "SELECT tenant_id, user_id, public_key, not_after, revoked_at, revoked_reason \
               FROM agents WHERE agent_id = $1 {lock}";
    let Some(row) = tx.one(Statement::new(sql).bind_id(agent)).await? else {
        tracing::warn!(%agent, "a proof for an unknown host was tried");
        return Err(not_accepted());
    };
    let whom = Whom { tenant: row.id("tenant_id")?, agent: agent.clone(), user: row.id("user_id")? };
    match proven(&row, purpose, agent, proof, now) {
        Ok(key) => {
            state.paces.proofs.take(agent, Instant::now()).map_err(|seconds| {
                Fault::slow_down("this host asks for new credentials too often", seconds)
            })?;
            use_up(&mut tx, &whom, proof, now).await?;
            Ok((tx, Proven { whom, key }))
        }
        Err(fault) => {
            drop(tx);
            let trace = Trace::alarm("proof_refused")
                .about(agent)
                .with("purpose", purpose.as_str())
                .with("reason", fault.wire.message.as_str());
            state.paces.note(&state.foundation, &whom.tenant, agent.as_str(), trace).await;
            Err(fault)
        }
    }
}

/// The enrolled key, if the proof is by it and it still counts.
fn proven(
    row: &Row,
    purpose: Purpose,
    agent: &AgentId,
    proof: &Proof,
    now: Timestamp,
) -> Result<[u8; 32], Fault> {
    let key: [u8; 32] = row
        .bytes("public_key")?
        .try_into()
        .map_err(|_| Fault::internal("an enrolled key is not one", &agent))?;
    let enrolled =
        VerifyingKey::from_bytes(&key).map_err(|e| Fault::internal("an enrolled key is not one", &e))?;
    let signature = BASE64URL_NOPAD.decode(proof.signature.as_bytes()).ok();
    let signature =
        signature.and_then(|bytes| Signature::from_slice(&bytes).ok()).ok_or_else(not_accepted)?;
    let text = proof_text(purpose, agent, proof.timestamp, &proof.nonce);
    enrolled.verify_strict(text.as_bytes(), &signature).map_err(|_| not_accepted())?;
    if row.opt_time("revoked_at")?.is_some() {
        return Err(identity::revoked(&row.opt_text("revoked_reason")?.unwrap_or_default()));
    }
    if row.time("not_after")?.plus_millis(RENEWABLE_MILLIS) < now {
        let text = "the certificate ran out more than 90 days ago; enrol this host again";
        return Err(Fault::new(ErrorCode::EnrolmentRefused, text));
    }
    Ok(key)
}

async fn use_up(tx: &mut Tx, whom: &Whom, proof: &Proof, now: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT INTO proof_nonces (tenant_id, agent_id, nonce, expires_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT DO NOTHING";
    let insert = Statement::new(sql)
        .bind_id(&whom.tenant)
        .bind_id(&whom.agent)
        .bind(proof.nonce.to_ascii_lowercase())
        .bind(now.plus_millis(NONCE_MILLIS));
    if tx.run(insert).await? == 0 {
        return Err(Fault::unknown_caller("this proof was used already; sign a new one")
            .with("serverTime", now.to_string()));
    }
    Ok(())
}

fn not_accepted() -> Fault {
    Fault::unknown_caller("this proof is not accepted; if this host was enrolled here once, enrol it again")
}
