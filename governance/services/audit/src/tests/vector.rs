//! The rule of hashes, as literals: of an event with every member set, and of the one that `governance/client` asserts
//! too, which computes the same on the host.

use lanyard_protocol::Timestamp;
use lanyard_protocol::codec;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use serde_json::json;

use crate::chain::Digest;

/// An event with every member set.
fn fixed() -> EventEnvelope {
    EventEnvelope {
        event_id: "evt_123".to_owned().try_into().unwrap(),
        event_type: "tool_completed".to_owned(),
        timestamp: Timestamp::from_millis(1_771_686_262_123),
        tenant_id: "tenant_abc".to_owned(),
        user_id: "user_123".to_owned(),
        workspace_id: "ws_456".to_owned().try_into().unwrap(),
        session_id: "sess_789".to_owned().try_into().unwrap(),
        task_id: Some("task_001".to_owned().try_into().unwrap()),
        step_id: Some("step_002".to_owned().try_into().unwrap()),
        tool_call_id: Some("call_003".to_owned().try_into().unwrap()),
        component: Component::LocalAgentHost,
        bounded_context: BoundedContext::AgentExecution,
        severity: Severity::Warning,
        payload: json!({ "tool": "ReadFile" }).into(),
    }
}

#[test]
fn the_vector_shared_with_the_host() {
    let text = concat!(
        r#"{"eventId":"evt-1","eventType":"tool_call_finished","timestamp":"2026-11-20T12:00:00Z","#,
        r#""tenantId":"tenant-1","userId":"user-1","workspaceId":"ws-1","sessionId":"ses-1","taskId":"task-1","#,
        r#""toolCallId":"call-1","component":"LocalToolRuntime","boundedContext":"ToolExecution","severity":"info","#,
        r#""payload":{"exitCode":0,"tool":"RunCommand","über":"naïve \"quoted\" \\ text"}}"#,
    );
    let first = Digest::START.then(1, text);
    assert_eq!(first.hex(), "0fc1915c6e84861c7e3513269302896e9104f706a781af5bf3a4ff85148db919");
    assert_eq!(first.then(2, text).hex(), "e51f318b6cf34fe542566ff9c5228f6e295053be4c030af6e87fdc9b6cf8768d");
}

#[test]
fn the_vector_with_every_member() {
    let text = codec::to_json(&fixed()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"eventId":"evt_123","eventType":"tool_completed","timestamp":"2026-02-21T15:04:22.123Z","#,
            r#""tenantId":"tenant_abc","userId":"user_123","workspaceId":"ws_456","sessionId":"sess_789","#,
            r#""taskId":"task_001","stepId":"step_002","toolCallId":"call_003","component":"LocalAgentHost","#,
            r#""boundedContext":"AgentExecution","severity":"warning","payload":{"tool":"ReadFile"}}"#,
        )
    );
    let first = Digest::START.then(1, &text);
    assert_eq!(first.hex(), "1d71dcdae6d7e8dc9daacbb783bd0ec26fa40a2f130696f905e1cf6bd7ae2865");
    assert_eq!(
        first.then(2, &text).hex(),
        "8ae0d8a748d3af88a6fb805b73948e78eacf5c42e9ece1fb0ca5dc78b1624a50"
    );
}
