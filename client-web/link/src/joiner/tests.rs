//! The joiner against a host of the lab.

use lanyard_pairing::PairingCode;
use lanyard_pairing::lab::SeededRng;
use lanyard_protocol::principal::Scope;

use super::*;
use crate::lab::{Lab, LabHost, Network};

const SECOND: Duration = Duration::from_secs(1);
const NOW: Tick = Tick::from_millis(1_000_000);

type Page = Lab<Joiner<SeededRng>>;

fn host(seed: u64) -> LabHost {
    let mut host = LabHost::new(seed);
    host.open_window(NOW);
    host
}

fn by_code(host: &LabHost) -> Secret {
    Secret::Code(host.entrance.window.code(NOW).unwrap().clone())
}

fn by_link(host: &LabHost) -> Secret {
    Secret::Link(host.entrance.window.link(NOW).unwrap().clone(), host.keys.public().fingerprint())
}

fn page(host: LabHost, secret: Secret) -> Page {
    let mut rng = SeededRng::new(77);
    let keys = IdentityKeys::generate(&mut rng);
    let about = About { name: "phone".into(), platform: "test".into(), scopes: vec![Scope::Observe] };
    Lab::new(Joiner::start(keys, about, secret, rng, NOW), host, NOW)
}

impl Page {
    fn agreed(&self) -> Option<&PendingJoin> {
        self.told.iter().find_map(|told| if let Told::Agreed(pending) = told { Some(pending) } else { None })
    }

    fn grants(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Granted(_))).count()
    }

    fn aborted(&self) -> Option<Abort> {
        self.told.iter().find_map(|told| if let Told::Aborted(why) = told { Some(*why) } else { None })
    }

    fn is_done(&self) -> bool {
        matches!(self.told.last(), Some(Told::Done))
    }

    /// As `Joining::answer` does.
    fn write_down(&mut self) {
        self.machine.written_down(self.now);
        self.run();
    }
}

#[test]
fn a_page_pairs_by_link_and_by_code() {
    for secret in [by_link, by_code] {
        let host = host(1);
        let secret = secret(&host);
        let mut page = page(host, secret);
        page.run();
        let digits = page.agreed().unwrap().digits().to_string();
        assert_eq!(digits, page.host.asked.as_ref().unwrap().digits().to_string());
        assert!(page.host.approve());
        page.run();
        assert_eq!(page.grants(), 1);
        assert_eq!(page.host.acknowledged, 0, "not before it is written down");
        page.write_down();
        assert_eq!(page.host.acknowledged, 1);
        assert!(page.is_done() && page.machine.wanted().is_none());
        assert_eq!(page.dialed, 1);
    }
}

#[test]
fn a_wrong_code_costs_one_attempt_and_is_not_tried_again() {
    let host = host(2);
    let wrong = Secret::Code(PairingCode::generate(&mut SeededRng::new(3)));
    let mut page = page(host, wrong);
    let before = page.host.entrance.window.attempts_left();
    page.wait(60 * SECOND);
    assert_eq!(page.aborted(), Some(Abort::WrongSecret));
    page.host.entrance.window.settle(page.now, false, &mut SeededRng::new(4));
    assert_eq!(before - page.host.entrance.window.attempts_left(), 1);
    assert!(page.is_done() && page.dialed == 1);
}

#[test]
fn another_host_than_the_links_is_told_and_refused() {
    let host = host(5);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.host.rotate(true);
    page.run();
    assert_eq!(page.aborted(), Some(Abort::WrongHost));
    assert_eq!(page.host.aborts, [Abort::WrongHost]);
    page.wait(LAST_WORDS);
    assert!(page.is_done());
}

#[test]
fn before_the_digits_a_broken_connection_is_the_end_and_after_them_it_is_not() {
    let mut whole = page(host(6), by_link(&host(6)));
    whole.run();
    let messages = whole.delivered;
    for at in 0..messages {
        let host = host(6);
        let secret = by_link(&host);
        let mut page = page(host, secret);
        page.cut_at = Some(at);
        page.run();
        if page.agreed().is_some() {
            page.wait(SECOND);
            assert!(page.host.approve(), "cut at {at}");
            page.wait(SECOND);
            assert_eq!(page.grants(), 1, "cut at {at}");
            continue;
        }
        page.wait(60 * SECOND);
        assert!(matches!(page.told[0], Told::Unreachable(_)), "cut at {at}: {:?}", page.told);
        assert!(page.is_done() && page.dialed == 1, "cut at {at}");
    }
}

