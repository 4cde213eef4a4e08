//! What the centre may do here, and what it may not.

use lanyard_governance_api::command::{Command, Order};
use lanyard_governance_api::id::ProposalId;
use lanyard_governance_client::commands::CommandHandler;
use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRecord, ApprovalRequest, ApprovalState, Decision, OtherDetail, RiskLevel,
};
use lanyard_protocol::id::{ApprovalId, DeviceId, PairingId, PrincipalId, StepId, ToolCallId};
use lanyard_protocol::policy::{Approver, Remember};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::SessionState;

use super::*;
use crate::central::commands::Orders;

impl House {
    async fn obey(&self, number: u64, by: Option<&str>, order: Order) -> Result<(), WireError> {
        let by = by.map(|user| UserId::new(user).unwrap());
        let command = Command { number, at: Timestamp::now(), by, by_name: Some("Somebody".into()), order };
        Orders(self.host().clone()).handle(command).await
    }

    pub(super) async fn decide(
        &self,
        asked: &ApprovalRecord,
        by: &str,
        decision: Decision,
        number: u64,
    ) -> Result<(), WireError> {
        let order = Order::DecideApproval {
            session_id: asked.request.session_id.clone(),
            approval_id: asked.request.approval_id.clone(),
            proposal_id: ProposalId::new("p").unwrap(),
            decision,
            reason: None,
        };
        self.obey(number, Some(by), order).await
    }
}

#[tokio::test]
async fn without_the_owners_consent_nobody_at_the_centre_answers_anything() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let orders = [
        Order::DecideApproval {
            session_id: SessionId::new("s").unwrap(),
            approval_id: ApprovalId::new("a").unwrap(),
            proposal_id: ProposalId::new("p").unwrap(),
            decision: Decision::Approved,
            reason: None,
        },
        Order::DecidePairing { pairing_id: PairingId::new("p").unwrap(), approve: true, digits: None },
        Order::RevokeDevice { device_id: DeviceId::new("d").unwrap() },
    ];
    for order in orders {
        let refused = house.obey(1, Some(ANN), order).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthorized);
    }
    house.stop().await;
}

#[tokio::test]
async fn people_of_the_centre_hold_what_the_owner_lets_them_and_nothing_without_an_enrolment() {
    let house = House::new(Played::default());
    let ann = PrincipalId::new("central:ann").unwrap();
    let rights = || house.host().principals.standing(&ann).map(|who| who.scopes);
    assert_eq!(rights(), None);
    house.enrol(false, false).await;
    assert_eq!(rights(), None);
    house.enrol(true, false).await;
    assert_eq!(rights(), Some(vec![Scope::Observe, Scope::Operate]));
    house.enrol(false, true).await;
    assert_eq!(rights(), Some(vec![Scope::Observe, Scope::Approve]));
    assert!(!house.host().principals.standing(&ann).unwrap().local, "never at the machine itself");
    house.host().centre.tie.send_replace(Tie::Alone);
    assert_eq!(rights(), None);
    house.stop().await;
}

#[tokio::test]
async fn an_answer_without_a_person_counts_for_nobody() {
    let house = House::new(Played::default());
    house.enrol(false, true).await;
    let order = Order::RevokeDevice { device_id: DeviceId::new("d").unwrap() };
    let refused = house.obey(1, None, order).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_there_cannot_be_answered_and_the_centre_hears_so() {
    let house = House::new(Played::default());
    house.enrol(false, true).await;
    let order = Order::RevokeDevice { device_id: DeviceId::new("d").unwrap() };
    let refused = house.obey(1, Some(ANN), order).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::DeviceNotFound, "it came as far as the desk");
    let order =
        Order::DecidePairing { pairing_id: PairingId::new("p").unwrap(), approve: true, digits: None };
    let refused = house.obey(2, Some(ANN), order).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::PairingNotFound);
    house.stop().await;
}

