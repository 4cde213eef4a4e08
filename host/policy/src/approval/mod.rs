//! Approvals: what they are bound to, who may answer, what becomes of them, and what is remembered.
//!
//! Pure transitions over the durable record of the protocol; storing, delivering and waiting are the caller's. The
//! record is the truth: a question asked again after a restart finds its answer by the content-bound id.

mod binding;
mod detail;
mod entitlement;
mod machine;
mod remember;

#[cfg(test)]
mod tests;

pub use binding::{Binding, fingerprint};
pub use detail::visible_detail;
pub use entitlement::{Entitlement, NotEntitled};
pub use machine::{
    Answer, AnswerFault, ApprovalGrant, Settlement, answer, cancel, expire, grant, pending, record_delivery,
};
pub use remember::{remembered_rule, rule_applies};
