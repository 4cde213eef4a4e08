//! Order, groups and words of the list; what is accepted into a task.

use lanyard_protocol::event::{SessionChanged, SessionDeleted};
use lanyard_protocol::id::{TaskId, WorkspaceId};
use lanyard_protocol::limits::{
    MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_FILE_PIECE_BYTES, MAX_PROMPT_BYTES,
};
use lanyard_protocol::method::WorkspaceEntry;
use lanyard_protocol::session::{SessionState, TaskState, TaskSummary, WorkspaceScope};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use proptest::prelude::*;

use super::draft::{Piece, examples, may_attach, next_piece, prompt_problem, shown_name};
use super::*;
use crate::words::Zone;

fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn row(name: &str, at: i64, state: SessionState) -> SessionSummary {
    SessionSummary {
        session_id: id(name),
        workspace_id: WorkspaceId::new("w").unwrap(),
        workspace_scope: WorkspaceScope::Local,
        workspace_roots: vec!["/srv/ada/code/atlas".into()],
        name: format!("Task of {name}"),
        state,
        last_task: None,
        pending_approvals: 0,
        last_seq: u64::try_from(at).unwrap(),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(at),
    }
}

fn with_task(mut row: SessionSummary, state: TaskState, code: Option<ErrorCode>) -> SessionSummary {
    row.last_task = Some(TaskSummary {
        task_id: TaskId::new("t").unwrap(),
        prompt: "p".into(),
        state,
        steps: 4,
        error: code.map(|code| WireError::new(code, "it broke")),
        started_at: Timestamp::from_millis(0),
        ended_at: None,
    });
    row
}

fn page(rows: &[SessionSummary], next: Option<&str>) -> SessionPage {
    SessionPage { sessions: rows.to_vec(), next_cursor: next.map(str::to_owned) }
}

fn changed(row: SessionSummary) -> HostEvent {
    let body = HostEventBody::SessionChanged(SessionChanged { session: row });
    HostEvent { host_seq: 1, timestamp: Timestamp::default(), body }
}

fn deleted(name: &str) -> HostEvent {
    let body = HostEventBody::SessionDeleted(SessionDeleted { session_id: id(name) });
    HostEvent { host_seq: 1, timestamp: Timestamp::default(), body }
}

#[test]
fn what_waits_comes_first() {
    let mut asks = row("asks", 1, SessionState::WaitingForApproval);
    asks.pending_approvals = 2;
    let rows = [
        with_task(row("done", 9, SessionState::SessionRunning), TaskState::Completed, None),
        with_task(row("runs", 5, SessionState::WaitingForTool), TaskState::Running, None),
        with_task(row("older", 4, SessionState::SessionCompleted), TaskState::Completed, None),
        row("paused", 3, SessionState::SessionPaused),
        asks.clone(),
    ];
    let mut sessions = Sessions::default();
    assert!(!sessions.is_loaded());
    sessions.page(&page(&rows, None), true);
    let groups = sessions.groups();
    assert_eq!(groups.waits, [id("paused"), id("asks")]);
    assert_eq!(groups.now, [id("runs")]);
    assert_eq!(groups.earlier, [id("done"), id("older")]);
    let said = |name: &str| {
        detail(sessions.get(&id(name)).unwrap(), Timestamp::from_millis(60_000), Zone::default())
    };
    assert_eq!(said("asks"), "…/code/atlas · 2 questions wait for you");
    assert_eq!(said("runs"), "…/code/atlas · step 4");
    assert!(said("done").ends_with("· 4 steps"), "{}", said("done"));
}

#[test]
fn how_a_task_ended_is_said() {
    let failed = |code| with_task(row("x", 1, SessionState::SessionRunning), TaskState::Failed, Some(code));
    assert_eq!(standing(&failed(ErrorCode::CapabilityDenied)), Standing::Denied);
    assert_eq!(standing(&failed(ErrorCode::LlmUnavailable)), Standing::Failed);
    let said = detail(&failed(ErrorCode::LlmUnavailable), Timestamp::from_millis(9_000), Zone::default());
    assert!(said.ends_with("· it broke"), "{said}");
    assert_eq!(standing(&row("x", 1, SessionState::SessionCreated)), Standing::New);
    let mut ended = with_task(row("x", 1, SessionState::SessionCancelled), TaskState::Running, None);
    ended.pending_approvals = 1;
    assert_eq!(standing(&ended), Standing::Cancelled, "an ended session asks nobody");
}

