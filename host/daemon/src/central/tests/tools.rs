//! Calls of the centre's tools, against a Backend Tool Service that the test plays.

use lanyard_governance_api::tool::{InvokeRequest, SettleRequest, ToolList};
use lanyard_ports::remote::{RemoteCall, RemoteEnd, RemoteOutcome, RemoteTools};
use lanyard_protocol::id::ArtifactId;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolSpec, ToolStatus};
use serde_json::json;

use super::*;
use crate::central::backend::BackendTools;
use crate::central::toolwire::{ToolFault, ToolWire};

/// What is answered, in order; beyond the last, the last again.
#[derive(Default)]
struct Service {
    list: Mutex<Option<ToolList>>,
    answers: Mutex<VecDeque<Result<ToolStatus, ToolFault>>>,
    settled: Mutex<Option<ToolStatus>>,
    invoked: Mutex<Vec<InvokeRequest>>,
    asked_after: Mutex<Vec<ToolRequest>>,
    /// Calls are answered by nobody.
    silent: bool,
    /// Results are of another call.
    lies: bool,
    artifact: bool,
}

fn of(request: &ToolRequest, status: ToolStatus) -> ToolResult {
    let mut result = ToolResult::of(request, status);
    result.output_text = Some("found".to_owned());
    result
}

fn away(sent: bool) -> Result<ToolStatus, ToolFault> {
    Err(ToolFault::Away { sent, why: "nobody answers".to_owned() })
}

fn refused(code: ErrorCode) -> Result<ToolStatus, ToolFault> {
    Err(ToolFault::Refused(WireError::new(code, "no")))
}

#[async_trait::async_trait]
impl ToolWire for Service {
    async fn list(&self) -> Result<ToolList, WireError> {
        self.list.lock().unwrap().clone().ok_or_else(unreachable)
    }

    async fn invoke(&self, asked: &InvokeRequest) -> Result<ToolResult, ToolFault> {
        self.invoked.lock().unwrap().push(asked.clone());
        if self.silent {
            std::future::pending::<()>().await;
        }
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let mut result = of(&asked.request, next.unwrap()?);
        if self.lies {
            result.tool_call_id = "other".parse().unwrap();
        }
        if self.artifact {
            result.artifact_uris.push("artifact:art_1".to_owned());
        }
        Ok(result)
    }

    async fn settle(&self, asked: &SettleRequest) -> Result<ToolResult, ToolFault> {
        self.asked_after.lock().unwrap().push(asked.request.clone());
        let settled = *self.settled.lock().unwrap();
        let away = ToolFault::Away { sent: true, why: "nobody answers".to_owned() };
        settled.map(|status| of(&asked.request, status)).ok_or(away)
    }

    async fn output(&self, _: &WorkspaceId, artifact: &ArtifactId) -> Result<bytes::Bytes, WireError> {
        assert_eq!(artifact.as_str(), "art_1");
        Ok(bytes::Bytes::from_static(b"all of it"))
    }
}

fn answering(answers: impl IntoIterator<Item = Result<ToolStatus, ToolFault>>) -> Service {
    Service { answers: Mutex::new(answers.into_iter().collect()), ..Service::default() }
}

/// The tools of a session, and the host whose records they use.
fn tools(service: Service) -> (Arc<BackendTools>, Arc<Service>, House) {
    let (house, service) = (House::new(Played::default()), Arc::new(service));
    let (way, told) = (service.clone(), house.wire.clone());
    let tools = BackendTools::new(
        Box::new(move || Ok(way.clone() as Arc<dyn ToolWire>)),
        Box::new(move || Ok(told.clone() as Arc<dyn Wire>)),
        Box::new(|| true),
        house.host().journal.clone(),
        SessionId::new("s").unwrap(),
    );
    (Arc::new(tools), service, house)
}

fn call(approved: bool) -> RemoteCall {
    let request = ToolRequest {
        tool_name: "Search".into(),
        arguments: Json(json!({})),
        workspace_id: "w".parse().unwrap(),
        session_id: "s".parse().unwrap(),
        task_id: "t".parse().unwrap(),
        step_id: "st".parse().unwrap(),
        tool_call_id: "c".parse().unwrap(),
        capability: None,
    };
    RemoteCall { request, definition: "1".into(), approval: approved.then(|| "apr_1".parse().unwrap()) }
}

async fn invoke(service: Service, approved: bool) -> (RemoteOutcome, Arc<Service>) {
    let (tools, service, _house) = tools(service);
    (tools.invoke(call(approved), &CancellationToken::new()).await, service)
}

fn never_ran(outcome: &RemoteOutcome) -> ErrorCode {
    match outcome {
        RemoteOutcome::NeverRan(error) => error.code,
        other => panic!("{other:?}"),
    }
}

