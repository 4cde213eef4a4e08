//! Calls that work, however the answer is cut and wrapped.

use std::time::Duration;

use lanyard_model::{Gateway, Timings};
use lanyard_ports::model::{AskedArguments, ModelError};
use lanyard_protocol::event::Usage;
use lanyard_tests::gateway::{MODEL, ScriptedGateway, Turn, call as calls_tool, calls, models, say, shapes};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::rig::{TOKEN, ask, call, call_with, install_tls, options};

#[tokio::test]
async fn a_text_and_what_was_sent_for_it() {
    let gateway = ScriptedGateway::start(say("Grüße aus dem Test"));
    let outcome = call(&gateway).await;
    assert_eq!(outcome.text(), "Grüße aus dem Test");
    assert_eq!(outcome.told.len(), 4, "word by word");
    let answer = outcome.ok();
    assert_eq!(answer.text, "Grüße aus dem Test");
    assert_eq!(answer.usage, Some(Usage { input_tokens: 10, output_tokens: 5 }));
    assert_eq!((answer.finish_reason.as_str(), answer.model.as_str()), ("stop", MODEL));

    let requests = gateway.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.token(), Some(TOKEN));
    assert_eq!(request.headers["x-litellm-session-id"], "session-1");
    assert_eq!((request.last("system"), request.last("user")), ("rules", "do it"));
    assert_eq!(request.tools(), ["ReadFile"]);
    assert_eq!(request.body["model"], "m1");
    assert_eq!(request.body["max_tokens"], 1_000);
    assert_eq!(request.body["stream"], true);
    assert_eq!(request.body["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn tool_calls_in_fragments() {
    let arguments = json!({"path": "ü.txt"});
    let turn = calls(&[("ReadFile", arguments.clone()), ("RunCommand", json!({"argv": ["ls"]}))]);
    let answer = call(&ScriptedGateway::start(turn.split_every(1))).await.ok();
    assert_eq!(answer.calls.len(), 2);
    assert_eq!(answer.calls[0].tool_name, "ReadFile");
    assert_eq!(answer.calls[0].arguments, AskedArguments::Object(arguments.into()));
    assert_eq!(answer.calls[1].model_call_id, "call_2");
    assert_eq!(answer.finish_reason, "tool_calls");
}

#[tokio::test]
async fn the_same_answer_wherever_the_bytes_are_cut() {
    let turn = say("日本 größe").split_every(1);
    for size in [1, 2, 3, 5, 7, 64] {
        let gateway = ScriptedGateway::start(turn.clone().split_every(size));
        assert_eq!(call(&gateway).await.ok().text, "日本 größe", "{size}");
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_the_loop_as_such() {
    let turn = Turn::stream().call_in("ReadFile", &["{\"path\"", ": oops"]).finish("tool_calls").done();
    let answer = call(&ScriptedGateway::start(turn)).await.ok();
    assert!(
        matches!(&answer.calls[0].arguments, AskedArguments::Malformed { text, .. } if text == "{\"path\": oops")
    );
}

#[tokio::test]
async fn a_reply_that_is_not_streamed() {
    let outcome = call(&ScriptedGateway::start(Turn::whole("at once"))).await;
    assert_eq!(outcome.text(), "at once");
    assert_eq!(outcome.ok().usage, Some(Usage { input_tokens: 10, output_tokens: 5 }));
}

#[tokio::test]
async fn comments_other_line_ends_and_no_last_event() {
    let stream = ": keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\r\r: ping\n\n\
                  data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let answer = call(&ScriptedGateway::start(Turn::stream().raw(stream).split_every(3))).await.ok();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("x", "m1"));
}

#[tokio::test]
async fn a_slow_stream_is_not_a_dead_one() {
    let gateway = ScriptedGateway::start(say("one two three").slowly(Duration::from_millis(20)));
    let timings = Timings { total: Duration::from_secs(60), ..Timings::default() };
    assert_eq!(call_with(options(&gateway.url()), timings).await.ok().text, "one two three");
}

#[tokio::test]
async fn one_connection_serves_a_whole_task() {
    install_tls();
    let gateway = ScriptedGateway::start(say("again"));
    let model = Gateway::new(options(&gateway.url()));
    for _ in 0..3 {
        ask(&model, &CancellationToken::new()).await.0.unwrap();
    }
    let peers: Vec<_> = gateway.requests().into_iter().map(|request| request.peer).collect();
    assert_eq!(peers, [peers[0]; 3]);
}

#[tokio::test]
async fn the_newest_models_get_the_parameter_they_want() {
    install_tls();
    let gateway = ScriptedGateway::start([shapes::wants_max_completion_tokens(), say("a"), say("b")]);
    let model = Gateway::new(options(&gateway.url()));
    for wanted in ["a", "b"] {
        assert_eq!(ask(&model, &CancellationToken::new()).await.0.unwrap().text, wanted);
    }
    let requests = gateway.requests();
    assert!(requests[0].body.get("max_tokens").is_some());
    for request in &requests[1..] {
        assert_eq!(request.body["max_completion_tokens"], 1_000);
        assert!(request.body.get("max_tokens").is_none());
    }
}

#[tokio::test]
async fn without_a_name_the_first_model_offered_is_used() {
    let offers = models(&["text-embed-3", "big-chat", "small-chat"]);
    let gateway = ScriptedGateway::start_offering(say("hello"), offers);
    let mut options = options(&gateway.url());
    options.model = None;
    assert_eq!(call_with(options, Timings::default()).await.ok().text, "hello");
    assert_eq!(gateway.requests()[0].body["model"], "big-chat");
    assert_eq!(gateway.all_requests()[0].token(), Some(TOKEN), "listing is authorised too");
}

#[tokio::test]
async fn a_gateway_that_lists_nothing_needs_a_name() {
    let not_listed = Turn::json(404, &json!({"detail": "Not Found"}));
    for (offers, wanted) in
        [(not_listed, "does not list"), (models(&[]), "offers no model"), (say("no list"), "no OpenAI")]
    {
        let gateway = ScriptedGateway::start_offering(calls_tool("ReadFile", json!({})), offers);
        let mut options = options(&gateway.url());
        options.model = None;
        let outcome = call_with(options, Timings::default()).await;
        let error = outcome.error();
        assert!(matches!(error, ModelError::Unavailable(text) if text.contains(wanted)), "{error}");
        assert!(outcome.waits_ms.is_empty(), "asking again would change nothing");
    }
}
