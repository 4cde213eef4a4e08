//! Tools that run elsewhere, played by the test.

use std::sync::Mutex;

use lanyard_policy::bundle::grant_tools;
use lanyard_ports::journal::CallPhase;
use lanyard_ports::remote::*;
use lanyard_protocol::approval::ApprovalDetail;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::policy::{Capability, CapabilityGrant, RedactionRule};
use lanyard_protocol::tool::{ToolSpec, ToolStatus};
use serde_json::{Value, json};

use super::*;
use crate::{MAX_OFFERED, screened};

/// What is offered elsewhere, and what became of calls.
#[derive(Default)]
pub(crate) struct Elsewhere {
    known: Mutex<Vec<RemoteTool>>,
    calls: Mutex<Vec<RemoteCall>>,
    asked_after: Mutex<Vec<ToolRequest>>,
    outcome: Mutex<Option<RemoteOutcome>>,
    /// Calls run until they are cancelled.
    runs_on: Mutex<bool>,
}

impl Elsewhere {
    fn offer(&self, tools: impl IntoIterator<Item = RemoteTool>) {
        *self.known.lock().unwrap() = tools.into_iter().collect();
    }

    fn will(&self, outcome: RemoteOutcome) {
        *self.outcome.lock().unwrap() = Some(outcome);
    }

    fn calls(&self) -> Vec<RemoteCall> {
        self.calls.lock().unwrap().clone()
    }

    fn tell(&self) -> RemoteOutcome {
        let said = || RemoteEnd { status: ToolStatus::Succeeded, output: "found".into(), error: None };
        self.outcome.lock().unwrap().clone().unwrap_or_else(|| RemoteOutcome::Ended(said()))
    }
}

#[async_trait::async_trait]
impl RemoteTools for Elsewhere {
    fn known(&self) -> Arc<[RemoteTool]> {
        self.known.lock().unwrap().clone().into()
    }

    async fn find(&self, name: &str) -> Option<RemoteTool> {
        self.known().iter().find(|tool| tool.spec.name == name).cloned()
    }

    async fn invoke(&self, call: RemoteCall, cancel: &CancellationToken) -> RemoteOutcome {
        self.calls.lock().unwrap().push(call);
        if *self.runs_on.lock().unwrap() {
            cancel.cancelled().await;
        }
        self.tell()
    }

    async fn outcome(&self, request: &ToolRequest) -> RemoteOutcome {
        self.asked_after.lock().unwrap().push(request.clone());
        self.tell()
    }
}

fn tool(name: &str, description: &str) -> RemoteTool {
    let spec = ToolSpec {
        name: name.into(),
        description: description.into(),
        input_schema: Json(json!({"type": "object", "additionalProperties": false})),
        capabilities: Vec::new(),
    };
    RemoteTool { spec, definition: "1".into() }
}

const LOCAL: LayerOf = ("local", |bundle| grant_tools(bundle, None).unwrap());
const LOCAL_NONE: LayerOf = ("local", |bundle| grant_tools(bundle, Some(Vec::new())).unwrap());
const CENTRAL: LayerOf = ("central", |bundle| {
    bundle.offline_grace_seconds = 600;
    bundle.capabilities.push(CapabilityGrant::unlimited(Capability::BackendToolInvoke));
});
/// It asks, and hides a word.
const CENTRAL_ASKS: LayerOf = ("central", |bundle| {
    let grant = CapabilityGrant::unlimited(Capability::BackendToolInvoke);
    bundle.capabilities.push(CapabilityGrant { requires_approval: true, ..grant });
    for pattern in ["sesame", "4111[0-9]{12}", "\"pin\":\"[0-9]+\""] {
        let (name, replacement) = (format!("no {pattern}"), "[word]".into());
        bundle.redaction_rules.push(RedactionRule { name, pattern: pattern.into(), replacement });
    }
});

async fn rig(layers: Vec<LayerOf>) -> Rig {
    let rig = Rig::new(layers).await;
    rig.remote.offer([tool("Search", "Finds.")]);
    rig
}

async fn search(rig: &Rig, call: &str, arguments: Value, mode: ApprovalMode) -> Box<dyn PreparedCall> {
    rig.prepare_tool(call, "Search", arguments, owner(), mode).await
}

fn offered(rig: &Rig) -> Vec<String> {
    rig.router.specs().into_iter().map(|spec| spec.name).collect()
}

fn code(result: &ToolResult) -> (ToolStatus, ErrorCode) {
    (result.status, result.error.as_ref().unwrap().code)
}

