//! Events: what clients see happen (seed 004 §11, §12.1, §17, with the additions of the design).
//!
//! Durable events carry `seq`, one per session counting from 1 without gaps, and can be replayed from any cursor.
//! Ephemeral ones (`text_delta`, `tool_output_delta`) carry a stream id and an offset instead and are not stored;
//! the event that completes them holds the whole, or names an artifact that does.

mod payload;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::codec::to_json_value;
use crate::id::{EventId, SessionId, StepId, TaskId, WorkspaceId};
use crate::json::Json;
use crate::timestamp::Timestamp;

pub use payload::*;

macro_rules! event_bodies {
    ($(#[$meta:meta])* $enum_name:ident { $($(#[doc = $doc:literal])* $name:literal => $variant:ident($payload:ty),)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "events live behind an Arc or a Box; the large ones are common")]
        pub enum $enum_name { $($(#[doc = $doc])* $variant($payload),)* }

        impl $enum_name {
            /// Every event name, in contract order.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The `eventType` of this event.
            pub fn name(&self) -> &'static str {
                match self { $($enum_name::$variant(_) => $name,)* }
            }

            fn payload(&self) -> Result<Value, serde_json::Error> {
                match self { $($enum_name::$variant(payload) => to_json_value(payload),)* }
            }

            fn from_parts(name: &str, payload: Value) -> Result<Self, serde_json::Error> {
                match name {
                    $($name => serde_json::from_value(payload).map($enum_name::$variant),)*
                    other => Err(de::Error::custom(format_args!("unknown eventType {other:?}"))),
                }
            }

            /// Name, description and payload schema of each event, for the reference.
            #[cfg(feature = "schema")]
            pub fn schemas(
                generator: &mut schemars::SchemaGenerator,
            ) -> Vec<(&'static str, &'static str, schemars::Schema)> {
                vec![$(($name, concat!($($doc),*), generator.subschema_for::<$payload>()),)*]
            }
        }
    };
}

event_bodies! {
    /// What happened in a session. The first eleven names are the seed's.
    EventBody {
        /// The session exists.
        "session_created" => SessionCreated(SessionCreated),
        /// Its first task began.
        "session_started" => SessionStarted(SessionStarted),
        /// A step began.
        "step_started" => StepStarted(StepStarted),
        /// A model call began.
        "llm_request_started" => LlmRequestStarted(LlmRequestStarted),
        /// A model call ended.
        "llm_request_completed" => LlmRequestCompleted(LlmRequestCompleted),
        /// The model asked for a tool.
        "tool_requested" => ToolRequested(ToolRequested),
        /// A call has its result.
        "tool_completed" => ToolCompleted(ToolCompleted),
        /// A person is asked.
        "approval_requested" => ApprovalRequested(ApprovalRequested),
        /// A question has its answer.
        "approval_resolved" => ApprovalResolved(ApprovalResolved),
        /// The session ended.
        "session_completed" => SessionCompleted(SessionCompleted),
        /// The session broke.
        "session_failed" => SessionFailed(SessionFailed),
        /// A prompt was accepted.
        "task_started" => TaskStarted(TaskStarted),
        /// A step ended.
        "step_completed" => StepCompleted(StepCompleted),
        /// The task is done.
        "task_completed" => TaskCompleted(TaskCompleted),
        /// The task gave up.
        "task_failed" => TaskFailed(TaskFailed),
        /// The task was cancelled.
        "task_cancelled" => TaskCancelled(TaskCancelled),
        /// Ephemeral: more output of a running tool.
        "tool_output_delta" => ToolOutputDelta(ToolOutputDelta),
        /// Ephemeral: more text of the answer.
        "text_delta" => TextDelta(TextDelta),
        /// A model call will be repeated; text streamed so far is void.
        "llm_retry" => LlmRetry(LlmRetry),
        /// Older messages were shortened to fit the window.
        "context_compacted" => ContextCompacted(ContextCompacted),
        /// Policy judged a call.
        "policy_decided" => PolicyDecided(PolicyDecided),
        /// The bundle ran out.
        "policy_expired" => PolicyExpired(PolicyExpired),
        /// A question was not answered in time.
        "approval_expired" => ApprovalExpired(ApprovalExpired),
        /// The task stands still.
        "session_paused" => SessionPaused(SessionPaused),
        /// The task goes on.
        "session_resumed" => SessionResumed(SessionResumed),
        /// Few steps are left.
        "step_limit_near" => StepLimitNear(StepLimitNear),
    }
}

impl EventBody {
    /// Whether the event is stored and numbered.
    pub fn is_durable(&self) -> bool {
        !matches!(self, EventBody::TextDelta(_) | EventBody::ToolOutputDelta(_))
    }

    /// Whether the event ends its task.
    pub fn ends_task(&self) -> bool {
        matches!(self, EventBody::TaskCompleted(_) | EventBody::TaskFailed(_) | EventBody::TaskCancelled(_))
    }
}

/// One event of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionEvent {
    /// Unique.
    pub event_id: EventId,
    /// Number within the session, from 1 without gaps; absent for ephemeral events.
    pub seq: Option<u64>,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The step.
    pub step_id: Option<StepId>,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub body: EventBody,
}

/// The JSON shape of [`SessionEvent`]: the seed's, with `eventType` and `payload` side by side.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "SessionEvent"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionEventJson {
    event_id: EventId,
    seq: Option<u64>,
    workspace_id: WorkspaceId,
    session_id: SessionId,
    task_id: Option<TaskId>,
    step_id: Option<StepId>,
    event_type: String,
    timestamp: Timestamp,
    payload: Json,
}

impl Serialize for SessionEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            let ids = (
                &self.event_id,
                self.seq,
                &self.workspace_id,
                &self.session_id,
                &self.task_id,
                &self.step_id,
            );
            return (ids, self.timestamp, &self.body).serialize(serializer);
        }
        SessionEventJson {
            event_id: self.event_id.clone(),
            seq: self.seq,
            workspace_id: self.workspace_id.clone(),
            session_id: self.session_id.clone(),
            task_id: self.task_id.clone(),
            step_id: self.step_id.clone(),
            event_type: self.body.name().to_owned(),
            timestamp: self.timestamp,
            payload: Json(self.body.payload().map_err(serde::ser::Error::custom)?),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SessionEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let ((event_id, seq, workspace_id, session_id, task_id, step_id), timestamp, body) =
                Deserialize::deserialize(deserializer)?;
            return Ok(Self { event_id, seq, workspace_id, session_id, task_id, step_id, timestamp, body });
        }
        let json = SessionEventJson::deserialize(deserializer)?;
        Ok(Self {
            event_id: json.event_id,
            seq: json.seq,
            workspace_id: json.workspace_id,
            session_id: json.session_id,
            task_id: json.task_id,
            step_id: json.step_id,
            timestamp: json.timestamp,
            body: EventBody::from_parts(&json.event_type, json.payload.0).map_err(de::Error::custom)?,
        })
    }
}