#[tokio::test]
async fn news_of_the_policy_are_on_disk_before_they_are_acknowledged_and_never_go_back() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let news =
        |epoch, revoked: Option<&str>| Order::PolicyEpoch { epoch, revoked: revoked.map(str::to_owned) };
    house.obey(1, None, news(5, Some("leaked"))).await.unwrap();
    house.obey(2, None, news(4, None)).await.unwrap();
    let heard = house.host().centre.news.borrow().clone();
    assert_eq!((heard.epoch, heard.revoked.as_deref()), (5, Some("Somebody: leaked")));
    let agent = AgentId::new("agent_1").unwrap();
    assert_eq!(crate::central::consent::read_news(&house.host().centre.dir, &agent).unwrap(), heard);
    house.obey(3, None, news(6, None)).await.unwrap();
    assert_eq!(house.host().centre.news.borrow().revoked, None);
    house.stop().await;
}

#[tokio::test]
async fn one_message_with_an_absurd_epoch_is_refused_and_changes_nothing() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    house.obey(1, None, Order::PolicyEpoch { epoch: 5, revoked: None }).await.unwrap();
    for (epoch, revoked) in [(1 << 40, None), (u64::MAX, Some("leaked".to_owned())), (1_000_006, None)] {
        let refused = house.obey(2, None, Order::PolicyEpoch { epoch, revoked }).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest, "{refused}");
        assert_eq!(house.host().centre.news.borrow().epoch, 5);
    }
    let agent = AgentId::new("agent_1").unwrap();
    assert_eq!(crate::central::consent::read_news(&house.host().centre.dir, &agent).unwrap().epoch, 5);
    house.obey(3, None, Order::PolicyEpoch { epoch: 1_000_005, revoked: None }).await.unwrap();
    assert_eq!(house.host().centre.news.borrow().epoch, 1_000_005);
    house.stop().await;
}

#[test]
fn the_same_number_under_another_enrolment_is_another_command() {
    let by = |agent: &str, number| crate::central::commands::By {
        user: None,
        name: None,
        agent: Some(AgentId::new(agent).unwrap()),
        number,
    };
    let key = |agent: &str, number| by(agent, number).key().unwrap();
    assert_eq!(key("agent_1", 7), key("agent_1", 7));
    assert_ne!(key("agent_1", 7), key("agent_2", 7));
    assert_ne!(key("agent_1", 7), key("agent_1", 8));
    key(&"a".repeat(128), u64::MAX);
}

#[tokio::test]
async fn a_live_sessions_policy_takes_notice_before_the_acknowledgement() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let live = house.host().sessions.open(house.host(), &opened.session_id).await.unwrap();
    let layers = live.policy().current().await.unwrap();
    let order = Order::PolicyEpoch { epoch: 2, revoked: Some("leaked".to_owned()) };
    house.wire.go_away();
    house.obey(1, None, order).await.unwrap();
    assert!(!live.policy().still(&layers));
    let lapse = live.policy().current().await.unwrap_err();
    assert!(lapse.to_string().contains("Somebody: leaked"), "{lapse}");
    drop(live);
    house.stop().await;
}

