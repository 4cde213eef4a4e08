//! Who may answer a question.

use lanyard_protocol::{
    approval::ApprovalRequest,
    id::PrincipalId,
    policy::{Approver, Remember},
    principal::{CENTRE_PEOPLE, Principal, Scope},
};
use thiserror::Error;

/// Everything the rules that ask demand of whoever answers, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    centre: bool,
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
    #[error("this question is answered in the console of the central services, by somebody signed in there")]
    Centre,
    #[error("\"always\" needs the `admin` right")]
    Admin,
}

impl Entitlement {
    /// The demands of several rules, all of which count.
    pub fn new(approvers: impl IntoIterator<Item = Approver>, initiator: PrincipalId) -> Self {
        let none = Self { centre: false, local: false, not_initiator: false, initiator };
        approvers.into_iter().fold(none, |all, approver| match approver {
            Approver::Any => all,
            Approver::Local => Self { local: true, ..all },
            Approver::NotInitiator => Self { not_initiator: true, ..all },
        })
    }

    /// What a record says of it: the demands of the rules it names, and that the central services' own question about a tool
    /// of theirs is answered there.
    pub(crate) fn of(request: &ApprovalRequest) -> Self {
        let theirs = request.is_answered_at_the_centre();
        Self::new([request.approver], request.initiator.clone()).at_the_centre(theirs)
    }

    /// The same, and of people of the centre only.
    #[must_use]
    pub fn at_the_centre(self, only: bool) -> Self {
        Self { centre: only, ..self }
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
        if self.centre && !who.id.as_str().starts_with(CENTRE_PEOPLE) {
            return Err(NotEntitled::Centre);
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