/// Ties each `eventType` to the shape of its `payload`.
#[cfg(feature = "schema")]
fn with_payloads(
    mut event: schemars::Schema,
    payloads: Vec<(&'static str, &'static str, schemars::Schema)>,
) -> schemars::Schema {
    let branches: Vec<Value> = payloads
        .into_iter()
        .map(|(name, about, payload)| {
            let members = serde_json::json!({ "eventType": { "const": name }, "payload": payload });
            serde_json::json!({ "description": about.trim(), "properties": members })
        })
        .collect();
    event.insert("oneOf".to_owned(), Value::Array(branches));
    event
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for SessionEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SessionEvent".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let plain = SessionEventJson::json_schema(generator);
        with_payloads(plain, EventBody::schemas(generator))
    }
}

event_bodies! {
    /// What happened on the host as a whole; small, so that a list of sessions stays current cheaply.
    HostEventBody {
        /// A session is new or has changed.
        "session_changed" => SessionChanged(SessionChanged),
        /// A session was deleted.
        "session_deleted" => SessionDeleted(SessionDeleted),
        /// A question waits.
        "approval_pending" => ApprovalPending(ApprovalPending),
        /// A question no longer waits.
        "approval_settled" => ApprovalSettled(ApprovalSettled),
        /// A device asks to be paired; `ListPairings` tells more.
        "pairing_requested" => PairingRequested(PairingRequested),
        /// The question has ended.
        "pairing_settled" => PairingSettled(PairingSettled),
        /// The pairing window opened, closed, or has another code.
        "pairing_window_changed" => PairingWindowChanged(PairingWindowChanged),
        /// A device was paired, renamed, given other rights, connected or disconnected; `ListDevices` tells more.
        "device_changed" => DeviceChanged(DeviceChanged),
        /// A device is paired no more.
        "device_removed" => DeviceRemoved(DeviceRemoved),
        /// The host has another key; paired devices follow.
        "host_key_changed" => HostKeyChanged(HostKeyChanged),
        /// The host is about to stop.
        "host_stopping" => HostStopping(HostStopping),
        /// The enrolment, its consents, or whether the central services are reached changed; `GetCentral` tells more.
        "central_changed" => CentralChanged(CentralChanged),
    }
}

/// One event of the host-wide log.
#[derive(Debug, Clone, PartialEq)]
pub struct HostEvent {
    /// Number within the host's log, from 1.
    pub host_seq: u64,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub body: HostEventBody,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "HostEvent"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HostEventJson {
    host_seq: u64,
    event_type: String,
    timestamp: Timestamp,
    payload: Json,
}

impl Serialize for HostEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.host_seq, self.timestamp, &self.body).serialize(serializer);
        }
        HostEventJson {
            host_seq: self.host_seq,
            event_type: self.body.name().to_owned(),
            timestamp: self.timestamp,
            payload: Json(self.body.payload().map_err(serde::ser::Error::custom)?),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HostEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let (host_seq, timestamp, body) = Deserialize::deserialize(deserializer)?;
            return Ok(Self { host_seq, timestamp, body });
        }
        let json = HostEventJson::deserialize(deserializer)?;
        let body = HostEventBody::from_parts(&json.event_type, json.payload.0).map_err(de::Error::custom)?;
        Ok(Self { host_seq: json.host_seq, timestamp: json.timestamp, body })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HostEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostEvent".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let plain = HostEventJson::json_schema(generator);
        with_payloads(plain, HostEventBody::schemas(generator))
    }
}
