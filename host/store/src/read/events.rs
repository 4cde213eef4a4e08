//! Pages of a session's log, plain and searched.

use lanyard_ports::journal::{Cursor, EventPage, JournalError};
use lanyard_protocol::codec::to_json;
use lanyard_protocol::event::SessionEvent;
use lanyard_protocol::id::SessionId;

use super::{PAGE_BYTES, View, decode};
use crate::error::corrupt;
use crate::keys;
use crate::table::TableId;

/// Rows one search call looks at: some tens of milliseconds.
const SEARCH_ROWS: usize = 5_000;

/// Stored bytes one search call looks at; bounds what a log of large outputs costs.
const SEARCH_BYTES: usize = 8 << 20;

/// What to do with a row of a walk.
enum Step {
    /// It was taken in; go on.
    On,
    /// It was taken in; stop.
    Last,
    /// It does not fit any more; stop before it.
    Full,
}

impl View<'_> {
    /// A page of the log.
    pub(crate) fn events(
        &self,
        session: &SessionId,
        cursor: Cursor,
        limit: usize,
    ) -> Result<EventPage, JournalError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        self.walk(session, cursor, |key, value| {
            bytes += value.len();
            if bytes > PAGE_BYTES && !events.is_empty() {
                return Ok(Step::Full);
            }
            events.push(decode::<SessionEvent>(key, value)?);
            Ok(if events.len() >= limit { Step::Last } else { Step::On })
        })
        .map(|walked| walked.page(events))
    }

    /// A page of the log whose JSON contains `query`, whatever its case. Looks at [`SEARCH_ROWS`] rows and
    /// [`SEARCH_BYTES`] at most, so that a page may be empty and still name a `next`.
    pub(crate) fn search_events(
        &self,
        session: &SessionId,
        query: &str,
        cursor: Cursor,
        limit: usize,
    ) -> Result<EventPage, JournalError> {
        let needle = Needle::new(query);
        let mut events = Vec::new();
        let (mut rows, mut bytes, mut page) = (0, 0, 0);
        self.walk(session, cursor, |key, value| {
            let event: SessionEvent = decode(key, value)?;
            let json = to_json(&event).map_err(|why| corrupt(TableId::Events, key, &why))?;
            if needle.is_in(&json) {
                page += value.len();
                if page > PAGE_BYTES && !events.is_empty() {
                    return Ok(Step::Full);
                }
                events.push(event);
            }
            rows += 1;
            bytes += value.len();
            let enough = events.len() >= limit || rows >= SEARCH_ROWS || bytes >= SEARCH_BYTES;
            Ok(if enough { Step::Last } else { Step::On })
        })
        .map(|walked| walked.page(events))
    }

    /// Shows the rows of a session one by one in the direction of the cursor.
    fn walk(
        &self,
        session: &SessionId,
        cursor: Cursor,
        mut look: impl FnMut(&[u8], &[u8]) -> Result<Step, JournalError>,
    ) -> Result<Walked, JournalError> {
        let last_seq = self.head(session)?.last_seq;
        let (start, end, forward) = match cursor {
            Cursor::After(seq) => (seq.saturating_add(1), last_seq, true),
            Cursor::Before(seq) => (1, seq.saturating_sub(1).min(last_seq), false),
            Cursor::End => (1, last_seq, false),
        };
        let mut walked = Walked { last_seq, next: None, forward };
        if start > end {
            return Ok(walked);
        }
        let (first, last) = (keys::numbered(session, start), keys::numbered(session, end));
        let mut range = self.range(TableId::Events, first.as_slice()..=last.as_slice())?;
        let mut looked_at = None;
        while let Some(row) = if forward { range.next() } else { range.next_back() } {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            let step = look(key.value(), value.value())?;
            if matches!(step, Step::Full) {
                walked.next = looked_at;
                break;
            }
            looked_at = keys::trailing_number(key.value());
            if matches!(step, Step::Last) {
                let at_the_end = looked_at == Some(if forward { end } else { start });
                walked.next = looked_at.filter(|_| !at_the_end);
                break;
            }
        }
        Ok(walked)
    }
}

/// How far a walk came.
struct Walked {
    last_seq: u64,
    next: Option<u64>,
    forward: bool,
}

impl Walked {
    fn page(self, mut events: Vec<SessionEvent>) -> EventPage {
        if !self.forward {
            events.reverse();
        }
        // Events go only with their session, so the first one kept is the first one written.
        EventPage {
            events,
            first_seq: u64::from(self.last_seq > 0),
            last_seq: self.last_seq,
            next: self.next,
        }
    }
}

/// What is searched for: the text itself, or the text as JSON spells it within strings.
struct Needle {
    plain: String,
    escaped: Option<String>,
}

impl Needle {
    fn new(query: &str) -> Self {
        let plain = query.to_lowercase();
        let quoted = serde_json::Value::from(plain.as_str()).to_string();
        let escaped = quoted[1..quoted.len() - 1].to_owned();
        Self { escaped: (escaped != plain).then_some(escaped), plain }
    }

    fn is_in(&self, json: &str) -> bool {
        let json = json.to_lowercase();
        json.contains(&self.plain) || self.escaped.as_ref().is_some_and(|escaped| json.contains(escaped))
    }
}
