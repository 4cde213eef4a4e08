//! Pages: newest first, by time and id. A token says where the next page begins; it holds nothing secret, and one that
//! was made up selects nothing that the caller may not see.

use data_encoding::BASE64URL_NOPAD;
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::Fault;
use lanyard_protocol::{Timestamp, id};

/// What a list was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Rows wanted.
    limit: usize,
    /// Rows older than this instant …
    pub(crate) at: i64,
    /// … or of this instant with a smaller id.
    pub(crate) id: String,
}

impl Wanted {
    pub(crate) fn parse(limit: Option<u32>, token: Option<&str>) -> Result<Self, Fault> {
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Fault::invalid(format!("limit must be 1 to {MAX_PAGE}, not {limit}")));
        }
        let (at, id) = match token {
            None => (i64::MAX, String::new()),
            Some(token) => read(token).ok_or_else(|| {
                Fault::invalid("nextToken is not one that this list gave; begin again without it")
            })?,
        };
        Ok(Self { limit: limit as usize, at, id })
    }

    /// Rows to select: one more than is shown, which tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(0) + 1
    }

    /// The page of the rows selected. `key` gives time and id of a row.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> (Timestamp, String)) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_token = items.last().filter(|_| more).map(|last| {
            let (at, id) = key(last);
            BASE64URL_NOPAD.encode(format!("{}/{id}", at.as_millis()).as_bytes())
        });
        Page { items, next_token }
    }
}

fn read(token: &str) -> Option<(i64, String)> {
    if token.len() > 2 * lanyard_protocol::limits::MAX_ID_BYTES {
        return None;
    }
    let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
    let (at, id) = text.split_once('/')?;
    id::check(id).ok()?;
    Some((at.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_and_nonsense_nowhere() {
        let first = Wanted::parse(Some(2), None).unwrap();
        assert_eq!((first.rows(), first.at), (3, i64::MAX));
        let key = |n: &i64| (Timestamp::from_millis(*n), format!("id_{n}"));
        let page = first.page(vec![9, 8, 7], key);
        assert_eq!(page.items, [9, 8]);
        let token = page.next_token.unwrap();
        let next = Wanted::parse(None, Some(&token)).unwrap();
        assert_eq!((next.at, next.id.as_str()), (8, "id_8"));
        assert_eq!(next.page(vec![7], key).next_token, None);
        for wrong in [
            "",
            "%",
            "AAAA",
            &BASE64URL_NOPAD.encode(b"x/y"),
            &BASE64URL_NOPAD.encode(b"1/a'b"),
            &"A".repeat(999),
        ] {
            assert!(Wanted::parse(None, Some(wrong)).is_err(), "{wrong}");
        }
        assert!(Wanted::parse(Some(0), None).is_err());
        assert!(Wanted::parse(Some(501), None).is_err());
    }
}
