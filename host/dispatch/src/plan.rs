//! What a call would do, whoever does it.

use lanyard_policy::demand::PlannedCall;
use lanyard_ports::journal::Replay;
use lanyard_ports::remote::RemoteTool;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, RiskLevel};
use lanyard_tools::{Plan, PreImage, Prepared};

/// A plan, of the host's own tools or of one elsewhere; see [`Plan`] for what the parts are.
pub(crate) struct Planned {
    pub(crate) call: PlannedCall,
    pub(crate) summary: String,
    pub(crate) risk: RiskLevel,
    pub(crate) detail: ApprovalDetail,
    pub(crate) lane: Lane,
    pub(crate) replay: Replay,
    pub(crate) baselines: Vec<PreImage>,
    pub(crate) work: Work,
}

/// What is left to do once it may.
pub(crate) enum Work {
    /// By the host's own tools.
    Here(Prepared),
    /// By a tool elsewhere, of this definition and no other.
    Elsewhere(RemoteTool),
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Self {
            call: plan.call,
            summary: plan.summary,
            risk: plan.risk,
            detail: plan.detail,
            lane: plan.lane,
            replay: plan.replay,
            baselines: plan.baselines,
            work: Work::Here(plan.prepared),
        }
    }
}
