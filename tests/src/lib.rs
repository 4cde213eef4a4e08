//! What the scenarios share: real hosts in temporary directories, a scripted gateway, and plain connections.

pub mod gateway;
pub mod host;
pub mod long;
pub mod look;
pub mod newcomer;
pub mod stage;
