//! What a call would do, worked out before anything is decided or done.
//!
//! A plan names everything the call demands, shows the exact change to a person, and carries what is needed to carry
//! it out. Planning reads files and may run `git` to look at a repository; it changes nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lanyard_policy::demand::{ContentHash, Demand, PlannedCall};
use lanyard_policy::path::HostPath;
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, ChangeKind, OtherDetail, RiskLevel};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::tool::ToolRequest;

use crate::catalog;
use crate::execute::Operation;
use crate::ground::PathError;
use crate::workspace::Workspace;

/// What the task and its policy mean for planning.
#[derive(Debug, Clone)]
pub struct PlanTerms {
    /// Whether the task may use the network at all.
    pub allow_network: bool,
    /// Whether programs get the network: [`lanyard_policy::decide::commands_may_use_network`].
    pub command_network: bool,
    /// Whether policy lets programs run at the sandbox level this machine has. Planning a commit or a push starts git,
    /// before policy has judged the call itself: without this it is refused.
    pub programs_allowed: bool,
    /// What searches may look into.
    pub searchable: Searchable,
}

/// Answers, for each file met by a search, whether policy lets it be read without asking; build it from
/// [`lanyard_policy::filter::ReadFilter`]. Reading a file by name is policy's own decision and does not pass here.
#[derive(Clone)]
pub struct Searchable(Arc<dyn Fn(&HostPath) -> bool + Send + Sync>);

impl Searchable {
    /// Asks `admits` about each file; it is called on threads that may block, often.
    pub fn new(admits: impl Fn(&HostPath) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    pub(crate) fn admits(&self, path: &HostPath) -> bool {
        (self.0)(path)
    }
}

impl fmt::Debug for Searchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Searchable")
    }
}

/// A file as it is before a call changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreImage {
    /// Absolute path.
    pub path: PathBuf,
    /// The content; `None` when there is no such file.
    pub content: Option<Vec<u8>>,
    /// What the call does to it.
    pub change: ChangeKind,
}

/// Everything dispatch needs to judge, show, record and carry out a call.
#[derive(Debug)]
pub struct Plan {
    /// What policy judges.
    pub call: PlannedCall,
    /// One line: "Write src/a.rs (+3 −1)". Safe to show.
    pub summary: String,
    /// How much harm it could do, as far as the tool can tell; policy may say more.
    pub risk: RiskLevel,
    /// The exact thing, as it is: [`lanyard_policy::permit::Ask::request`] and [`lanyard_policy::approval::visible_detail`]
    /// make it safe to show. It is not made so here, because what is made visible twice is hard to read.
    pub detail: ApprovalDetail,
    /// How it may run beside other calls.
    pub lane: Lane,
    /// What a restart may do with it.
    pub replay: Replay,
    /// Files it will change, as they are now. Empty for programs: what they change is not known before.
    pub baselines: Vec<PreImage>,
    /// What [`crate::execute()`] needs beyond the permit.
    pub prepared: Prepared,
}

/// A call ready to be carried out. Bound to the call it was planned for: a permit for another one does not start it.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) call: PlannedCall,
    pub(crate) operation: Operation,
}

