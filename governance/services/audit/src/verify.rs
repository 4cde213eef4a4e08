//! Proof: every record of a chain is read, every hash computed anew from the stored text, and every column that repeats
//! something of the event compared with it. The first fault of a chain is told.
//!
//! Chains are read a page at a time while hosts go on writing and retention goes on removing: the end is the head as it
//! was at the beginning, and where retention has overtaken the walk it begins again.

use std::collections::HashSet;
use std::time::Duration;

use lanyard_governance_api::audit::{ChainVerdict, Verification};
use lanyard_governance_api::endpoint::VerifyAudit;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::State;
use crate::chain::{Digest, event_key};
use crate::conflict;
use crate::event::{Event, rank};
use crate::head::{self, Head};
use crate::ingest::stored;
use crate::scan::{LONG, text_of};

/// Records read at once.
const PAGE: i64 = 500;

/// How long a proof waits for others to end.
const WAIT: Duration = Duration::from_secs(5);

/// Walks of one chain, where retention keeps overtaking them.
const TRIES: usize = 5;

pub(crate) async fn verify(state: State, ask: Ask<VerifyAudit>) -> Result<Verification, Fault> {
    let tenant = ask.caller.tenant()?.clone();
    let _permit = state.proofs.take(&tenant, WAIT).await?;
    let prover = Prover { foundation: state.foundation, tenant };
    let mut chains = Vec::new();
    match &ask.query.source {
        Some(source) => {
            lanyard_protocol::id::check(source).map_err(|_| Fault::not_found("chain", source))?;
            match prover.chain(source).await? {
                Some(verdict) => chains.push(verdict),
                None => return Err(Fault::not_found("chain", source)),
            }
        }
        None => {
            for source in prover.sources().await? {
                chains.extend(prover.chain(&source).await?);
            }
        }
    }
    let whole = chains.iter().all(|chain| chain.fault.is_none());
    Ok(Verification { chains, whole })
}

struct Prover {
    foundation: Foundation,
    tenant: TenantId,
}

/// How far a walk has come.
struct Walk {
    seq: u64,
    hash: Digest,
    received_at: Timestamp,
    records: u64,
}

impl Prover {
    /// Sources that have a head, and those that have records and none.
    async fn sources(&self) -> Result<Vec<String>, Fault> {
        let mut sources = Vec::new();
        loop {
            let mut tx = self.foundation.database.read_of(&self.tenant).await?;
            let last = sources.last().map_or("", String::as_str);
            let heads = head::after(&mut tx, last).await?;
            if heads.is_empty() {
                break;
            }
            sources.extend(heads.into_iter().map(|(source, _)| source));
        }
        let known: HashSet<String> = sources.iter().cloned().collect();
        let mut last = String::new();
        loop {
            let mut tx = self.foundation.database.read_of(&self.tenant).await?;
            let sql = "SELECT MIN(source) AS source FROM audit_records WHERE tenant_id = $1 AND source > $2";
            let next = tx.one(Statement::new(sql).bind(last.as_str())).await?;
            let Some(next) = next.map(|row| row.opt_text("source")).transpose()?.flatten() else { break };
            if !known.contains(&next) {
                sources.push(next.clone());
            }
            last = next;
        }
        Ok(sources)
    }

    /// The verdict on one chain; absent where there is none.
    async fn chain(&self, source: &str) -> Result<Option<ChainVerdict>, Fault> {
        let mut tries = 0;
        loop {
            let Some(begun) = self.ends(source).await? else { return Ok(None) };
            let Some(head) = begun.head else {
                return Ok(Some(ChainVerdict {
                    source: source.to_owned(),
                    first_seq: begun.first.unwrap_or_default(),
                    last_seq: begun.last.unwrap_or_default(),
                    head: Digest::START.hex(),
                    records: 0,
                    fault: Some("there are records, and the chain's head is missing".to_owned()),
                    conflicts: 0,
                }));
            };
            let mut walk = Walk {
                seq: head.kept_after,
                hash: head.kept_after_hash,
                received_at: Timestamp::from_millis(0),
                records: 0,
            };
            let mut fault = begun.fault(&head);
            if fault.is_none() {
                fault = self.walk(source, &head, &mut walk).await?;
            }
            tries += 1;
            if fault.is_some() && tries < TRIES && self.overtaken(source, &head).await? {
                continue;
            }
            let mut tx = self.foundation.database.read_of(&self.tenant).await?;
            let conflicts = conflict::count(&mut tx, source).await?;
            return Ok(Some(ChainVerdict {
                source: source.to_owned(),
                first_seq: head.kept_after + 1,
                last_seq: head.seq,
                head: head.hash.hex(),
                records: walk.records,
                fault,
                conflicts: u64::try_from(conflicts).unwrap_or_default(),
            }));
        }
    }

    async fn overtaken(&self, source: &str, head: &Head) -> Result<bool, Fault> {
        let mut tx = self.foundation.database.read_of(&self.tenant).await?;
        Ok(Head::read(&mut tx, source).await?.is_some_and(|now| now.kept_after != head.kept_after))
    }

