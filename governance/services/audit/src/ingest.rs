//! Taking a host's records: one transaction a batch, the chain's head locked once, one statement for all rows.
//!
//! Almost every batch is new from its first record to its last, so rows are inserted without looking first; the unique
//! key says when an event id was there already, and only then the batch is looked through and tried again.

use std::collections::{BTreeMap, HashMap};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lanyard_governance_api::audit::AuditAccepted;
use lanyard_governance_api::endpoint::PostAudit;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::database::{DatabaseError, Value};
use lanyard_governance_foundation::{Fault, RawAsk, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::State;
use crate::batch::{self, Entry};
use crate::chain::Digest;
use crate::conflict::{self, Conflict, Whose};
use crate::event::rank;
use crate::head::Head;

/// Keys looked up with one statement. SQLite and PostgreSQL take far more; short statements are found ready made.
const KEYS: usize = 500;

/// What is inserted, in this order; see [`row`].
pub(crate) const COLUMNS: &[&str] = &[
    "source",
    "seq",
    "received_at",
    "severity",
    "repeats",
    "hash",
    "event_key",
    "event_type",
    "session_id",
    "task_id",
    "workspace_id",
    "user_id",
    "event",
];

/// What a record says that has been there in another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// Nothing: its id is new.
    No,
    /// The same event has this number.
    Same(u64),
    /// Another event with its id has this number.
    Other(u64),
}

impl Repeats {
    fn column(self) -> i64 {
        match self {
            Repeats::No => 0,
            Repeats::Same(seq) => i64::try_from(seq).unwrap_or(i64::MAX),
            Repeats::Other(seq) => i64::try_from(seq).map_or(i64::MIN, |seq| -seq),
        }
    }
}

pub(crate) async fn post(state: State, ask: RawAsk<PostAudit>) -> Result<Response, Fault> {
    let agent = ask.caller.agent()?.clone();
    if agent.agent.as_str().starts_with("service:") {
        return Err(Fault::forbidden("this name is kept for services"));
    }
    let mut entries = batch::read(&ask.headers, ask.body, &agent).await?;
    let accepted = match attempt(&state, &agent, &mut entries, false).await {
        Err(Stop::Repeats) => attempt(&state, &agent, &mut entries, true).await,
        attempted => attempted,
    };
    match accepted {
        Ok(accepted) => Ok((StatusCode::ACCEPTED, axum::Json(accepted)).into_response()),
        Err(Stop::Repeats) => {
            // Batches of one source wait for each other, so nobody else stored these.
            let what = "records are stored beyond the end of their chain: verify it";
            Err(Fault::internal(what, &agent.agent))
        }
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Why an attempt did not succeed.
enum Stop {
    /// An event id was there already; each must be looked up.
    Repeats,
    Fault(Fault),
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Taken => Self::Repeats,
            other => Self::Fault(other.into()),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn attempt(
    state: &State,
    agent: &Agent,
    entries: &mut [Entry],
    look: bool,
) -> Result<AuditAccepted, Stop> {
    let source = agent.agent.as_str();
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write_of(&agent.tenant).await?;
    let mut head = Head::lock(&mut tx, source).await?;
    let was = head;
    let known = entries.partition_point(|entry| entry.seq <= head.seq);
    let (old, new) = entries.split_at_mut(known);
    let mut told = Told::default();
    compare(&mut tx, source, &head, old, &mut told).await?;
    // What is known is wrong: nothing can be said of what follows.
    let fits = if told.broken.is_some() { 0 } else { follow(&head, new, &mut told) };
    let fresh = new.get_mut(..fits).unwrap_or_default();
    let mut repeats = vec![Repeats::No; fresh.len()];
    if look {
        look_up(&mut tx, fresh, &mut repeats, &mut told).await?;
    }
    if let Some(last) = fresh.last() {
        head.seq = last.seq;
        head.hash = last.claimed;
        head.updated_at = head.updated_at.max(now);
        let rows = fresh.iter().zip(&repeats).map(|(entry, r)| row(source, entry, *r, head.updated_at));
        let rows: Vec<_> = rows.collect();
        tx.insert_many("audit_records", COLUMNS, rows, "").await?;
        head.save(&mut tx, source).await?;
    }
    let same = repeats.iter().filter(|r| matches!(r, Repeats::Same(_))).count() as u64;
    let conflicts = told.conflicts.len() as u64;
    let other = repeats.iter().filter(|r| matches!(r, Repeats::Other(_))).count() as u64;
    let whose = Whose { tenant: &agent.tenant, source, agent: Some(agent) };
    conflict::keep(&mut tx, &state.foundation, whose, &told.conflicts).await?;
    if head.seq > was.seq || conflicts > 0 {
        tx.commit().await?;
    }
    match told.broken {
        Some(broken) => Err(broken.fault(&head).into()),
        None => Ok(AuditAccepted {
            last_seq: head.seq,
            accepted: repeats.len() as u64 - same - other,
            duplicates: told.duplicates + same,
            conflicts,
        }),
    }
}

/// What is found out about a batch.
#[derive(Default)]
struct Told {
    duplicates: u64,
    conflicts: Vec<Conflict>,
    broken: Option<Broken>,
}

/// Where a batch does not continue the chain.
#[derive(Clone, Copy)]
enum Broken {
    Gap { seq: u64 },
    Hash { seq: u64 },
}

impl Broken {
    fn fault(self, head: &Head) -> Fault {
        let (seq, why, message) = match self {
            Broken::Gap { seq } => {
                (seq, "gap", format!("record {seq} does not follow: the chain ends at {}", head.seq))
            }
            Broken::Hash { seq } => (
                seq,
                "hash",
                format!("the hash of record {seq} is not that of its content after the one before"),
            ),
        };
        let wire = head.wire();
        let stands = serde_json::json!({ "lastSeq": wire.last_seq, "hash": wire.hash });
        Fault::conflict(format!("{message}; it was not stored, nor what comes after it"))
            .with("head", stands)
            .with("seq", seq)
            .with("fault", why)
    }
}

/// Compares records with those that have their numbers already.
async fn compare(
    tx: &mut Tx,
    source: &str,
    head: &Head,
    entries: &mut [Entry],
    told: &mut Told,
) -> Result<(), DatabaseError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    let sql = "SELECT seq, hash FROM audit_records
        WHERE tenant_id = $1 AND source = $2 AND seq >= $3 AND seq <= $4";
    let statement = Statement::new(sql).bind(source).bind_u64(first.seq - 1).bind_u64(last.seq);
    let mut stored = BTreeMap::from([(0, Digest::START), (head.kept_after, head.kept_after_hash)]);
    for row in tx.all(statement).await? {
        stored.insert(row.count("seq")?, Digest::of(&row, "hash")?);
    }
    for entry in entries {
        match stored.get(&entry.seq) {
            Some(hash) if *hash != entry.claimed => {
                told.conflicts.push(Conflict::of(entry, entry.seq, *hash));
            }
            Some(_) => {
                // The same hash over another content is no duplicate.
                if let Some(before) = stored.get(&(entry.seq - 1))
                    && !entry.settle(before)
                {
                    told.broken = Some(Broken::Hash { seq: entry.seq });
                    return Ok(());
                }
                told.duplicates += 1;
            }
            // Removed by retention: there once, and the host has not heard of it.
            None => told.duplicates += 1,
        }
    }
    Ok(())
}

/// How many of the records continue the chain, from the first on.
fn follow(head: &Head, entries: &mut [Entry], told: &mut Told) -> usize {
    let mut fits = 0;
    for entry in entries {
        let seq = entry.seq;
        if fits == 0 && seq != head.seq + 1 {
            told.broken = Some(Broken::Gap { seq });
            return 0;
        }
        let follows = if fits == 0 { entry.settle(&head.hash) } else { entry.follows };
        if !follows {
            told.broken = Some(Broken::Hash { seq });
            return fits;
        }
        fits += 1;
    }
    fits
}

/// An event that is stored.
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) text: String,
}

