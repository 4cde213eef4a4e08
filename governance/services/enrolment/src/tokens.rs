//! Enrolment tokens: made by an administrator, shown once, kept as the hash of their secret.

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::enrolment::{EnrolmentToken, IssuedEnrolmentToken};
use lanyard_governance_api::id::EnrolmentTokenId;
use lanyard_governance_api::limits::{ENROLMENT_TOKEN_SECONDS, MAX_TEXT_BYTES};
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement};

use crate::token::Token;
use crate::trace::Trace;
use crate::{State, behind, check};

/// Lifetimes that may be asked for, in seconds: a minute to thirty days.
const LIFETIMES: std::ops::RangeInclusive<u32> = 60..=2_592_000;

/// Uses that may be asked for: an image for a class room, not for the world.
const USES: std::ops::RangeInclusive<u32> = 1..=1_000;

/// Unexpired tokens of one tenant; enough for a fleet enrolled host by host.
const MAX_TOKENS: u64 = 10_000;

pub(crate) async fn create(
    state: State,
    ask: Ask<ep::CreateEnrolmentToken>,
) -> Result<IssuedEnrolmentToken, Fault> {
    let (person, body) = (ask.caller.person()?, ask.body);
    check::text("class", &body.class, check::MAX_NAME)?;
    check::optional("note", body.note.as_deref(), MAX_TEXT_BYTES)?;
    let lifetime = body.expires_in_seconds.unwrap_or(ENROLMENT_TOKEN_SECONDS);
    if !LIFETIMES.contains(&lifetime) {
        return Err(Fault::invalid("expiresInSeconds must be 60 to 2592000"));
    }
    let max_uses = body.max_uses.unwrap_or(1);
    if !USES.contains(&max_uses) {
        return Err(Fault::invalid("maxUses must be 1 to 1000"));
    }
    if let Some(owner) = body.user_id.as_ref().filter(|owner| **owner != person.user) {
        behind::check_owner(&state.foundation, &person.tenant, owner).await?;
    }
    let settings = &state.settings;
    let (token, text) = Token::fresh(settings.tokens_name_ca.then(|| settings.ca.certificate_hash()))?;
    let now = state.foundation.clock.now();
    let record = EnrolmentToken {
        token_id: token.id,
        user_id: body.user_id.unwrap_or_else(|| person.user.clone()),
        class: body.class,
        note: body.note,
        uses: 0,
        max_uses,
        created_by: person.user.clone(),
        created_at: now,
        expires_at: now.plus_millis(i64::from(lifetime) * 1_000),
        revoked_at: None,
        void: None,
    };
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let sql = "SELECT COUNT(*) AS number FROM enrolment_tokens WHERE tenant_id = $1 AND expires_at > $2";
    let open = tx.one(Statement::new(sql).bind(now)).await?;
    if open.map_or(Ok(0), |row| row.count("number"))? >= MAX_TOKENS {
        return Err(Fault::conflict(format!(
            "{MAX_TOKENS} enrolment tokens are open; let some run out, or make one for several hosts"
        )));
    }
    let sql = "INSERT INTO enrolment_tokens (tenant_id, token_id, secret_hash, user_id, class, note, uses, max_uses, \
               created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10)";
    let insert = Statement::new(sql)
        .bind_id(&record.token_id)
        .bind(token.secret_hash.as_slice())
        .bind_id(&record.user_id)
        .bind(record.class.as_str())
        .bind(record.note.as_deref())
        .bind(record.max_uses)
        .bind_id(&record.created_by)
        .bind(record.created_at)
        .bind(record.expires_at);
    tx.run(insert).await?;
    Trace::of("enrolment_token_created")
        .by(&ask.caller)
        .with("tokenId", record.token_id.as_str())
        .with("forUser", record.user_id.as_str())
        .with("class", record.class.as_str())
        .with("maxUses", record.max_uses)
        .with("expiresAt", record.expires_at.to_string())
        .write(&mut tx, &person.tenant, &state.foundation)
        .await?;
    tx.commit().await?;
    Ok(IssuedEnrolmentToken { token: text, record })
}

pub(crate) async fn list(
    state: State,
    ask: Ask<ep::ListEnrolmentTokens>,
) -> Result<Page<EnrolmentToken>, Fault> {
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let select = Statement::new(
        "SELECT token_id, user_id, class, note, uses, max_uses, created_by, created_at, expires_at, revoked_at \
         FROM enrolment_tokens WHERE tenant_id = $1",
    );
    let rows = tx.all(cut.apply(select, "AND", "created_at", "token_id")?).await?;
    drop(tx);
    let key = |row: &Row| Ok((row.time("created_at")?, row.text("token_id")?));
    let mut page = cut.page(rows, key, |row| Ok(read(row)?))?;
    behind::mark(&state.foundation, ask.caller.tenant()?, &mut page.items).await?;
    Ok(page)
}

pub(crate) async fn revoke(state: State, ask: Ask<ep::RevokeEnrolmentToken>) -> Result<Nothing, Fault> {
    let id: EnrolmentTokenId = ask.path.get("token_id")?;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let sql = "SELECT revoked_at FROM enrolment_tokens WHERE tenant_id = $1 AND token_id = $2 {lock}";
    let Some(row) = tx.one(Statement::new(sql).bind_id(&id)).await? else {
        return Err(Fault::not_found("enrolment token", id));
    };
    if row.opt_time("revoked_at")?.is_some() {
        return Ok(Nothing {});
    }
    let sql = "UPDATE enrolment_tokens SET revoked_at = $3 WHERE tenant_id = $1 AND token_id = $2";
    tx.run(Statement::new(sql).bind_id(&id).bind(state.foundation.clock.now())).await?;
    Trace::of("enrolment_token_revoked")
        .by(&ask.caller)
        .with("tokenId", id.as_str())
        .write(&mut tx, ask.caller.tenant()?, &state.foundation)
        .await?;
    tx.commit().await?;
    Ok(Nothing {})
}

fn read(row: &Row) -> Result<EnrolmentToken, DatabaseError> {
    let small = |column| row.count(column).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Ok(EnrolmentToken {
        token_id: row.id("token_id")?,
        user_id: row.id("user_id")?,
        class: row.text("class")?,
        note: row.opt_text("note")?,
        uses: small("uses")?,
        max_uses: small("max_uses")?,
        created_by: row.id("created_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        void: None,
    })
}