/// From the digits to the grant, with a cut before any of the messages; approved before or after it.
#[test]
fn the_wait_survives_a_cut_at_any_message() {
    for approve_first in [true, false] {
        for at in 0..12 {
            let host = host(7);
            let secret = by_link(&host);
            let mut page = page(host, secret);
            page.run();
            page.cut_at = Some(page.delivered + at);
            if approve_first {
                page.host.approve();
            } else {
                page.cut();
            }
            page.wait(SECOND);
            page.host.approve();
            page.wait(SECOND);
            assert_eq!(page.grants(), 1, "{approve_first} {at}");
            page.write_down();
            page.wait(5 * SECOND);
            assert!(page.is_done(), "{approve_first} {at}");
        }
    }
}

#[test]
fn a_phone_that_slept_hears_the_answer_when_it_wakes() {
    let host = host(8);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    page.network = Network::Dead;
    page.sleep(Duration::from_secs(300));
    page.host.approve();
    page.network = Network::Up;
    page.wake();
    assert_eq!(page.grants(), 1);
}

#[test]
fn a_socket_that_died_unnoticed_is_replaced_while_it_waits() {
    let host = host(9);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    page.network = Network::Dead;
    page.run();
    page.host.approve();
    page.network = Network::Up;
    page.wait(RENEW + SECOND);
    assert_eq!(page.grants(), 1);
}

#[test]
fn a_page_that_was_loaded_again_goes_on_waiting() {
    let host = host(10);
    let secret = by_code(&host);
    let mut page = page(host, secret);
    page.run();
    let (pending, keys) = (page.agreed().unwrap().clone(), page.machine.keys.clone());
    page.cut();
    let again = Joiner::resume(keys, pending, SeededRng::new(11), NOW);
    let mut page = Lab::new(again, page.host, NOW);
    page.run();
    page.host.approve();
    page.run();
    assert_eq!(page.grants(), 1);
}

#[test]
fn a_person_who_says_no_is_heard_once() {
    let host = host(12);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    page.host.deny();
    page.wait(60 * SECOND);
    assert_eq!(page.aborted(), Some(Abort::Denied));
    assert!(page.is_done() && page.dialed == 1);
}

#[test]
fn a_host_that_has_forgotten_the_question_ends_the_wait() {
    let host = host(13);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    page.host.asked = None;
    page.cut();
    page.wait(SECOND);
    assert_eq!(page.aborted(), Some(Abort::Unknown));
}

#[test]
fn who_gives_up_leaves_no_question_behind() {
    let host = host(14);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    page.machine.give_up(page.now);
    page.run();
    assert!(page.host.asked.is_none() && page.host.aborts.len() == 1);
    page.wait(LAST_WORDS);
    assert!(page.is_done());
}

#[test]
fn another_host_in_its_place_is_waited_out() {
    let host = host(15);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.run();
    let keys = page.host.keys.clone();
    page.host.rotate(false);
    page.cut();
    page.wait(10 * SECOND);
    assert!(page.aborted().is_none() && !page.is_done());
    page.host.keys = keys;
    page.wait(5 * SECOND);
    page.host.approve();
    page.run();
    assert_eq!(page.grants(), 1);
}

#[test]
fn a_host_that_says_nothing_is_given_up_in_time() {
    let host = host(16);
    let secret = by_link(&host);
    let mut page = page(host, secret);
    page.network = Network::Dead;
    page.wait(ANSWER + LAST_WORDS);
    assert!(page.is_done() && page.agreed().is_none());
    let mut page = self::page(self::host(17), by_link(&self::host(17)));
    for _ in 0..5 {
        page.step();
    }
    page.network = Network::Dead;
    page.wait(ANSWER + LAST_WORDS);
    assert_eq!(page.aborted(), Some(Abort::Timeout));
    assert!(page.is_done());
}
