//! The pages, one module each.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod enrolment;
pub(crate) mod hosts;
pub(crate) mod jobs;
pub(crate) mod overview;
pub(crate) mod pairings;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod telemetry;
