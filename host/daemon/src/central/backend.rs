//! The tools behind the centre, as one session uses them.
//!
//! A session looks at what is offered when it is opened, when a task starts, and when something turns out to be otherwise;
//! in between it keeps to what it saw. A call goes out under its own id and the definition that was agreed to. The centre
//! runs each id once, so a request that broke may be repeated while the call is under way; after that, and after a restart,
//! the host only asks what became of it, which also closes a call that never began.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lanyard_dispatch::{Screened, SessionPolicy, screened};
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::tool::{InvokeRequest, SettleRequest, ToolList};
use lanyard_policy::decide::has_tools_elsewhere;
use lanyard_policy::visible;
use lanyard_ports::journal::Journal;
use lanyard_ports::remote::{RemoteCall, RemoteEnd, RemoteOutcome, RemoteTool, RemoteTools};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{ApprovalId, ArtifactId, SessionId};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Centre;
use super::link::Link;
use super::toolwire::{ToolFault, ToolWire};
use super::wire::Wire;

/// How long a look at what is offered may take: somebody waits for the task to start.
const LOOK: Duration = Duration::from_secs(5);

/// How old a look may be for a task that starts now: its session may have been opened for it.
const FRESH: Duration = Duration::from_secs(1);

/// Least time between looks for a name that nobody has: models invent them.
const AGAIN: Duration = Duration::from_secs(2);

/// How long a centre that is not reached is tried before the call is given up: while it certainly has not arrived, and
/// when it may have.
const UNSENT: Duration = Duration::from_secs(15);
const SENT: Duration = Duration::from_secs(60);

/// How long an answer that was given at the centre may take until the centre itself knows that this host took it.
const RECORD: Duration = Duration::from_secs(20);

/// The longest a tool runs by the contract of the centre (300 s), with what it has to store its result, and some more.
const RUNS: Duration = Duration::from_secs(400);

/// How long the centre is asked after a call that was cancelled here.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// Pause before a centre that is not reached is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest message of the centre's that is passed on, in characters.
const MAX_MESSAGE: usize = 1_000;

/// How the Backend Tool Service is reached now.
pub(super) type Way = dyn Fn() -> Result<Arc<dyn ToolWire>, WireError> + Send + Sync;

/// How the record of an approval is told before the call that it permits.
pub(super) type Tell = dyn Fn() -> Result<Arc<dyn Wire>, WireError> + Send + Sync;

/// Whether policy grants any.
pub(super) type Granted = dyn Fn() -> bool + Send + Sync;

/// See the module.
pub(crate) struct BackendTools {
    way: Box<Way>,
    tell: Box<Tell>,
    granted: Box<Granted>,
    journal: Arc<dyn Journal>,
    session: SessionId,
    known: RwLock<Arc<[RemoteTool]>>,
    /// When was looked, and what was left out then. Held while somebody looks: others use what they find.
    looked: Mutex<Option<Look>>,
}

struct Look {
    at: Instant,
    left_out: Vec<(String, String)>,
}

impl Centre {
    /// The tools behind the centre for a session.
    pub(crate) fn tools(
        self: &Arc<Self>,
        policy: Arc<SessionPolicy>,
        session: SessionId,
    ) -> Arc<BackendTools> {
        let (one, other) = (self.clone(), self.clone());
        let way = move || {
            let tie = one.tie.borrow().clone();
            let enrolled = tie.enrolled().ok_or_else(not_enrolled)?;
            Ok(Arc::new(Link(enrolled.way.central()?)) as Arc<dyn ToolWire>)
        };
        let tell = move || {
            let tie = other.tie.borrow().clone();
            tie.enrolled().ok_or_else(not_enrolled)?.way.wire(&other.redaction)
        };
        let granted = Box::new(move || has_tools_elsewhere(&policy.held()));
        let journal = self.journal.clone();
        Arc::new(BackendTools::new(Box::new(way), Box::new(tell), granted, journal, session))
    }
}

fn not_enrolled() -> WireError {
    WireError::new(ErrorCode::CentralUnavailable, "this host is enrolled at no central services")
}

