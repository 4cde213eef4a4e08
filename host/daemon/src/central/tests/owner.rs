//! Enrolling and leaving, live.

use lanyard_protocol::health::HealthStatus;
use lanyard_protocol::method::{EnrolHost, GetCentral, SetCentralConsent, UnenrolHost};

use super::*;
use crate::central::owner::Owner;

struct Running {
    house: House,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn new(house: House) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(house.host().centre.clone().run(house.host().clone(), stop.clone()));
        Self { house, stop, task }
    }

    async fn ask(&self, request: Request) -> Result<Response, WireError> {
        handle(self.house.host(), &owner().unwrap(), request).await.map(|answer| answer.into_response())
    }

    async fn unenrol(&self, force: bool) -> Result<Response, WireError> {
        self.ask(Request::UnenrolHost(UnenrolHost { reason: None, force })).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.house.stop().await;
    }
}

#[tokio::test]
async fn the_owner_says_what_the_centre_may_do_and_it_is_kept() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let running = Running::new(house);
    let said = SetCentralConsent { accept_jobs: true, accept_answers: true };
    let Response::SetCentralConsent(status) = running.ask(Request::SetCentralConsent(said)).await.unwrap()
    else {
        panic!()
    };
    assert!(status.accept_jobs && status.accept_answers);
    let dir = running.house.host().centre.dir.clone();
    assert!(Consent::read(&dir).unwrap().accept_jobs);
    let records = running.house.host().journal.outbox(0, 9).unwrap();
    let [(_, record)] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.event_type.as_str(), record.tenant_id.as_str()), ("central_consent_changed", "acme"));
    assert_eq!(record.payload.0["acceptAnswers"], true);
    running.end().await;
}

#[tokio::test]
async fn nobody_but_the_owner_at_the_machine_decides_whom_it_belongs_to() {
    let house = House::new(Played::default());
    let running = Running::new(house);
    use lanyard_protocol::principal::Scope;
    let device = Principal {
        id: lanyard_protocol::id::PrincipalId::new("phone").unwrap(),
        name: "phone".to_owned(),
        scopes: vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin],
        local: false,
    };
    let enrol = EnrolHost {
        url: "http://127.0.0.1:1".into(),
        token: "t".into(),
        accept_jobs: true,
        accept_answers: true,
        share_earlier_sessions: false,
    };
    let refused = handle(running.house.host(), &device, Request::EnrolHost(enrol)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthorized);
    running.end().await;
}

#[tokio::test]
async fn a_failed_enrolment_leaves_the_host_its_own() {
    let running = Running::new(House::new(Played::default()));
    let enrol = EnrolHost {
        url: "http://127.0.0.1:1".into(),
        token: "nonsense".into(),
        accept_jobs: true,
        accept_answers: false,
        share_earlier_sessions: false,
    };
    running.ask(Request::EnrolHost(enrol)).await.unwrap_err();
    assert!(matches!(running.house.host().centre.tie(), Tie::Alone));
    running.house.session().await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn leaving_waits_for_what_was_not_sent_unless_forced_and_gives_sessions_back() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.wire.go_away();
    let running = Running::new(house);
    let refused = running.unenrol(false).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(
        refused.message.contains("1 events of 1 sessions") && refused.message.contains("--force"),
        "{refused}"
    );
    let Response::UnenrolHost(status) = running.unenrol(true).await.unwrap() else { panic!() };
    assert_eq!(status.enrolment, None);
    let host = running.house.host();
    assert!(matches!(host.centre.tie(), Tie::Alone));
    assert_eq!((host.journal.enrolment().unwrap(), host.journal.unshipped(9).unwrap().len()), (None, 0));
    let live = host.sessions.open(host, &opened.session_id).await.unwrap();
    let layers = live.policy().current().await.unwrap();
    assert_eq!(layers.iter().map(|layer| layer.name()).collect::<Vec<_>>(), ["local"]);
    drop((live, layers));
    assert_eq!(running.unenrol(true).await.unwrap_err().code, ErrorCode::InvalidRequest);
    running.end().await;
}

#[tokio::test]
async fn leaving_in_order_tells_the_centre_when_everything_has_been_sent() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    house.session().await.unwrap();
    let running = Running::new(house);
    let host = running.house.host().clone();
    until(|| host.journal.log_backlog().unwrap().sessions == 0).await;
    running.unenrol(false).await.unwrap();
    assert!(matches!(running.house.wire.told().last(), Some(Told::Left(_))));
    drop(host);
    running.end().await;
}

