//! What the centre may do here, and what it may not.

use lanyard_governance_api::command::{Command, Order};
use lanyard_governance_api::id::ProposalId;
use lanyard_governance_client::commands::CommandHandler;
use lanyard_protocol::approval::{ApprovalRecord, Decision};
use lanyard_protocol::id::{ApprovalId, DeviceId, PairingId, PrincipalId};
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
    assert_eq!(record.summary.state, SessionState::SessionCompleted);
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