#[tokio::test]
async fn a_session_is_ended_once_and_says_why() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let order =
        || Order::CancelSession { session_id: opened.session_id.clone(), reason: "wrong repository".into() };
    house.obey(1, Some(ANN), order()).await.unwrap();
    house.obey(1, Some(ANN), order()).await.unwrap();
    let record = house.host().journal.session(&opened.session_id).unwrap();
    assert_eq!(record.summary.state, SessionState::SessionCancelled);
    let page = house.host().journal.search_events(
        &opened.session_id,
        "wrong repository",
        lanyard_ports::journal::Cursor::After(0),
        9,
    );
    assert_eq!(page.unwrap().events.len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_the_centre_has_ended_already_is_ended_here_too() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    // What is not open anywhere would ask the centre, which has it as cancelled and gives nothing for it any more.
    house.host().centre.fresh.lock().unwrap().clear();
    house.wire.refuse_after(0, WireError::new(ErrorCode::Conflict, "the session has ended"));
    let order = Order::CancelSession { session_id: opened.session_id.clone(), reason: "by mistake".into() };
    house.obey(1, Some(ANN), order).await.unwrap();
    let record = house.host().journal.session(&opened.session_id).unwrap();
    assert_eq!(record.summary.state, SessionState::SessionCancelled);
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_is_cancelled_around_a_job_is_no_completed_one() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let session = house.asked().await.request.session_id;
    house
        .obey(2, None, Order::CancelSession { session_id: session.clone(), reason: "no".into() })
        .await
        .unwrap();
    let told = house.over(&job).await;
    assert!(told.reason.unwrap().contains("the central services ended the session: no"));
    let stands = || house.host().journal.session(&session).unwrap().summary.state;
    until(|| stands().is_final()).await;
    assert_eq!(stands(), SessionState::SessionCancelled);
    house.stop().await;
}

pub(super) fn question(opened: &SessionOpened, approver: Approver, initiator: &str) -> ApprovalRecord {
    let now = Timestamp::now();
    ApprovalRecord {
        request: ApprovalRequest {
            approval_id: ApprovalId::new("apr_1").unwrap(),
            workspace_id: opened.workspace_id.clone(),
            session_id: opened.session_id.clone(),
            task_id: TaskId::new("task_1").unwrap(),
            step_id: StepId::new("step_1").unwrap(),
            tool_call_id: ToolCallId::new("call_1").unwrap(),
            tool_name: "RunCommand".to_owned(),
            capability: Capability::ShellExec,
            title: "Run this command?".to_owned(),
            action_summary: "ls".to_owned(),
            risk_level: RiskLevel::Low,
            reasons: Vec::new(),
            detail: ApprovalDetail::Other(OtherDetail { text: "ls".to_owned() }),
            sandbox_level: SandboxLevel::Full,
            layer: "central".to_owned(),
            approval_rule_id: None,
            approver,
            max_remember: Remember::Once,
            remember_scope: String::new(),
            initiator: PrincipalId::new(initiator).unwrap(),
            requested_at: now,
            deadline: now.plus_millis(60_000),
            policy_epoch: 1,
        },
        state: ApprovalState::Pending,
        answer: None,
        receipts: Vec::new(),
    }
}

#[tokio::test]
async fn whose_host_it_is_does_not_answer_for_somebody_else_what_was_begun_on_it() {
    for (approver, initiator, by, refused) in [
        (Approver::NotInitiator, "owner", "mia", true),
        (Approver::NotInitiator, "a-device", "mia", true),
        (Approver::NotInitiator, "owner", ANN, false),
        (Approver::NotInitiator, "central:bob", "mia", false),
        (Approver::Any, "owner", "mia", false),
        (Approver::Any, "central:mia", "mia", true),
    ] {
        let house = House::new(Played::default());
        house.enrol(false, true).await;
        let opened = house.session().await.unwrap();
        let asked = question(&opened, approver, initiator);
        house.host().journal.commit(vec![Write::Approval(Box::new(asked.clone()))]).await.unwrap();
        let answer = house.decide(&asked, by, Decision::Approved, 1).await;
        let code = answer.err().map(|error| error.code);
        let expected = refused.then_some(ErrorCode::Unauthorized);
        assert_eq!(code, expected, "{approver:?} {initiator} {by}");
        house.stop().await;
    }
}

#[tokio::test]
async fn the_number_of_the_last_command_outlives_the_host() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let orders = Orders(house.host().clone());
    orders.handled(7).await.unwrap();
    orders.handled(6).await.unwrap();
    drop(orders);
    let (dir, wire) = house.stop().await;
    let house = House::open(dir, wire);
    assert_eq!(house.host().journal.central_command().unwrap(), 7);
    house.stop().await;
}
