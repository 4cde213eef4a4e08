//! What a call wants, as data. The tools crate says it (`plan`), policy judges it, and nothing else is consulted.

use std::path::PathBuf;

use lanyard_protocol::policy::Capability;
use lanyard_protocol::tool::ToolRequest;

/// Something a call needs to be allowed. Paths are absolute, symlinks resolved as far as they exist, no `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Read a file or list a directory.
    ReadPath(PathBuf),
    /// Create or change a file. `size`: bytes it will have.
    WritePath {
        /// The file.
        path: PathBuf,
        /// Bytes it will have.
        size: u64,
    },
    /// Delete a file or an empty directory.
    DeletePath(PathBuf),
    /// Run programs.
    Exec(Exec),
    /// Send an HTTP request.
    Http {
        /// Upper-case verb.
        method: String,
        /// The address as the model gave it.
        url: String,
    },
    /// Read a repository's status.
    GitStatus {
        /// Top of the work tree.
        repo: PathBuf,
    },
    /// Read a repository's differences.
    GitDiff {
        /// Top of the work tree.
        repo: PathBuf,
    },
    /// Create a commit.
    GitCommit {
        /// Top of the work tree.
        repo: PathBuf,
        /// The branch it lands on; `None` for a detached head.
        branch: Option<String>,
    },
    /// Push commits.
    GitPush {
        /// Top of the work tree.
        repo: PathBuf,
        /// Remote as named.
        remote: String,
        /// Where the remote points.
        url: String,
        /// Branch pushed.
        branch: String,
    },
    /// Invoke a tool of an MCP server or the backend.
    Backend {
        /// Its name.
        tool: String,
        /// What names exactly the definition that was offered: an answer about one is none about another.
        definition: String,
    },
}

/// Programs to be run by one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// What is run.
    pub program: Program,
    /// Where. Absolute and resolved.
    pub cwd: PathBuf,
    /// Seconds it may run.
    pub timeout_seconds: u32,
    /// Whether the child gets the network.
    pub network: bool,
    /// Variables added to the child's environment: names and values.
    pub environment: Vec<(String, String)>,
    /// What the child reads from its standard input; `None` for nothing.
    pub stdin: Option<String>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One argument vector, no shell.
    Argv(Vec<String>),
    /// A shell text; policy parses it and judges each command in it.
    Shell(String),
}

impl Demand {
    /// The capability that must be granted.
    pub fn capability(&self) -> Capability {
        match self {
            Demand::ReadPath(_) => Capability::FileRead,
            Demand::WritePath { .. } => Capability::FileWrite,
            Demand::DeletePath(_) => Capability::FileDelete,
            Demand::Exec(_) => Capability::ShellExec,
            Demand::Http { .. } => Capability::NetworkHttp,
            Demand::GitStatus { .. } => Capability::GitStatus,
            Demand::GitDiff { .. } => Capability::GitDiff,
            Demand::GitCommit { .. } => Capability::GitCommit,
            Demand::GitPush { .. } => Capability::GitPush,
            Demand::Backend { .. } => Capability::BackendToolInvoke,
        }
    }

    /// Whether carrying it out changes anything outside the host's own memory.
    pub fn changes_something(&self) -> bool {
        !matches!(self, Demand::ReadPath(_) | Demand::GitStatus { .. } | Demand::GitDiff { .. })
    }
}

/// A call with everything it wants. `demands` is never empty: the constructor takes the first one apart.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCall {
    request: ToolRequest,
    demands: Vec<Demand>,
    contents: Vec<ContentHash>,
}

/// A file whose content is part of what is approved (the executable, scripts named in the command, the file about
/// to be changed). A name that leads through symbolic links stands for the content found at their end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentHash {
    /// Absolute path.
    pub path: PathBuf,
    /// Hex SHA-256; `None` when there is no such file.
    pub sha256: Option<String>,
}

impl PlannedCall {
    /// A call that wants `first` and `more`.
    pub fn new(request: ToolRequest, first: Demand, more: Vec<Demand>, contents: Vec<ContentHash>) -> Self {
        let mut demands = Vec::with_capacity(1 + more.len());
        demands.push(first);
        demands.extend(more);
        Self { request, demands, contents }
    }

    /// What was asked.
    pub fn request(&self) -> &ToolRequest {
        &self.request
    }

    /// What it wants; at least one.
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// The same call with its contents looked at again.
    pub(crate) fn with_contents(self, contents: Vec<ContentHash>) -> Self {
        Self { contents, ..self }
    }

    /// Files whose content is part of what is approved.
    pub fn contents(&self) -> &[ContentHash] {
        &self.contents
    }

    /// Whether carrying it out changes anything.
    pub fn changes_something(&self) -> bool {
        self.demands.iter().any(Demand::changes_something)
    }
}
