//! News of the policy from several tasks at once, and a centre whose epochs go back.

use std::sync::Barrier;

use lanyard_ports::authority::{PolicyNews, SessionClaim};
use lanyard_protocol::Tick;
use lanyard_protocol::health::HealthStatus;

use super::*;
use crate::central::{Bells, Centre, CentreParts};

/// Often enough that two threads meet between a comparison and its write.
const ROUNDS: u64 = 40;

fn news(epoch: u64, revoked: Option<&str>) -> PolicyNews {
    PolicyNews { epoch, revoked: revoked.map(str::to_owned) }
}

fn on_disk(centre: &Centre) -> PolicyNews {
    crate::central::consent::read_news(&centre.dir, &AgentId::new("agent_1").unwrap()).unwrap()
}

/// Takes both at once, and says what was told meanwhile.
fn both(centre: &Arc<Centre>, one: PolicyNews, other: PolicyNews) {
    let gate = Barrier::new(2);
    std::thread::scope(|scope| {
        for news in [one, other] {
            scope.spawn(|| {
                gate.wait();
                centre.take_news(news).unwrap();
            });
        }
    });
}

fn claim_of(house: &House, opened: &SessionOpened) -> SessionClaim {
    SessionClaim {
        session_id: opened.session_id.clone(),
        workspace_id: opened.workspace_id.clone(),
        roots: vec![house.work()],
        tenant_id: house.host().centre.tenant_id(),
        user_id: house.host().centre.user_id("owner"),
    }
}

#[tokio::test]
async fn a_revocation_is_never_undone_by_the_mere_number_of_its_epoch() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let centre = &house.host().centre;
    centre.take_news(news(5, Some("Ann: leaked"))).unwrap();
    centre.take_news(news(5, None)).unwrap();
    assert_eq!((centre.news.borrow().clone(), on_disk(centre)), {
        let revoked = news(5, Some("Ann: leaked"));
        (revoked.clone(), revoked)
    });
    // The other way round the word comes late, and counts all the same.
    centre.take_news(news(6, None)).unwrap();
    centre.take_news(news(6, Some("Ann: again"))).unwrap();
    assert_eq!(centre.news.borrow().clone(), news(6, Some("Ann: again")));
    for round in 0..ROUNDS {
        let epoch = 10 + round;
        both(centre, news(epoch, Some("Ann: leaked")), news(epoch, None));
        let held = centre.news.borrow().clone();
        assert_eq!(held, news(epoch, Some("Ann: leaked")), "in memory");
        assert_eq!(on_disk(centre), held, "on disk");
    }
    house.stop().await;
}

#[tokio::test]
async fn of_two_newer_epochs_the_newest_stands_in_memory_and_on_disk() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let centre = &house.host().centre;
    for round in 0..ROUNDS {
        let epoch = 10 + 2 * round;
        both(centre, news(epoch, Some("Ann: leaked")), news(epoch + 1, None));
        assert_eq!(centre.news.borrow().clone(), news(epoch + 1, None), "in memory");
        assert_eq!(on_disk(centre), news(epoch + 1, None), "on disk");
    }
    house.stop().await;
}

#[tokio::test]
async fn nobody_compares_while_somebody_writes() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let centre = &house.host().centre;
    std::thread::scope(|scope| {
        let held = centre.hearing();
        let late = scope.spawn(|| centre.take_news(news(5, None)).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        // As whoever holds the lock does.
        centre.news.send_replace(news(6, Some("Ann: leaked")));
        drop(held);
        late.join().unwrap();
    });
    assert_eq!(centre.news.borrow().clone(), news(6, Some("Ann: leaked")));
    house.stop().await;
}

#[tokio::test]
async fn news_on_their_way_do_not_begin_an_enrolment_again_that_was_ended() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let centre = &house.host().centre;
    centre.take_news(news(5, Some("Ann: leaked"))).unwrap();
    let Tie::Enrolled(enrolled) = centre.tie() else { panic!() };
    let Enrolled { facts, consent, .. } = Enrolled::clone(&enrolled);
    let broken =
        super::super::tie::Broken { facts: Some(facts), consent, reason: "lost".to_owned(), revoked: true };
    centre.tie.send_replace(Tie::Broken(Arc::new(broken)));
    centre.take_news(news(9, None)).unwrap();
    assert_eq!(centre.news.borrow().clone(), news(5, Some("Ann: leaked")));
    house.stop().await;
}