#[tokio::test]
async fn a_tool_elsewhere_is_offered_where_every_layer_grants_it_and_denied_by_the_one_that_does_not() {
    let rig_of = async |layers| {
        let rig = rig(layers).await;
        let result = search(&rig, "c", json!({}), ApprovalMode::Never).await;
        (offered(&rig).contains(&"Search".to_owned()), settle(result).await, rig)
    };
    let (is_offered, settled, _rig) = rig_of(vec![CENTRAL, LOCAL]).await;
    assert!(is_offered && matches!(settled, Settled::Ready(_)));
    let (is_offered, settled, rig) = rig_of(vec![CENTRAL, LOCAL_NONE]).await;
    let result = over(settled);
    assert!(!is_offered);
    assert_eq!(code(&result), (ToolStatus::Denied, ErrorCode::CapabilityDenied));
    assert!(result.error.unwrap().message.contains("local policy"));
    assert!(rig.remote.calls().is_empty());
    // Nobody but the central services has any.
    let (is_offered, settled, _rig) = rig_of(vec![LOCAL]).await;
    assert!(!is_offered);
    assert_eq!(code(&over(settled)), (ToolStatus::Failed, ErrorCode::ToolNotFound));
}

#[tokio::test]
async fn a_task_without_the_network_reaches_no_tool_elsewhere() {
    let rig = rig(vec![CENTRAL, LOCAL]).await;
    let request = ToolRequest {
        tool_name: "Search".into(),
        arguments: Json(json!({})),
        workspace_id: "w".parse().unwrap(),
        session_id: session(),
        task_id: "t".parse().unwrap(),
        step_id: "st".parse().unwrap(),
        tool_call_id: "c".parse().unwrap(),
        capability: None,
    };
    let options = TaskOptions { allow_network: false, ..TaskOptions::default() };
    let call = rig.router.prepare(request, &TaskTerms { options, initiator: owner() }).await;
    let result = over(settle(call).await);
    assert_eq!(code(&result), (ToolStatus::Denied, ErrorCode::CapabilityDenied));
}

