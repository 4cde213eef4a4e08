//! A model that answers from a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use lanyard_ports::model::{
    AskedArguments, AskedCall, Model, ModelAnswer, ModelError, ModelProgress, ModelRequest,
};
use lanyard_protocol::Json;
use lanyard_protocol::event::Usage;
use lanyard_protocol::session::ModelInfo;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// One line of the script.
pub(crate) enum Reply {
    Answer(ModelAnswer),
    Progress(Vec<ModelProgress>, ModelAnswer),
    Fail(ModelError),
    /// Never answers.
    Hang,
}

/// See the module. A script that is over answers "done".
#[derive(Default)]
pub(crate) struct ScriptedModel {
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<ModelRequest>>,
    in_flight: AtomicU32,
    window: AtomicU32,
    name: Option<&'static str>,
}

impl ScriptedModel {
    pub(crate) fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name: Some(name), ..Self::default() })
    }

    pub(crate) fn expect(&self, reply: Reply) {
        self.script.lock().unwrap().push_back(reply);
    }

    pub(crate) fn set_window(&self, tokens: u32) {
        self.window.store(tokens, Ordering::SeqCst);
    }

    pub(crate) fn requests(&self) -> Vec<ModelRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// A call is under way, and the script is over.
    pub(crate) fn hangs(&self) -> bool {
        self.in_flight() == 1 && self.script.lock().unwrap().is_empty()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }
}

struct InFlight<'a>(&'a AtomicU32);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "two model calls at once");
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Model for ScriptedModel {
    fn info(&self) -> ModelInfo {
        let name = self.name.unwrap_or("m").into();
        ModelInfo { name, endpoint: String::new(), demo: false, source: "config".into() }
    }

    fn context_window(&self) -> u32 {
        match self.window.load(Ordering::SeqCst) {
            0 => 100_000,
            window => window,
        }
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        let _in_flight = InFlight::new(&self.in_flight);
        assert!(!cancel.is_cancelled());
        self.requests.lock().unwrap().push(request.clone());
        tokio::task::yield_now().await;
        let reply = self.script.lock().unwrap().pop_front();
        match reply {
            None => Ok(says("done")),
            Some(Reply::Answer(answer)) => Ok(answer),
            Some(Reply::Progress(pieces, answer)) => {
                for piece in pieces {
                    progress.send(piece).await.unwrap();
                }
                Ok(answer)
            }
            Some(Reply::Fail(error)) => Err(error),
            Some(Reply::Hang) => std::future::pending().await,
        }
    }
}

/// An answer in words.
pub(crate) fn says(text: &str) -> ModelAnswer {
    ModelAnswer {
        text: text.into(),
        calls: Vec::new(),
        finish_reason: "stop".into(),
        usage: Some(Usage { input_tokens: 100, output_tokens: 10 }),
        model: "m".into(),
    }
}

pub(crate) fn say(text: &str) -> Reply {
    Reply::Answer(says(text))
}

/// An answer that asks for tools.
pub(crate) fn ask_for(calls: &[(&str, Value)]) -> ModelAnswer {
    let call = |(tool, arguments): &(&str, Value)| AskedCall {
        model_call_id: "same-for-all".into(),
        tool_name: (*tool).into(),
        arguments: AskedArguments::Object(Json(arguments.clone())),
    };
    ModelAnswer { calls: calls.iter().map(call).collect(), finish_reason: "tool_calls".into(), ..says("") }
}

pub(crate) fn malformed(tool: &str, text: &str) -> AskedCall {
    AskedCall {
        model_call_id: String::new(),
        tool_name: tool.into(),
        arguments: AskedArguments::Malformed { text: text.into(), problem: "expected `}`".into() },
    }
}
