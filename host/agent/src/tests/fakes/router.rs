//! A router that does what a script says for each tool, and records what dispatch would record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lanyard_ports::journal::{CallPhase, CallRecord, Journal, NewEvent, Replay, Write};
use lanyard_ports::router::{Lane, PreparedCall, ReadyCall, Settled, TaskTerms, ToolRouter};
use lanyard_protocol::approval::RiskLevel;
use lanyard_protocol::event::{EventBody, ToolCompleted, ToolRequested};
use lanyard_protocol::id::EventId;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolSpec, ToolStatus};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::MemoryJournal;

/// What a tool does when it runs.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers at once.
    Say(String),
    /// Answers when the gate lets it.
    SayAfter(Arc<Semaphore>, String),
    /// Runs until it is told to stop.
    UntilStopped,
    /// Runs for ever, whatever it is told.
    Deaf,
    /// Breaks off.
    Panic,
    /// Is refused by policy.
    Deny,
    /// Cannot even be judged: the router breaks off.
    PanicEarly,
}

/// How a tool behaves.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) lane: Lane,
    /// A person answers by adding a permit.
    pub(crate) asks: Option<Arc<Semaphore>>,
    pub(crate) act: Act,
}

impl Way {
    pub(crate) fn read(act: Act) -> Self {
        Self { lane: Lane::Read, asks: None, act }
    }
    pub(crate) fn says(text: &str) -> Self {
        Self::read(Act::Say(text.into()))
    }
}

struct Shared {
    journal: Arc<MemoryJournal>,
    ways: Mutex<HashMap<String, Way>>,
    log: Mutex<Vec<String>>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct ScriptedRouter(Arc<Shared>);

impl ScriptedRouter {
    pub(crate) fn new(journal: Arc<MemoryJournal>) -> Self {
        Self(Arc::new(Shared { journal, ways: Mutex::default(), log: Mutex::default() }))
    }

    pub(crate) fn tool(&self, name: &str, way: Way) {
        self.0.ways.lock().unwrap().insert(name.into(), way);
    }

    /// What happened, in order: `prepare X`, `start X`, `end X`, `withdraw X`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    fn note(&self, what: &str, request: &ToolRequest) {
        self.0.log.lock().unwrap().push(format!("{what} {}", request.tool_name));
    }

    async fn advance(&self, request: &ToolRequest, phase: CallPhase, result: Option<&ToolResult>) {
        let completed = result.map(|result| ToolCompleted {
            result: result.clone(),
            exit_code: None,
            duration_ms: 0,
            sandbox_level: SandboxLevel::None,
            changes: Vec::new(),
            replayed: false,
        });
        let record = CallRecord {
            request: request.clone(),
            phase,
            replay: Replay::Opaque,
            approval_id: None,
            completed: completed.clone(),
        };
        let mut batch = vec![Write::Call(Box::new(record))];
        batch.extend(completed.map(|completed| event(request, EventBody::ToolCompleted(completed))));
        self.0.journal.commit(batch).await.unwrap();
    }
}

fn event(request: &ToolRequest, body: EventBody) -> Write {
    Write::Event(Box::new(NewEvent {
        event_id: EventId::new(format!("evt_{}", request.tool_call_id)).unwrap(),
        workspace_id: request.workspace_id.clone(),
        session_id: request.session_id.clone(),
        task_id: Some(request.task_id.clone()),
        step_id: Some(request.step_id.clone()),
        timestamp: Timestamp::from_millis(1),
        body,
    }))
}

#[async_trait::async_trait]
impl ToolRouter for ScriptedRouter {
    fn specs(&self) -> Vec<ToolSpec> {
        Vec::new()
    }

