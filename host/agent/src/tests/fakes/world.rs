//! All ports together, and a session on them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lanyard_ports::model::{Model, Picture, Pictures};
use lanyard_ports::sink::DeltaSink;
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::TaskId;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{ModelInfo, TaskOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::model::Reply;
use super::{MemoryJournal, ScriptedModel, ScriptedRouter, ask_for, principal, session_id, workspace_id};
use crate::gate::{InForce, ModelLimits, PolicyGate, PolicyStop};
use crate::session::{NewTask, Session, SessionSetup, Status};
use crate::{Ports, ResumeCause};

#[derive(Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl IdSource for Counter {
    fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}_n{:06}", self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Deltas(Mutex<Vec<SessionEvent>>);

impl DeltaSink for Deltas {
    fn delta(&self, event: SessionEvent) {
        self.0.lock().unwrap().push(event);
    }
}

struct Gate {
    limits: Mutex<ModelLimits>,
    script: Mutex<VecDeque<Option<PolicyStop>>>,
    asked: AtomicU64,
    models: Mutex<Vec<String>>,
    revoked: tokio::sync::watch::Sender<Option<String>>,
}

#[async_trait::async_trait]
impl PolicyGate for Gate {
    async fn model_call(&self, model: &ModelInfo) -> Result<InForce, PolicyStop> {
        self.models.lock().unwrap().push(model.name.clone());
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.script.lock().unwrap().pop_front().flatten() {
            Some(stop) => Err(stop),
            None => Ok(InForce { bundle_version: "7".into(), limits: *self.limits.lock().unwrap() }),
        }
    }

    async fn revoked(&self) -> PolicyStop {
        let mut revoked = self.revoked.subscribe();
        let reason = revoked.wait_for(Option::is_some).await.map(|reason| reason.clone());
        match reason {
            Ok(reason) => PolicyStop::Revoked { reason: reason.unwrap_or_default() },
            Err(_) => std::future::pending().await,
        }
    }
}

struct NoPictures;

#[async_trait::async_trait]
impl Pictures for NoPictures {
    async fn picture(&self, _: &str) -> Option<Picture> {
        None
    }
}

fn hide(text: &str) -> Cow<'_, str> {
    Cow::Owned(text.replace("hunter2", "[secret]"))
}