impl BackendTools {
    pub(super) fn new(
        way: Box<Way>,
        tell: Box<Tell>,
        granted: Box<Granted>,
        journal: Arc<dyn Journal>,
        session: SessionId,
    ) -> Self {
        let known = RwLock::new(Arc::from([]));
        Self { way, tell, granted, journal, session, known, looked: Mutex::new(None) }
    }

    /// Looks at what is offered, unless somebody did just now. What cannot be learned leaves what was known.
    pub(crate) async fn look(&self) {
        self.look_unless(FRESH).await;
    }

    async fn look_unless(&self, younger: Duration) {
        let mut looked = self.looked.lock().await;
        if looked.as_ref().is_some_and(|look| look.at.elapsed() < younger) {
            return;
        }
        let before = looked.take().map(|look| look.left_out).unwrap_or_default();
        let left_out = match self.list().await {
            Ok(None) => {
                self.hold(Vec::new());
                Vec::new()
            }
            Ok(Some(list)) => {
                let Screened { tools, left_out } = screened(named(list));
                self.hold(tools);
                left_out
            }
            Err(error) => {
                tracing::warn!(%error, session = %self.session, "the tools behind the centre cannot be learned now");
                before.clone()
            }
        };
        for (name, why) in left_out.iter().filter(|one| !before.contains(one)) {
            tracing::warn!(tool = name, why, "a tool behind the centre is not offered");
        }
        *looked = Some(Look { at: Instant::now(), left_out });
    }

    /// `None`: no policy grants any, so nobody is asked.
    async fn list(&self) -> Result<Option<ToolList>, WireError> {
        if !(self.granted)() {
            return Ok(None);
        }
        let late = |_| WireError::new(ErrorCode::CentralUnavailable, "no answer within five seconds");
        timeout(LOOK, (self.way)()?.list()).await.map_err(late)?.map(Some)
    }

    fn hold(&self, tools: Vec<RemoteTool>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for tool in &tools {
            if known.iter().any(|old| old.spec.name == tool.spec.name && old != tool) {
                tracing::info!(tool = tool.spec.name, session = %self.session, "a tool behind the centre was changed");
            }
        }
        *known = tools.into();
    }

