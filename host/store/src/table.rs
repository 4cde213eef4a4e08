//! The tables of the store: one redb table each, byte strings to byte strings.
//!
//! Keys are built in [`crate::keys`], values in [`crate::record`]. Tables whose values are empty are indices.

use redb::TableDefinition;

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum TableId { $($(#[$doc])* $variant,)* }

        impl TableId {
            /// Every table.
            pub(crate) const ALL: &'static [TableId] = &[$(TableId::$variant,)*];

            /// Its name in the file and in error texts.
            pub(crate) fn name(self) -> &'static str {
                match self { $(TableId::$variant => $name,)* }
            }
        }
    };
}

tables! {
    /// Schema version, host-wide totals, tasks of the last days.
    Meta = "meta";
    /// Schema versions this file has been through.
    Migrations = "migrations";
    /// session → what lists show and what policy needs.
    Sessions = "sessions";
    /// session → its counters. Apart from `sessions`, because every event changes it.
    Heads = "heads";
    /// Index: time of last change, session.
    SessionsByChange = "sessions_by_change";
    /// session → lower-case text of prompts and answers, bounded.
    Digests = "digests";
    /// hash of a set of directories → workspace.
    Workspaces = "workspaces";
    /// session, task → summary.
    Tasks = "tasks";
    /// session, seq → event.
    Events = "events";
    /// session, index → message.
    Messages = "messages";
    /// session, call → request. Apart from `calls`: it is large and written once, the phase changes five times.
    CallRequests = "call_requests";
    /// session, call → phase and outcome.
    Calls = "calls";
    /// session, approval → record.
    Approvals = "approvals";
    /// Index: time asked, session, approval.
    ApprovalsByTime = "approvals_by_time";
    /// Index: session, time asked, approval.
    ApprovalsBySession = "approvals_by_session";
    /// Index of those that wait: time asked, session, approval.
    ApprovalsPending = "approvals_pending";
    /// rule → remembered answer.
    Rules = "rules";
    /// session → checkpoint.
    Checkpoints = "checkpoints";
    /// session, task, path → first state.
    Baselines = "baselines";
    /// principal, command → answer.
    Commands = "commands";
    /// Index: time, principal, command.
    CommandsByTime = "commands_by_time";
    /// hostSeq → host event; a ring.
    HostEvents = "host_events";
    /// number → audit record.
    Outbox = "outbox";
    /// artifact, session → size: who keeps a file alive.
    ArtifactOwners = "artifact_owners";
    /// Index: session, artifact.
    ArtifactsBySession = "artifacts_by_session";
    /// device → its keys and rights. Since schema 2, as are those below.
    Devices = "devices";
    /// number → who was connected when; a ring.
    Connections = "connections";
    /// name → how often.
    Counters = "counters";
    /// One row: enrolment, chain, command cursor. Since schema 3, as are those below.
    Central = "central";
    /// session → what the central services have of it.
    CentralSessions = "central_sessions";
    /// Index of those that have something to be sent: place in the line, session.
    CentralQueue = "central_queue";
}

impl TableId {
    /// How redb knows it.
    pub(crate) fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }

    /// The table of that position in [`TableId::ALL`].
    pub(crate) fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// Its position in [`TableId::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
