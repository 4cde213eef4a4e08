//! Lists.

use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::testing::on_both;

use super::*;
use crate::MIGRATIONS;

fn ids(page: &Page<ApprovalInfo>) -> Vec<&str> {
    page.items.iter().map(|info| info.record.request.approval_id.as_str()).collect()
}

#[tokio::test]
async fn newest_first_filtered_and_in_pages() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        for (n, (host, session)) in
            [("one", "s"), ("two", "s"), ("one", "r"), ("one", "s"), ("two", "q")].into_iter().enumerate()
        {
            rig.ground.clock.set(n as i64 * 1_000);
            let told = rig.ask(&agent("a", host), &format!("q{n}"), session).await;
            if n == 3 {
                rig.report(&agent("a", host), &settled(&told, "denied")).await;
            }
        }
        rig.ask(&agent("b", "one"), "other", "s").await;
        let viewer = person("a", Role::Viewer, "v");
        for (uri, expected) in [
            ("/approvals", vec!["q4", "q3", "q2", "q1", "q0"]),
            ("/approvals?sessionId=s", vec!["q3", "q1", "q0"]),
            ("/approvals?agentId=two", vec!["q4", "q1"]),
            ("/approvals?state=denied", vec!["q3"]),
            ("/approvals?state=pending&agentId=one&sessionId=s", vec!["q0"]),
        ] {
            assert_eq!(ids(&rig.get(&viewer, uri).await.json()), expected, "{uri}");
        }
        let mut seen = Vec::new();
        let mut uri = "/approvals?limit=2".to_owned();
        loop {
            let page: Page<ApprovalInfo> = rig.get(&viewer, &uri).await.json();
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(token) = page.next_token else { break };
            uri = format!("/approvals?limit=2&nextToken={token}");
        }
        assert_eq!(seen, ["q4", "q3", "q2", "q1", "q0"]);
        for bad in ["nextToken=x", "limit=0", "limit=501", "state=maybe", "colour=red"] {
            assert_eq!(rig.get(&viewer, &format!("/approvals?{bad}")).await.status, 400, "{bad}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_host_sees_its_own_and_a_tenant_what_is_its_own() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        rig.ask(&agent("a", "one"), "q1", "s").await;
        rig.ask(&agent("a", "two"), "q2", "s").await;
        assert_eq!(ids(&rig.get(&agent("a", "one"), "/approvals").await.json()), ["q1"]);
        assert!(ids(&rig.get(&agent("a", "one"), "/approvals?agentId=two").await.json()).is_empty());
        assert_eq!(rig.get(&agent("a", "one"), "/approvals/q1").await.status, 200);
        for stranger in [agent("a", "two"), agent("b", "one"), person("b", Role::Admin, "v")] {
            assert_eq!(rig.get(&stranger, "/approvals/q1").await.status, 404, "{stranger:?}");
        }
        assert!(ids(&rig.get(&person("b", Role::Viewer, "v"), "/approvals").await.json()).is_empty());
        assert_eq!(rig.get(&agent("a", "one"), "/approvals/%20").await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn a_list_asks_once_per_host_whether_it_takes_answers() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        rig.others.with(|inner| {
            inner.accepts = HashMap::from([
                ("one".to_owned(), true),
                ("two".to_owned(), false),
                ("three".to_owned(), true),
            ]);
            inner.revoked = vec!["three".to_owned()];
        });
        for n in 0..10 {
            for host in ["one", "two", "three", "unknown"] {
                rig.ask(&agent("a", host), &format!("{host}{n}"), "s").await;
            }
        }
        let mut local = rig.pending("local", "s");
        local["record"]["request"]["approver"] = json!("local");
        rig.report(&agent("a", "one"), &local).await;
        rig.report(&agent("a", "one"), &settled(&rig.pending("done", "s"), "denied")).await;
        let viewer = person("a", Role::Viewer, "v");
        for _ in 0..3 {
            let page: Page<ApprovalInfo> = rig.get(&viewer, "/approvals").await.json();
            assert_eq!(page.items.len(), 42);
            let mut yes: Vec<_> = page.items.iter().filter(|info| info.answerable).collect();
            yes.retain(|info| info.agent_id.as_str() == "one");
            assert_eq!(yes.len(), 10);
            assert_eq!(page.items.iter().filter(|info| info.answerable).count(), 10);
        }
        let asked = rig.others.with(|inner| inner.asked.clone());
        assert_eq!(asked.len(), 4);
        // That the unknown one is not known is remembered as well.
        assert!(asked.values().all(|times| *times == 1), "{asked:?}");
        rig.ground.clock.set(301_000);
        let page: Page<ApprovalInfo> = rig.get(&viewer, "/approvals").await.json();
        assert!(page.items.iter().all(|info| !info.answerable), "their deadlines have passed");
    })
    .await;
}