/// The stored events of some keys.
pub(crate) async fn stored(
    tx: &mut Tx,
    keys: Vec<Vec<u8>>,
) -> Result<HashMap<Vec<u8>, Stored>, DatabaseError> {
    let mut found = HashMap::new();
    for keys in keys.chunks(KEYS) {
        let mut statement = Statement::new(
            "SELECT event_key, seq, hash, event FROM audit_records WHERE tenant_id = $1 AND event_key IN (",
        );
        for (number, key) in keys.iter().enumerate() {
            let place = statement.next_placeholder();
            let comma = if number == 0 { "" } else { ", " };
            statement = statement.push(&format!("{comma}${place}")).bind(key.as_slice());
        }
        for row in tx.all(statement.push(")")).await? {
            let stored =
                Stored { seq: row.count("seq")?, hash: Digest::of(&row, "hash")?, text: row.text("event")? };
            found.insert(row.bytes("event_key")?, stored);
        }
    }
    Ok(found)
}

/// Finds the records whose event ids are there already, in the database or earlier in the batch. They stay links of the
/// chain, which would end otherwise; one that says the same is a duplicate, one that says something else a conflict.
async fn look_up(
    tx: &mut Tx,
    entries: &[Entry],
    repeats: &mut [Repeats],
    told: &mut Told,
) -> Result<(), DatabaseError> {
    let mut known = stored(tx, entries.iter().map(|entry| entry.key.clone()).collect()).await?;
    for (entry, repeat) in entries.iter().zip(repeats) {
        match known.get(&entry.key) {
            None => {
                let stored = Stored { seq: entry.seq, hash: entry.claimed, text: entry.text.clone() };
                known.insert(entry.key.clone(), stored);
            }
            Some(stored) if stored.text == entry.text => *repeat = Repeats::Same(stored.seq),
            Some(stored) => {
                *repeat = Repeats::Other(stored.seq);
                told.conflicts.push(Conflict::of(entry, stored.seq, stored.hash));
            }
        }
    }
    Ok(())
}

/// The values of a record, for [`COLUMNS`].
fn row(source: &str, entry: &Entry, repeats: Repeats, received_at: Timestamp) -> Vec<Value> {
    let event = &entry.event;
    vec![
        source.into(),
        Value::Int(i64::try_from(entry.seq).ok()),
        received_at.into(),
        rank(event.severity).into(),
        repeats.column().into(),
        entry.claimed.value(),
        Value::Bytes((repeats == Repeats::No).then(|| entry.key.clone())),
        event.event_type.as_str().into(),
        event.session_id.as_str().into(),
        event.task_id.as_ref().map(|id| id.as_str()).into(),
        event.workspace_id.as_str().into(),
        event.user_id.as_str().into(),
        entry.text.as_str().into(),
    ]
}