#[tokio::test]
async fn an_enrolment_that_the_centre_ends_stops_everything_and_says_what_to_do() {
    let house = House::new(Played::default());
    house.enrol(true, true).await;
    let opened = house.session().await.unwrap();
    let running = Running::new(house);
    let host = running.house.host().clone();
    let live = host.sessions.open(&host, &opened.session_id).await.unwrap();
    host.centre.revoked("the laptop was lost".to_owned());
    // First the tie, then the news that sessions hear.
    until(|| host.centre.news.borrow().revoked.is_some()).await;
    assert!(matches!(host.centre.tie(), Tie::Broken(_)));
    let lapse = live.policy().current().await.unwrap_err();
    assert!(lapse.to_string().contains("the laptop was lost"), "{lapse}");
    let Response::GetCentral(status) = running.ask(Request::GetCentral(GetCentral {})).await.unwrap() else {
        panic!()
    };
    let enrolment = status.enrolment.unwrap();
    assert_eq!(enrolment.revoked.as_deref(), Some("the laptop was lost"));
    assert!(!status.accept_jobs && !status.accept_answers, "nothing is allowed any more");
    let agent = AgentId::new("agent_1").unwrap();
    assert!(crate::central::consent::read_revoked(&host.centre.dir, &agent).unwrap().is_some());
    let checks = crate::central::check(&host).unwrap();
    assert_eq!(checks[0].status, HealthStatus::Bad);
    assert!(checks[0].action.as_deref().unwrap().contains("lanyard unenroll"));
    drop((live, host));
    running.end().await;
}

#[tokio::test]
async fn a_host_killed_between_leaving_and_its_store_agrees_with_itself_again() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let (dir, wire) = house.stop().await;
    // No identity on disk: it was wiped, and the store was not told.
    let house = House::open(dir, wire);
    assert!(house.host().journal.enrolment().unwrap().is_some());
    let running = Running::new(house);
    let host = running.house.host().clone();
    until(|| host.journal.enrolment().unwrap().is_none()).await;
    drop(host);
    running.end().await;
}

#[tokio::test]
async fn an_enrolment_that_cannot_be_looked_for_is_no_host_without_one() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let host = house.host();
    // A link to itself cannot be followed: neither there nor not there.
    let nowhere = house.dir.path().join("loop");
    std::os::unix::fs::symlink(&nowhere, &nowhere).unwrap();
    let centre = crate::central::Centre::load(crate::central::CentreParts {
        state_dir: &nowhere,
        journal: host.journal.clone(),
        clock: host.clock.clone(),
        boot: host.centre.boot.clone(),
        bells: crate::central::Bells::default(),
        jobs: 1,
    });
    assert!(matches!(centre.tie(), Tie::Broken(_)), "{:?}", centre.tie());
    // What the store holds of the enrolment stays.
    let stop = CancellationToken::new();
    stop.cancel();
    centre.clone().run(host.clone(), stop).await;
    assert!(host.journal.enrolment().unwrap().is_some());
    drop(centre);
    house.stop().await;
}

#[tokio::test]
async fn an_enrolment_that_the_store_cannot_take_down_is_one_all_the_same() {
    let house = House::new(Played::default());
    let facts = Facts {
        url: "https://central.example:8787".to_owned(),
        agent_id: AgentId::new("agent_1").unwrap(),
        tenant_id: TenantId::new("acme").unwrap(),
        user_id: UserId::new("mia").unwrap(),
        certificate_not_after: Timestamp::now(),
    };
    house.parts.store.close().unwrap();
    let mut owner = Owner::new(house.host().centre.clone(), house.host().clone());
    let way = Way::Played(house.wire.clone());
    let error = owner.take_up(facts, way, Consent::default()).await.unwrap_err();
    assert!(error.message.contains("the host is enrolled"), "{error}");
    let tie = house.host().centre.tie();
    assert!(tie.enrolled().is_some(), "{tie:?}");
    assert!(!owner.is_sending(), "the store may hold what was meant for another centre");
    owner.stop().await;
    drop((owner, tie));
    house.stop().await;
}

#[tokio::test]
async fn a_host_stops_although_it_is_just_enrolling_where_nobody_speaks() {
    let running = Running::new(House::new(Played::default()));
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let token = "lanyard-enroll.1.TOKEN.GOODGOODGOODGOOD.".to_owned();
    let host = running.house.host().clone();
    let asked = tokio::spawn(async move {
        let enrol = EnrolHost {
            url,
            token,
            accept_jobs: false,
            accept_answers: false,
            share_earlier_sessions: false,
        };
        handle(&host, &owner().unwrap(), Request::EnrolHost(enrol)).await.map(drop)
    });
    // Taken, and never answered.
    let (held, _) = tokio::time::timeout(SOON, silent.accept()).await.unwrap().unwrap();
    running.stop.cancel();
    assert!(asked.await.unwrap().is_err());
    drop(held);
    running.end().await;
}
