//! The members of an event that the service looks at, and the check that the rest can be read by everybody.
//!
//! An event is parsed for its columns and then kept as text; its payload is walked and not built.

use std::fmt;

use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use lanyard_protocol::id::{EventId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest payload. Readers stop at 128 levels, and an answer puts a few around it. No less than that: a record that is
/// refused holds up its chain.
const MAX_DEPTH: u32 = 120;

/// What is kept of an event beside its text. Members that are not read are checked all the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) timestamp: Timestamp,
    pub(crate) tenant_id: String,
    pub(crate) user_id: String,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) session_id: SessionId,
    pub(crate) task_id: Option<TaskId>,
    #[serde(rename = "stepId")]
    _step_id: Option<StepId>,
    #[serde(rename = "toolCallId")]
    _tool_call_id: Option<ToolCallId>,
    #[serde(rename = "component")]
    _component: Component,
    #[serde(rename = "boundedContext")]
    _bounded_context: BoundedContext,
    pub(crate) severity: Severity,
    #[serde(rename = "payload")]
    _payload: Readable,
}

/// How a severity is ordered in the database.
pub(crate) fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}

/// The payload's text of an event, for the search in it.
pub(crate) fn payload(text: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Holder<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    serde_json::from_str::<Holder<'_>>(text).ok().map(|holder| holder.payload.get())
}

/// An object that any reader of JSON takes: bounded depth, well-formed strings, numbers in range.
#[derive(Debug)]
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Readable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readable, A::Error> {
                while map.next_key_seed(Walk(1))?.is_some() {
                    map.next_value_seed(Walk(1))?;
                }
                Ok(Readable)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Walks a value at a depth.
#[derive(Clone, Copy)]
struct Walk(u32);

impl Walk {
    fn deeper<E: de::Error>(self) -> Result<Walk, E> {
        if self.0 < MAX_DEPTH {
            return Ok(Walk(self.0 + 1));
        }
        Err(E::custom(format_args!("the payload is nested deeper than {MAX_DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while seq.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while map.next_key_seed(deeper)?.is_some() {
            map.next_value_seed(deeper)?;
        }
        Ok(())
    }
}
