//! Nothing grows without end: texts, sessions, pages, years.

use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::database::Value as Bound;
use lanyard_governance_foundation::testing::on_both;

use super::*;
use crate::{MIGRATIONS, sweep};

/// A question with one member of its record replaced.
fn changed(rig: &Rig, path: &str, value: Value) -> Value {
    let mut report = rig.pending("q", "s");
    *report["record"].pointer_mut(path).unwrap() = value;
    report
}

#[tokio::test]
async fn every_text_is_bounded_and_the_refusal_names_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let long = |bytes: usize| json!("x".repeat(bytes));
        let command = |argv: Value, stdin: Value| {
            json!({"command": {"argv": argv, "shell": null, "opaqueReason": null, "cwd": "/", "stdin": stdin,
                "environment": [], "network": false}})
        };
        let diff = |bytes: usize| {
            json!({"file_change": {"path": "p", "newPath": null, "change": "modified", "diff": "\n".repeat(bytes),
                "truncated": true}})
        };
        for (path, value, member) in [
            ("/request/toolName", long(129), "record.request.toolName"),
            ("/request/layer", long(129), "record.request.layer"),
            ("/request/title", long(8_001), "record.request.title"),
            ("/request/actionSummary", long(8_001), "record.request.actionSummary"),
            ("/request/rememberScope", long(16_001), "record.request.rememberScope"),
            ("/request/reasons", json!(["x", "x".repeat(8_001)]), "record.request.reasons[1]"),
            ("/request/reasons", json!(vec!["x"; 51]), "record.request.reasons"),
            ("/receipts", json!(vec![json!({"principal": "p", "shownAt": rig.now()}); 201]), "record.receipts"),
            ("/request/detail", json!({"other": {"text": "x".repeat(330_000)}}), "record.request.detail.other.text"),
            ("/request/detail", diff(330_000), "record.request.detail.file_change.diff"),
            ("/request/detail", command(json!([]), long(330_000)), "record.request.detail.command.stdin"),
            ("/request/detail", command(json!([["x".repeat(200_000)]]), long(200_000)), "record"),
            ("/request/detail", command(json!([vec![""; 230_000]]), json!(null)), "record"),
        ] {
            let answer = rig.report(&host, &changed(&rig, path, value)).await;
            assert_eq!(answer.status, 413, "{member}: {}", answer.text());
            assert_eq!(answer.json::<Value>()["details"]["member"], member, "{}", answer.text());
        }
        assert!(rig.facts().await.is_empty() && rig.trail().await.is_empty());
        // The longest that a host writes is taken.
        let mut most = changed(&rig, "/request/detail", diff(256 << 10));
        for member in ["title", "actionSummary"] {
            most["record"]["request"][member] = json!("\u{27e6}U+E0001\u{27e7}".repeat(500));
        }
        assert_eq!(rig.report(&host, &most).await.status, 201);
        // So is the reason of an answer.
        let mut answered = settled(&most, "denied");
        answered["record"]["answer"]["reason"] = long(2_001);
        let refused = rig.report(&host, &answered).await;
        assert_eq!((refused.status.as_u16(), refused.text().contains("record.answer.reason")), (413, true));
        answered["record"]["answer"]["reason"] = long(2_000);
        assert_eq!(rig.report(&host, &answered).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn a_session_has_so_many_questions_and_takes_no_room_from_another() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let first = rig.ask(&host, "first", "s").await;
        let columns = &["approval_id", "agent_id", "user_id", "session_id", "state", "record", "received_at"];
        let row = |n: i64| -> Vec<Bound> {
            let id = format!("kept{n}");
            vec![id.into(), "one".into(), "u".into(), "s".into(), "expired".into(), "{}".into(), n.into()]
        };
        let mut tx = rig.ground.foundation.database.write(&host).await.unwrap();
        tx.insert_many("approvals", columns, (0..9_998).map(row).collect(), "").await.unwrap();
        tx.commit().await.unwrap();
        rig.ask(&host, "last", "s").await;
        let answer = rig.report(&host, &rig.pending("more", "s")).await;
        assert_eq!((answer.status.as_u16(), answer.text().contains("10000 approvals")), (413, true));
        assert!(!rig.facts().await.iter().any(|fact| fact.starts_with("more")));
        assert_eq!(rig.get(&host, "/approvals/more").await.status, 404);
        // What is there can be told again and settled; other sessions, hosts and tenants have their own room.
        assert_eq!(rig.report(&host, &first).await.status, 201);
        assert_eq!(rig.report(&host, &settled(&first, "denied")).await.status, 201);
        rig.ask(&host, "elsewhere", "r").await;
        rig.ask(&agent("a", "two"), "more", "s").await;
        rig.ask(&agent("b", "one"), "more", "s").await;
    })
    .await;
}

