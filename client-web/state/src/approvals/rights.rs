//! Who may answer, and for how long an answer may be remembered. The host checks both again; here they decide what is
//! offered, so that nobody taps what will be refused.

use lanyard_protocol::approval::ApprovalRequest;
use lanyard_protocol::policy::{Approver, Remember};
use lanyard_protocol::principal::{Principal, Scope};

/// Why somebody may not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotYours {
    /// The right is missing.
    Scope,
    /// Only people of the central services may, signed in there.
    Centre,
    /// They started the task, and the rule wants another pair of eyes.
    Initiator,
    /// Only somebody at the machine may.
    Local,
}

impl NotYours {
    /// In words: what it means, and the way out.
    pub fn words(self) -> &'static str {
        match self {
            Self::Scope => {
                "This device may look, not answer. Somebody with the right to approve can, or can give this device \
                 that right."
            }
            Self::Centre => {
                "This is answered in the console of the central services, by somebody signed in there. From here the \
                 task can only be cancelled."
            }
            Self::Initiator => "You started this task, and the rule wants somebody else to answer.",
            Self::Local => "This is answered at the machine itself: on its own screen or in its terminal.",
        }
    }
}

/// Whether `me` may answer.
///
/// # Errors
/// The first demand not met, as the host checks them.
pub fn may_answer(request: &ApprovalRequest, me: &Principal) -> Result<(), NotYours> {
    if !me.holds(Scope::Approve) {
        return Err(NotYours::Scope);
    }
    if request.is_answered_at_the_centre() {
        return Err(NotYours::Centre);
    }
    match request.approver {
        Approver::NotInitiator if me.id == request.initiator => Err(NotYours::Initiator),
        Approver::Local if !me.local => Err(NotYours::Local),
        Approver::Any | Approver::NotInitiator | Approver::Local => Ok(()),
    }
}

/// How long an answer could be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// How long.
    pub remember: Remember,
    /// Why it cannot be chosen here.
    pub refused: Option<&'static str>,
}

/// What can be chosen beyond "this once", shortest first; empty when policy wants to be asked each time. What only the
/// right of the person is missing for is there, refused, so that they know whom to ask.
pub fn remember_choices(request: &ApprovalRequest, me: &Principal) -> Vec<Choice> {
    [Remember::Task, Remember::Session, Remember::Always]
        .into_iter()
        .filter(|remember| *remember <= request.max_remember)
        .map(|remember| {
            let lacks_admin = remember == Remember::Always && !me.holds(Scope::Admin);
            let refused =
                lacks_admin.then_some("Needs the admin right, which this device does not have on this host.");
            Choice { remember, refused }
        })
        .collect()
}
