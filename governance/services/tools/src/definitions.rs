//! Tools as administrators define them.

use data_encoding::HEXLOWER;
use lanyard_governance_api::endpoint::{DeleteTool, ListTools, PutTool};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::tool::{ToolDefinition, ToolList};
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx};
use lanyard_protocol::envelope::{BoundedContext, Component};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::tool::ToolSpec;
use lanyard_protocol::{ErrorCode, Json};
use reqwest::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::seal::Belongs;
use crate::{State, address, schema};

/// Tools of a tenant: each goes to the model with every request of a session that may use it.
const MAX_TOOLS: u64 = 200;

/// Longest description and longest authorization, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 8_000;
const MAX_AUTHORIZATION_BYTES: usize = 8_000;

/// Longest name. Models take no longer ones.
const MAX_NAME_BYTES: usize = 64;

/// A tool as it is called.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) spec: ToolSpec,
    pub(crate) url: Url,
    pub(crate) timeout_seconds: u32,
    /// Encrypted.
    pub(crate) authorization: Option<Vec<u8>>,
}

impl Tool {
    /// What names exactly this definition, as far as it says what the tool is and does. The authorization does not: it is
    /// replaced again and again, and only lets the call in.
    pub(crate) fn digest(&self) -> String {
        let parts = [
            self.spec.name.as_str(),
            &self.spec.description,
            &self.spec.input_schema.canonical(),
            self.url.as_str(),
            &self.timeout_seconds.to_string(),
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        HEXLOWER.encode(&digest.finalize())
    }
}

/// Whether a text is the name of a tool: a letter, then letters, digits, `_` and `-`.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// 404.
pub(crate) fn not_found(name: &str) -> Fault {
    Fault::new(ErrorCode::ToolNotFound, format!("there is no tool {name:?} behind the centre"))
}

/// A record of this service for the trail.
pub(crate) fn trail_record(event_type: &'static str, tool: &str) -> Record {
    Record::new(event_type, Component::BackendToolService, BoundedContext::ToolExecution)
        .with("toolName", tool)
}

const SELECT: &str = "SELECT name, description, input_schema, url, sealed_authorization, timeout_seconds FROM tools \
    WHERE tenant_id = $1";

fn tool(row: &Row) -> Result<Tool, Fault> {
    let url = row.text("url")?;
    Ok(Tool {
        spec: ToolSpec {
            name: row.text("name")?,
            description: row.text("description")?,
            input_schema: row.json("input_schema")?,
            capabilities: vec![Capability::BackendToolInvoke],
        },
        url: Url::parse(&url).map_err(|e| Fault::internal("the URL of a tool cannot be read", &e))?,
        timeout_seconds: u32::try_from(row.count("timeout_seconds")?).unwrap_or(1),
        authorization: row.opt_bytes("sealed_authorization")?,
    })
}

/// One tool.
pub(crate) async fn find(tx: &mut Tx, name: &str, lock: &'static str) -> Result<Option<Tool>, Fault> {
    // What is no name is not asked for.
    if !is_name(name) {
        return Ok(None);
    }
    let statement = Statement::new(SELECT).push(" AND name = $2").push(lock).bind(name);
    tx.one(statement).await?.as_ref().map(tool).transpose()
}

/// `GET /tools`
pub(crate) async fn list(state: State, ask: Ask<ListTools>) -> Result<ToolList, Fault> {
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let rows = tx.all(Statement::new(SELECT).push(" ORDER BY name")).await?;
    let tools = rows.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    let definitions = tools.iter().map(|tool| (tool.spec.name.clone(), tool.digest())).collect();
    Ok(ToolList { tools: tools.into_iter().map(|tool| tool.spec).collect(), definitions })
}

/// `PUT /tools/{tool_name}`
pub(crate) async fn put(state: State, ask: Ask<PutTool>) -> Result<ToolSpec, Fault> {
    let name: String = ask.path.get("tool_name")?;
    if !is_name(&name) {
        return Err(Fault::invalid(format!(
            "a tool's name is a letter, then letters, digits, _ and -, {MAX_NAME_BYTES} at most; not {name:?}"
        )));
    }
    let definition = &ask.body;
    check(definition)?;
    let url = address::check(&definition.url, state.settings.reach)?;
    let input_schema = schema::closed(&definition.input_schema.0)?;
    let tenant = ask.caller.tenant()?;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let before = find(&mut tx, &name, " {lock}").await?;
    if before.is_none() {
        let row = tx.one(Statement::new("SELECT COUNT(*) AS n FROM tools WHERE tenant_id = $1")).await?;
        if row.map(|row| row.count("n")).transpose()?.unwrap_or(0) >= MAX_TOOLS {
            return Err(Fault::conflict(format!("{MAX_TOOLS} tools are defined already; remove one first")));
        }
    }
    let sealed = authorization(&state, tenant, &name, &url, definition, before.as_ref())?;
    let sql = "INSERT INTO tools (tenant_id, name, description, input_schema, url, sealed_authorization, \
        timeout_seconds, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, name) DO UPDATE \
        SET description = excluded.description, input_schema = excluded.input_schema, url = excluded.url, \
        sealed_authorization = excluded.sealed_authorization, timeout_seconds = excluded.timeout_seconds, \
        updated_at = excluded.updated_at";
    let statement = Statement::new(sql)
        .bind(name.as_str())
        .bind(definition.description.as_str())
        .bind_json(&input_schema)
        .bind(url.as_str())
        .bind(lanyard_governance_foundation::database::Value::Bytes(sealed))
        .bind(definition.timeout_seconds)
        .bind(state.foundation.clock.now());
    tx.run(statement).await?;
    let entry = trail_record("tool_defined", &name)
        .by(&ask.caller)
        .with("origin", address::origin(&url))
        .with("replaced", before.is_some())
        .with("authorizationChanged", definition.authorization.is_some());
    trail::record(&mut tx, tenant, state.foundation.clock.as_ref(), entry).await?;
    tx.commit().await?;
    Ok(ToolSpec {
        name,
        description: definition.description.clone(),
        input_schema: Json(input_schema),
        capabilities: vec![Capability::BackendToolInvoke],
    })
}

fn check(definition: &ToolDefinition) -> Result<(), Fault> {
    if definition.description.is_empty() || definition.description.len() > MAX_DESCRIPTION_BYTES {
        return Err(Fault::invalid(format!("description has 1 to {MAX_DESCRIPTION_BYTES} bytes")));
    }
    if !(1..=300).contains(&definition.timeout_seconds) {
        return Err(Fault::invalid("timeoutSeconds is 1 to 300"));
    }
    if let Some(secret) = &definition.authorization
        && (secret.len() > MAX_AUTHORIZATION_BYTES || HeaderValue::from_str(secret).is_err())
    {
        return Err(Fault::invalid(format!(
            "authorization is what the header of that name takes: visible characters, {MAX_AUTHORIZATION_BYTES} bytes at most"
        )));
    }
    Ok(())
}

/// What is kept as the authorization: the new one; none where it is empty; else the old one, if calls still go to where it
/// was meant for. An administrator who could only point the tool elsewhere would read it there.
fn authorization(
    state: &State,
    tenant: &TenantId,
    name: &str,
    url: &Url,
    definition: &ToolDefinition,
    before: Option<&Tool>,
) -> Result<Option<Vec<u8>>, Fault> {
    let origin = address::origin(url);
    match definition.authorization.as_deref() {
        Some("") => Ok(None),
        Some(secret) => {
            let belongs = Belongs { tenant, tool: name, origin: &origin };
            state.settings.key.seal(secret, belongs).map(Some)
        }
        None => match before.and_then(|before| before.authorization.as_ref().map(|kept| (before, kept))) {
            None => Ok(None),
            Some((before, kept)) if address::origin(&before.url) == origin => Ok(Some(kept.clone())),
            Some(_) => Err(Fault::invalid(
                "the tool moves to another address: say its authorization again, or set it to \"\" for none",
            )),
        },
    }
}

/// `DELETE /tools/{tool_name}`
pub(crate) async fn delete(state: State, ask: Ask<DeleteTool>) -> Result<Nothing, Fault> {
    let name: String = ask.path.get("tool_name")?;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    if find(&mut tx, &name, " {lock}").await?.is_none() {
        return Err(not_found(&name));
    }
    let sql = "DELETE FROM tools WHERE tenant_id = $1 AND name = $2";
    tx.run(Statement::new(sql).bind(name.as_str())).await?;
    let entry = trail_record("tool_removed", &name).by(&ask.caller);
    trail::record(&mut tx, ask.caller.tenant()?, state.foundation.clock.as_ref(), entry).await?;
    tx.commit().await?;
    Ok(Nothing {})
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_what_models_take() {
        assert!(["A", "search-docs", "Search_Docs2", &"x".repeat(64)].into_iter().all(is_name));
        assert!(!["", "1a", "_a", "a.b", "a b", "ä", "a/b", &"x".repeat(65)].into_iter().any(is_name));
    }
}
