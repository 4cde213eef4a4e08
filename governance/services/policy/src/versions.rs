//! Versions: listed, read, saved.

use lanyard_governance_api::endpoint::{CreatePolicy, GetPolicyVersion, ListPolicies};
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE, MAX_TEXT_BYTES};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::policy::{NewPolicy, PolicyVersion, PolicyVersionSummary};
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx};

use crate::store::{self, Standing};
use crate::{State, force, validate};

/// `GET /policies`.
pub(crate) async fn list(state: State, ask: Ask<ListPolicies>) -> Result<Page<PolicyVersionSummary>, Fault> {
    let limit = ask.query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Fault::invalid(format!("limit must be 1 to {MAX_PAGE}")));
    }
    let below = match &ask.query.next_token {
        None => i64::MAX,
        Some(token) => token
            .strip_prefix('v')
            .and_then(|number| number.parse().ok())
            .filter(|number: &i64| *number > 0)
            .ok_or_else(|| Fault::invalid("nextToken is none that this list gave"))?,
    };
    let (standing, _) = store::in_force(&state.foundation, ask.caller.tenant()?).await?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let sql = "SELECT version, comment, created_by, created_at FROM policy_versions \
               WHERE tenant_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    let rows = tx.all(Statement::new(sql).bind(below).bind(limit + 1)).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let version = row.count("version")?;
        items.push(PolicyVersionSummary {
            version,
            comment: row.text("comment")?,
            created_by: row.opt_id("created_by")?,
            created_at: row.time("created_at")?,
            active: standing.revoked.is_none() && version == standing.version,
        });
    }
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_token = items.last().filter(|_| more).map(|last| format!("v{}", last.version));
    Ok(Page { items, next_token })
}

/// `GET /policies/versions/{version}`.
pub(crate) async fn get(state: State, ask: Ask<GetPolicyVersion>) -> Result<PolicyVersion, Fault> {
    let number = ask.path.get("version")?;
    store::in_force(&state.foundation, ask.caller.tenant()?).await?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::one(&mut tx, number).await
}

/// `POST /policies`.
pub(crate) async fn create(state: State, ask: Ask<CreatePolicy>) -> Result<PolicyVersion, Fault> {
    let person = ask.caller.person()?;
    let NewPolicy { document, comment, activate, based_on } = ask.body;
    if comment.len() > MAX_TEXT_BYTES {
        return Err(Fault::invalid(format!("the comment is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let foundation = &state.foundation;
    let (tenant, now) = (&person.tenant, foundation.clock.now());
    let document = match activate {
        false => document,
        true => state.beside(tenant, move || validate::must_hold(&document).map(|()| document)).await??,
    };
    let mut tx = foundation.database.write(&ask.caller).await?;
    let standing = store::held(&mut tx, foundation, tenant).await?;
    if let Some(based_on) = based_on.filter(|based_on| *based_on != standing.version) {
        let text = format!(
            "version {} was put in force since version {based_on} was taken up; look at what changed and save again",
            standing.version
        );
        return Err(Fault::conflict(text).with("inForce", standing.version));
    }
    let version = PolicyVersion {
        version: standing.last_version + 1,
        document,
        comment,
        created_by: Some(person.user.clone()),
        created_at: now,
    };
    let new = store::NewVersion {
        number: version.version,
        document: &version.document,
        comment: &version.comment,
        by: Some(&person.user),
    };
    store::insert(&mut tx, new, now).await?;
    let sql = "UPDATE policy_state SET last_version = $2 WHERE tenant_id = $1";
    tx.run(Statement::new(sql).bind_u64(version.version)).await?;
    let record = store::record("policy_saved").by(&ask.caller).with("version", version.version);
    trail::record(&mut tx, tenant, &*foundation.clock, record).await?;
    let in_force = if activate { version.version } else { standing.version };
    forget_oldest(&mut tx, &standing, in_force, state.settings.versions_kept).await?;
    if activate {
        force::put(&mut tx, foundation, &ask.caller, &standing, version.version).await?;
    }
    tx.commit().await?;
    if activate {
        force::tell_now(foundation, tenant).await;
    }
    Ok(version)
}

/// Removes versions beyond those kept. What is in force stays, however old it is.
async fn forget_oldest(tx: &mut Tx, before: &Standing, in_force: u64, kept: u32) -> Result<(), Fault> {
    let last = before.last_version + 1;
    let Some(oldest) = last.checked_sub(u64::from(kept.max(1))) else { return Ok(()) };
    let sql = "DELETE FROM policy_versions WHERE tenant_id = $1 AND version <= $2 AND version <> $3 AND version <> $4";
    // What was in force until now is what a revocation or a roll-back shows next.
    let statement = Statement::new(sql).bind_u64(oldest).bind_u64(in_force).bind_u64(before.version);
    tx.run(statement).await?;
    Ok(())
}
