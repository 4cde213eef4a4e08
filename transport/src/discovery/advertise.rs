//! Announces a host, under supervision.
//!
//! A *round* is one life of the responder. It ends when the host stops, when something else is to be announced, or when
//! it fails; the supervisor then waits, each time longer, and begins the next. Nobody but the health report hears of it.

use std::time::Duration;

use lanyard_protocol::health::{DiscoveryHealth, DiscoveryState};
use mdns_sd::DaemonEvent;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::addresses::Reach;
use super::obstacle::Obstacle;
use super::responder::Responder;
use super::{Announcement, names};

/// Pause after the first failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause: who fixes the cause does not wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A round that held this long was a good one: the next failure counts as the first.
const STEADY: Duration = Duration::from_secs(60);

/// How often the machine's addresses are looked at, as often as the responder does it.
const LOOK: Duration = Duration::from_secs(5);

/// How many looks after a change it is announced again. The first packets on a new link are lost more often than not, an
/// IPv6 address is not usable in its first second, and the responder repeats itself only for names in lower case.
const ECHOES: u8 = 2;

/// Looks after which an announcement should be out; probing for the name takes less than a second.
const PATIENCE: u8 = 3;

/// How long [`Advertiser::stop`] waits; the goodbye itself gives up sooner.
const STOP: Duration = Duration::from_secs(2);

/// What all reports of a failure end with.
const WAY_ROUND: &str = "devices reach this host by the QR code or its address meanwhile";

/// Announces a host for as long as it lives; says goodbye when dropped. Restarts its responder with growing pauses when
/// that fails. Needs a tokio runtime.
#[derive(Debug)]
pub struct Advertiser {
    wanted: watch::Sender<Announcement>,
    health: watch::Receiver<DiscoveryHealth>,
    stop: DropGuard,
    supervisor: JoinHandle<()>,
}

impl Advertiser {
    /// Starts; returns at once.
    pub fn start(what: Announcement) -> Self {
        let starting =
            DiscoveryHealth { state: DiscoveryState::Starting, detail: "not yet announced".to_owned() };
        let (board, health) = watch::channel(starting);
        let (wanted, what) = watch::channel(what);
        let stop = CancellationToken::new();
        let supervised = {
            let (board, stop) = (board.clone(), stop.clone());
            move |what, wanted| round(what, wanted, board.clone(), stop.clone())
        };
        let supervisor = tokio::spawn(supervise(what, board, stop.clone(), supervised));
        Self { wanted, health, stop: stop.drop_guard(), supervisor }
    }

    /// How it goes.
    pub fn health(&self) -> DiscoveryHealth {
        self.health.borrow().clone()
    }

    /// Announces something else from now on.
    pub fn change(&self, what: Announcement) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != what;
            *wanted = what;
            changed
        });
    }

    /// Says goodbye; bounded.
    pub async fn stop(self) {
        drop(self.stop);
        // What has not ended by then is given up: its records run out by themselves.
        let _ = tokio::time::timeout(STOP, AbortOnDropHandle::new(self.supervisor)).await;
    }
}

/// How a round ended.
#[derive(Debug)]
enum End {
    /// The host stops.
    Stopped,
    /// Something else is wanted.
    Changed,
    Failed(Obstacle),
}

