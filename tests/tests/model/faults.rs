//! Calls that fail: what is repeated, after which waits, and what the person is told.

use std::time::Duration;

use lanyard_model::{Gateway, Timings};
use lanyard_ports::model::{Model, ModelError, ModelProgress};
use lanyard_protocol::ErrorCode;
use lanyard_tests::gateway::{ScriptedGateway, Turn, models, say, shapes};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::rig::{TOKEN, ask, call, call_with, impatient, install_tls, options, request};

#[tokio::test]
async fn passing_troubles_are_waited_out_and_their_text_is_void() {
    let gateway = ScriptedGateway::start([
        shapes::fault(),
        Turn::stream().text("half an answer").cut(),
        shapes::error_inside(500, "None", "provider broke"),
        say("whole"),
    ]);
    let outcome = call(&gateway).await;
    assert_eq!(outcome.waits_ms, [500, 1_000, 2_000]);
    let retries = outcome.retries();
    assert_eq!(
        retries.iter().map(|(attempt, delay, _)| (*attempt, *delay)).collect::<Vec<_>>(),
        [(1, 500), (2, 1_000), (3, 2_000)]
    );
    assert!(retries[0].2.contains("Connection error"), "{retries:?}");
    assert!(retries[1].2.contains("cut"), "{retries:?}");
    assert!(retries[2].2.contains("provider broke"), "{retries:?}");
    assert_eq!(outcome.text(), "whole");
    assert_eq!(outcome.ok().text, "whole");
}

