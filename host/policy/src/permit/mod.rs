//! Proofs: a call that may run, and a call that may run once a person has said yes.
//!
//! Neither can be built outside this crate. A [`Permitted`] owns its call, so what runs is what was judged; an
//! [`Ask`] becomes one only by an [`ApprovalGrant`](crate::approval::ApprovalGrant) bound to the same content, or by
//! a remembered rule that covers exactly it.

mod ask;
mod title;

use lanyard_protocol::{
    id::{ApprovalId, PrincipalId, RuleId},
    policy::Remember,
    principal::Principal,
};

pub use ask::{Ask, GrantMismatch};

use crate::{
    approval::Binding,
    decide::{Denial, DenialReason, HOST_LAYER, Limits, Terms, Verdict, decide},
    demand::{ContentHash, PlannedCall},
    layer::Layers,
};

/// Something that may be carried out, with what permits it. The only way to obtain one is a verdict of this crate.
#[derive(Debug)]
#[must_use = "a permitted call that is dropped never runs"]
pub struct Permitted<T> {
    value: T,
    basis: Basis,
    limits: Limits,
}

/// What permits a call; recorded in its audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Policy allows it without asking.
    Policy,
    /// Policy would have asked; whoever started the task had switched questions off (`approvalMode: never`).
    Waived {
        /// Who started the task.
        by: PrincipalId,
    },
    /// A person approved this very call.
    Approved {
        /// The approval.
        approval: ApprovalId,
        /// Who approved.
        by: PrincipalId,
        /// What the answer is bound to.
        binding: Binding,
    },
    /// A remembered answer covers exactly this call.
    Remembered {
        /// The rule.
        rule: RuleId,
        /// Who gave the answer.
        by: PrincipalId,
        /// How long it was to hold.
        remember: Remember,
        /// What was matched.
        binding: Binding,
    },
}

impl<T> Permitted<T> {
    pub(crate) fn new(value: T, basis: Basis, limits: Limits) -> Self {
        Self { value, basis, limits }
    }

    /// What may be carried out.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// What permits it.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Numbers the tool has to keep to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes the permit apart for carrying out; it cannot be put together again.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Permitted<PlannedCall> {
    /// The last check before the call starts: policy is asked again with the contents as they are now, an approval
    /// must be bound to exactly that, and whoever gave it must still have the right to.
    ///
    /// `standing` looks a principal up as it is now; `None` for one that no longer exists.
    ///
    /// # Errors
    /// The [`Denial`] that now applies.
    pub fn confirm(
        self,
        contents: Vec<ContentHash>,
        layers: &Layers,
        terms: &Terms<'_>,
        standing: impl Fn(&PrincipalId) -> Option<Principal>,
    ) -> Result<Self, Denial> {
        let Self { value, basis, .. } = self;
        let deny = |reason| Denial { layer: HOST_LAYER, capability: None, reason };
        match (decide(layers, value.with_contents(contents), terms), basis) {
            (Verdict::Denied(denial), _) => Err(denial),
            (Verdict::Allowed(permitted), _) => Ok(permitted),
            (Verdict::Ask(ask), Basis::Approved { approval, by, binding }) => {
                if ask.binding() != binding {
                    return Err(deny(DenialReason::Changed("a file, the command's program, or the policy")));
                }
                let principal = standing(&by).ok_or_else(|| deny(DenialReason::RightLost))?;
                ask.entitlement().check(&principal).map_err(|_| deny(DenialReason::RightLost))?;
                Ok(ask.permit(Basis::Approved { approval, by, binding }))
            }
            (Verdict::Ask(ask), Basis::Remembered { rule, by, remember, binding }) => {
                if ask.binding() != binding || ask.must_ask() {
                    return Err(deny(DenialReason::Changed("a file, the command's program, or the policy")));
                }
                let principal = standing(&by).ok_or_else(|| deny(DenialReason::RightLost))?;
                ask.entitlement()
                    .check_remembering(&principal, remember)
                    .map_err(|_| deny(DenialReason::RightLost))?;
                Ok(ask.permit(Basis::Remembered { rule, by, remember, binding }))
            }
            (Verdict::Ask(_), Basis::Policy | Basis::Waived { .. }) => {
                Err(deny(DenialReason::Changed("policy now asks a person about it")))
            }
        }
    }
}