#[tokio::test]
async fn a_bundle_issued_after_the_revocation_of_its_epoch_puts_it_in_force_and_an_earlier_one_does_not() {
    let house = House::new(Played { epoch: Mutex::new(5), ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let centre = &house.host().centre;
    let before = centre.news.borrow().clone();
    centre.take_news(news(5, Some("Ann: leaked"))).unwrap();
    centre.was_issued(&before, 5).unwrap();
    assert_eq!(centre.news.borrow().clone(), news(5, Some("Ann: leaked")), "it was asked for before");
    centre.fresh.lock().unwrap().clear();
    house.host().authority.issue(&claim_of(&house, &opened)).await.unwrap();
    assert_eq!((centre.news.borrow().clone(), on_disk(centre)), (news(5, None), news(5, None)));
    house.stop().await;
}

#[tokio::test]
async fn a_centre_whose_epochs_went_back_keeps_sessions_stopped_and_people_are_told_the_way_out() {
    let house = House::new(Played { epoch: Mutex::new(5), ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let centre = &house.host().centre;
    centre.take_news(news(6, None)).unwrap();
    *house.wire.epoch.lock().unwrap() = 3;
    let refused = house.host().authority.issue(&claim_of(&house, &opened)).await.unwrap_err();
    assert!(refused.message.contains("went back, from 6 to 3"), "{refused}");
    let error = house.session().await.unwrap_err();
    assert!(error.message.contains("went back"), "no new one either: {error}");
    let central = crate::central::check(house.host()).unwrap().remove(0);
    assert_eq!(central.status, HealthStatus::Bad);
    assert!(central.message.contains("unenrol this host and enrol it again"), "{central:?}");
    let shown = crate::central::api::status(house.host()).await.unwrap();
    let Response::GetCentral(shown) = shown else { panic!("{shown:?}") };
    let why = shown.enrolment.unwrap().policy_revoked.unwrap();
    assert!(why.contains("have the administrator change the policy"), "{why}");
    // It has caught up.
    *house.wire.epoch.lock().unwrap() = 6;
    house.host().authority.issue(&claim_of(&house, &opened)).await.unwrap();
    assert_eq!(centre.fell_behind(), None);
    house.stop().await;
}

#[tokio::test]
async fn a_bundle_of_an_absurd_epoch_is_refused() {
    let house = House::new(Played { epoch: Mutex::new(1 << 40), ..Played::default() });
    house.enrol(false, false).await;
    let error = house.session().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PolicyBundleInvalid, "{error}");
    assert!(error.message.contains("not believed"), "{error}");
    house.stop().await;
}

#[tokio::test]
async fn a_session_is_not_created_under_this_machines_policy_alone_when_news_come_between() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    // As between the centre's grant and the session's row.
    let claim = SessionClaim { session_id: SessionId::new("ses_new").unwrap(), ..claim_of(&house, &opened) };
    house.host().centre.fresh.lock().unwrap().iter_mut().for_each(|held| {
        held.row.session_id = claim.session_id.clone();
    });
    assert_eq!(house.host().authority.issue(&claim).await.unwrap().bundles.len(), 2);
    house.host().centre.take_news(news(2, None)).unwrap();
    let error = house.host().authority.issue(&claim).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PolicyBundleInvalid);
    house.stop().await;
}

/// A wall clock and a boot clock that a test sets.
#[derive(Default)]
struct Clocks(Mutex<(i64, u64)>);

impl lanyard_ports::source::Clock for Clocks {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.lock().unwrap().0)
    }
}

impl lanyard_ports::source::BootClock for Clocks {
    fn boot(&self) -> Tick {
        Tick::from_millis(self.0.lock().unwrap().1)
    }
}

#[tokio::test]
async fn the_uptime_does_not_jump_with_the_wall_clock() {
    let house = House::new(Played::default());
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Clocks(Mutex::new((1_000_000, 50_000))));
    let centre = Centre::load(CentreParts {
        state_dir: dir.path(),
        journal: house.host().journal.clone(),
        clock: clocks.clone(),
        boot: clocks.clone(),
        bells: Bells::default(),
        jobs: 1,
    });
    for wall in [0, 9_000_000, 1_000] {
        *clocks.0.lock().unwrap() = (wall, 57_000);
        assert_eq!(centre.uptime(), Duration::from_secs(7));
    }
    drop(centre);
    house.stop().await;
}
