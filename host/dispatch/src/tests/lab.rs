//! The policy of one session under a played centre and two clocks: what is in force at every instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lanyard_ports::authority::{Reach, TokenSource};
use lanyard_ports::source::BootClock;
use lanyard_protocol::Tick;
use lanyard_protocol::error::ErrorCode;
use proptest::prelude::*;

use super::centre::Centre;
use super::fakes::Hands;
use super::{LayerOf, NOW, claim};
use crate::{PolicyLapse, SessionPolicy};

/// A central layer whose issuer may be away for ten minutes.
const GRACE: Duration = Duration::from_secs(600);
const CENTRAL: LayerOf = ("central", |bundle| bundle.offline_grace_seconds = 600);
const LOCAL: LayerOf = ("local", |_| ());

/// How long a silent centre is still taken to be in reach; pinned here, because the look of the whole depends on it.
const WINDOW: Duration = Duration::from_secs(150);

struct Lab {
    centre: Arc<Centre>,
    wall: Arc<Hands>,
    boot: Arc<Hands>,
    policy: SessionPolicy,
}

impl Lab {
    async fn new(layers: Vec<LayerOf>, prepare: impl FnOnce(&Centre)) -> Self {
        let (wall, boot) = (Arc::new(Hands(AtomicI64::new(NOW))), Arc::new(Hands(AtomicI64::new(1_000))));
        let centre = Arc::new(Centre::new(wall.clone(), layers));
        prepare(&centre);
        let opened =
            SessionPolicy::open(centre.clone(), wall.clone(), boot.clone(), claim(vec!["/code".into()]));
        let policy = opened.await.unwrap();
        Self { centre, wall, boot, policy }
    }

    async fn governed() -> Self {
        Self::new(vec![CENTRAL, LOCAL], |_| ()).await
    }

    fn pass(&self, span: Duration) {
        for clock in [&self.wall, &self.boot] {
            clock.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
        }
    }

    /// The centre answered the connector just now.
    fn heard(&self) {
        self.centre.reach.send_replace(Reach { heard_at: Some(self.boot.boot()), failing: false });
    }

    /// The connector did not reach it just now.
    fn missed(&self) {
        self.centre.reach.send_modify(|reach| reach.failing = true);
    }

    fn cut_off(&self) {
        self.centre.change(|state| state.reachable = false);
        self.missed();
    }

    async fn lapse(&self) -> PolicyLapse {
        self.policy.current().await.unwrap_err()
    }

    async fn epoch(&self) -> Result<u64, PolicyLapse> {
        let layers = self.policy.current().await?;
        Ok(layers.iter().find(|layer| layer.name() == "central").unwrap().bundle().policy_epoch)
    }
}

#[tokio::test]
async fn news_of_another_epoch_make_the_authority_be_asked_again() {
    let lab = Lab::governed().await;
    let before = lab.policy.current().await.unwrap();
    assert!(lab.policy.still(&before));
    assert_eq!(lab.centre.asked(), 1);
    lab.centre.raise_and_tell(None);
    assert!(!lab.policy.still(&before), "the old layers still count");
    assert_eq!(lab.epoch().await, Ok(2));
    assert_eq!(lab.centre.asked(), 2);
    assert_eq!(lab.epoch().await, Ok(2));
    assert_eq!(lab.centre.asked(), 2, "asked although nothing is new");
}

#[tokio::test]
async fn a_revoked_policy_is_in_force_nowhere_until_another_one_is() {
    let lab = Lab::governed().await;
    lab.centre.raise_and_tell(Some("mia: a token leaked"));
    let lapse = lab.lapse().await;
    assert_eq!(lapse, PolicyLapse::Revoked { reason: "mia: a token leaked".into() });
    assert_eq!((lapse.code(), lapse.to_wire().retryable), (ErrorCode::PolicyRevoked, true));
    lab.cut_off();
    assert!(
        matches!(lab.lapse().await, PolicyLapse::Revoked { .. }),
        "out of reach it is revoked all the same"
    );
    lab.centre.change(|state| state.reachable = true);
    lab.centre.raise_and_tell(None);
    assert_eq!(lab.epoch().await, Ok(3));
}

