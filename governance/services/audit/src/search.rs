//! Search, newest first. A page ends when it is full, or when it has walked over enough: then it may be short, or empty,
//! and the next one goes on from there.

use lanyard_governance_api::audit::{AuditQuery, AuditRecord};
use lanyard_governance_api::endpoint::SearchAudit;
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE, MAX_TEXT_BYTES};
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::{Ask, Fault};

use crate::State;
use crate::cursor::Position;
use crate::scan::Scan;

/// Records walked over for one page: some tenths of a second of a small server.
const WALKED: usize = 20_000;

/// Records walked over by one statement.
const CHUNK: u32 = 1_000;

/// Text read for one page, in bytes.
const READ_BYTES: usize = 64 << 20;

/// Text of one page, in bytes.
const PAGE_BYTES: usize = 4 << 20;

/// Checks what search and export share.
pub(crate) fn check(query: &AuditQuery) -> Result<(), Fault> {
    for (name, text) in [
        ("source", &query.source),
        ("eventType", &query.event_type),
        ("userId", &query.user_id),
        ("text", &query.text),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES || text.contains('\0')) {
            return Err(Fault::invalid(format!(
                "{name} has at most {MAX_TEXT_BYTES} bytes, none of which is NUL"
            )));
        }
    }
    Ok(())
}

pub(crate) async fn search(state: State, ask: Ask<SearchAudit>) -> Result<Page<AuditRecord>, Fault> {
    let query = ask.query;
    check(&query)?;
    if query.format.is_some() {
        return Err(Fault::invalid("format is for /audit/export"));
    }
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Fault::invalid(format!("limit is 1 to {MAX_PAGE}")));
    }
    let scan = Scan::new(&query, false);
    let chunk = if scan.wants_all() { limit + 1 } else { CHUNK };
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let mut after = Position::of(&query)?;
    let mut items = Vec::new();
    let (mut walked, mut read, mut bytes) = (0, 0, 0);
    loop {
        let part = scan.chunk(&mut tx, after.as_ref(), chunk).await?;
        walked += part.seen.len();
        read += part.bytes;
        for seen in part.seen {
            if scan.beyond(&seen.position) {
                return Ok(Page { items, next_token: None });
            }
            let position = seen.position.clone();
            if let Some(text) = &seen.text {
                bytes += text.len();
                if items.len() == limit as usize || (bytes > PAGE_BYTES && !items.is_empty()) {
                    return page(items, after.as_ref(), &query);
                }
                items.extend(seen.record());
            }
            after = Some(position);
        }
        if part.last {
            return Ok(Page { items, next_token: None });
        }
        if walked >= WALKED || read >= READ_BYTES {
            return page(items, after.as_ref(), &query);
        }
    }
}

fn page(
    items: Vec<AuditRecord>,
    after: Option<&Position>,
    query: &AuditQuery,
) -> Result<Page<AuditRecord>, Fault> {
    let next_token = after.map(|position| position.token(query)).transpose()?;
    Ok(Page { items, next_token })
}
