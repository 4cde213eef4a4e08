//! The contract's terms in a person's words.

use lanyard_protocol::approval::RiskLevel;
use lanyard_protocol::device::KeyStorage;
use lanyard_protocol::health::HealthStatus;
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::{SessionState, TaskState};

/// What a right lets one do.
pub fn right(scope: Scope) -> &'static str {
    match scope {
        Scope::Observe => "see sessions and their logs",
        Scope::Operate => "start and cancel tasks, look into files",
        Scope::Approve => "approve what tasks ask for",
        Scope::Admin => "pair and remove devices, change rules and settings",
    }
}

/// What rights come to together; the consequence is said where there is one.
pub fn rights(scopes: &[Scope]) -> String {
    let each: Vec<&str> = scopes.iter().map(|scope| right(*scope)).collect();
    let all = super::sentence(&each.join(" · "));
    let runs = scopes.contains(&Scope::Operate) && scopes.contains(&Scope::Approve);
    match (runs, scopes.is_empty()) {
        (_, true) => "Nothing".to_owned(),
        (true, _) => format!("{all}. That is as much as running programs as the host's user."),
        (false, _) => format!("{all}."),
    }
}

/// The short form of a right, for lists of devices.
pub fn level(scope: Scope) -> &'static str {
    match scope {
        Scope::Observe => "see",
        Scope::Operate => "start tasks",
        Scope::Approve => "approve",
        Scope::Admin => "manage",
    }
}

/// How much harm something could do.
pub fn risk(risk: RiskLevel) -> &'static str {
    match risk {
        RiskLevel::Low => "low risk",
        RiskLevel::Medium => "medium risk",
        RiskLevel::High => "high risk",
        RiskLevel::Critical => "cannot be undone",
    }
}

/// Where a session stands.
pub fn session_state(state: SessionState) -> &'static str {
    match state {
        SessionState::SessionCreated => "new",
        SessionState::SessionRunning => "ready",
        SessionState::WaitingForLlm => "thinking",
        SessionState::WaitingForApproval => "asks",
        SessionState::WaitingForTool => "working",
        SessionState::SessionPaused => "paused",
        SessionState::SessionCompleted => "ended",
        SessionState::SessionFailed => "failed",
        SessionState::SessionCancelled => "cancelled",
    }
}

/// How a task ended, or that it has not.
pub fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Completed => "done",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    }
}

/// A capability as what the host does: "read files".
pub fn action(capability: Capability) -> &'static str {
    match capability {
        Capability::FileRead => "read files",
        Capability::FileWrite => "write files",
        Capability::FileDelete => "delete files",
        Capability::ShellExec => "run programs",
        Capability::NetworkHttp => "go online",
        Capability::GitStatus => "look at a repository's state",
        Capability::GitDiff => "look at a repository's changes",
        Capability::GitCommit => "commit",
        Capability::GitPush => "push commits",
        Capability::WorkspaceUpload => "upload files to the central backend",
        Capability::BackendToolInvoke => "use tools of other servers",
        Capability::LlmCall => "ask the model",
    }
}

/// A capability as a heading: "Read files".
pub fn capability(capability: Capability) -> String {
    super::sentence(action(capability))
}

/// How a capability stands.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Free => "without asking",
        Standing::Asks => "asks first",
        Standing::Never => "never",
    }
}

/// How programs are confined.
pub fn sandbox(level: SandboxLevel) -> &'static str {
    match level {
        SandboxLevel::Full => "in a sandbox",
        SandboxLevel::Partial => "in a partial sandbox",
        SandboxLevel::None => "without a sandbox",
    }
}

/// How well something is.
pub fn health(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Ok => "healthy",
        HealthStatus::Degraded => "works, with less than it could",
        HealthStatus::Bad => "does not work",
    }
}

/// How a device's key is kept.
pub fn key_storage(storage: KeyStorage) -> &'static str {
    match storage {
        KeyStorage::Wrapped => "encrypted, under a key that the browser does not hand out",
        KeyStorage::Plain => "as it is: the browser offers nothing better at this address",
        KeyStorage::Memory => "nowhere: it is gone when this tab is closed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_say_what_they_come_to() {
        let phone = rights(&[Scope::Observe, Scope::Operate, Scope::Approve]);
        assert!(
            phone.starts_with("See sessions") && phone.contains("running programs as the host's user"),
            "{phone}"
        );
        assert!(!rights(&[Scope::Observe, Scope::Operate]).contains("programs"));
        assert_eq!(rights(&[]), "Nothing");
    }
}
