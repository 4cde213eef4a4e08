//! Walking records in order, a chunk at a time. What is not wanted is walked over without its text, so that a chunk costs
//! the same whatever is looked for.

use lanyard_governance_api::audit::{AuditQuery, AuditRecord};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Statement, Tx};
use lanyard_protocol::codec;

use crate::chain::Digest;
use crate::cursor::Position;
use crate::event::{payload, rank};

/// Texts longer than this, in bytes, are read one by one: a chunk of them would not fit.
pub(crate) const LONG: i64 = 16 * 1024;

/// Bytes of such long texts after which a chunk ends early: it holds as much and one more of them, beside the others.
const LONG_BYTES: usize = 4 << 20;

/// What is walked.
#[derive(Debug)]
pub(crate) struct Scan {
    query: AuditQuery,
    text: Option<String>,
    way: Way,
    oldest_first: bool,
}

/// The index that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Time,
    Session,
    Chain,
}

/// A record that was walked over.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) hash: Digest,
    /// Absent where the record is not wanted.
    pub(crate) text: Option<String>,
}

/// Some records that were walked over, in order.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) seen: Vec<Seen>,
    /// Text that was read for them, in bytes.
    pub(crate) bytes: usize,
    /// Nothing comes after them.
    pub(crate) last: bool,
}

impl Scan {
    pub(crate) fn new(query: &AuditQuery, oldest_first: bool) -> Self {
        let way = match (&query.session_id, &query.source) {
            (Some(_), _) => Way::Session,
            (None, Some(_)) => Way::Chain,
            (None, None) => Way::Time,
        };
        let text = query.text.as_ref().filter(|text| !text.is_empty()).map(|text| text.to_lowercase());
        Self { query: query.clone(), text, way, oldest_first }
    }

    /// Every record is wanted.
    pub(crate) fn wants_all(&self) -> bool {
        let q = &self.query;
        let filtered = q.source.is_some() || q.session_id.is_some() || q.task_id.is_some();
        let filtered = filtered || q.workspace_id.is_some() || q.event_type.is_some() || q.user_id.is_some();
        !(filtered || q.severity.is_some() || self.text.is_some())
    }

    /// Nothing that is wanted comes after this.
    pub(crate) fn beyond(&self, position: &Position) -> bool {
        if self.oldest_first {
            self.query.to.is_some_and(|to| position.received_at >= to)
        } else {
            self.query.from.is_some_and(|from| position.received_at < from)
        }
    }

    /// The next records after a position, at most so many; fewer where they are long.
    pub(crate) async fn chunk(
        &self,
        tx: &mut Tx,
        after: Option<&Position>,
        most: u32,
    ) -> Result<Chunk, DatabaseError> {
        let rows = tx.all(self.statement(after, most)).await?;
        let last = rows.len() < most as usize;
        let (mut seen, mut bytes, mut long) = (Vec::with_capacity(rows.len()), 0, 0);
        for row in rows {
            if long > LONG_BYTES {
                return Ok(Chunk { seen, bytes, last: false });
            }
            let position = Position {
                received_at: row.time("received_at")?,
                seq: row.count("seq")?,
                source: row.text("source")?,
            };
            let mut text = row.opt_text("event")?;
            if row.flag("apart")? {
                let apart = text_of(tx, &position.source, position.seq).await?;
                long += apart.len();
                text = Some(apart);
            }
            bytes += text.as_ref().map_or(0, String::len);
            let text = text.filter(|text| self.says(text));
            seen.push(Seen { position, hash: Digest::of(&row, "hash")?, text });
        }
        Ok(Chunk { seen, bytes, last })
    }

    fn says(&self, text: &str) -> bool {
        let Some(wanted) = &self.text else { return true };
        payload(text).is_some_and(|payload| payload.to_lowercase().contains(wanted))
    }