async fn supervise<R: Future<Output = End> + Send + 'static>(
    mut wanted: watch::Receiver<Announcement>,
    board: watch::Sender<DiscoveryHealth>,
    stop: CancellationToken,
    round: impl Fn(Announcement, watch::Receiver<Announcement>) -> R,
) {
    let mut pauses = Pauses::new();
    loop {
        let began = Instant::now();
        let what = wanted.borrow_and_update().clone();
        // A task of its own, so that a panic ends the round and not the supervision.
        let round = tokio::spawn(round(what, wanted.clone()));
        let obstacle = match AbortOnDropHandle::new(round).await {
            Ok(End::Stopped) => return,
            Ok(End::Changed) => continue,
            Ok(End::Failed(obstacle)) => obstacle,
            Err(_) => Obstacle::Ended,
        };
        let pause = pauses.next(began.elapsed());
        tracing::warn!(cause = %obstacle, pause = pause.as_secs(), "this host is not found by name");
        let detail = format!("{obstacle}; tried again in {} s; {WAY_ROUND}", pause.as_secs());
        report(&board, DiscoveryState::Failed, detail);
        tokio::select! {
            () = stop.cancelled() => return,
            // A change does not shorten the pause: whoever changes names quickly would make it spin.
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How long to wait before the next round.
#[derive(Debug)]
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    fn next(&mut self, held: Duration) -> Duration {
        let pause = if held >= STEADY { FIRST_PAUSE } else { self.0 };
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

fn report(board: &watch::Sender<DiscoveryHealth>, state: DiscoveryState, detail: String) {
    let health = DiscoveryHealth { state, detail };
    board.send_if_modified(|told| {
        let changed = *told != health;
        *told = health;
        changed
    });
}

async fn round(
    what: Announcement,
    mut wanted: watch::Receiver<Announcement>,
    board: watch::Sender<DiscoveryHealth>,
    stop: CancellationToken,
) -> End {
    let mut responder = match Responder::start() {
        Ok(responder) => responder,
        Err(obstacle) => return End::Failed(obstacle),
    };
    let mut progress = Progress::new(&what);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = tokio::select! {
            () = stop.cancelled() => Err(End::Stopped),
            // An error means that the owner is gone.
            changed = wanted.changed() => Err(changed.map_or(End::Stopped, |()| End::Changed)),
            event = responder.event() => match event {
                Some(event) => progress.notice(event),
                None => Err(End::Failed(Obstacle::Ended)),
            },
            _ = looks.tick() => look(&mut responder, &what, &mut progress).await,
        };
        match step {
            Ok(()) => {
                let (state, detail) = progress.health();
                report(&board, state, detail);
            }
            Err(end) => {
                responder.goodbye().await;
                return end;
            }
        }
    }
}

/// Looks at the machine's addresses and announces again where they changed.
async fn look(responder: &mut Responder, what: &Announcement, progress: &mut Progress) -> Result<(), End> {
    responder.check().map_err(End::Failed)?;
    // Off the runtime's own threads: with a broken driver this may take long.
    let reach = tokio::task::spawn_blocking(Reach::now).await;
    let reach = reach.map_err(|_| End::Failed(Obstacle::Ended))?;
    if progress.look(reach.map_err(|error| End::Failed(Obstacle::Interfaces(error)))?) {
        responder.announce(what).map_err(End::Failed)?;
    }
    Ok(())
}

/// What is known of a round: no sockets, no clock.
#[derive(Debug)]
struct Progress {
    reach: Reach,
    /// Announced on some interface since there was one.
    announced: bool,
    /// Announcements still to repeat.
    echoes: u8,
    /// Looks since there was an interface.
    looks: u8,
    /// Under which name, and which host name.
    name: String,
    host: String,
    /// The network knows another of that name.
    renamed: bool,
}

impl Progress {
    fn new(what: &Announcement) -> Self {
        Self {
            reach: Reach::default(),
            announced: false,
            echoes: 0,
            looks: 0,
            name: names::fit(&what.name),
            host: names::host_name(&what.host.short()),
            renamed: false,
        }
    }

    /// Takes in what the interfaces are now. Returns whether to announce.
    fn look(&mut self, now: Reach) -> bool {
        if now != self.reach {
            // Address changes while it is announced leave it so; without any interface it is nowhere.
            if self.reach.is_empty() || now.is_empty() {
                (self.announced, self.looks) = (false, 0);
            }
            self.reach = now;
            self.echoes = ECHOES + 1;
        }
        self.looks = self.looks.saturating_add(1);
        let again = self.echoes > 0 && !self.reach.is_empty();
        self.echoes = self.echoes.saturating_sub(1);
        again
    }

    fn notice(&mut self, event: DaemonEvent) -> Result<(), End> {
        match event {
            DaemonEvent::Announce(..) => self.announced = !self.reach.is_empty(),
            DaemonEvent::NameChange(change) => {
                self.renamed = true;
                match names::instance(&change.new_name) {
                    Some(name) => self.name = name,
                    None => self.host = change.new_name,
                }
            }
            DaemonEvent::Error(error) => return Err(End::Failed(Obstacle::Refused(error))),
            _ => {}
        }
        Ok(())
    }

    fn health(&self) -> (DiscoveryState, String) {
        let Self { name, host, .. } = self;
        let obstacle = if self.reach.is_empty() {
            if self.reach.only_tunnels { Obstacle::OnlyTunnels } else { Obstacle::NoInterface }
        } else if self.announced {
            let also = if self.renamed { " (another one on the network has the name)" } else { "" };
            let host = host.trim_end_matches('.');
            let detail = format!("announced as \"{name}\" and {host} on {}{also}", self.reach.names());
            return (DiscoveryState::Advertising, detail);
        } else if self.looks > PATIENCE {
            Obstacle::Unheard(self.reach.names())
        } else {
            return (DiscoveryState::Starting, format!("about to be announced as \"{name}\""));
        };
        (
            DiscoveryState::Failed,
            format!("{obstacle}; looked at again every {} s; {WAY_ROUND}", LOOK.as_secs()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use lanyard_pairing::Fingerprint;

    use super::*;

    fn announcement() -> Announcement {
        Announcement { name: "studio".to_owned(), port: 7717, host: Fingerprint::from_bytes([7; 32]) }
    }

    fn reach(ips: &[&str]) -> Reach {
        Reach::at(ips.iter().map(|ip| ("eth0", ip.parse::<IpAddr>().unwrap())))
    }

    fn announced() -> DaemonEvent {
        DaemonEvent::Announce("studio".to_owned(), String::new())
    }

    #[test]
    fn pauses_grow_to_a_minute_and_start_over_after_a_good_round() {
        let mut pauses = Pauses::new();
        let short: Vec<_> = (0..9).map(|_| pauses.next(Duration::ZERO).as_secs()).collect();
        assert_eq!(short, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pauses.next(STEADY).as_secs(), 1);
        assert_eq!(pauses.next(Duration::ZERO).as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_ends_a_round_the_next_one_comes_and_the_report_says_why() {
        let (board, mut health) =
            watch::channel(DiscoveryHealth { state: DiscoveryState::Starting, detail: String::new() });
        let (_wanted, what) = watch::channel(announcement());
        let (stop, rounds) = (CancellationToken::new(), std::sync::atomic::AtomicUsize::new(0));
        let began = Instant::now();
        let round = |_, _| {
            let number = rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move {
                match number {
                    0 => panic!("as a bug would"),
                    1 => End::Failed(Obstacle::Stuck),
                    2 => End::Changed,
                    3 => End::Failed(Obstacle::NoInterface),
                    _ => End::Stopped,
                }
            }
        };
        let seen = async {
            let mut seen = Vec::new();
            while health.changed().await.is_ok() {
                let DiscoveryHealth { state, detail } = health.borrow_and_update().clone();
                assert_eq!(state, DiscoveryState::Failed);
                assert!(detail.ends_with(WAY_ROUND), "{detail}");
                seen.push(detail.split(';').take(2).collect::<String>());
            }
            seen
        };
        let ((), seen) = tokio::join!(supervise(what, board, stop, round), seen);
        assert_eq!(
            seen,
            [
                "the mDNS responder has ended by itself tried again in 1 s",
                "the mDNS responder does not answer any more tried again in 2 s",
                "no network interface is up: connect this machine to a network tried again in 4 s",
            ]
        );
        assert_eq!(began.elapsed(), Duration::from_secs(1 + 2 + 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_not_kept_waiting_by_a_pause() {
        let (board, mut health) =
            watch::channel(DiscoveryHealth { state: DiscoveryState::Starting, detail: String::new() });
        let (_wanted, what) = watch::channel(announcement());
        let stop = CancellationToken::new();
        let supervised =
            tokio::spawn(supervise(what, board, stop.clone(), |_, _| async { End::Failed(Obstacle::Stuck) }));
        health.changed().await.unwrap();
        let before = Instant::now();
        stop.cancel();
        supervised.await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[test]
    fn an_interface_that_comes_back_is_announced_on_again_and_more_than_once() {
        let mut progress = Progress::new(&announcement());
        let looks = |progress: &mut Progress, ips: &[&str]| -> Vec<bool> {
            (0..5).map(|_| progress.look(reach(ips))).collect()
        };
        assert_eq!(looks(&mut progress, &["10.0.0.1"]), [true, true, true, false, false]);
        assert_eq!(looks(&mut progress, &[]), [false; 5], "there is nowhere to announce");
        assert_eq!(looks(&mut progress, &["10.0.0.1"]), [true, true, true, false, false]);
        assert_eq!(looks(&mut progress, &["10.0.0.2"]), [true, true, true, false, false]);
    }

    #[test]
    fn the_report_says_what_is_so_and_the_way_round() {
        let mut progress = Progress::new(&announcement());
        let state = |progress: &Progress, text: &str| {
            let (state, detail) = progress.health();
            assert!(detail.contains(text), "{detail}");
            state
        };
        progress.look(reach(&[]));
        assert_eq!(state(&progress, "no network interface is up"), DiscoveryState::Failed);
        assert_eq!(state(&progress, WAY_ROUND), DiscoveryState::Failed);
        progress.look(reach(&["10.0.0.1"]));
        assert_eq!(state(&progress, "studio"), DiscoveryState::Starting);
        progress.notice(announced()).unwrap();
        assert_eq!(state(&progress, "\"studio\" and lanyard-"), DiscoveryState::Advertising);
        progress.look(reach(&["10.0.0.2"]));
        assert_eq!(state(&progress, "on eth0"), DiscoveryState::Advertising);
        progress.look(reach(&[]));
        assert_eq!(state(&progress, "no network"), DiscoveryState::Failed);
        progress.notice(announced()).unwrap();
        assert_eq!(state(&progress, "no network"), DiscoveryState::Failed, "it was not for anybody to hear");
    }

    #[test]
    fn an_announcement_that_never_gets_out_is_said() {
        let mut progress = Progress::new(&announcement());
        for _ in 0..=PATIENCE {
            progress.look(reach(&["10.0.0.1"]));
        }
        let (state, detail) = progress.health();
        assert!(state == DiscoveryState::Failed && detail.contains("does not get out on eth0"), "{detail}");
        progress.notice(announced()).unwrap();
        assert_eq!(progress.health().0, DiscoveryState::Advertising);
    }
}