    /// Tells the centre what was answered, so that it knows when the call arrives. What is not taken the centre's own
    /// check will name.
    async fn tell(&self, approval: &ApprovalId) {
        let told = async {
            let record = self.journal.approval(&self.session, approval)?;
            let Some(record) = record else { return Ok(()) };
            let job = self.journal.central_session(&self.session)?.and_then(|session| session.job_id);
            let job_id = job.and_then(|job| JobId::new(job).ok());
            let report =
                ApprovalReport { record, job_id, client_timestamp: lanyard_protocol::Timestamp::now() };
            (self.tell)()?.report_approval(&report).await.map_err(Failed::Central)
        };
        match told.await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, %approval, "an answer is not yet known at the centre"),
        }
    }

    /// Goes on until the call has ended, is refused, or the time is over.
    async fn insist(&self, wire: &dyn ToolWire, call: RemoteCall, attempt: &mut Attempt) -> RemoteOutcome {
        let RemoteCall { request, definition, approval } = call;
        let asked = InvokeRequest { request: as_sent(&request), definition: Some(definition) };
        let begun = Instant::now();
        // Since when nobody is reached, and since when the centre does not know of the answer.
        let (mut away, mut unknown_answer) = (None::<Instant>, None::<Instant>);
        loop {
            // Dropped from here on, it may have arrived.
            let certain = std::mem::replace(&mut attempt.sent, true);
            let fault = match wire.invoke(&asked).await {
                Ok(result) => return self.ended(wire, &request, result).await,
                Err(fault) => fault,
            };
            let waited = begun.elapsed();
            match fault {
                ToolFault::Later(pause) if waited < RUNS => {
                    away = None;
                    sleep(pause).await;
                }
                ToolFault::Later(_) => return unknown("the tool did not end in the time that tools have"),
                ToolFault::Away { sent, why } => {
                    attempt.sent = certain || sent;
                    let patience = if attempt.sent { SENT } else { UNSENT };
                    if away.get_or_insert_with(Instant::now).elapsed() >= patience || waited >= RUNS {
                        return given_up(attempt.sent, &why);
                    }
                    sleep(PAUSE).await;
                }
                // The answer and the word that it counts come on two ways.
                ToolFault::Refused(error)
                    if error.code == ErrorCode::ApprovalRequired
                        && approval.is_some()
                        && unknown_answer.get_or_insert_with(Instant::now).elapsed() < RECORD =>
                {
                    attempt.sent = certain;
                    away = None;
                    sleep(PAUSE).await;
                }
                ToolFault::Refused(error) if certain => {
                    return self.refused_late(wire, &request, error).await;
                }
                ToolFault::Refused(error) => return self.refused(&request, error).await,
            }
        }
    }

    /// Refused, after a request before it may have been taken.
    async fn refused_late(
        &self,
        wire: &dyn ToolWire,
        request: &ToolRequest,
        error: WireError,
    ) -> RemoteOutcome {
        let settled = match wire.settle(&SettleRequest { request: as_sent(request) }).await {
            Ok(result) => self.settled(wire, request, result).await,
            // Busy, or away again: asked on, for as long as after a crash.
            Err(_) => self.outcome(request).await,
        };
        match settled {
            RemoteOutcome::Cancelled => self.refused(request, error).await,
            ran => ran,
        }
    }

    async fn refused(&self, request: &ToolRequest, error: WireError) -> RemoteOutcome {
        let mut error = passed_on(error);
        if matches!(error.code, ErrorCode::ToolNotFound | ErrorCode::Conflict) {
            self.look_unless(Duration::ZERO).await;
            let offered = self.known().iter().any(|tool| tool.spec.name == request.tool_name);
            error.message.push_str(if offered {
                "; from the next step on it is offered as it is now"
            } else {
                "; it is not offered any more"
            });
        }
        RemoteOutcome::NeverRan(error)
    }

    /// What the centre says of a call, if it is about this one.
    async fn ended(&self, wire: &dyn ToolWire, request: &ToolRequest, result: ToolResult) -> RemoteOutcome {
        if !is_of(&result, request) {
            return unknown("the centre answered with the result of another call");
        }
        let error = result.error.map(passed_on);
        if result.status == ToolStatus::Indeterminate {
            let why =
                error.map_or_else(|| "the centre does not know it either".to_owned(), |error| error.message);
            return RemoteOutcome::Unknown(why);
        }
        let mut output = result.output_text.unwrap_or_default();
        // Cut at the centre; the whole of it is kept here like that of any other tool.
        if let Some(id) = result.artifact_uris.iter().find_map(|uri| artifact(uri)) {
            match wire.output(&request.workspace_id, &id).await {
                Ok(whole) => output = String::from_utf8_lossy(&whole).into_owned(),
                Err(error) => tracing::warn!(%error, "the whole of an output stays at the centre"),
            }
        }
        RemoteOutcome::Ended(RemoteEnd { status: result.status, output, error })
    }

    /// A call that is known to be over, or closed by having been asked after.
    async fn settled(&self, wire: &dyn ToolWire, request: &ToolRequest, result: ToolResult) -> RemoteOutcome {
        // Runs end in every way but this one.
        if is_of(&result, request) && result.status == ToolStatus::Cancelled {
            return RemoteOutcome::Cancelled;
        }
        self.ended(wire, request, result).await
    }

    /// The call was cancelled here: what is known of it by now, or else within moments.
    async fn abandoned(&self, wire: &dyn ToolWire, request: &ToolRequest, sent: bool) -> RemoteOutcome {
        if !sent {
            return RemoteOutcome::Cancelled;
        }
        let asked = SettleRequest { request: as_sent(request) };
        match timeout(LAST_LOOK, wire.settle(&asked)).await {
            Ok(Ok(result)) => self.settled(wire, request, result).await,
            Ok(Err(_)) | Err(_) => unknown("the tool had been called, and may go on behind the centre"),
        }
    }
}

#[async_trait::async_trait]
impl RemoteTools for BackendTools {
    fn known(&self) -> Arc<[RemoteTool]> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn find(&self, name: &str) -> Option<RemoteTool> {
        let find = || self.known().iter().find(|tool| tool.spec.name == name).cloned();
        if let Some(found) = find() {
            return Some(found);
        }
        self.look_unless(AGAIN).await;
        find()
    }