/// Why a call cannot even be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No such tool.
    #[error("there is no tool {name:?}: the tools are {known}")]
    UnknownTool {
        /// As asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// An argument that cannot be used.
    #[error("{tool}: argument `{argument}`: {reason}")]
    Argument {
        /// The tool.
        tool: &'static str,
        /// The argument.
        argument: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The call reaches for what no policy can give.
    #[error("{reason}")]
    Denied {
        /// What and why.
        reason: String,
    },
    /// The call makes no sense as things are: the file is missing, the text is not found.
    #[error("{reason}")]
    Impossible {
        /// What and what to do.
        reason: String,
    },
}

impl PlanError {
    pub(crate) fn argument(tool: &'static str, argument: &str, reason: impl Into<String>) -> Self {
        let clip = |text: &str| visible::clipped_line(text, 400);
        Self::Argument { tool, argument: clip(argument), reason: clip(&reason.into()) }
    }

    pub(crate) fn denied(reason: impl Into<String>) -> Self {
        Self::Denied { reason: reason.into() }
    }

    pub(crate) fn impossible(reason: impl Into<String>) -> Self {
        Self::Impossible { reason: reason.into() }
    }

    /// A path that cannot be used, given in `argument` of `tool`.
    pub(crate) fn path(tool: &'static str, argument: &'static str, error: &PathError) -> Self {
        if error.is_denial() {
            Self::denied(format!("{tool}: {error}"))
        } else if error.is_fault() {
            Self::argument(tool, argument, error.to_string())
        } else {
            Self::impossible(error.to_string())
        }
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTool { .. } => ErrorCode::ToolNotFound,
            Self::Argument { .. } => ErrorCode::InvalidRequest,
            Self::Denied { .. } => ErrorCode::CapabilityDenied,
            Self::Impossible { .. } => ErrorCode::ToolExecutionFailed,
        }
    }
}

impl From<PlanError> for WireError {
    fn from(error: PlanError) -> Self {
        let wire = WireError::new(error.code(), error.to_string());
        match error {
            PlanError::Argument { argument, .. } => wire.with("argument", argument),
            _ => wire,
        }
    }
}

/// What a tool's own planning yields; [`plan`] makes the rest of it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) first: Demand,
    pub(crate) more: Vec<Demand>,
    pub(crate) contents: Vec<ContentHash>,
    pub(crate) summary: String,
    pub(crate) risk: RiskLevel,
    pub(crate) detail: ApprovalDetail,
    pub(crate) lane: Lane,
    pub(crate) replay: Replay,
    pub(crate) baselines: Vec<PreImage>,
    pub(crate) operation: Operation,
}

impl Draft {
    /// A call that only reads.
    pub(crate) fn reading(first: Demand, more: Vec<Demand>, summary: String, operation: Operation) -> Self {
        Self {
            first,
            more,
            contents: Vec::new(),
            detail: ApprovalDetail::Other(OtherDetail { text: summary.clone() }),
            summary,
            risk: RiskLevel::Low,
            lane: Lane::Read,
            replay: Replay::PureRead,
            baselines: Vec::new(),
            operation,
        }
    }
}

/// Works out what `request` would do.
///
/// Blocks: it reads the files concerned (at most some tens of MiB) and, for the tools
/// [`plans_with_programs`](crate::plans_with_programs) names, runs `git`. Call it from a thread that may block, and
/// only for tools whose capabilities ([`demands_of`](crate::demands_of)) are granted.
///
/// # Errors
/// [`PlanError`]; nothing has happened then.
pub fn plan(workspace: &Workspace, request: &ToolRequest, terms: &PlanTerms) -> Result<Plan, PlanError> {
    let tool = catalog::find(&request.tool_name).ok_or_else(|| PlanError::UnknownTool {
        name: visible::clipped_line(&request.tool_name, 80),
        known: catalog::names(),
    })?;
    if catalog::plans_with_programs(tool.name) && !terms.programs_allowed {
        return Err(PlanError::denied(format!(
            "{} looks at the repository with git, and this machine does not confine programs strongly enough for \
             policy; the owner can accept that in the configuration (policy.accept_unconfined)",
            tool.name
        )));
    }
    let draft = (tool.plan)(&Planning { workspace, terms }, &request.arguments)?;
    let mut request = request.clone();
    request.capability = Some(draft.first.capability());
    let call = PlannedCall::new(request, draft.first, draft.more, draft.contents);
    Ok(Plan {
        prepared: Prepared { call: call.clone(), operation: draft.operation },
        call,
        summary: draft.summary,
        risk: draft.risk,
        detail: draft.detail,
        lane: draft.lane,
        replay: draft.replay,
        baselines: draft.baselines,
    })
}

/// What a tool plans with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planning<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) terms: &'a PlanTerms,
}
