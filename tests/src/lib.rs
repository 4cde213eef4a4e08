//! What the scenarios share: real hosts in temporary directories, a scripted gateway, and plain connections.

pub mod browser;
pub mod central;
pub mod device;
pub mod executable;
pub mod gateway;
pub mod host;
#[cfg(target_os = "linux")]
pub mod lan;
pub mod long;
pub mod look;
pub mod machine;
pub mod newcomer;
pub mod port;
pub mod stage;
