//! Parameters and results of the methods.

use serde::{Deserialize, Serialize};

use crate::approval::{ApprovalRecord, ChangeKind, Decision, RememberedRule};
use crate::bytes::Bytes;
use crate::device::{ConnectionRecord, Device, PageReport, PairingEnd, PairingWindow, PendingPairing};
use crate::event::SessionEvent;
use crate::id::{
    ApprovalId, ArtifactId, CommandId, DeviceId, HostId, PairingId, PrincipalId, RuleId, SessionId, StepId,
    TaskId, WorkspaceId,
};
use crate::policy::Remember;
use crate::principal::{Principal, Scope};
use crate::session::{
    ClientInfo, CompatibilityStatus, ExecutionEnvironment, ModelInfo, PolicySummary, SessionState,
    SessionSummary, TaskOptions, TaskSummary, WorkspaceHint,
};
use crate::timestamp::Timestamp;

macro_rules! shapes {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
    )*};
}

shapes! {
    /// Parameters of `CreateSession` (seed 004 §11). `userId` and `tenantId` are accepted and ignored: the
    /// authenticated principal counts.
    #[derive(Default)]
    CreateSession {
        /// Ignored.
        user_id: Option<String>,
        /// Ignored.
        tenant_id: Option<String>,
        /// Only `desktop` is offered here.
        #[serde(default)]
        execution_environment: ExecutionEnvironment,
        /// Which project; none makes a general chat with an empty directory of its own.
        #[serde(default)]
        workspace_hint: WorkspaceHint,
        /// What the client is.
        client_info: Option<ClientInfo>,
        /// Capabilities the client can present; informative.
        supported_capabilities: Option<Vec<String>>,
        /// Tools the client can present; informative.
        supported_tools: Option<Vec<String>>,
        /// Name for people.
        name: Option<String>,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// Result of `CreateSession`.
    SessionOpened {
        /// The session.
        session_id: SessionId,
        /// Its workspace.
        workspace_id: WorkspaceId,
        /// Directories it is about.
        workspace_roots: Vec<String>,
        /// Whether host and client fit.
        compatibility_status: CompatibilityStatus,
        /// Why not.
        incompatibility_reason: Option<String>,
        /// Model that will answer.
        model: ModelInfo,
        /// What the session may do.
        policy: PolicySummary,
        /// Where it stands.
        state: SessionState,
        /// Last durable event.
        last_seq: u64,
    }
    /// Parameters of `StartTask` (seed 004 §11).
    StartTask {
        /// The session.
        session_id: SessionId,
        /// Chosen by the client, or by the host when absent. Repeating it returns the same task.
        task_id: Option<TaskId>,
        /// What to do; not empty, at most [`crate::limits::MAX_PROMPT_BYTES`] bytes.
        prompt: String,
        /// How it may run.
        #[serde(default)]
        task_options: TaskOptions,
        /// Which model answers, one of `ListModels`; absent: the host's own choice.
        model: Option<String>,
        /// Files put into the workspace for this task: `path` of `PutAttachment`. The prompt names them to the model.
        #[serde(default)]
        attachments: Vec<String>,
    }
    /// Result of `StartTask` and `CancelTask`.
    TaskAccepted {
        /// The session.
        session_id: SessionId,
        /// The task.
        task_id: TaskId,
        /// Where the session stands.
        state: SessionState,
        /// Last durable event when the request was carried out; a cursor to follow the task from.
        last_seq: u64,
    }
    /// Parameters of `CancelTask`.
    CancelTask {
        /// The session.
        session_id: SessionId,
        /// The task.
        task_id: TaskId,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// Parameters of `ResumeSession`.
    ResumeSession {
        /// The session.
        session_id: SessionId,
        /// Last `seq` the client has; events after it follow as notifications. Absent: only new ones.
        checkpoint_cursor: Option<u64>,
    }
    /// Parameters of `GetSessionState`.
    GetSessionState {
        /// The session.
        session_id: SessionId,
    }
    /// Result of `GetSessionState` and `ResumeSession`.
    SessionSnapshot {
        /// The session.
        session_id: SessionId,
        /// Its workspace.
        workspace_id: WorkspaceId,
        /// Directories it is about.
        workspace_roots: Vec<String>,
        /// Name for people.
        name: String,
        /// Where the loop stands.
        state: SessionState,
        /// The task under way.
        task_id: Option<TaskId>,
        /// The step under way.
        step_id: Option<StepId>,
        /// Steps the task has taken.
        step_count: u32,
        /// The last task.
        last_task: Option<TaskSummary>,
        /// Last durable event.
        last_seq: u64,
        /// Questions waiting for a person, in full.
        pending_approvals: Vec<ApprovalRecord>,
        /// Tokens used by the session.
        tokens_used: u64,
        /// Model in use.
        model: ModelInfo,
    }
    /// Parameters of `GetPatchPreview`.
    GetPatchPreview {
        /// The session.
        session_id: SessionId,
        /// The task.
        task_id: TaskId,
    }
    /// One changed file.
    #[derive(Eq)]
    PatchFile {
        /// The file, relative to the workspace where it lies in it.
        path: String,
        /// What happened to it.
        change: ChangeKind,
        /// Unified diff; empty for files that are not text.
        diff: String,
        /// The diff was cut.
        truncated: bool,
    }
    /// Result of `GetPatchPreview`.
    PatchPreview {
        /// Changed files, by path.
        files: Vec<PatchFile>,
    }
    /// Parameters of `ApproveAction`.
    ApproveAction {
        /// The session.
        session_id: SessionId,
        /// The question.
        approval_id: ApprovalId,
        /// The answer.
        decision: Decision,
        /// How long it is remembered.
        #[serde(default)]
        remember: Remember,
        /// In the person's own words; told to the model on denial.
        reason: Option<String>,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// Result of `ApproveAction`.
    ApprovalOutcome {
        /// The question.
        approval_id: ApprovalId,
        /// The answer that counted.
        decision: Decision,
        /// Whether it was this one.
        counted: bool,
        /// Who gave the answer that counted.
        decided_by: PrincipalId,
    }
    /// Parameters of `EndSession`.
    EndSession {
        /// The session.
        session_id: SessionId,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// Parameters of `DeleteSession`.
    DeleteSession {
        /// The session.
        session_id: SessionId,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// An empty result.
    #[derive(Default)]
    Done {
    }
    /// Parameters of `ListSessions`.
    #[derive(Default)]
    ListSessions {
        /// Rows wanted; see [`crate::limits::DEFAULT_PAGE`].
        limit: Option<u32>,
        /// `nextCursor` of the page before.
        cursor: Option<String>,
        /// Text that the name, a prompt or an answer must contain; case does not count.
        query: Option<String>,
    }
    /// Result of `ListSessions`.
    SessionPage {
        /// The rows.
        sessions: Vec<SessionSummary>,
        /// Where the next page starts; absent on the last.
        next_cursor: Option<String>,
    }
    /// Parameters of `GetHistory`. Without a cursor the newest page is returned; rows are always in ascending order.
    GetHistory {
        /// The session.
        session_id: SessionId,
        /// Only events after this number (paging forward).
        after_seq: Option<u64>,
        /// Only events before this number (paging backward).
        before_seq: Option<u64>,
        /// Rows wanted.
        limit: Option<u32>,
        /// Text that the event must contain; case does not count.
        query: Option<String>,
    }
    /// Result of `GetHistory`.
    HistoryPage {
        /// The rows.
        events: Vec<SessionEvent>,
        /// First number kept.
        first_seq: u64,
        /// Last number written.
        last_seq: u64,
        /// There are more rows in the direction of paging.
        has_more: bool,
        /// Where to go on: the next `afterSeq` or `beforeSeq`. A search stops after a bounded number of rows
        /// looked at, so a page may be empty and still not be the last.
        next_seq: Option<u64>,
    }
    /// Parameters of `Subscribe`.
    Subscribe {
        /// The session.
        session_id: SessionId,
        /// Last `seq` the client has.
        #[serde(default)]
        after_seq: u64,
    }
    /// Result of `Subscribe`.
    Subscribed {
        /// Last number written when the subscription began.
        last_seq: u64,
    }
    /// Parameters of `Unsubscribe`.
    Unsubscribe {
        /// The session.
        session_id: SessionId,
    }
    /// Parameters of `SubscribeHost`.
    #[derive(Default)]
    SubscribeHost {
        /// Last `hostSeq` the client has; absent: only new ones.
        after_host_seq: Option<u64>,
    }
    /// Result of `SubscribeHost`.
    HostSubscribed {
        /// Last number written when the subscription began.
        last_host_seq: u64,
    }
    /// Parameters of `ListApprovals`.
    #[derive(Default)]
    ListApprovals {
        /// Only of this session.
        session_id: Option<SessionId>,
        /// Answered ones too.
        #[serde(default)]
        include_settled: bool,
        /// Rows wanted.
        limit: Option<u32>,
    }
    /// Result of `ListApprovals`.
    ApprovalPage {
        /// The rows.
        approvals: Vec<ApprovalRecord>,
    }
    /// Parameters of `AcknowledgeApproval`.
    AcknowledgeApproval {
        /// The session.
        session_id: SessionId,
        /// The question.
        approval_id: ApprovalId,
    }
    /// Parameters of `ListRules`.
    #[derive(Default)]
    ListRules {
    }
    /// Result of `ListRules`.
    RulePage {
        /// The rows.
        rules: Vec<RememberedRule>,
    }
    /// Parameters of `RevokeRule`.
    RevokeRule {
        /// The rule.
        rule_id: RuleId,
    }
    /// Parameters of `GetArtifact`.
    GetArtifact {
        /// The artifact, as in `artifactUris` without `artifact:`.
        artifact_id: ArtifactId,
        /// First byte wanted.
        #[serde(default)]
        offset: u64,
        /// Bytes wanted, at most [`crate::limits::MAX_ARTIFACT_PAGE_BYTES`].
        length: Option<u32>,
    }
    /// Result of `GetArtifact`.
    #[derive(Eq)]
    ArtifactPage {
        /// The piece as text, bytes that are not UTF-8 replaced.
        text: String,
        /// Bytes in the piece.
        length: u32,
        /// Bytes in the whole.
        total: u64,
    }
    /// Parameters of `Health`.
    #[derive(Default)]
    Health {
    }
    /// Parameters of `Shutdown`.
    #[derive(Default)]
    Shutdown {
    }
    /// Parameters of `Identify`.
    #[derive(Default)]
    Identify {
    }
    /// Result of `Identify` and `RotateHostKey`.
    Identity {
        /// The host, derived from its keys.
        host_id: HostId,
        /// Its name for people.
        host_name: String,
        /// Its version.
        version: String,
        /// Wire contract it speaks.
        protocol_version: u16,
        /// As whom the caller is known, with the rights held at this moment.
        principal: Principal,
    }
    /// Parameters of `OpenPairing`.
    #[derive(Default)]
    OpenPairing {
    }
    /// Parameters of `ClosePairing`.
    #[derive(Default)]
    ClosePairing {
    }
    /// Parameters of `ListPairings`.
    #[derive(Default)]
    ListPairings {
    }
    /// Result of `ListPairings`.
    #[derive(Eq)]
    PairingPage {
        /// The open window; absent when there is none, and for callers other than the owner at the machine.
        window: Option<PairingWindow>,
        /// Devices that wait, oldest first.
        pending: Vec<PendingPairing>,
    }
    /// Result of `DecidePairing`.
    #[derive(Eq)]
    PairingDecided {
        /// The question.
        pairing_id: PairingId,
        /// How it ended.
        end: PairingEnd,
        /// The device, when it was approved.
        device: Option<Device>,
    }
    /// Parameters of `ListDevices`.
    #[derive(Default)]
    ListDevices {
    }
    /// Result of `ListDevices`.
    #[derive(Eq)]
    DevicePage {
        /// The devices, by name.
        devices: Vec<Device>,
    }
    /// Parameters of `RenameDevice`.
    RenameDevice {
        /// The device.
        device_id: DeviceId,
        /// The name; 1–[`crate::limits::MAX_DEVICE_NAME_BYTES`] bytes.
        name: String,
    }
    /// Parameters of `SetDeviceScopes`.
    SetDeviceScopes {
        /// The device.
        device_id: DeviceId,
        /// Rights it holds from now on, `observe` among them.
        scopes: Vec<Scope>,
    }
    /// Parameters of `RevokeDevice`.
    RevokeDevice {
        /// The device.
        device_id: DeviceId,
        /// Makes a repetition harmless.
        command_id: Option<CommandId>,
    }
    /// Parameters of `ListConnections`.
    #[derive(Default)]
    ListConnections {
        /// Rows wanted; see [`crate::limits::DEFAULT_PAGE`].
        limit: Option<u32>,
    }
    /// Result of `ListConnections`.
    #[derive(Eq)]
    ConnectionPage {
        /// The rows, newest first.
        connections: Vec<ConnectionRecord>,
    }
    /// Parameters of `Unpair`.
    #[derive(Default)]
    Unpair {
    }
    /// Parameters of `RotateHostKey`.
    #[derive(Default)]
    RotateHostKey {
        /// The old keys may be in other hands: nobody may follow from them, every device has to be paired again.
        #[serde(default)]
        compromised: bool,
    }
    /// Parameters of `ListWorkspaces`.
    #[derive(Default)]
    ListWorkspaces {
    }
    /// One directory sessions may be about.
    #[derive(Eq)]
    WorkspaceEntry {
        /// Absolute path on the host.
        path: String,
        /// Its last component, for people.
        name: String,
        /// When a session was last about it.
        last_used: Option<Timestamp>,
    }
    /// Result of `ListWorkspaces`.
    #[derive(Eq)]
    WorkspacePage {
        /// Last used first, the others by name.
        workspaces: Vec<WorkspaceEntry>,
    }
    /// Parameters of `ListModels`.
    #[derive(Default)]
    ListModels {
    }
    /// Result of `ListModels`.
    ModelPage {
        /// The one that answers unless a task names another.
        current: ModelInfo,
        /// Names the gateway offers, by name; empty when it does not tell.
        models: Vec<String>,
    }
    /// Parameters of `ListFiles`.
    ListFiles {
        /// Absolute path of a directory within a workspace.
        path: String,
    }
    /// One entry of a directory.
    #[derive(Eq)]
    FileEntry {
        /// Its name; bytes that are not UTF-8 replaced.
        name: String,
        /// What it is.
        kind: FileKind,
        /// Bytes of a file.
        size: Option<u64>,
        /// When its content last changed.
        modified: Option<Timestamp>,
    }
    /// Result of `ListFiles`.
    #[derive(Eq)]
    FilePage {
        /// The directory, absolute.
        path: String,
        /// The one above, within the workspace.
        parent: Option<String>,
        /// Directories first, then by name; at most [`crate::limits::MAX_FILE_ENTRIES`].
        entries: Vec<FileEntry>,
        /// There are more.
        truncated: bool,
    }
    /// Parameters of `GetFile`.
    GetFile {
        /// Absolute path of a file within a workspace.
        path: String,
        /// First byte wanted.
        #[serde(default)]
        offset: u64,
        /// Bytes wanted, at most [`crate::limits::MAX_FILE_PIECE_BYTES`].
        length: Option<u32>,
    }
    /// Result of `GetFile`.
    #[derive(Eq)]
    FilePiece {
        /// The piece.
        bytes: Bytes,
        /// Bytes in the whole.
        total: u64,
        /// Whether the file's first bytes look like text.
        text: bool,
    }
    /// Parameters of `PutAttachment`. The pieces of a file come in order.
    PutAttachment {
        /// The session.
        session_id: SessionId,
        /// Chosen by the client for the whole file; a file is continued under it.
        attachment_id: CommandId,
        /// What the person calls it; only its last component counts, and the host may change it.
        name: String,
        /// Where the piece belongs: the bytes that were put before it.
        offset: u64,
        /// The piece, at most [`crate::limits::MAX_FILE_PIECE_BYTES`].
        bytes: Bytes,
        /// Nothing follows: the file appears in the workspace.
        last: bool,
    }
    /// Result of `PutAttachment`.
    #[derive(Eq)]
    AttachmentPut {
        /// Bytes put so far.
        length: u64,
        /// Where the file lies, relative to the workspace; after the last piece.
        path: Option<String>,
    }
    /// Parameters of `GetPolicy`.
    #[derive(Default)]
    GetPolicy {
    }
    /// Parameters of `FindHosts`.
    #[derive(Default)]
    FindHosts {
    }
    /// A host that announces itself.
    #[derive(Eq)]
    SeenHost {
        /// What it calls itself.
        name: String,
        /// Where its page may be.
        origins: Vec<String>,
    }
    /// Result of `FindHosts`.
    #[derive(Eq)]
    HostsFound {
        /// By name; this one left out.
        hosts: Vec<SeenHost>,
    }
    /// Parameters of `ReportPage`.
    #[derive(Eq)]
    ReportPage {
        /// What the page knows of itself.
        page: PageReport,
    }
    /// Parameters of `CreateLink`.
    CreateLink {
        /// Where the tab will be: an origin of this host (`https://192.168.1.7:7717`). Absent: the owner's page on this
        /// machine.
        origin: Option<String>,
    }
    /// Parameters of `GetTrust`.
    #[derive(Default)]
    GetTrust {
    }
    /// Parameters of `EnableTrust`.
    #[derive(Default)]
    EnableTrust {
        /// Make a new authority although there is one; every browser has to be told anew.
        #[serde(default)]
        renew: bool,
    }
    /// Parameters of `DisableTrust`.
    #[derive(Default)]
    DisableTrust {
    }
    /// The host's authority, if it has one.
    #[derive(Eq)]
    TrustState {
        /// Absent: the host uses a certificate that browsers warn of.
        authority: Option<TrustAuthority>,
        /// Where the pages that install it are served; empty without a network side.
        pages: Vec<String>,
    }
    /// An authority whose key was destroyed once it had signed the host's certificate.
    #[derive(Eq)]
    TrustAuthority {
        /// SHA-256 of the authority's certificate, as operating systems show it: upper-case hex pairs with colons.
        fingerprint: String,
        /// The only name it may speak for.
        name: String,
        /// The host's certificate is no longer valid after this instant.
        expires_at: Timestamp,
    }
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A link that leads within the workspace or out of it; not followed here.
    Link,
    /// A socket, a device, …
    Other,
}

/// Result of `CreateLink`. The link is a secret until it has been used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkCreated {
    /// To be opened once.
    pub link: String,
    /// It does not work after this instant.
    pub expires_at: Timestamp,
}

/// Without the link: whoever reads the log must not be able to use it.
impl std::fmt::Debug for LinkCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkCreated").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Parameters of `DecidePairing`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecidePairing {
    /// The question.
    pub pairing_id: PairingId,
    /// The answer.
    pub decision: Decision,
    /// The digits on the device's screen; needed to approve after a typed code. Spaces do not count.
    pub digits: Option<String>,
    /// Rights granted, `observe` among them; absent: those that `requestedScopes` names.
    pub scopes: Option<Vec<Scope>>,
    /// Another name for the device.
    pub name: Option<String>,
    /// Makes a repetition harmless.
    pub command_id: Option<CommandId>,
}

/// Without the digits: logs are read by more people than the screen.
impl std::fmt::Debug for DecidePairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pairing_id, decision, scopes, name, .. } = self;
        f.debug_struct("DecidePairing")
            .field("pairing_id", pairing_id)
            .field("decision", decision)
            .field("scopes", scopes)
            .field("name", name)
            .finish_non_exhaustive()
    }
}