#[tokio::test]
async fn a_changed_policy_that_cannot_be_fetched_stops_at_once() {
    let lab = Lab::governed().await;
    lab.cut_off();
    assert_eq!(lab.epoch().await, Ok(1), "out of reach, within the grace");
    lab.centre.raise_and_tell(None);
    let lapse = lab.lapse().await;
    assert!(matches!(lapse, PolicyLapse::Unconfirmed { .. }), "{lapse}");
    assert_eq!(lapse.code(), ErrorCode::CentralUnavailable);
}

#[tokio::test]
async fn news_that_overtake_the_answer_make_it_be_asked_for_again() {
    let lab = Lab::governed().await;
    lab.centre.change(|state| state.raise_meanwhile = true);
    lab.centre.raise_and_tell(None);
    assert_eq!(lab.epoch().await, Ok(3), "the first answer was outrun while it was on its way");
    assert_eq!(lab.centre.asked(), 3);
}

#[tokio::test]
async fn a_centre_that_issues_less_than_it_announces_is_not_believed() {
    let lab = Lab::governed().await;
    lab.centre.raise_and_tell(None);
    lab.centre.change(|state| state.epoch = 1);
    let lapse = lab.lapse().await;
    assert!(lapse.to_string().contains("older than their own news"), "{lapse}");
}

#[tokio::test]
async fn grace_is_counted_from_the_last_answer_on_the_boot_clock() {
    let lab = Lab::governed().await;
    lab.pass(Duration::from_secs(60));
    lab.heard();
    lab.cut_off();
    lab.pass(GRACE);
    // A wall clock set back changes nothing, and the grace ends when it ends.
    lab.wall.0.store(NOW, Ordering::SeqCst);
    assert_eq!(lab.epoch().await, Ok(1));
    lab.pass(Duration::from_millis(1));
    let lapse = lab.lapse().await;
    assert_eq!(
        lapse.to_string(),
        "the central services have been out of reach for 10 min, and nobody answers [CENTRAL_UNAVAILABLE]"
    );
    // Back in reach, by whoever notices first.
    lab.centre.change(|state| state.reachable = true);
    assert_eq!(lab.epoch().await, Ok(1));
}

#[tokio::test]
async fn a_session_that_pauses_when_away_has_no_grace() {
    let lab = Lab::new(vec![CENTRAL, LOCAL], |centre| {
        centre.change(|state| state.pause_when_away = true);
    })
    .await;
    lab.pass(Duration::from_secs(20));
    assert_eq!(lab.epoch().await, Ok(1), "silent, but nothing has failed");
    lab.cut_off();
    assert!(matches!(lab.lapse().await, PolicyLapse::Unconfirmed { .. }));
}

#[tokio::test]
async fn a_machine_that_wakes_up_does_not_take_itself_for_connected() {
    let lab = Lab::new(vec![CENTRAL, LOCAL], |centre| {
        centre.change(|state| state.pause_when_away = true);
    })
    .await;
    lab.heard();
    lab.centre.change(|state| state.reachable = false);
    lab.pass(WINDOW);
    assert_eq!(lab.epoch().await, Ok(1));
    // Nobody has tried to reach the centre yet; the silence alone says it.
    lab.pass(Duration::from_secs(8 * 3_600));
    assert!(matches!(lab.lapse().await, PolicyLapse::Unconfirmed { .. }));
}

#[tokio::test]
async fn a_bundle_runs_out_by_whichever_clock_is_first() {
    for back in [false, true] {
        let life = Duration::from_secs(3_600);
        let lab = Lab::new(vec![CENTRAL, LOCAL], |centre| centre.change(|state| state.life = life)).await;
        lab.pass(life - Duration::from_millis(1));
        lab.heard();
        lab.centre.change(|state| state.reachable = false);
        if back {
            lab.wall.0.store(NOW, Ordering::SeqCst);
        }
        assert_eq!(lab.epoch().await, Ok(1));
        lab.pass(Duration::from_millis(1));
        assert!(matches!(lab.lapse().await, PolicyLapse::Expired { .. }), "set back: {back}");
        lab.centre.change(|state| state.reachable = true);
        assert_eq!(lab.epoch().await, Ok(1), "renewed");
    }
}

