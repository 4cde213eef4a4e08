//! One file, or folder, a page.

pub(crate) mod approvals;
pub(crate) mod files;
pub(crate) mod host;
pub(crate) mod hosts;
pub(crate) mod join;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod settings;
