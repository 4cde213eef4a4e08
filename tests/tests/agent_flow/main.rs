//! The agent loop as clients and the gateway see it: a scripted model in front of a real host.

mod approvals;
mod calls;
mod limits;
mod model;
mod outbound;
mod streams;