#[tokio::test]
async fn the_issuers_clock_counts_for_its_bundle() {
    for behind in [-6 * 3_600_000, 0, 6 * 3_600_000] {
        let life = Duration::from_secs(3_600);
        let lab = Lab::new(vec![CENTRAL, LOCAL], |centre| {
            centre.change(|state| (state.life, state.behind) = (life, behind));
        })
        .await;
        assert_eq!(lab.epoch().await, Ok(1), "{behind}");
        assert_eq!(lab.centre.asked(), 1);
        lab.pass(life);
        lab.centre.change(|state| state.reachable = false);
        assert!(matches!(lab.lapse().await, PolicyLapse::Expired { .. }), "{behind}");
    }
}

#[tokio::test]
async fn a_machine_of_its_own_hears_no_news_and_is_never_away() {
    let lab = Lab::new(vec![LOCAL], |_| ()).await;
    lab.missed();
    lab.pass(Duration::from_secs(23 * 3_600));
    lab.policy.current().await.unwrap();
    assert_eq!(lab.centre.asked(), 1);
    let never = tokio::time::timeout(Duration::from_millis(20), lab.policy.revoked());
    assert!(never.await.is_err());
}

#[tokio::test]
async fn a_session_the_centre_does_not_govern_is_asked_about_once_per_epoch() {
    let lab = Lab::new(vec![LOCAL], |_| ()).await;
    lab.centre.raise_and_tell(Some("mia: closed"));
    for _ in 0..3 {
        lab.policy.current().await.unwrap();
    }
    assert_eq!(lab.centre.asked(), 2);
}

#[tokio::test]
async fn calls_that_find_the_policy_outrun_together_cause_one_request() {
    let lab = Lab::governed().await;
    lab.centre.raise_and_tell(None);
    let (a, b, c) = tokio::join!(lab.epoch(), lab.epoch(), lab.epoch());
    assert_eq!((a, b, c), (Ok(2), Ok(2), Ok(2)));
    assert_eq!(lab.centre.asked(), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_all() {
    let lab = Lab::governed().await;
    let first = lab.policy.gateway().unwrap();
    let (a, b) = tokio::join!(lab.policy.renew(&first.token), lab.policy.renew(&first.token));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.token, first.token);
    assert_eq!((a.token, lab.centre.asked()), (b.token, 2));
    lab.cut_off();
    let held = lab.policy.gateway().unwrap();
    let error = lab.policy.renew(&held.token).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CentralUnavailable);
}

#[tokio::test]
async fn whoever_waits_for_a_revocation_is_told_of_it_and_of_nothing_else() {
    let lab = Lab::governed().await;
    let waits = lab.policy.revoked();
    tokio::pin!(waits);
    let quiet = Duration::from_millis(20);
    assert!(tokio::time::timeout(quiet, &mut waits).await.is_err());
    lab.centre.raise_and_tell(None);
    assert!(tokio::time::timeout(quiet, &mut waits).await.is_err(), "a change is no revocation");
    // Taken back and put in force again before anybody looked: what holds now is what counts.
    lab.centre.raise_and_tell(Some("mia: wrong button"));
    lab.centre.raise_and_tell(None);
    assert!(tokio::time::timeout(quiet, &mut waits).await.is_err());
    lab.centre.raise_and_tell(Some("mia: a token leaked"));
    assert_eq!(waits.await, PolicyLapse::Revoked { reason: "mia: a token leaked".into() });
    assert!(
        matches!(lab.policy.revoked().await, PolicyLapse::Revoked { .. }),
        "also for whoever comes later"
    );
}

