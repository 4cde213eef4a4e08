//! A gateway adapter whose waits are recorded instead of waited.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lanyard_model::{Endpoint, Gateway, GatewayOptions, Pace, Timings, Token};
use lanyard_ports::model::{Model, ModelAnswer, ModelError, ModelProgress, ModelRequest};
use lanyard_protocol::id::{MessageId, SessionId};
use lanyard_protocol::message::{ConversationMessage, Role};
use lanyard_protocol::tool::ToolSpec;
use lanyard_protocol::{Json, Timestamp};
use lanyard_tests::gateway::ScriptedGateway;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// 2026-11-20T12:00:00Z, the wall clock of every rig.
pub(crate) const NOON: Duration = Duration::from_secs(1_795_176_000);

pub(crate) const TOKEN: &str = "sk-very-secret-1234";

/// Records waits; its chance is always the smallest.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Duration>>);

impl Recorder {
    pub(crate) fn waits_ms(&self) -> Vec<u128> {
        self.0.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

#[async_trait::async_trait]
impl Pace for Recorder {
    async fn wait(&self, delay: Duration) {
        self.0.lock().unwrap().push(delay);
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + NOON
    }

    fn random(&self) -> u64 {
        0
    }
}

/// Installs what the binary installs.
pub(crate) fn install_tls() {
    // The second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A short patience for silence, so that tests of silence end; nothing else depends on it.
pub(crate) fn impatient() -> Timings {
    Timings { first_byte: Duration::from_millis(200), idle: Duration::from_millis(200), ..Timings::default() }
}

pub(crate) fn options(url: &str) -> GatewayOptions {
    GatewayOptions {
        endpoint: Endpoint::parse(url).unwrap(),
        token: Some(Token::new(TOKEN).unwrap()),
        model: Some("m1".into()),
        context_window: None,
        source: "config".into(),
        found: false,
    }
}

/// One call's outcome with everything told on the way.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answer: Result<ModelAnswer, ModelError>,
    pub(crate) told: Vec<ModelProgress>,
    pub(crate) waits_ms: Vec<u128>,
}

impl Outcome {
    /// The answer.
    pub(crate) fn ok(self) -> ModelAnswer {
        self.answer.unwrap_or_else(|e| panic!("{e}"))
    }

    /// The error.
    pub(crate) fn error(&self) -> &ModelError {
        self.answer.as_ref().expect_err("an error")
    }

    /// Texts told since the last retry.
    pub(crate) fn text(&self) -> String {
        let texts = self.told.iter().rev().map_while(|p| match p {
            ModelProgress::Text(text) => Some(text.as_str()),
            ModelProgress::Retry { .. } => None,
        });
        texts.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Retries told: attempt, delay, words.
    pub(crate) fn retries(&self) -> Vec<(u32, u64, String)> {
        let retries = self.told.iter().filter_map(|p| match p {
            ModelProgress::Retry { attempt, delay_ms, error, max_attempts: 4 } => {
                Some((*attempt, *delay_ms, error.message.clone()))
            }
            _ => None,
        });
        retries.collect()
    }
}

pub(crate) fn message(role: Role, content: &str) -> ConversationMessage {
    ConversationMessage {
        message_id: MessageId::new("m").unwrap(),
        session_id: SessionId::new("session-1").unwrap(),
        task_id: None,
        step_id: None,
        role,
        content: content.into(),
        tool_calls: vec![],
        tool_call_id: None,
        token_count: None,
        provenance: None,
        timestamp: Timestamp::default(),
    }
}

pub(crate) fn request() -> ModelRequest {
    ModelRequest {
        session_id: SessionId::new("session-1").unwrap(),
        messages: vec![message(Role::System, "rules"), message(Role::User, "do it")],
        tools: vec![ToolSpec {
            name: "ReadFile".into(),
            description: "Reads a file.".into(),
            input_schema: Json(json!({"type": "object", "properties": {"path": {"type": "string"}}})),
            capabilities: vec![],
        }],
        max_output_tokens: 1_000,
        pictures: vec![],
    }
}

/// Makes one call.
pub(crate) async fn call_with(options: GatewayOptions, timings: Timings) -> Outcome {
    install_tls();
    let pace = Arc::new(Recorder::default());
    let gateway = Gateway::with_pace(options, timings, Arc::clone(&pace) as Arc<dyn Pace>);
    let (answer, told) = ask(&gateway, &CancellationToken::new()).await;
    Outcome { answer, told, waits_ms: pace.waits_ms() }
}

/// Makes one call to a scripted gateway.
pub(crate) async fn call(gateway: &ScriptedGateway) -> Outcome {
    call_with(options(&gateway.url()), Timings::default()).await
}

/// One answer of a model and what it told.
pub(crate) async fn ask(
    model: &dyn Model,
    cancel: &CancellationToken,
) -> (Result<ModelAnswer, ModelError>, Vec<ModelProgress>) {
    let (progress, mut receiver) = mpsc::channel(4);
    let collect = async {
        let mut told = Vec::new();
        while let Some(message) = receiver.recv().await {
            told.push(message);
        }
        told
    };
    let request = request();
    let answer = async {
        let answer = model.answer(&request, &progress, cancel).await;
        drop(progress);
        answer
    };
    tokio::join!(answer, collect)
}
