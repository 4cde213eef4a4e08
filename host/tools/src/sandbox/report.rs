//! What is enforced, and what the machine lacks.

use lanyard_protocol::policy::SandboxLevel;

/// A mechanism this machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Gap {
    /// No Landlock: files are open to children.
    #[error("files are not confined: the kernel has no Landlock (Linux 5.13 with landlock in `lsm=`)")]
    Files,
    /// Landlock before ABI 3.
    #[error("files outside the allowed paths can be truncated: Landlock before Linux 6.2")]
    Truncate,
    /// Landlock before ABI 6.
    #[error("children can signal other processes of the user: Landlock before Linux 6.12")]
    Signals,
    /// No seccomp filter.
    #[error(
        "sockets and system calls are not confined: the kernel or this processor has no usable seccomp filter"
    )]
    SystemCalls,
    /// Children that leave their process group are not found again.
    #[error("children that detach themselves outlive their call: not built for this system")]
    ProcessTree,
    /// Nothing is built for this operating system.
    #[error("no sandbox is built for this operating system yet")]
    Platform,
}

/// What is really enforced on children of this host: for health, approvals and audit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxReport {
    /// The summary policy decides by.
    pub level: SandboxLevel,
    /// Why it is not `Full`, in the order of weight. Empty exactly when it is.
    pub missing: Vec<Gap>,
    /// Which mechanisms act, for people: "Landlock ABI 7, seccomp, …".
    pub mechanisms: String,
}

impl SandboxReport {
    /// Whether children are kept from the local socket, the state directory and every other path socket, so that an
    /// approval is a boundary against them. Signals alone do not approve anything: a child that can end the host ends
    /// its own task with it.
    #[must_use]
    pub fn keeps_approvals(&self) -> bool {
        self.missing.iter().all(|gap| matches!(gap, Gap::Signals))
    }

    pub(super) fn new(missing: Vec<Gap>, mechanisms: String) -> Self {
        let level = if missing.is_empty() {
            SandboxLevel::Full
        } else if missing.contains(&Gap::Files) || missing.contains(&Gap::Platform) {
            // With the owner's files open nothing else that is enforced protects an approval.
            SandboxLevel::None
        } else {
            SandboxLevel::Partial
        };
        Self { level, missing, mechanisms }
    }
}