    /// Head, first and last number, seen at one moment.
    async fn ends(&self, source: &str) -> Result<Option<Ends>, Fault> {
        let mut tx = self.foundation.database.read_of(&self.tenant).await?;
        let sql = "SELECT last_seq, hash, kept_after, kept_after_hash, updated_at,
                (SELECT MIN(seq) FROM audit_records WHERE tenant_id = $1 AND source = $2) AS first_kept,
                (SELECT MAX(seq) FROM audit_records WHERE tenant_id = $1 AND source = $2) AS last_kept
            FROM (SELECT 1 AS one) AS always
            LEFT JOIN audit_heads ON tenant_id = $1 AND source = $2";
        let Some(row) = tx.one(Statement::new(sql).bind(source)).await? else { return Ok(None) };
        let head = match row.opt_int("last_seq")? {
            Some(_) => Some(Head::of(&row)?),
            None => None,
        };
        let number =
            |column| Ok::<_, Fault>(row.opt_int(column)?.map(|seq| u64::try_from(seq).unwrap_or_default()));
        let ends = Ends { head, first: number("first_kept")?, last: number("last_kept")? };
        Ok((ends.head.is_some() || ends.first.is_some()).then_some(ends))
    }

    /// Walks a chain up to a head. Returns the first fault.
    async fn walk(&self, source: &str, head: &Head, walk: &mut Walk) -> Result<Option<String>, Fault> {
        let sql =
            "SELECT seq, received_at, severity, repeats, hash, event_key, event_type, session_id, task_id,
                workspace_id, user_id, CASE WHEN OCTET_LENGTH(event) <= $5 THEN event END AS event
            FROM audit_records
            WHERE tenant_id = $1 AND source = $2 AND seq > $3 AND seq <= $4 ORDER BY seq LIMIT $6";
        while walk.seq < head.seq {
            let mut tx = self.foundation.database.read_of(&self.tenant).await?;
            let page =
                Statement::new(sql).bind(source).bind_u64(walk.seq).bind_u64(head.seq).bind(LONG).bind(PAGE);
            let rows = tx.all(page).await?;
            if rows.is_empty() {
                return Ok(Some(format!("record {} is missing", walk.seq + 1)));
            }
            for row in rows {
                let seq = row.count("seq")?;
                if seq != walk.seq + 1 {
                    return Ok(Some(format!("record {} is missing", walk.seq + 1)));
                }
                let text = match row.opt_text("event")? {
                    Some(text) => text,
                    None => text_of(&mut tx, source, seq).await?,
                };
                if let Some(fault) = self.record(&mut tx, source, walk, &row, &text).await? {
                    return Ok(Some(format!("record {seq}: {fault}")));
                }
                walk.records += 1;
            }
        }
        Ok((walk.hash != head.hash).then(|| "the chain's head is not its last record".to_owned()))
    }

    /// Looks at one record and steps on to it.
    async fn record(
        &self,
        tx: &mut Tx,
        source: &str,
        walk: &mut Walk,
        row: &Row,
        text: &str,
    ) -> Result<Option<String>, Fault> {
        let (seq, hash) = (row.count("seq")?, Digest::of(row, "hash")?);
        if walk.hash.then(seq, text) != hash {
            return Ok(Some("its hash is not that of its content after the one before".to_owned()));
        }
        let Ok(event) = serde_json::from_str::<Event>(text) else {
            return Ok(Some("its event cannot be read".to_owned()));
        };
        let said = row.text("event_type")? == event.event_type
            && row.text("session_id")? == event.session_id.as_str()
            && row.opt_text("task_id")?.as_deref() == event.task_id.as_ref().map(|id| id.as_str())
            && row.text("workspace_id")? == event.workspace_id.as_str()
            && row.text("user_id")? == event.user_id
            && row.int("severity")? == rank(event.severity)
            && event.tenant_id == self.tenant.as_str();
        if !said {
            return Ok(Some("what is stored beside it for searches is not what it says".to_owned()));
        }
        let received_at = row.time("received_at")?;
        if received_at < walk.received_at {
            return Ok(Some("it is dated before the one before".to_owned()));
        }
        let key = event_key(self.tenant.as_str(), source, event.event_id.as_str());
        let (own, repeats) = (row.opt_bytes("event_key")?, row.int("repeats")?);
        if own.as_ref().is_some_and(|own| *own != key) || (own.is_some() && repeats != 0) {
            return Ok(Some("the key it is found by is not its own".to_owned()));
        }
        if repeats != 0 {
            // It may be left out of searches only if the one it repeats is there.
            let other = stored(tx, vec![key.clone()]).await?.remove(&key);
            let honest = other.is_some_and(|other| {
                other.seq == repeats.unsigned_abs() && (other.text == text) == (repeats > 0)
            });
            if !honest {
                return Ok(Some("it says that it repeats another record, which is not so".to_owned()));
            }
        }
        (walk.seq, walk.hash, walk.received_at) = (seq, hash, received_at);
        Ok(None)
    }
}

/// What is seen of a chain at its ends.
struct Ends {
    head: Option<Head>,
    first: Option<u64>,
    last: Option<u64>,
}

impl Ends {
    fn fault(&self, head: &Head) -> Option<String> {
        match (self.first, self.last) {
            (Some(first), _) if first <= head.kept_after => Some(format!(
                "record {first} is there, and retention removed those up to {}",
                head.kept_after
            )),
            (_, Some(last)) if last > head.seq => {
                Some(format!("record {last} is there, and the chain ends at {}", head.seq))
            }
            (_, last) if last.unwrap_or(head.kept_after) < head.seq => {
                let last = last.unwrap_or(head.kept_after);
                Some(format!("the chain ends at {last}, and its head is {}: its end was cut off", head.seq))
            }
            _ => None,
        }
    }
}
