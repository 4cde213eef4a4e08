//! From what a person typed to an id: in full, or a prefix that fits one only.

use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::device::{Device, PendingPairing};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::MAX_PAGE;
use lanyard_protocol::method::{GetSessionState, ListApprovals, ListDevices, ListPairings, ListSessions};

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

/// The device that waits to be paired, of an id or of the beginning of one.
pub(crate) async fn pairing(connection: &mut Connection, given: &str) -> Result<PendingPairing, Failure> {
    let pending = connection.call(ListPairings {}).await?.pending;
    let fits = pending.into_iter().filter(|one| one.pairing_id.as_str().starts_with(given));
    only(fits.collect(), "waiting device", given, "lanyard pairings")
}

/// The paired device of a name, an id, or the beginning of one.
pub(crate) async fn device(connection: &mut Connection, given: &str) -> Result<Device, Failure> {
    let devices = connection.call(ListDevices {}).await?.devices;
    device_of(devices, given)
}

/// A whole id or name counts before the beginning of an id.
fn device_of(devices: Vec<Device>, given: &str) -> Result<Device, Failure> {
    let exactly = |device: &&Device| device.device_id.as_str() == given || device.name == given;
    let mut found: Vec<Device> = devices.iter().filter(exactly).cloned().collect();
    if found.is_empty() {
        let begins = |device: &Device| device.device_id.as_str().starts_with(given);
        found = devices.into_iter().filter(begins).collect();
    }
    only(found, "device", given, "lanyard devices")
}

#[cfg(test)]
mod tests {
    use super::{device_of, only};
    use crate::exit::Exit;
    use crate::render::samples::device;

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
    #[test]
    fn a_device_is_named_by_name_or_id() {
        let devices = || vec![device("phone", "abc-1"), device("abc-2", "xyz"), device("phone", "abc-2")];
        let id = |given: &str| device_of(devices(), given).map(|device| device.device_id.to_string());
        assert_eq!(id("abc-1").unwrap(), "abc-1");
        assert_eq!(id("xy").unwrap(), "xyz");
        assert!(id("abc").unwrap_err().to_string().contains("fits 2 devices"));
        assert!(id("phone").unwrap_err().to_string().contains("fits 2 devices"), "names need not be unique");
        assert!(
            id("abc-2").unwrap_err().to_string().contains("fits 2"),
            "a name that poses as an id gains nothing"
        );
        assert!(id("tablet").unwrap_err().to_string().contains("lanyard devices"));
    }
}