fn ended(outcome: RemoteOutcome) -> RemoteEnd {
    match outcome {
        RemoteOutcome::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_broke_is_repeated_under_the_same_id_and_definition() {
    let (outcome, service) = invoke(
        answering([away(true), Err(ToolFault::Later(Duration::from_secs(1))), Ok(ToolStatus::Succeeded)]),
        false,
    )
    .await;
    assert_eq!(ended(outcome).output, "found");
    let invoked = service.invoked.lock().unwrap();
    assert_eq!(invoked.len(), 3);
    assert!(invoked.iter().all(|one| *one == invoked[0]) && invoked[0].definition.as_deref() == Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_centre_that_is_away_is_given_up_and_what_may_have_arrived_is_not_denied() {
    let (outcome, service) = invoke(answering([away(false)]), false).await;
    assert_eq!(never_ran(&outcome), ErrorCode::CentralUnavailable);
    assert!(service.invoked.lock().unwrap().len() > 1);
    let (outcome, _) = invoke(answering([away(true), away(false)]), false).await;
    assert!(matches!(outcome, RemoteOutcome::Unknown(_)), "{outcome:?}");
    let (outcome, _) = invoke(answering([Err(ToolFault::Later(Duration::from_secs(25)))]), false).await;
    assert!(matches!(outcome, RemoteOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_never_ran_unless_an_earlier_request_did() {
    let (outcome, _) = invoke(answering([refused(ErrorCode::PolicyRevoked)]), false).await;
    assert_eq!(never_ran(&outcome), ErrorCode::PolicyRevoked);
    for (settled, ran) in [(ToolStatus::Succeeded, true), (ToolStatus::Cancelled, false)] {
        let service = answering([away(true), refused(ErrorCode::PolicyRevoked)]);
        *service.settled.lock().unwrap() = Some(settled);
        let (outcome, _) = invoke(service, false).await;
        match ran {
            true => assert_eq!(ended(outcome).output, "found"),
            false => assert_eq!(never_ran(&outcome), ErrorCode::PolicyRevoked),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_word_is_on_its_way_is_waited_for() {
    let late = || answering([refused(ErrorCode::ApprovalRequired), Ok(ToolStatus::Succeeded)]);
    assert_eq!(ended(invoke(late(), true).await.0).output, "found");
    assert_eq!(never_ran(&invoke(late(), false).await.0), ErrorCode::ApprovalRequired);
    let (outcome, _) = invoke(answering([refused(ErrorCode::ApprovalRequired)]), true).await;
    assert_eq!(never_ran(&outcome), ErrorCode::ApprovalRequired);
}

#[tokio::test(start_paused = true)]
async fn the_result_of_another_call_is_none_and_a_cut_output_is_fetched() {
    let liar = Service { lies: true, ..answering([Ok(ToolStatus::Succeeded)]) };
    let (outcome, _) = invoke(liar, false).await;
    assert!(matches!(outcome, RemoteOutcome::Unknown(_)), "{outcome:?}");
    let long = Service { artifact: true, ..answering([Ok(ToolStatus::Succeeded)]) };
    assert_eq!(ended(invoke(long, false).await.0).output, "all of it");
}

#[tokio::test]
async fn a_cancelled_call_is_asked_after_once() {
    for (settled, expected) in [
        (Some(ToolStatus::Cancelled), "Cancelled"),
        (Some(ToolStatus::Succeeded), "Ended"),
        (None, "Unknown"),
    ] {
        let service = Service { silent: true, settled: Mutex::new(settled), ..Service::default() };
        let (tools, service, _house) = tools(service);
        let cancel = CancellationToken::new();
        let running = tokio::spawn({
            let (tools, cancel) = (tools.clone(), cancel.clone());
            async move { tools.invoke(call(false), &cancel).await }
        });
        until(|| !service.invoked.lock().unwrap().is_empty()).await;
        cancel.cancel();
        let outcome = format!("{:?}", running.await.unwrap());
        assert!(outcome.starts_with(expected), "{outcome}");
        assert_eq!(service.asked_after.lock().unwrap().len(), 1);
    }
    // Before anything was sent there is nothing to ask.
    let (tools, service, _house) = tools(answering([]));
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(tools.invoke(call(false), &cancel).await, RemoteOutcome::Cancelled);
    assert!(service.asked_after.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_stays_until_something_else_is() {
    let spec = |name: &str| ToolSpec {
        name: name.into(),
        description: "x".into(),
        input_schema: Json(json!({"type": "object"})),
        capabilities: Vec::new(),
    };
    let definitions = [("Search".to_owned(), "1".to_owned()), ("ReadFile".to_owned(), "1".to_owned())];
    let list = ToolList {
        tools: vec![spec("ReadFile"), spec("Search"), spec("Unnamed")],
        definitions: definitions.into_iter().collect(),
    };
    let (tools, service, _house) = tools(answering([refused(ErrorCode::ToolNotFound)]));
    let names = || tools.known().iter().map(|tool| tool.spec.name.clone()).collect::<Vec<_>>();
    tools.look().await;
    assert!(names().is_empty());
    *service.list.lock().unwrap() = Some(list);
    // A name that nobody knows is looked for, and not each time.
    assert!(tools.find("Search").await.is_none());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(tools.find("Search").await.is_some());
    assert_eq!(names(), ["Search"], "neither one of this host's names nor one without a definition");
    *service.list.lock().unwrap() = None;
    tokio::time::advance(Duration::from_secs(5)).await;
    tools.look().await;
    assert_eq!(names(), ["Search"]);
    // Told that it is gone, it looks at once.
    *service.list.lock().unwrap() = Some(ToolList { tools: Vec::new(), definitions: BTreeMap::new() });
    let outcome = tools.invoke(call(false), &CancellationToken::new()).await;
    assert_eq!(never_ran(&outcome), ErrorCode::ToolNotFound);
    assert!(names().is_empty());
}
