//! Who may answer a question.

use lanyard_protocol::{
    id::PrincipalId,
    policy::{Approver, Remember},
    principal::{Principal, Scope},
};
use thiserror::Error;

/// Everything the rules that ask demand of whoever answers, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    local: bool,
    not_initiator: bool,
    initiator: PrincipalId,
}

/// Why somebody may not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotEntitled {
    #[error("whoever answers is no longer known to this host")]
    Gone,
    #[error("answering needs the `approve` right")]
    Scope,
    #[error("whoever started the task may not answer this question")]
    Initiator,
    #[error("this question is answered at the machine itself")]
    Local,
    #[error("\"always\" needs the `admin` right")]
    Admin,
}

impl Entitlement {
    /// The demands of several rules, all of which count.
    pub fn new(approvers: impl IntoIterator<Item = Approver>, initiator: PrincipalId) -> Self {
        let none = Self { local: false, not_initiator: false, initiator };
        approvers.into_iter().fold(none, |all, approver| match approver {
            Approver::Any => all,
            Approver::Local => Self { local: true, ..all },
            Approver::NotInitiator => Self { not_initiator: true, ..all },
        })
    }

    /// The one demand a record can name; the stricter where there are two. Both are checked when the answer is used.
    pub fn as_wire(&self) -> Approver {
        match (self.not_initiator, self.local) {
            (true, _) => Approver::NotInitiator,
            (false, true) => Approver::Local,
            (false, false) => Approver::Any,
        }
    }

    /// Who started the task.
    pub fn initiator(&self) -> &PrincipalId {
        &self.initiator
    }

    /// Whether whoever answers may, as they stand at this moment; `None` for one that is unknown or was revoked.
    ///
    /// # Errors
    /// As [`Entitlement::check`], or [`NotEntitled::Gone`].
    pub fn check_standing(&self, who: Option<Principal>) -> Result<Principal, NotEntitled> {
        let who = who.ok_or(NotEntitled::Gone)?;
        self.check(&who).map(|()| who)
    }

    /// Whether `who` may answer.
    ///
    /// # Errors
    /// [`NotEntitled`] names the first demand not met.
    pub fn check(&self, who: &Principal) -> Result<(), NotEntitled> {
        if !who.holds(Scope::Approve) {
            return Err(NotEntitled::Scope);
        }
        if self.not_initiator && who.id == self.initiator {
            return Err(NotEntitled::Initiator);
        }
        if self.local && !who.local { Err(NotEntitled::Local) } else { Ok(()) }
    }

    /// Whether `who` may answer and have the answer remembered for so long.
    ///
    /// # Errors
    /// As [`Entitlement::check`]; "always" needs `admin` besides.
    pub fn check_remembering(&self, who: &Principal, remember: Remember) -> Result<(), NotEntitled> {
        self.check(who)?;
        if remember == Remember::Always && !who.holds(Scope::Admin) {
            Err(NotEntitled::Admin)
        } else {
            Ok(())
        }
    }
}
