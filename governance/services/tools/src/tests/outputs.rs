//! What tools answer.

use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::limits::MAX_TOOL_OUTPUT_BYTES;
use lanyard_protocol::tool::ToolStatus;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn long_output_is_cut_for_the_model_and_kept_whole() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        rig.backend.answers(200, "x".repeat(MAX_TOOL_OUTPUT_BYTES));
        let result = rig.result("c1").await;
        assert_eq!(result.output_text.unwrap().len(), MAX_TOOL_OUTPUT_BYTES);
        assert!(result.artifact_uris.is_empty());
        // Cut between characters.
        let long = "ä".repeat(MAX_TOOL_OUTPUT_BYTES);
        rig.backend.answers(200, long.clone());
        let result = rig.result("c2").await;
        assert_eq!(result.artifact_uris, ["artifact:sha256-abc"]);
        let text = result.output_text.unwrap();
        assert!(text.len() <= MAX_TOOL_OUTPUT_BYTES && text.len() > MAX_TOOL_OUTPUT_BYTES - 8);
        assert!(text.ends_with("kept as artifact:sha256-abc]"), "{}", &text[text.len() - 100..]);
        assert_eq!(rig.others.with(|inner| inner.artifacts.clone()), [long.into_bytes()]);
        rig.others.with(|inner| inner.away = vec!["workspace"]);
        let result = rig.result("c3").await;
        assert_eq!(result.status, ToolStatus::Succeeded);
        assert!(result.output_text.unwrap().contains("could not be kept"));
        // The policy's own limits.
        rig.others.with(|inner| {
            inner.away.clear();
            inner.grants = Some(
                json!([{"name": "BackendTool.Invoke", "maxOutputBytes": 10, "requiresApproval": false}]),
            );
        });
        rig.backend.answers(200, "0123456789A");
        assert_eq!(rig.result("c4").await.output_text.as_deref(), Some("0123456789"));
        assert_eq!(rig.others.with(|inner| inner.artifacts.last().cloned()).unwrap(), b"0123456789A");
    })
    .await;
}

#[tokio::test]
async fn failures_are_told_and_what_is_not_known_is_not_called_a_failure() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let failed = |result: ToolResult, words: &str| {
            let error = result.error.unwrap();
            assert_eq!((result.status, error.code), (ToolStatus::Failed, ErrorCode::ToolExecutionFailed));
            assert!(error.message.contains(words), "{error}");
            result.output_text
        };
        rig.backend.answers(500, "it broke");
        assert_eq!(failed(rig.result("c1").await, "500").as_deref(), Some("it broke"));
        rig.backend.answers(302, "");
        failed(rig.result("c2").await, "redirects are not followed");
        assert_eq!(rig.backend.calls().len(), 2);
        rig.backend.answers(200, vec![b'x'; (4 << 20) + 1]);
        failed(rig.result("c3").await, "more than 4194304 bytes");
        rig.backend.answers(200, b"a\xff\0b".to_vec());
        assert_eq!(rig.result("c4").await.output_text.as_deref(), Some("a\u{fffd}\0b"));
        assert_eq!(rig.result("c4").await.output_text.as_deref(), Some("a\u{fffd}\0b"), "and again, from the database");
        rig.backend.break_off();
        let result = rig.result("c5").await;
        assert_eq!((result.status, result.error.unwrap().code), (ToolStatus::Indeterminate, ErrorCode::OutcomeUnknown));
        // Its time is what the policy allows.
        rig.backend.hold();
        rig.others.with(|inner| {
            let grants = json!([{"name": "BackendTool.Invoke", "maxExecutionTimeSeconds": 1, "requiresApproval": false}]);
            inner.grants = Some(grants);
        });
        let begun = std::time::Instant::now();
        let result = rig.result("c6").await;
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        assert_eq!(result.status, ToolStatus::Indeterminate);
        assert!(result.error.unwrap().message.contains("did not answer in time"));
        // Nobody listens there, nor does anybody else get the port meanwhile.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gone = held.local_addr().unwrap();
        let mut definition = rig.definition();
        definition["url"] = json!(format!("http://{gone}/"));
        rig.define("Search", &definition).await;
        failed(rig.result("c7").await, "was not called");
        // Another installation's key.
        definition["url"] = json!(rig.backend.url("/tool"));
        rig.define("Search", &definition).await;
        std::fs::remove_file(rig.dir.path().join("key")).unwrap();
        let settings = Settings::open(&rig.dir.path().join("key"), rig.settings.reach).unwrap();
        let router = routes(rig.ground.foundation.clone(), settings).finish().0;
        let answer = send(&router, &agent("a", "one"), "POST", "/tools/Search/invoke", &request("c8")).await;
        failed(answer.json(), "must set it again");
    })
    .await;
}