    fn statement(&self, after: Option<&Position>, most: u32) -> Statement {
        let query = &self.query;
        let order = match (self.way, self.oldest_first) {
            (Way::Chain, true) => "ORDER BY seq",
            (Way::Chain, false) => "ORDER BY seq DESC",
            (_, true) => "ORDER BY received_at, source, seq",
            (_, false) => "ORDER BY received_at DESC, source DESC, seq DESC",
        };
        let (or_equal, strictly) = if self.oldest_first { (">=", ">") } else { ("<=", "<") };
        let session = query.session_id.as_ref().map(|id| id.as_str());
        let mut statement = Statement::new(
            "SELECT source, seq, received_at, hash,
                CASE WHEN hit = 1 AND OCTET_LENGTH(event) <= $2 THEN event END AS event,
                CAST(CASE WHEN hit = 1 AND OCTET_LENGTH(event) > $2 THEN 1 ELSE 0 END AS BIGINT) AS apart
            FROM (SELECT source, seq, received_at, hash, event, CASE WHEN repeats <= 0",
        )
        .bind(LONG);
        if self.way == Way::Session {
            statement = statement.and_if("source =", query.source.as_deref());
        }
        statement = statement
            .and_if("task_id =", query.task_id.as_ref().map(|id| id.as_str()))
            .and_if("workspace_id =", query.workspace_id.as_ref().map(|id| id.as_str()))
            .and_if("event_type =", query.event_type.as_deref())
            .and_if("user_id =", query.user_id.as_deref())
            .and_if("severity >=", query.severity.map(rank));
        // Along a chain, time is no help in finding the place; where it is over, the walk ends (see `beyond`).
        let within = |statement: Statement| {
            statement.and_if("received_at >=", query.from).and_if("received_at <", query.to)
        };
        if self.way == Way::Chain {
            statement = within(statement);
        }
        statement = statement.push(" THEN 1 ELSE 0 END AS hit FROM audit_records WHERE tenant_id = $1");
        statement = match self.way {
            Way::Chain => statement.and_if("source =", query.source.as_deref()),
            Way::Session => within(statement.and_if("session_id =", session)),
            Way::Time => within(statement),
        };
        if let Some(after) = after {
            let seq = i64::try_from(after.seq).unwrap_or(i64::MAX);
            let place = statement.next_placeholder();
            statement = match self.way {
                Way::Chain => statement.push(&format!(" AND seq {strictly} ${place}")).bind(seq),
                // The first condition is what the index is searched by.
                _ => statement
                    .push(&format!(
                        " AND received_at {or_equal} ${place}
                         AND (received_at, source, seq) {strictly} (${place}, ${}, ${})",
                        place + 1,
                        place + 2
                    ))
                    .bind(after.received_at)
                    .bind(after.source.as_str())
                    .bind(seq),
            };
        }
        let place = statement.next_placeholder();
        statement.push(&format!(" {order} LIMIT ${place}) AS walked {order}")).bind(most)
    }
}

/// The text of one record.
pub(crate) async fn text_of(tx: &mut Tx, source: &str, seq: u64) -> Result<String, DatabaseError> {
    let sql = "SELECT event FROM audit_records WHERE tenant_id = $1 AND source = $2 AND seq = $3";
    match tx.one(Statement::new(sql).bind(source).bind_u64(seq)).await? {
        Some(row) => row.text("event"),
        // Removed by retention between two statements.
        None => Ok(String::new()),
    }
}

impl Seen {
    /// As it goes over the wire; absent where the record is not wanted, is gone, or cannot be read. The last was changed
    /// behind the service's back: verification tells where, and it must not hide the others.
    pub(crate) fn record(self) -> Option<AuditRecord> {
        let text = self.text.filter(|text| !text.is_empty())?;
        let Position { received_at, seq, source } = self.position;
        match codec::from_json(&text) {
            Ok(event) => Some(AuditRecord { source, seq, hash: self.hash.hex(), received_at, event }),
            Err(error) => {
                tracing::error!(%error, source, seq, "an audit record cannot be read: verify its chain");
                None
            }
        }
    }
}
