//! From what a person typed to an id: in full, or a prefix that fits one only.

use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::MAX_PAGE;
use lanyard_protocol::method::{GetSessionState, ListApprovals, ListSessions};

use crate::exit::Failure;
use crate::host::Connection;

/// Pages of sessions searched for a prefix. A prefix is for recent sessions, and those come first.
const MAX_SESSION_PAGES: u32 = 10;

/// Questions looked at. They may hold diffs, so a page is kept moderate.
const MAX_APPROVALS: u32 = 200;

/// What a prefix fits.
fn only<T>(mut found: Vec<T>, kind: &str, given: &str, list: &str) -> Result<T, Failure> {
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => {
            Err(Failure::Other(format!("there is no {kind} {given}; `{list}` lists those there are")))
        }
        (Some(_), more) => {
            let count = more + 1;
            Err(Failure::Usage(format!("{given} fits {count} {kind}s; give more of the id (`{list}`)")))
        }
    }
}

/// The session of an id or of the beginning of one.
pub(crate) async fn session(connection: &mut Connection, given: &str) -> Result<SessionId, Failure> {
    let id =
        SessionId::new(given).map_err(|e| Failure::Usage(format!("{given:?} is not a session id: {e}")))?;
    match connection.call(GetSessionState { session_id: id.clone() }).await {
        Ok(_) => return Ok(id),
        Err(Failure::Refused(error)) if error.code == ErrorCode::SessionNotFound => {}
        Err(failure) => return Err(failure),
    }
    let mut found = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_SESSION_PAGES {
        let page = connection.call(ListSessions { limit: Some(MAX_PAGE), cursor, query: None }).await?;
        let fits = page.sessions.into_iter().map(|session| session.session_id);
        found.extend(fits.filter(|id| id.as_str().starts_with(given)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    only(found, "session", given, "lanyard sessions")
}

/// The question of an id or of the beginning of one. Those that wait come before settled ones.
pub(crate) async fn approval(
    connection: &mut Connection,
    given: &str,
    include_settled: bool,
) -> Result<ApprovalRecord, Failure> {
    let list = ListApprovals { session_id: None, include_settled, limit: Some(MAX_APPROVALS) };
    let approvals = connection.call(list).await?.approvals;
    let exact = approvals.iter().find(|record| record.request.approval_id.as_str() == given).cloned();
    if let Some(record) = exact {
        return Ok(record);
    }
    let fits = approvals.into_iter().filter(|record| record.request.approval_id.as_str().starts_with(given));
    only(fits.collect(), "approval", given, "lanyard approvals")
}

#[cfg(test)]
mod tests {
    use super::only;
    use crate::exit::Exit;

    #[test]
    fn a_prefix_must_fit_one_only() {
        assert_eq!(only(vec!["ab1"], "session", "ab", "l").unwrap(), "ab1");
        let none = only(Vec::<&str>::new(), "session", "ab", "lanyard sessions").unwrap_err();
        assert_eq!(none.exit(), Exit::Failed);
        assert!(none.to_string().contains("lanyard sessions"), "{none}");
        let many = only(vec!["ab1", "ab2"], "session", "ab", "l").unwrap_err();
        assert_eq!(many.exit(), Exit::Usage);
        assert!(many.to_string().contains("fits 2 sessions"), "{many}");
    }
}