#[tokio::test]
async fn four_attempts_and_no_more() {
    for (turn, rate_limited) in [
        (shapes::fault(), false),
        (shapes::bad_gateway(), false),
        (Turn::stream().text("x").cut(), false),
        (Turn::stream().text("x"), false),
        (Turn::stream(), false),
        (Turn::stream().text("x").raw("data: {\"choices\": [{\"del").cut(), false),
        (Turn::stream().event("nonsense").done(), false),
        (Turn::body(200, "text/html", "<html>Welcome</html>"), false),
        (Turn::body(200, "application/octet-stream", vec![0xff; 100]), false),
        (shapes::throttled("0"), true),
        (shapes::error_inside(429, "throttling_error", "slow down"), true),
    ] {
        let gateway = ScriptedGateway::start(turn.clone());
        let outcome = call(&gateway).await;
        assert_eq!(gateway.requests().len(), 4, "{turn:?}");
        let error = outcome.error();
        assert_eq!(matches!(error, ModelError::RateLimited(_)), rate_limited, "{error}");
        assert!(matches!(error, ModelError::RateLimited(_) | ModelError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("4 attempts"), "{error}");
        assert!(error.to_string().contains(&gateway.url()), "{error}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_both_forms() {
    // The rig's clock stands at 12:00:00.
    let date = "Fri, 20 Nov 2026 12:00:42 GMT";
    let gateway = ScriptedGateway::start([
        shapes::throttled("7"),
        shapes::throttled(date),
        shapes::throttled_behind("3"),
        say("now"),
    ]);
    let outcome = call(&gateway).await;
    assert_eq!(outcome.waits_ms, [7_000, 42_000, 3_000]);
    assert_eq!(outcome.retries()[0].1, 7_000);
    assert_eq!(outcome.ok().text, "now");
}

#[tokio::test]
async fn a_wait_too_long_is_told_instead() {
    let outcome = call(&ScriptedGateway::start(shapes::throttled("3600"))).await;
    let error = outcome.error();
    assert!(matches!(error, ModelError::RateLimited(text) if text.contains("3600 seconds")), "{error}");
    assert!(outcome.waits_ms.is_empty());
}

#[tokio::test]
async fn verdicts_are_not_argued_with() {
    type Kind = fn(&ModelError) -> bool;
    let guardrail: Kind = |e| matches!(e, ModelError::GuardrailBlocked(_));
    let budget: Kind = |e| matches!(e, ModelError::BudgetExceeded(_));
    let refused: Kind = |e| matches!(e, ModelError::Refused(_));
    for (turn, kind, wanted) in [
        (shapes::guardrail("no-secrets"), guardrail, "\"no-secrets\""),
        (shapes::guardrail_inside("no-secrets"), guardrail, "\"no-secrets\""),
        (Turn::stream().text("x").finish("content_filter").done(), guardrail, "content filter"),
        (shapes::budget(422), budget, "Max budget"),
        (shapes::budget(429), budget, "Max budget"),
        (shapes::budget(400), budget, "Max budget"),
        (shapes::quota(), budget, "quota"),
        (shapes::quota_behind(), budget, "quota"),
        (shapes::error_inside(422, "budget_exceeded", "Budget"), budget, "Budget"),
        (shapes::unauthorised(TOKEN), refused, "LANYARD_GATEWAY_TOKEN"),
        // Where the token would be cut in half, and where it comes inside a stream.
        (shapes::unauthorised(&format!("{}{TOKEN}", "x".repeat(412))), refused, "LANYARD_GATEWAY_TOKEN"),
        (shapes::error_inside(401, "auth_error", &format!("{TOKEN} is unknown")), refused, "[token]"),
        (shapes::error(403, "key_model_access_denied", "key not allowed"), refused, "key not allowed"),
        (Turn::json(404, &json!({"detail": "Not Found"})), refused, "LANYARD_GATEWAY_URL"),
        (shapes::unknown_model("m1"), refused, "\"m1\""),
        (shapes::error_inside(400, "exceed_context_size_error", "too long"), refused, "too long"),
    ] {
        let gateway = ScriptedGateway::start(turn.clone());
        let outcome = call(&gateway).await;
        let error = outcome.error();
        assert!(kind(error) && error.to_string().contains(wanted), "{turn:?}: {error:?}");
        assert_eq!(gateway.requests().len(), 1, "{error}");
        assert!(!format!("{outcome:?}").contains("sk-very"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = ScriptedGateway::start(say("stolen"));
    let gateway = ScriptedGateway::start(shapes::redirect(&format!("{}/chat/completions", elsewhere.url())));
    let outcome = call(&gateway).await;
    let error = outcome.error();
    assert!(matches!(error, ModelError::Refused(text) if text.contains(&elsewhere.url())), "{error}");
    assert!(elsewhere.all_requests().is_empty(), "neither prompt nor token went there");
}

#[tokio::test]
async fn nobody_there() {
    let outcome = call_with(options("http://127.0.0.1:1"), Timings::default()).await;
    let error = outcome.error();
    assert!(matches!(error, ModelError::Unavailable(text) if text.contains("refused")), "{error}");
    assert_eq!(outcome.waits_ms.len(), 3);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let gateway = ScriptedGateway::start(say("x"));
    let outcome = call_with(options(&gateway.url().replace("http:", "https:")), Timings::default()).await;
    let error = outcome.error();
    assert!(matches!(error, ModelError::Unavailable(text) if text.contains("not reached")), "{error}");
    assert!(gateway.all_requests().is_empty());
}

#[tokio::test]
async fn silence_ends_the_attempt() {
    for turn in [Turn::stream().stall(), Turn::stream().text("half").stall()] {
        let gateway = ScriptedGateway::start(turn);
        let outcome = call_with(options(&gateway.url()), impatient()).await;
        let error = outcome.error();
        assert!(matches!(error, ModelError::Unavailable(text) if text.contains("silent")), "{error}");
        assert_eq!(outcome.waits_ms.len(), 3);
    }
}

#[tokio::test]
async fn a_stream_that_never_ends_is_ended() {
    let endless = Turn::stream().repeat(": ping\n\n", usize::MAX);
    let gateway = ScriptedGateway::start(endless);
    let timings = Timings { total: Duration::from_secs(2), ..Timings::default() };
    let outcome = call_with(options(&gateway.url()), timings).await;
    let error = outcome.error();
    assert!(error.to_string().contains("did not end"), "{error}");
    assert!(outcome.waits_ms.is_empty(), "another attempt would not end either");
}

#[tokio::test]
async fn huge_answers_are_given_up() {
    let word = json!({"choices": [{"delta": {"content": "x".repeat(64 * 1024)}}]});
    let text = Turn::stream().repeat(format!("data: {word}\n\n"), 1_000).finish("stop").done();
    let line = Turn::stream().raw("data: ").repeat(vec![b'x'; 1 << 20], 1_000);
    let whole = Turn::json(200, &json!({})).repeat(vec![b' '; 1 << 20], 1_000);
    for turn in [text, line, whole] {
        let gateway = ScriptedGateway::start(turn);
        let outcome = call(&gateway).await;
        let error = outcome.error();
        assert!(matches!(error, ModelError::Unavailable(text) if text.contains("longer than")), "{error}");
        assert_eq!(gateway.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_cancel_ends_the_call_wherever_it_is() {
    install_tls();
    for turn in [Turn::stream().stall(), Turn::stream().text("on and on").stall()] {
        let gateway = ScriptedGateway::start(turn);
        let model = Gateway::new(options(&gateway.url()));
        let cancel = CancellationToken::new();
        let stop = async {
            while gateway.requests().is_empty() {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let ((answer, _), ()) = tokio::join!(ask(&model, &cancel), stop);
        assert_eq!(answer, Err(ModelError::Cancelled));
    }
    // While it waits for the next attempt, with the real clock and a minute to go.
    let gateway = ScriptedGateway::start(shapes::throttled("60"));
    let model = Gateway::new(options(&gateway.url()));
    let cancel = CancellationToken::new();
    let (progress, mut told) = mpsc::channel(4);
    let request = request();
    let stop = async {
        let retry = told.recv().await;
        assert!(matches!(retry, Some(ModelProgress::Retry { delay_ms: 60_000, .. })), "{retry:?}");
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(model.answer(&request, &progress, &cancel), stop);
    assert_eq!(answer, Err(ModelError::Cancelled));
}

#[tokio::test]
async fn nobody_listening_is_no_fault() {
    install_tls();
    let gateway = ScriptedGateway::start(say("into the void"));
    let model = Gateway::new(options(&gateway.url()));
    let (progress, told) = mpsc::channel(1);
    drop(told);
    let answer = model.answer(&request(), &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!(answer.text, "into the void");
}

#[tokio::test]
async fn retries_carry_the_codes_clients_know() {
    let gateway = ScriptedGateway::start([shapes::throttled("1"), shapes::fault(), say("x")]);
    let outcome = call(&gateway).await;
    let told = outcome.told.iter();
    let codes = told.filter_map(|p| match p {
        ModelProgress::Retry { error, .. } => Some((error.code, error.retryable)),
        ModelProgress::Text(_) => None,
    });
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, [(ErrorCode::RateLimited, true), (ErrorCode::LlmUnavailable, true)]);
}

#[tokio::test]
async fn the_list_is_checked_for_doctor() {
    install_tls();
    let gateway = ScriptedGateway::start_offering(say("x"), models(&["a", "b"]));
    let names: Vec<_> =
        Gateway::new(options(&gateway.url())).offered().await.unwrap().into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["a", "b"]);
    let locked = ScriptedGateway::start_offering(say("x"), shapes::unauthorised(TOKEN));
    let error = Gateway::new(options(&locked.url())).offered().await.unwrap_err();
    assert!(matches!(&error, ModelError::Refused(text) if !text.contains(TOKEN)), "{error}");
}
