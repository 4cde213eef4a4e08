//! A token and a certificate request become an identity.
//!
//! Whoever does not hold the secret learns nothing: unknown tokens and wrong secrets are refused in the same words. Who
//! holds it learns whether the token ran out, was used up or revoked, or has nobody behind it any more. The same request again gets the same host again
//! and uses nothing, for as long as the token would be accepted.

use axum::response::{IntoResponse as _, Response};
use http::header;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::enrolment::{ExchangeRequest, IssuedIdentity};
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::database::Row;
use lanyard_governance_foundation::{Ask, Fault, RawAsk, Statement, Tx, fresh_id};
use lanyard_protocol::{ErrorCode, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::authority::KeyRequest;
use crate::identity::{self, Whom};
use crate::token::Token;
use crate::trace::Trace;
use crate::{State, behind, check};

/// The CA certificate.
pub(crate) async fn ca(state: State, _ask: RawAsk<ep::GetCa>) -> Result<Response, Fault> {
    let pem = state.settings.ca.certificate_pem().to_owned();
    Ok(([(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response())
}

pub(crate) async fn exchange(state: State, ask: Ask<ep::ExchangeToken>) -> Result<IssuedIdentity, Fault> {
    let body = ask.body;
    check::hex("nonce", &body.nonce, 16, 64)?;
    check::machine(&body.machine)?;
    let Some(token) = Token::parse(&body.token) else { return Err(not_accepted()) };
    let request = KeyRequest::parse(&body.csr_pem).map_err(|e| Fault::invalid(e.to_string()))?;
    let now = state.foundation.clock.now();
    let tx = state.foundation.database.across_read().await?;
    let (tx, row) = held(&state, tx, &token, "").await?;
    drop(tx);
    // Not within the transaction that writes: others wait for it.
    backed(&state, &row, &token, now).await?;
    let tx = state.foundation.database.across_write().await?;
    let (mut tx, row) = held(&state, tx, &token, " {lock}").await?;
    let tenant: TenantId = row.id("tenant_id")?;
    match enrol(&state, &mut tx, &row, &token, &request, body, now).await {
        Ok(issued) => {
            tx.commit().await?;
            Ok(issued)
        }
        Err(fault) if fault.wire.code == ErrorCode::EnrolmentRefused => {
            // Who asks for another key with a token for one host is marked, and refused all the same.
            tx.commit().await?;
            note_refusal(&state, &tenant, &token, &fault.wire.message).await;
            Err(fault)
        }
        // Nothing counts of what went wrong half-way: the token is as good as before.
        Err(fault) => Err(fault),
    }
}

/// The token's row, for who holds its secret.
async fn held(state: &State, mut tx: Tx, token: &Token, lock: &'static str) -> Result<(Tx, Row), Fault> {
    let sql = "SELECT tenant_id, user_id, created_by, class, secret_hash, expires_at, revoked_at \
               FROM enrolment_tokens WHERE token_id = $1";
    let row = tx.one(Statement::new(sql).push(lock).bind_id(&token.id)).await?;
    let kept = row.as_ref().map_or(Ok(vec![0; 32]), |row| row.bytes("secret_hash"))?;
    let right: bool = kept.as_slice().ct_eq(&token.secret_hash).into();
    match row {
        Some(row) if right => Ok((tx, row)),
        Some(row) => {
            let tenant = row.id("tenant_id")?;
            drop(tx);
            note_refusal(state, &tenant, token, "the secret is wrong").await;
            Err(not_accepted())
        }
        None => {
            tracing::warn!(token = %token.id, "an unknown enrolment token was tried");
            Err(not_accepted())
        }
    }
}

/// Refuses a token whose maker may make none any more, or whose hosts would be nobody's. Of one that is revoked or has
/// run out that is said instead.
async fn backed(state: &State, row: &Row, token: &Token, now: Timestamp) -> Result<(), Fault> {
    if row.opt_time("revoked_at")?.is_some() || row.time("expires_at")? <= now {
        return Ok(());
    }
    let tenant: TenantId = row.id("tenant_id")?;
    let (maker, owner) = (row.id("created_by")?, row.id("user_id")?);
    let Some(why) = behind::void_now(&state.foundation, &tenant, &maker, &owner).await? else {
        return Ok(());
    };
    note_refusal(state, &tenant, token, &why).await;
    Err(refused(
        "whoever stood behind this enrolment token does not any more; ask your administrator for a new one",
    ))
}

/// With the right secret, and the token's row held.
async fn enrol(
    state: &State,
    tx: &mut Tx,
    row: &Row,
    token: &Token,
    request: &KeyRequest,
    body: ExchangeRequest,
    now: Timestamp,
) -> Result<IssuedIdentity, Fault> {
    if row.opt_time("revoked_at")?.is_some() {
        return Err(refused("this enrolment token was revoked; ask your administrator for a new one"));
    }
    if row.time("expires_at")? <= now {
        return Err(refused("this enrolment token has expired; ask your administrator for a new one"));
    }
    let sql = "SELECT agent_id, tenant_id, user_id, revoked_at, revoked_reason \
               FROM agents WHERE token_id = $1 AND csr_hash = $2 {lock}";
    let again = tx.one(Statement::new(sql).bind_id(&token.id).bind(request.hash.as_slice())).await?;
    if let Some(again) = again {
        if again.opt_time("revoked_at")?.is_some() {
            return Err(identity::revoked(&again.opt_text("revoked_reason")?.unwrap_or_default()));
        }
        let whom =
            Whom { tenant: again.id("tenant_id")?, agent: again.id("agent_id")?, user: again.id("user_id")? };
        return identity::issue(state, tx, &whom, request, body.nonce, now).await;
    }
    let sql = "UPDATE enrolment_tokens SET uses = uses + 1 WHERE token_id = $1 AND uses < max_uses";
    if tx.run(Statement::new(sql).bind_id(&token.id)).await? == 0 {
        mark_the_first(state, tx, &row.id("tenant_id")?, token).await?;
        return Err(refused("this enrolment token is used up; ask your administrator for a new one"));
    }
    let whom = Whom { tenant: row.id("tenant_id")?, agent: fresh_id("agt")?, user: row.id("user_id")? };
    let class = row.text("class")?;
    add(tx, &whom, &class, token, request, &body, now).await?;
    Trace::of("agent_enrolled")
        .about(&whom.agent)
        .with("tokenId", token.id.as_str())
        .with("forUser", whom.user.as_str())
        .with("class", class)
        .with("machine", body.machine.name.as_str())
        .write(tx, &whom.tenant, &state.foundation)
        .await?;
    identity::issue(state, tx, &whom, request, body.nonce, now).await
}

/// Marks the host that a token for one host was used for: somebody has the same token and another key.
async fn mark_the_first(state: &State, tx: &mut Tx, tenant: &TenantId, token: &Token) -> Result<(), Fault> {
    let sql = "UPDATE agents SET clone_suspected = 1 WHERE tenant_id = $1 AND token_id = $2 AND clone_suspected = 0 \
               AND revoked_at IS NULL AND EXISTS (SELECT 1 FROM enrolment_tokens t WHERE t.token_id = $2 \
               AND t.max_uses = 1) RETURNING agent_id";
    let Some(row) = tx.one(Statement::new(sql).bind_id(tenant).bind_id(&token.id)).await? else {
        return Ok(());
    };
    let agent: AgentId = row.id("agent_id")?;
    Trace::alarm("clone_suspected")
        .about(&agent)
        .with("reason", "its enrolment token was used again, for another key")
        .with("tokenId", token.id.as_str())
        .write(tx, tenant, &state.foundation)
        .await
}

async fn add(
    tx: &mut Tx,
    whom: &Whom,
    class: &str,
    token: &Token,
    request: &KeyRequest,
    body: &ExchangeRequest,
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "INSERT INTO agents (tenant_id, agent_id, user_id, class, token_id, csr_hash, public_key, machine, \
               policy_epoch, heard_at, skew, enrolled_at, issued_at, not_after, clone_suspected, swaps) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, 0, $9, $9, $9, 0, 0)";
    let insert = Statement::new(sql)
        .bind_id(&whom.tenant)
        .bind_id(&whom.agent)
        .bind_id(&whom.user)
        .bind(class)
        .bind_id(&token.id)
        .bind(request.hash.as_slice())
        .bind(request.key.as_slice())
        .bind_json(&body.machine)
        .bind(now);
    tx.run(insert).await?;
    let sql = "INSERT INTO channels (tenant_id, agent_id, last_number, confirmed_epoch, confirmed_at) \
               VALUES ($1, $2, 0, 0, 0)";
    tx.run(Statement::new(sql).bind_id(&whom.tenant).bind_id(&whom.agent)).await?;
    let sql = "INSERT INTO policy_epochs (tenant_id, pushed, at) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    tx.run(Statement::new(sql).bind_id(&whom.tenant).bind(now)).await?;
    Ok(())
}

fn not_accepted() -> Fault {
    refused("this enrolment token is not accepted; copy it whole, or ask your administrator for a new one")
}

fn refused(text: &str) -> Fault {
    Fault::new(ErrorCode::EnrolmentRefused, text)
}

/// Records a refusal in a transaction of its own. Not more often than bearable, and never in the way of the answer.
async fn note_refusal(state: &State, tenant: &TenantId, token: &Token, why: &str) {
    let trace = Trace::alarm("enrolment_refused").with("tokenId", token.id.as_str()).with("reason", why);
    state.paces.note(&state.foundation, tenant, token.id.as_str(), trace).await;
}