#[tokio::test]
async fn what_is_asked_is_what_is_sent_and_the_definition_with_it() {
    let rig = rig(vec![CENTRAL, LOCAL]).await;
    let arguments = json!({"q": "a\u{200b}b"});
    let (waits, question) =
        rig.ask(search(&rig, "c", arguments.clone(), ApprovalMode::default()).await).await;
    let detail = rig.journal.approvals.lock().unwrap()[question.as_str()].request.detail.clone();
    assert!(
        matches!(&detail, ApprovalDetail::Other(other) if other.text == r#"{"q":"a\u200bb"}"#),
        "{detail:?}"
    );
    rig.say(&question, Decision::Approved, Remember::Session, phone()).await.unwrap();
    let result = run(ready(waits.await.unwrap())).await;
    assert_eq!((result.status, result.output_text.as_deref()), (ToolStatus::Succeeded, Some("found")));
    let sent = rig.remote.calls().remove(0);
    assert_eq!((sent.request.arguments.0, sent.definition.as_str()), (arguments.clone(), "1"));
    assert_eq!(sent.approval, Some(question.clone()));
    assert_eq!(rig.journal.phase("c"), Some(CallPhase::Finished));

    // What was remembered is about this definition, for whoever keeps it and in words.
    let again = settle(search(&rig, "d", arguments.clone(), ApprovalMode::default()).await).await;
    assert!(matches!(again, Settled::Ready(_)), "it was to be remembered");
    for other in [RemoteTool { definition: "2".into(), ..tool("Search", "Finds.") }, tool("Search", "Sends.")]
    {
        rig.remote.offer([other]);
        let call = search(&rig, "e", arguments.clone(), ApprovalMode::default()).await;
        assert!(call.awaits_person());
    }
}

#[tokio::test]
async fn what_the_centre_asks_only_its_own_people_answer_each_time() {
    let rig = rig(vec![CENTRAL_ASKS, LOCAL]).await;
    let ada = principal("central:ada", &[Scope::Observe, Scope::Approve], false);
    rig.people.give(&ada, &[Scope::Observe, Scope::Approve]);
    // Switching questions off does not help either.
    let (waits, question) = rig.ask(search(&rig, "c", json!({}), ApprovalMode::Never).await).await;
    for here in [owner(), phone()] {
        let refused = rig.say(&question, Decision::Approved, Remember::Once, here).await.unwrap_err();
        assert!(refused.message.contains("console"), "{refused}");
    }
    let asked = rig.journal.approvals.lock().unwrap()[question.as_str()].request.clone();
    assert!(asked.reasons.iter().any(|reason| reason.contains("console")), "{asked:?}");
    assert_eq!(asked.max_remember, Remember::Once);
    rig.say(&question, Decision::Approved, Remember::Once, ada.clone()).await.unwrap();
    let ready = ready(waits.await.unwrap());
    assert_eq!(run(ready).await.status, ToolStatus::Succeeded);
    assert_eq!(rig.remote.calls()[0].approval, Some(question));
    // In a text, as a number, and as a name with its value.
    let hidden = [
        ("d", json!({"q": ["open sesame"]})),
        ("e", json!({"card": 4_111_111_111_111_111_u64})),
        ("f", json!({"pin": "1234"})),
    ];
    for (id, arguments) in hidden {
        let hides = search(&rig, id, arguments, ApprovalMode::Never).await;
        assert!(!hides.awaits_person(), "somebody is asked in vain: {id}");
        let redacted = over(settle(hides).await);
        assert_eq!(code(&redacted), (ToolStatus::Denied, ErrorCode::CapabilityDenied), "{id}");
    }
    assert_eq!(rig.remote.calls().len(), 1);
}

#[tokio::test]
async fn a_call_interrupted_by_a_crash_is_asked_after_and_never_made_again() {
    let ended = RemoteEnd { status: ToolStatus::Failed, output: "half".into(), error: None };
    for (outcome, status) in [
        (RemoteOutcome::Ended(ended), ToolStatus::Failed),
        (RemoteOutcome::Cancelled, ToolStatus::Cancelled),
        (RemoteOutcome::Unknown("nobody knows".into()), ToolStatus::Indeterminate),
    ] {
        let rig = rig(vec![CENTRAL, LOCAL]).await;
        *rig.remote.runs_on.lock().unwrap() = true;
        let call = ready(settle(search(&rig, "c", json!({"q": 1}), ApprovalMode::Never).await).await);
        // The host dies while it runs: the future is dropped where it stands.
        let called = async {
            while rig.remote.calls().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            result = run(call) => panic!("{result:?}"),
            () = called => {}
        }
        assert_eq!(rig.journal.phase("c"), Some(CallPhase::Started));
        rig.remote.will(outcome);
        let rig = rig.restart(vec![CENTRAL, LOCAL]).await;
        for _ in 0..2 {
            let again = search(&rig, "c", json!({"q": 1}), ApprovalMode::Never).await;
            assert_eq!(over(settle(again).await).status, status);
        }
        assert_eq!((rig.remote.calls().len(), rig.remote.asked_after.lock().unwrap().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_call_that_policy_ends_says_why_and_that_it_may_go_on() {
    let rig = rig(vec![CENTRAL, LOCAL]).await;
    *rig.remote.runs_on.lock().unwrap() = true;
    rig.remote.will(RemoteOutcome::Unknown("it may go on".into()));
    let call = ready(settle(search(&rig, "c", json!({}), ApprovalMode::Never).await).await);
    let centre = rig.centre.clone();
    let runs = tokio::spawn(async move { run(call).await });
    while rig.remote.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    centre.raise_and_tell(Some("mia: a token leaked"));
    let result = runs.await.unwrap();
    assert_eq!(code(&result), (ToolStatus::Indeterminate, ErrorCode::OutcomeUnknown));
    let message = result.error.unwrap().message;
    assert!(message.contains("a token leaked") && message.contains("may go on"), "{message}");
}

#[tokio::test]
async fn a_host_offers_so_much_and_its_own_come_first() {
    let rig = Rig::new(vec![CENTRAL, LOCAL]).await;
    let many = (0..MAX_OFFERED + 5).map(|n| tool(&format!("Tool{n:03}"), "x"));
    rig.remote.offer(many.chain([tool("ReadFile", "Mine.")]));
    let names = offered(&rig);
    let own = lanyard_tools::specs().len();
    assert_eq!(names.len(), own + MAX_OFFERED);
    assert_eq!(names.iter().filter(|name| *name == "ReadFile").count(), 1);
    // Whatever is offered under its name, the host's own is what runs.
    let call = rig.prepare_tool("c", "ReadFile", json!({"path": "none"}), owner(), ApprovalMode::Never).await;
    run(ready(settle(call).await)).await;
    assert!(rig.remote.calls().is_empty());
}

#[test]
fn definitions_from_outside_are_looked_through() {
    let with_schema = |name: &str, schema: Value| {
        let mut tool = tool(name, "x");
        tool.spec.input_schema = Json(schema);
        tool
    };
    let deep = (0..40).fold(json!({}), |inner, _| json!({"type": "object", "properties": {"a": inner}}));
    let found = screened(vec![
        tool("Search", "a\u{202e}b"),
        tool("read_file", "x"),
        tool("READFILE", "x"),
        tool("sear-ch", "x"),
        tool("", "x"),
        tool("1st", "x"),
        tool("a b", "x"),
        tool(&"n".repeat(65), "x"),
        tool("Wordy", &"w".repeat(80_000)),
        with_schema("Deep", deep),
        with_schema("List", json!({"type": "array"})),
        // Nothing in a schema is followed, so one that names itself is as good as any.
        with_schema("Itself", json!({"type": "object", "properties": {"a": {"$ref": "#"}}})),
    ]);
    let names: Vec<_> = found.tools.iter().map(|tool| tool.spec.name.as_str()).collect();
    assert_eq!(names, ["Itself", "Search"]);
    assert!(!found.tools[1].spec.description.contains('\u{202e}'));
    assert_eq!(found.left_out.len(), 10, "{:?}", found.left_out);
    assert!(found.left_out[0].1.contains("tool of this host"), "{:?}", found.left_out);
}
