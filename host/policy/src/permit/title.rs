//! Titles of questions by what is asked for.

use lanyard_protocol::policy::Capability;

/// The title of a question that neither a rule nor the host has a better one for.
pub(super) fn plain_title(capability: Capability) -> &'static str {
    match capability {
        Capability::FileRead => "Read a file?",
        Capability::FileWrite => "Change a file?",
        Capability::FileDelete => "Delete a file?",
        Capability::ShellExec => "Run a command?",
        Capability::NetworkHttp => "Send a request?",
        Capability::GitStatus => "Read the state of a repository?",
        Capability::GitDiff => "Read the changes in a repository?",
        Capability::GitCommit => "Commit?",
        Capability::GitPush => "Publish commits?",
        Capability::WorkspaceUpload => "Upload a file?",
        Capability::BackendToolInvoke => "Use a tool outside this host?",
        Capability::LlmCall => "Call the model?",
    }
}