#[test]
fn a_late_page_brings_nothing_old_back() {
    let mut sessions = Sessions::default();
    let old =
        page(&[row("a", 1, SessionState::SessionCreated), row("b", 2, SessionState::SessionCreated)], None);
    assert!(sessions.host_event(&changed(row("a", 7, SessionState::WaitingForLlm))));
    assert!(!sessions.host_event(&deleted("b")), "it was not here");
    sessions.page(&old, true);
    assert_eq!(sessions.get(&id("a")).unwrap().last_seq, 7);
    assert_eq!(sessions.get(&id("b")), None);
    assert!(!sessions.host_event(&changed(row("a", 7, SessionState::WaitingForLlm))), "nothing new");
    assert!(sessions.host_event(&deleted("a")) && sessions.groups().is_empty());
}

#[test]
fn a_fresh_list_forgets_what_is_gone() {
    let mut sessions = Sessions::default();
    let rows: Vec<_> = (1..=6).map(|n| row(&format!("s{n}"), n, SessionState::SessionCreated)).collect();
    sessions.page(&page(&rows[3..], Some("c")), true);
    assert_eq!(sessions.next(), Some("c"));
    sessions.page(&page(&rows[..3], None), false);
    assert_eq!((sessions.groups().earlier.len(), sessions.next()), (6, None));
    // While the page was away s5 was deleted, and s7 has come since the new list was made.
    sessions.host_event(&changed(row("s7", 7, SessionState::SessionCreated)));
    let list = [rows[5].clone(), rows[3].clone()];
    sessions.page(&page(&list, Some("d")), true);
    assert_eq!(sessions.get(&id("s5")), None);
    assert!(sessions.get(&id("s7")).is_some() && sessions.get(&id("s1")).is_some());
    assert_eq!(sessions.directories(), ["/srv/ada/code/atlas"]);
}

#[test]
fn the_list_is_bounded() {
    let mut sessions = Sessions::default();
    for n in 0..1_200_i64 {
        sessions.host_event(&changed(row(&format!("s{n}"), n, SessionState::SessionCreated)));
    }
    assert_eq!(sessions.groups().earlier.len(), MAX_ROWS);
    assert!(sessions.get(&id("s0")).is_none() && sessions.get(&id("s1199")).is_some());
    for n in 0..2_000 {
        sessions.host_event(&deleted(&format!("d{n}")));
    }
    assert!(sessions.gone.len() <= MAX_GONE);
}

#[test]
fn names_are_harmless() {
    let mut hostile = row("x", 1, SessionState::SessionCreated);
    hostile.name = "a\u{202e}b\nc".into();
    assert_eq!(title(&hostile), "a⟦U+202E⟧b⟦U+000A⟧c");
    hostile.name = "  ".into();
    assert_eq!(title(&hostile), "New session");
}

#[test]
fn what_cannot_be_sent_is_said_before() {
    assert_eq!(prompt_problem("do it"), None);
    assert!(prompt_problem(&"x".repeat(MAX_PROMPT_BYTES + 1)).unwrap().contains("Attach"));
    assert_eq!(may_attach("a", 0, 0), Ok(()));
    assert_eq!(may_attach("a", MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS - 1), Ok(()));
    assert!(may_attach("a", MAX_ATTACHMENT_BYTES + 1, 0).unwrap_err().contains("26 MB"));
    assert!(may_attach("a", 1, MAX_ATTACHMENTS).is_err());
    assert_eq!(shown_name(&format!("{}.tar.gz", "x".repeat(99))), format!("{}…xxxxx.tar.gz", "x".repeat(27)));
}

#[test]
fn examples_fit_the_machine() {
    let entry = WorkspaceEntry { path: "/srv/ada/atlas".into(), name: "atlas".into(), last_used: None };
    let [first, ..] = examples(std::slice::from_ref(&entry), false);
    assert!(first.prompt.contains("atlas") && first.workspace.as_deref() == Some("/srv/ada/atlas"));
    assert_eq!(examples(&[], true)[0].prompt, "tour");
    assert_eq!(examples(&[], false)[0].workspace, None);
}

proptest! {
    #[test]
    fn pieces_make_up_the_file(size in 0_u64..2_000_000) {
        let (mut put, mut pieces) = (None, 0);
        while let Some(Piece { offset, length, last }) = next_piece(put, size) {
            prop_assert_eq!(offset, put.unwrap_or(0));
            prop_assert!(length <= MAX_FILE_PIECE_BYTES && (length > 0 || size == 0));
            put = Some(offset + u64::from(length));
            pieces += 1;
            prop_assert_eq!(last, put == Some(size));
            prop_assert!(pieces < 20);
        }
        prop_assert_eq!(put, Some(size));
    }

    #[test]
    fn the_order_of_news_makes_no_difference(order in Just((0..12_i64).collect::<Vec<_>>()).prop_shuffle()) {
        let mut sessions = Sessions::default();
        for n in order {
            sessions.host_event(&changed(row(&format!("s{}", n % 3), n, SessionState::SessionCreated)));
        }
        for (name, last) in [("s0", 9), ("s1", 10), ("s2", 11)] {
            prop_assert_eq!(sessions.get(&id(name)).unwrap().last_seq, last);
        }
    }
}