    async fn invoke(&self, call: RemoteCall, cancel: &CancellationToken) -> RemoteOutcome {
        let wire = match (self.way)() {
            Ok(wire) => wire,
            Err(error) => return RemoteOutcome::NeverRan(error),
        };
        let (request, approval) = (call.request.clone(), call.approval.clone());
        let mut attempt = Attempt { sent: false };
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            ended = async {
                if let Some(approval) = &approval {
                    self.tell(approval).await;
                }
                self.insist(&*wire, call, &mut attempt).await
            } => Some(ended),
        };
        match ended {
            Some(ended) => ended,
            None => self.abandoned(&*wire, &request, attempt.sent).await,
        }
    }

    async fn outcome(&self, request: &ToolRequest) -> RemoteOutcome {
        let wire = match (self.way)() {
            Ok(wire) => wire,
            Err(error) => return RemoteOutcome::Unknown(error.message),
        };
        let asked = SettleRequest { request: as_sent(request) };
        let begun = Instant::now();
        let mut away = None::<Instant>;
        loop {
            let pause = match wire.settle(&asked).await {
                Ok(result) => return self.settled(&*wire, request, result).await,
                Err(ToolFault::Later(pause)) if begun.elapsed() < RUNS => {
                    away = None;
                    pause
                }
                Err(ToolFault::Away { .. })
                    if begun.elapsed() < RUNS && away.get_or_insert_with(Instant::now).elapsed() < SENT =>
                {
                    PAUSE
                }
                Err(ToolFault::Later(_)) => return unknown("it did not end in the time that tools have"),
                Err(ToolFault::Away { why, .. }) => return given_up(true, &why),
                Err(ToolFault::Refused(error)) => {
                    let why = format!("the centre does not tell ({})", passed_on(error).message);
                    return RemoteOutcome::Unknown(why);
                }
            };
            sleep(pause).await;
        }
    }
}

/// How far a call has come.
struct Attempt {
    /// It may have arrived.
    sent: bool,
}

/// Why the centre was not told of an answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Journal(#[from] lanyard_ports::journal::JournalError),
    #[error(transparent)]
    Central(#[from] WireError),
}

fn unknown(why: &str) -> RemoteOutcome {
    RemoteOutcome::Unknown(why.to_owned())
}

fn given_up(sent: bool, why: &str) -> RemoteOutcome {
    let why = visible::clipped_line(why, MAX_MESSAGE);
    if sent {
        return RemoteOutcome::Unknown(format!("the central services are not reached ({why})"));
    }
    let text = format!("the central services are not reached ({why}); the tool was not called");
    RemoteOutcome::NeverRan(WireError::new(ErrorCode::CentralUnavailable, text))
}

/// The call as every request about it carries it: the same id with anything else is another call to the centre.
fn as_sent(request: &ToolRequest) -> ToolRequest {
    ToolRequest { capability: Some(Capability::BackendToolInvoke), ..request.clone() }
}

fn is_of(result: &ToolResult, request: &ToolRequest) -> bool {
    result.tool_call_id == request.tool_call_id
        && result.tool_name == request.tool_name
        && result.session_id == request.session_id
        && result.task_id == request.task_id
        && result.step_id == request.step_id
}

/// An error of the centre's, bounded and fit to be shown.
fn passed_on(error: WireError) -> WireError {
    WireError::new(error.code, visible::clipped_line(&error.message, MAX_MESSAGE))
}

fn artifact(uri: &str) -> Option<ArtifactId> {
    ArtifactId::new(uri.strip_prefix("artifact:")?).ok()
}

/// Tools with what names their definitions; one without cannot be held to anything.
fn named(list: ToolList) -> Vec<RemoteTool> {
    let definitions: BTreeMap<String, String> = list.definitions;
    let with = |spec: lanyard_protocol::tool::ToolSpec| {
        let definition = definitions.get(&spec.name)?.clone();
        Some(RemoteTool { spec, definition })
    };
    list.tools.into_iter().filter_map(with).collect()
}
