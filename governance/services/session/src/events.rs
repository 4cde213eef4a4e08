//! The timeline: events of a session in order, without gaps, as long as its tenant wants them.

use lanyard_governance_api::endpoint::{AppendEvents, ListEvents};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_BATCH, MAX_PAGE};
use lanyard_governance_api::session::{EventPage, EventsAccepted};
use lanyard_governance_foundation::database::Value;
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::SessionEvent;
use lanyard_protocol::id::SessionId;

use crate::{Settings, State, store};

/// How much of a timeline is read at once. One event may be longer by itself than all bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rows: u32,
    pub(crate) bytes: usize,
}

/// Bytes of one page of events, whatever the rows wanted.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// Rows read at once, so that a page of long events is not read whole before it is cut.
const CHUNK: u32 = 50;

/// Topic that wakes those who follow a session.
pub(crate) fn topic(tenant: &TenantId, session: &SessionId) -> String {
    format!("session:{tenant}:{session}")
}

/// An event as it is kept.
pub(crate) struct Kept {
    pub(crate) seq: u64,
    pub(crate) json: String,
}

/// `POST /sessions/{id}/events`.
pub(crate) async fn append(state: State, ask: Ask<AppendEvents>) -> Result<EventsAccepted, Fault> {
    let agent = ask.caller.agent()?;
    let session: SessionId = ask.path.get("session_id")?;
    let first = numbered(&session, &ask.body.events)?;
    let foundation = &state.foundation;
    let mut tx = foundation.database.write(&ask.caller).await?;
    let held = store::held(&mut tx, &ask.caller, &session).await?;
    if !held.timeline {
        // Not UNAUTHORIZED: a host tries again with another credential then.
        let text =
            "this tenant's policy does not want the timeline of sessions, only their history after each task";
        return Err(Fault::new(ErrorCode::CapabilityDenied, text));
    }
    let Some(first) = first else { return Ok(EventsAccepted { last_seq: held.last_seq }) };
    if first > held.last_seq + 1 {
        let text = format!("events {} to {} are missing; send them first", held.last_seq + 1, first - 1);
        return Err(Fault::conflict(text).with("lastSeq", held.last_seq));
    }
    let known = usize::try_from(held.last_seq + 1 - first).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    let (mut last_seq, mut bytes) = (held.last_seq, held.event_bytes);
    for event in ask.body.events.iter().skip(known) {
        let json =
            serde_json::to_string(event).map_err(|e| Fault::internal("an event cannot be written", &e))?;
        last_seq += 1;
        bytes += json.len() as u64;
        let seq = i64::try_from(last_seq).map_err(|_| Fault::invalid("an event's number is too large"))?;
        rows.push(vec![Value::from(session.as_str()), Value::from(seq), Value::from(json)]);
    }
    if rows.is_empty() {
        return Ok(EventsAccepted { last_seq });
    }
    bounded(&state.settings, last_seq, bytes)?;
    tx.insert_many("session_events", &["session_id", "seq", "event"], rows, "").await?;
    let sql = "UPDATE sessions SET last_seq = $3, event_bytes = $4, updated_at = $5 \
               WHERE tenant_id = $1 AND session_id = $2";
    let statement = Statement::new(sql).bind_id(&session).bind_u64(last_seq).bind_u64(bytes);
    tx.run(statement.bind(foundation.clock.now())).await?;
    tx.wake(topic(&agent.tenant, &session)).await?;
    tx.commit().await?;
    Ok(EventsAccepted { last_seq })
}

/// The number of the first event of a batch in which each follows the one before.
fn numbered(session: &SessionId, events: &[SessionEvent]) -> Result<Option<u64>, Fault> {
    if events.len() > MAX_BATCH {
        return Err(Fault::invalid(format!("a batch has at most {MAX_BATCH} events")));
    }
    let mut expected = None;
    for (index, event) in events.iter().enumerate() {
        let wrong = |what: &str| Err(Fault::invalid(format!("the event {index} of the batch {what}")));
        if event.session_id != *session {
            return wrong("belongs to another session");
        }
        let Some(seq) = event.seq.filter(|seq| *seq > 0 && event.body.is_durable()) else {
            return wrong("has no number: ephemeral events are not kept");
        };
        if expected.is_some_and(|expected| expected != seq) {
            return wrong("does not follow the one before");
        }
        expected = seq.checked_add(1);
    }
    Ok(events.first().and_then(|event| event.seq))
}

/// A host that reports without end does not fill the database.
fn bounded(settings: &Settings, events: u64, bytes: u64) -> Result<(), Fault> {
    if events <= settings.max_events && bytes <= settings.max_event_bytes {
        return Ok(());
    }
    let text = format!(
        "the timeline of a session holds at most {} events and {} bytes; its history is kept all the same",
        settings.max_events, settings.max_event_bytes
    );
    Err(Fault::new(ErrorCode::PayloadTooLarge, text))
}

/// Events after a number, at most as much as `extent`.
pub(crate) async fn after(
    tx: &mut Tx,
    session: &SessionId,
    mut after: u64,
    extent: Extent,
) -> Result<Vec<Kept>, Fault> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    while kept.len() < extent.rows as usize && bytes < extent.bytes {
        let rows = CHUNK.min(extent.rows - u32::try_from(kept.len()).unwrap_or(extent.rows));
        let sql = "SELECT seq, event FROM session_events WHERE tenant_id = $1 AND session_id = $2 AND seq > $3 \
                   ORDER BY seq LIMIT $4";
        // A number beyond what is stored: nothing comes after it.
        let number = i64::try_from(after).unwrap_or(i64::MAX);
        let found = tx.all(Statement::new(sql).bind_id(session).bind(number).bind(rows)).await?;
        let last = found.len() < rows as usize;
        for row in found {
            let event = Kept { seq: row.count("seq")?, json: row.text("event")? };
            if !kept.is_empty() && bytes + event.json.len() > extent.bytes {
                return Ok(kept);
            }
            bytes += event.json.len();
            after = event.seq;
            kept.push(event);
        }
        if last {
            break;
        }
    }
    Ok(kept)
}

/// Rows wanted of a timeline, which goes on by number and not by token.
fn limit(wanted: Option<u32>) -> Result<u32, Fault> {
    let limit = wanted.unwrap_or(DEFAULT_PAGE);
    match (1..=MAX_PAGE).contains(&limit) {
        true => Ok(limit),
        false => Err(Fault::invalid(format!("limit must be 1 to {MAX_PAGE}"))),
    }
}

/// `GET /sessions/{id}/events`.
pub(crate) async fn list(state: State, ask: Ask<ListEvents>) -> Result<EventPage, Fault> {
    let session: SessionId = ask.path.get("session_id")?;
    let limit = limit(ask.query.limit)?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let seen = store::seen(&mut tx, &ask.caller, &session).await?;
    let kept =
        after(&mut tx, &session, ask.query.after.unwrap_or(0), Extent { rows: limit, bytes: MAX_PAGE_BYTES })
            .await?;
    let read = |event: &Kept| {
        serde_json::from_str(&event.json).map_err(|e| Fault::internal("an event cannot be read", &e))
    };
    let events = kept.iter().map(read).collect::<Result<_, Fault>>()?;
    Ok(EventPage { events, last_seq: seen.last_seq })
}