/// See the module.
pub(crate) struct World {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) model: Arc<ScriptedModel>,
    pub(crate) router: ScriptedRouter,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
    deltas: Arc<Deltas>,
    gate: Arc<Gate>,
    ids: Arc<Counter>,
    clock: Arc<Ticks>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(MemoryJournal::default(), Arc::default())
    }

    fn on(journal: MemoryJournal, ids: Arc<Counter>) -> Self {
        let journal = Arc::new(journal);
        let limits =
            ModelLimits { max_input_tokens: 1 << 40, max_output_tokens: 4_000, max_session_tokens: 1 << 40 };
        Self {
            router: ScriptedRouter::new(journal.clone()),
            journal,
            model: Arc::default(),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
            deltas: Arc::default(),
            gate: Arc::new(Gate {
                limits: Mutex::new(limits),
                script: Mutex::default(),
                asked: AtomicU64::new(0),
                models: Mutex::default(),
                revoked: tokio::sync::watch::Sender::new(None),
            }),
            ids,
            clock: Arc::default(),
        }
    }

    /// The world after `kill -9`: only what was on disk.
    pub(crate) fn after_kill(&self) -> Self {
        Self::on(self.journal.after_kill(), self.ids.clone())
    }

    pub(crate) fn limit(&self, change: impl FnOnce(&mut ModelLimits)) {
        change(&mut self.gate.limits.lock().unwrap());
    }

    /// Answers of the gate, in order; `None` lets the call pass, as does the end of the list.
    pub(crate) fn gate(&self, answers: impl IntoIterator<Item = Option<PolicyStop>>) {
        self.gate.script.lock().unwrap().extend(answers);
    }

    /// The policy is taken back, and with it the next calls.
    pub(crate) fn revoke(&self, reason: &str) {
        self.gate([Some(PolicyStop::Revoked { reason: reason.to_owned() })]);
        self.gate.revoked.send_replace(Some(reason.to_owned()));
    }

    /// A policy is in force again.
    pub(crate) fn permit(&self) {
        self.gate.script.lock().unwrap().clear();
        self.gate.revoked.send_replace(None);
    }

    pub(crate) fn gate_asked(&self) -> u64 {
        self.gate.asked.load(Ordering::SeqCst)
    }

    /// The models the gate was asked about.
    pub(crate) fn gate_models(&self) -> Vec<String> {
        self.gate.models.lock().unwrap().clone()
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            journal: self.journal.clone(),
            model: self.model.clone(),
            router: Arc::new(self.router.clone()),
            deltas: self.deltas.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            gate: self.gate.clone(),
            redactor: Arc::new(hide),
            pictures: Arc::new(NoPictures),
        }
    }

    pub(crate) fn session_in(&self, root: &str) -> Session {
        self.session_on(root, self.ports())
    }

    /// A session whose model is this one.
    pub(crate) fn session_with(&self, model: Arc<dyn Model>) -> Session {
        self.session_on("/nonexistent/w", Ports { model, ..self.ports() })
    }

    /// A session on these ports.
    pub(crate) fn session_of(&self, ports: Ports) -> Session {
        self.session_on("/nonexistent/w", ports)
    }

    fn session_on(&self, root: &str, ports: Ports) -> Session {
        let setup =
            SessionSetup { session_id: session_id(), workspace_id: workspace_id(), roots: vec![root.into()] };
        Session::spawn(setup, ports, self.stop.clone(), &self.tracker).unwrap()
    }

    pub(crate) fn session(&self) -> Session {
        self.session_in("/nonexistent/w")
    }

    /// The model's next answer asks for these tools.
    pub(crate) fn model_calls(&self, calls: &[(&str, Value)]) {
        self.model.expect(Reply::Answer(ask_for(calls)));
    }

    /// Runs one task until it is over or paused.
    pub(crate) async fn run(&self, prompt: &str) -> Session {
        self.run_with(prompt, TaskOptions::default()).await
    }

    pub(crate) async fn run_with(&self, prompt: &str, options: TaskOptions) -> Session {
        let session = self.session();
        session.start_task(new_task(prompt, options)).await.unwrap();
        Self::rest(&session).await;
        session
    }

    /// Takes up what was found and runs it until it is over or paused.
    pub(crate) async fn resume(&self, cause: ResumeCause) -> Session {
        let session = self.session();
        session.resume(cause).await.unwrap();
        Self::rest(&session).await;
        session
    }

    /// Waits until the session's task is over or paused.
    pub(crate) async fn rest(session: &Session) {
        use lanyard_protocol::session::SessionState;
        let at_rest = |status: &Status| status.task.is_none() || status.state == SessionState::SessionPaused;
        session.watch().wait_for(at_rest).await.unwrap();
    }

    /// Waits until something is so, giving way to the other tasks.
    pub(crate) async fn until(mut so: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if so() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it never came to that");
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        names(&self.journal.bodies())
    }

    pub(crate) fn deltas(&self) -> Vec<SessionEvent> {
        self.deltas.0.lock().unwrap().clone()
    }

    /// Stops the host in order.
    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

pub(crate) fn names(bodies: &[EventBody]) -> Vec<&'static str> {
    bodies.iter().map(EventBody::name).collect()
}

pub(crate) fn owner() -> Principal {
    principal("owner", true, &[Scope::Operate])
}

pub(crate) fn remote(scopes: &[Scope]) -> Principal {
    principal("phone", false, scopes)
}

pub(crate) fn new_task(prompt: &str, options: TaskOptions) -> NewTask {
    NewTask {
        task_id: None,
        prompt: prompt.into(),
        options,
        initiator: owner(),
        model: None,
        attachments: Vec::new(),
    }
}

pub(crate) fn task_id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}