    async fn prepare(&self, request: ToolRequest, _: &TaskTerms) -> Box<dyn PreparedCall> {
        self.note("prepare", &request);
        let known = self.0.journal.call(&request.session_id, &request.tool_call_id).unwrap();
        let recorded = known.as_ref().and_then(|call| call.completed.as_ref()).map(|c| c.result.clone());
        let way = self.0.ways.lock().unwrap().get(&request.tool_name).cloned();
        if known.is_none() {
            let requested = ToolRequested {
                tool_call_id: request.tool_call_id.clone(),
                tool_name: request.tool_name.clone(),
                arguments: request.arguments.clone(),
                capability: None,
                summary: String::new(),
                risk_level: RiskLevel::Low,
            };
            let record = CallRecord {
                request: request.clone(),
                phase: CallPhase::Planned,
                replay: Replay::Opaque,
                approval_id: None,
                completed: None,
            };
            let batch =
                vec![Write::Call(Box::new(record)), event(&request, EventBody::ToolRequested(requested))];
            if way.as_ref().is_some_and(|way| way.asks.is_some()) {
                // A question is on disk before anybody sees it.
                self.0.journal.commit(batch).await.unwrap();
            } else {
                self.0.journal.append(batch).await.unwrap();
            }
        }
        Box::new(Prepared { router: self.clone(), request, way, recorded })
    }
}

struct Prepared {
    router: ScriptedRouter,
    request: ToolRequest,
    way: Option<Way>,
    recorded: Option<ToolResult>,
}

impl Prepared {
    async fn refused(&self, status: ToolStatus, code: ErrorCode) -> Settled {
        let result = ToolResult::of(&self.request, status).with_error(WireError::new(code, "no"));
        self.router.advance(&self.request, CallPhase::Finished, Some(&result)).await;
        Settled::Done(Box::new(result))
    }
}

#[async_trait::async_trait]
impl PreparedCall for Prepared {
    fn lane(&self) -> Lane {
        self.way.as_ref().map_or(Lane::Read, |way| way.lane.clone())
    }

    fn awaits_person(&self) -> bool {
        self.recorded.is_none() && self.way.as_ref().is_some_and(|way| way.asks.is_some())
    }

    async fn settle(self: Box<Self>, cancel: &CancellationToken) -> Settled {
        if let Some(result) = self.recorded {
            return Settled::Done(Box::new(result));
        }
        let Some(way) = self.way.clone() else {
            return self.refused(ToolStatus::Failed, ErrorCode::ToolNotFound).await;
        };
        if let Some(asks) = &way.asks {
            tokio::select! {
                permit = asks.acquire() => permit.unwrap().forget(),
                () = cancel.cancelled() => {
                    self.router.note("withdraw", &self.request);
                    return self.refused(ToolStatus::Cancelled, ErrorCode::ApprovalDenied).await;
                }
            }
        }
        assert!(!matches!(way.act, Act::PanicEarly), "the router broke off (on purpose)");
        if matches!(way.act, Act::Deny) {
            return self.refused(ToolStatus::Denied, ErrorCode::CapabilityDenied).await;
        }
        Settled::Ready(Box::new(Ready { router: self.router, request: self.request, act: way.act }))
    }
}

struct Ready {
    router: ScriptedRouter,
    request: ToolRequest,
    act: Act,
}

#[async_trait::async_trait]
impl ReadyCall for Ready {
    async fn run(self: Box<Self>, cancel: &CancellationToken) -> ToolResult {
        self.router.note("start", &self.request);
        self.router.advance(&self.request, CallPhase::Started, None).await;
        let mut result = ToolResult::of(&self.request, ToolStatus::Succeeded);
        match &self.act {
            Act::Say(text) => result.output_text = Some(text.clone()),
            Act::SayAfter(gate, text) => tokio::select! {
                permit = gate.acquire() => {
                    permit.unwrap().forget();
                    result.output_text = Some(text.clone());
                }
                () = cancel.cancelled() => result.status = ToolStatus::Cancelled,
            },
            Act::UntilStopped => {
                cancel.cancelled().await;
                result.status = ToolStatus::Cancelled;
            }
            Act::Deaf => std::future::pending().await,
            Act::Panic => panic!("a tool broke off (on purpose)"),
            Act::Deny | Act::PanicEarly => unreachable!("refused before"),
        }
        self.router.advance(&self.request, CallPhase::Finished, Some(&result)).await;
        self.router.note("end", &self.request);
        result
    }
}