#[tokio::test]
async fn a_session_does_not_begin_under_a_policy_that_is_outrun() {
    let (wall, boot) = (Arc::new(Hands(AtomicI64::new(NOW))), Arc::new(Hands(AtomicI64::new(1_000))));
    let centre = Arc::new(Centre::new(wall.clone(), vec![CENTRAL, LOCAL]));
    centre.raise_and_tell(None);
    centre.change(|state| state.epoch = 1);
    let opened = SessionPolicy::open(centre, wall, boot, claim(vec!["/code".into()])).await;
    assert!(opened.unwrap_err().message.contains("older than their own news"));
}

/// What may happen between two calls.
#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    SetBack(i64),
    Raise(bool),
    Tell,
    RaiseMeanwhile,
    Reachable(bool),
    Heard,
    Missed,
    Call,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (0..400_000_u64).prop_map(Happening::Pass),
        1 => (0..90_000_000_i64).prop_map(Happening::SetBack),
        2 => any::<bool>().prop_map(Happening::Raise),
        2 => Just(Happening::Tell),
        1 => Just(Happening::RaiseMeanwhile),
        2 => any::<bool>().prop_map(Happening::Reachable),
        2 => Just(Happening::Heard),
        2 => Just(Happening::Missed),
        6 => Just(Happening::Call),
    ];
    prop::collection::vec(one, 1..60)
}

/// What a call that is let through must be able to show.
struct Model {
    /// When the centre last answered anything, on the boot clock.
    contact: Tick,
    failing: bool,
    /// When the bundle in force was issued.
    issued: Tick,
    asked: u64,
}

impl Model {
    async fn call(&mut self, lab: &Lab, life: Duration) {
        let before = lab.boot.boot();
        let Ok(layers) = lab.policy.current().await else { return };
        if !lab.policy.still(&layers) {
            return;
        }
        if lab.centre.asked() > self.asked {
            (self.issued, self.contact) = (before, before.max(self.contact));
        }
        let epoch = layers.iter().find(|layer| layer.name() == "central").unwrap().bundle().policy_epoch;
        let news = lab.centre.news.borrow().clone();
        assert!(epoch >= news.epoch, "a call began under epoch {epoch} after news of {}", news.epoch);
        assert!(news.revoked.is_none() || epoch > news.epoch, "a call began under a revoked policy");
        let now = lab.boot.boot();
        assert!(now.since(self.issued) < life, "a call began under a bundle that had run out");
        let allowed = if self.failing { GRACE } else { GRACE.max(WINDOW) };
        assert!(now.since(self.contact) <= allowed, "a call began long after the last contact");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No call ever begins under an epoch older than the last news, under a revoked policy, under a bundle that has run
    /// out on the boot clock, or without contact for longer than the grace.
    #[test]
    fn no_call_begins_under_a_policy_that_is_not_in_force(script in happenings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let life = Duration::from_secs(1_800);
            let lab = Lab::new(vec![CENTRAL, LOCAL], |centre| centre.change(|state| state.life = life)).await;
            let start = lab.boot.boot();
            let mut model = Model { contact: start, failing: false, issued: start, asked: 1 };
            for happening in script {
                match happening {
                    Happening::Pass(millis) => lab.pass(Duration::from_millis(millis)),
                    Happening::SetBack(millis) => {
                        lab.wall.0.fetch_sub(millis, Ordering::SeqCst);
                    }
                    Happening::Raise(revoked) => lab.centre.raise(revoked.then_some("mia: closed")),
                    Happening::Tell => lab.centre.tell(),
                    Happening::RaiseMeanwhile => lab.centre.change(|state| state.raise_meanwhile = true),
                    Happening::Reachable(reachable) => lab.centre.change(|state| state.reachable = reachable),
                    Happening::Heard => {
                        lab.heard();
                        (model.contact, model.failing) = (lab.boot.boot(), false);
                    }
                    Happening::Missed => {
                        lab.missed();
                        model.failing = true;
                    }
                    Happening::Call => model.call(&lab, life).await,
                }
                model.asked = lab.centre.asked();
            }
        });
    }
}