#[tokio::test]
async fn a_page_is_cut_by_bytes_and_goes_on_where_it_ended() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        // Long ones among short ones, over more than one read.
        for n in 0..30 {
            rig.ground.clock.set(n * 1_000);
            let mut report = rig.pending(&format!("q{n:02}"), "s");
            if n % 4 == 0 {
                report["record"]["request"]["detail"] = json!({"other": {"text": "x".repeat(300 << 10)}});
            }
            assert_eq!(rig.report(&host, &report).await.status, 201);
        }
        let (mut seen, mut pages, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let answer =
                rig.get(&person("a", Role::Viewer, "v"), &format!("/approvals?limit=25{token}")).await;
            assert!(answer.body.len() < (1 << 20) + (64 << 10), "{}", answer.body.len());
            let page: Page<ApprovalInfo> = answer.json();
            pages.push(page.items.len());
            seen.extend(page.items.iter().map(|info| info.record.request.approval_id.to_string()));
            let Some(next) = page.next_token else { break };
            token = format!("&nextToken={next}");
        }
        let all: Vec<String> = (0..30).rev().map(|n| format!("q{n:02}")).collect();
        assert_eq!(seen, all);
        assert!(pages.len() == 3 && pages.iter().all(|rows| *rows > 1), "{pages:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_settled_a_year_ago_is_forgotten_whole() {
    on_both(MIGRATIONS, |ground| async move {
        const DAY: i64 = 24 * 3_600_000;
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        for (id, day) in [("old", 0), ("waits", 0), ("new", 10)] {
            rig.ground.clock.set(day * DAY);
            let question = rig.ask(&host, id, "s").await;
            if id != "waits" {
                assert_eq!(rig.report(&host, &settled(&question, "denied")).await.status, 201);
            }
        }
        rig.ground.clock.set(364 * DAY);
        sweep(&rig.ground.foundation).await.unwrap();
        assert_eq!(rig.facts().await.len(), 5);
        rig.ground.clock.set(366 * DAY);
        sweep(&rig.ground.foundation).await.unwrap();
        assert_eq!(rig.facts().await, ["new denied", "new pending", "waits pending"]);
        let viewer = person("a", Role::Viewer, "v");
        for (id, status) in [("old", 404), ("waits", 200), ("new", 200)] {
            assert_eq!(rig.get(&viewer, &format!("/approvals/{id}")).await.status, status, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_host_is_cut_and_its_outcome_known() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        rig.others.with(|inner| inner.accepts = HashMap::from([("one".to_owned(), true)]));
        rig.ask(&agent("a", "one"), "q", "s").await;
        let approver = person("a", Role::Approver, "v");
        let decision = json!({"decision": "denied", "reason": null});
        let proposed = rig.send(&approver, "POST", "/approvals/q/decision", &decision).await;
        assert_eq!(proposed.status, 202, "{}", proposed.text());
        let id = proposed.json::<Value>()["proposalId"].clone();
        let service = Caller::Service { tenant: Some(TenantId::new("a").unwrap()) };
        let body = json!({"proposalId": id, "outcome": "refused", "refusal": "ü".repeat(100_000)});
        let told = rig.send(&service, "POST", "/approvals/q/outcome", &body).await;
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(rig.info("q").await.proposals[0].refusal.as_deref(), Some("ü".repeat(1_000).as_str()));
    })
    .await;
}
