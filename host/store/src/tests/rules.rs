//! Remembered answers hold no longer than what they were given for, and never become too many.

use lanyard_ports::journal::{Journal, MAX_RULES, Write};
use lanyard_protocol::approval::{ApprovalState, RememberedRule};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::session::SessionState;

use super::Fixture;
use super::sample::*;

/// A rule of its own fingerprint. `task` for one of a task, `session` for one of a session.
fn remembered(name: &str, session: Option<&str>, task: Option<&str>) -> RememberedRule {
    let mut rule = rule_record(name, session);
    rule.fingerprint = name.to_owned();
    if let Some(task) = task {
        rule.remember = Remember::Task;
        rule.task_id = Some(id(task));
    }
    rule
}

fn keep(rule: RememberedRule) -> Write {
    Write::Rule(Box::new(rule))
}

fn kept(f: &Fixture) -> Vec<String> {
    f.store.rules().unwrap().into_iter().map(|rule| rule.rule_id.to_string()).collect()
}

#[tokio::test]
async fn rules_of_a_task_end_with_it_and_rules_of_a_session_with_the_session() {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b"), checkpoint("a"), checkpoint("b")]).await;
    f.commit(vec![
        keep(remembered("r1_task", Some("a"), Some("t1"))),
        keep(remembered("r2_session", Some("a"), None)),
        keep(remembered("r3_always", None, None)),
        keep(remembered("r4_other_task", Some("b"), Some("t1"))),
        keep(remembered("r5_other_session", Some("b"), None)),
    ])
    .await;
    assert_eq!(kept(&f).len(), 5);
    f.commit(vec![Write::ClearCheckpoint(sid("a"))]).await;
    assert_eq!(kept(&f), ["r2_session", "r3_always", "r4_other_task", "r5_other_session"]);
    f.commit(vec![progress("a", |p| p.state = Some(SessionState::SessionCompleted))]).await;
    assert_eq!(kept(&f), ["r3_always", "r4_other_task", "r5_other_session"]);
}

#[tokio::test]
async fn a_rule_for_what_is_over_is_left_out_and_the_answer_counts() {
    let f = Fixture::new();
    f.commit(vec![session("a"), checkpoint("a"), approval("a", "ap1", ApprovalState::Pending)]).await;
    f.commit(vec![keep(remembered("r1_earlier_task", Some("a"), Some("t0")))]).await;
    f.commit(vec![Write::ClearCheckpoint(sid("a"))]).await;
    f.commit(vec![
        approval("a", "ap1", ApprovalState::Approved),
        keep(remembered("r2_task", Some("a"), Some("t1"))),
    ])
    .await;
    f.commit(vec![progress("a", |p| p.state = Some(SessionState::SessionCompleted))]).await;
    f.commit(vec![keep(remembered("r3_session", Some("a"), None))]).await;
    assert_eq!(kept(&f), Vec::<String>::new());
    assert_eq!(f.store.approval(&sid("a"), &id("ap1")).unwrap().unwrap().state, ApprovalState::Approved);
}

#[tokio::test]
async fn the_same_thing_in_the_same_scope_is_remembered_once() {
    let f = Fixture::new();
    f.commit(vec![session("a"), checkpoint("a")]).await;
    let again = |name: &str, like: RememberedRule| keep(RememberedRule { rule_id: id(name), ..like });
    for like in [
        remembered("same", None, None),
        remembered("same", Some("a"), None),
        remembered("same", Some("a"), Some("t1")),
        RememberedRule { workspace_id: id("ws2"), ..remembered("same", None, None) },
        RememberedRule { tool_name: "HttpRequest".to_owned(), ..remembered("same", None, None) },
        remembered("another", None, None),
    ] {
        let before = kept(&f).len();
        // In one batch and in two.
        f.commit(vec![
            again(&format!("x{before}"), like.clone()),
            again(&format!("y{before}"), like.clone()),
        ])
        .await;
        f.commit(vec![again(&format!("z{before}"), like)]).await;
        let now = kept(&f);
        assert_eq!(now.len(), before + 1, "{now:?}");
        assert!(now.contains(&format!("z{before}")), "the latest answer stands: {now:?}");
    }
}

#[tokio::test]
async fn one_too_many_is_left_out_and_the_answer_counts() {
    let f = Fixture::new();
    f.commit(vec![session("a"), approval("a", "ap1", ApprovalState::Pending)]).await;
    f.commit((0..MAX_RULES).map(|n| keep(remembered(&format!("r{n:04}"), None, None))).collect()).await;
    f.commit(vec![
        approval("a", "ap1", ApprovalState::Approved),
        keep(remembered("too_many", None, None)),
        event("a", "resolved"),
    ])
    .await;
    assert_eq!(f.store.approval(&sid("a"), &id("ap1")).unwrap().unwrap().state, ApprovalState::Approved);
    assert_eq!(f.store.session(&sid("a")).unwrap().summary.last_seq, 1);
    assert!(kept(&f).len() == MAX_RULES && !kept(&f).contains(&"too_many".to_owned()));
    // One that is known changes nothing in the number; one that goes makes room.
    f.commit(vec![keep(RememberedRule { rule_id: id("anew"), ..remembered("r0007", None, None) })]).await;
    assert!(kept(&f).contains(&"anew".to_owned()) && kept(&f).len() == MAX_RULES);
    f.commit(vec![Write::RemoveRule(id("r0001")), keep(remembered("fits", None, None))]).await;
    assert!(kept(&f).contains(&"fits".to_owned()) && kept(&f).len() == MAX_RULES);
}
