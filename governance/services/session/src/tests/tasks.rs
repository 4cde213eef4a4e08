//! What is kept and listed of tasks has an end.

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use serde_json::{Value, json};

use super::{Stage, host, person};
use crate::MIGRATIONS;

const TASKS: &str = "/sessions/ses_1/tasks";

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_the_beginning_of_a_prompt_and_a_session_holds_it_whole() {
    on_both(MIGRATIONS, |ground| async move {
        let (stage, ada) = (Stage::new(ground), person("acme", Role::Viewer));
        stage.begin("ses_1").await;
        let prompt = "ä".repeat(100_000);
        let task = json!({"taskId": "tsk_1", "prompt": prompt, "startedAt": "2026-01-01T00:00:00Z"});
        assert_eq!(stage.ok(&host(), "POST", TASKS, Some(task)).await["prompt"], prompt);
        let beginning = "ä".repeat(2_000);
        let tasks = stage.ok(&ada, "GET", TASKS, None).await;
        assert_eq!(tasks["items"][0]["prompt"], beginning);
        let sessions = stage.ok(&ada, "GET", "/sessions", None).await;
        assert_eq!(sessions["items"][0]["lastTask"]["prompt"], beginning);
        let session = stage.ok(&ada, "GET", "/sessions/ses_1", None).await;
        assert_eq!(session["lastTask"]["prompt"], prompt);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_long_in_json_is_no_longer_for_that() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        // What a terminal printed: each of these is six characters on its way.
        let prompt = "\u{1b}".repeat(300_000);
        let task = json!({"taskId": "tsk_1", "prompt": prompt, "startedAt": "2026-01-01T00:00:00Z"});
        assert_eq!(stage.ok(&host(), "POST", TASKS, Some(task)).await["prompt"], prompt);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_task_failed_is_cut_and_may_be_told_again() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let task = json!({"taskId": "tsk_1", "startedAt": "2026-01-01T00:00:00Z"});
        stage.ok(&host(), "POST", TASKS, Some(task)).await;
        let ended = |words: &str, tool: &str| {
            let error = json!({"code": "TOOL_EXECUTION_FAILED", "message": words, "retryable": false,
                "details": {"tool": tool}});
            Some(json!({"state": "failed", "steps": 1, "tokens": 1, "error": error,
                "endedAt": "2026-01-01T00:01:00Z"}))
        };
        let complete = format!("{TASKS}/tsk_1/complete");
        let (words, tool) = ("ä".repeat(5_000), "x".repeat(50_000));
        for _ in 0..2 {
            let task = stage.ok(&host(), "POST", &complete, ended(&words, &tool)).await;
            assert_eq!(task["error"]["message"].as_str().unwrap().len(), 2_000);
            assert_eq!(task["error"]["details"], json!({}));
        }
        assert_eq!(stage.refused(&host(), "POST", &complete, ended("else", "x")).await.0, 409);
        let listed = stage.ok(&host(), "GET", TASKS, None).await;
        assert_ne!(listed["items"][0]["error"], Value::Null);
        assert!(listed.to_string().len() < 5_000);
    })
    .await;
}
