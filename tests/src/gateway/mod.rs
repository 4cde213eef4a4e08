//! A scripted gateway: speaks the OpenAI dialect on loopback and does what a test tells it to, broken things
//! included.
//!
//! A script is data, one [`Turn`] a request, or a function of the request. Requests are recorded.
//!
//! ```
//! use lanyard_tests::gateway::{ScriptedGateway, call, say, shapes};
//! use serde_json::json;
//!
//! let gateway = ScriptedGateway::start(vec![
//!     shapes::throttled("2"),
//!     call("RunCommand", json!({"argv": ["true"]})),
//!     say("All done."),
//! ]);
//! // Give the host LANYARD_GATEWAY_URL = gateway.url() and LANYARD_MODEL = "scripted-1", run a task, then:
//! assert_eq!(gateway.requests().len(), 0);
//! ```
//!
//! It runs on a thread of its own, so that tests without a runtime, or with a paused clock, can use it too, and
//! stops when dropped, closing every connection.

pub mod errands;
mod recorded;
mod server;
pub mod shapes;
mod turn;

use std::collections::VecDeque;
use std::fmt;

pub use recorded::Recorded;
pub use server::ScriptedGateway;
pub use turn::Turn;

use serde_json::Value;

/// The model a scripted gateway offers unless told otherwise.
pub const MODEL: &str = "scripted-1";

/// Answers with a text, streamed word by word.
pub fn say(text: &str) -> Turn {
    Turn::stream().text(text).finish("stop").usage(10, 5).done()
}

/// Asks for one tool call, its arguments in several fragments.
pub fn call(tool: &str, arguments: Value) -> Turn {
    calls(&[(tool, arguments)])
}

/// Asks for several tool calls in one answer.
pub fn calls(calls: &[(&str, Value)]) -> Turn {
    let turn = calls.iter().fold(Turn::stream(), |turn, (tool, arguments)| turn.call(tool, arguments));
    turn.finish("tool_calls").usage(10, 5).done()
}

/// The list of models offered, for [`ScriptedGateway::start_offering`].
pub fn models(names: &[&str]) -> Turn {
    let data: Vec<Value> = names
        .iter()
        .map(|name| serde_json::json!({"id": name, "object": "model", "owned_by": "tests"}))
        .collect();
    Turn::json(200, &serde_json::json!({"object": "list", "data": data}))
}

/// What a gateway does with one request after the other.
pub enum Script {
    /// These, in order. A request beyond the last is refused in a way that is not retried.
    Turns(VecDeque<Turn>),
    /// This, every time.
    Always(Turn),
    /// Whatever the function says.
    Rule(Box<dyn FnMut(&Recorded) -> Turn + Send>),
}

impl Script {
    /// A function of the request.
    pub fn by(rule: impl FnMut(&Recorded) -> Turn + Send + 'static) -> Self {
        Self::Rule(Box::new(rule))
    }

    fn next(&mut self, request: &Recorded) -> Turn {
        match self {
            Self::Turns(turns) => turns.pop_front().unwrap_or_else(|| {
                shapes::error(400, "invalid_request_error", "the script of this gateway has no further turn")
            }),
            Self::Always(turn) => turn.clone(),
            Self::Rule(rule) => rule(request),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turns(turns) => f.debug_tuple("Turns").field(turns).finish(),
            Self::Always(turn) => f.debug_tuple("Always").field(turn).finish(),
            Self::Rule(_) => f.write_str("Rule(..)"),
        }
    }
}

impl From<Vec<Turn>> for Script {
    fn from(turns: Vec<Turn>) -> Self {
        Self::Turns(turns.into())
    }
}

impl<const N: usize> From<[Turn; N]> for Script {
    fn from(turns: [Turn; N]) -> Self {
        Self::Turns(turns.into())
    }
}

impl From<Turn> for Script {
    fn from(turn: Turn) -> Self {
        Self::Always(turn)
    }
}
