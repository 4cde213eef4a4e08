//! Pages of lists: a cursor is the last row's instant and id, opaque to callers and checked when it comes back.

use data_encoding::BASE64URL_NOPAD;
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_governance_api::page::Page;

use lanyard_protocol::Timestamp;

use crate::database::Statement;
use crate::fault::Fault;

/// Where a page begins and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    limit: usize,
    after: Option<(Timestamp, String)>,
}

impl Cut {
    /// Checks what the caller asks for.
    pub fn of(limit: Option<u32>, next_token: Option<&str>) -> Result<Self, Fault> {
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Fault::invalid(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
        }
        let after = next_token.map(parse).transpose()?;
        Ok(Self { limit: limit as usize, after })
    }

    /// Adds ` {joint} (instant, id) < (…) ORDER BY … LIMIT …`, newest first, one row more than the page holds.
    pub fn apply(
        &self,
        mut statement: Statement,
        joint: &str,
        instant: &str,
        id: &str,
    ) -> Result<Statement, Fault> {
        if let Some((at, last)) = &self.after {
            let (first, second) = (statement.next_placeholder(), statement.next_placeholder() + 1);
            statement = statement
                .push(&format!(
                    " {joint} ({instant} < ${first} OR ({instant} = ${first} AND {id} < ${second}))"
                ))
                .bind(*at)
                .bind(last.as_str());
        }
        let limit = statement.next_placeholder();
        let statement = statement.push(&format!(" ORDER BY {instant} DESC, {id} DESC LIMIT ${limit}"));
        Ok(statement.bind_u64(self.limit as u64 + 1))
    }

    /// The page of the rows found, and where the next one begins. `key` gives instant and id of a row.
    pub fn page<R, T>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> Result<(Timestamp, String), Fault>,
        item: impl Fn(&R) -> Result<T, Fault>,
    ) -> Result<Page<T>, Fault> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_token = match rows.last() {
            Some(last) if more => {
                let (at, id) = key(last)?;
                Some(BASE64URL_NOPAD.encode(format!("{}.{id}", at.as_millis()).as_bytes()))
            }
            _ => None,
        };
        Ok(Page { items: rows.iter().map(item).collect::<Result<_, _>>()?, next_token })
    }
}

fn parse(token: &str) -> Result<(Timestamp, String), Fault> {
    let bad = || Fault::invalid("nextToken is not one that was given out here; begin again without it");
    // A token of ours is an instant and an id: 150 bytes at most.
    if token.len() > 256 {
        return Err(bad());
    }
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (at, id) = text.split_once('.').ok_or_else(bad)?;
    let at: i64 = at.parse().map_err(|_| bad())?;
    lanyard_protocol::id::check(id).map_err(|_| bad())?;
    Ok((Timestamp::from_millis(at), id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_row_it_was_made_from_and_nothing_else_is_taken() {
        let cut = Cut::of(Some(2), None).unwrap();
        let rows = vec![(9, "c"), (9, "b"), (8, "z")];
        let key = |row: &(i64, &str)| Ok((Timestamp::from_millis(row.0), row.1.to_owned()));
        let page = cut.page(rows, key, |row| Ok(row.1)).unwrap();
        assert_eq!(page.items, ["c", "b"]);
        let next = Cut::of(None, page.next_token.as_deref()).unwrap();
        assert_eq!(next.after, Some((Timestamp::from_millis(9), "b".to_owned())));
        for bad in ["", "x", "%%%", "MQ", "MS4", "LjE", &"A".repeat(300)] {
            assert_eq!(Cut::of(None, Some(bad)).unwrap_err().status(), 400, "{bad:?}");
        }
        for bad in [0, 501, u32::MAX] {
            assert!(Cut::of(Some(bad), None).is_err());
        }
    }
}
