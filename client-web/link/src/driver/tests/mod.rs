//! The driver against a host of the lab.

mod anything;

use std::time::Duration;

use lanyard_client::Incoming;
use lanyard_pairing::lab::SeededRng;
use lanyard_protocol::device::{KeyStorage, PageReport};
use lanyard_protocol::id::RuleId;
use lanyard_protocol::limits::MAX_PROMPT_BYTES;
use lanyard_protocol::method::{
    Call, ListSessions, Method, Response, RevokeRule, StartTask, Subscribe, Unpair,
};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::session::TaskOptions;

use super::*;
use crate::lab::{Lab, LabHost, Network, session};

const SECOND: Duration = Duration::from_secs(1);

type Page = Lab<Driver<SeededRng>>;

/// A paired device that has not spoken yet.
fn page(seed: u64) -> Page {
    let mut rng = SeededRng::new(seed + 1_000);
    let keys = IdentityKeys::generate(&mut rng);
    let mut host = LabHost::new(seed);
    host.paired.push(keys.public().agreement);
    let now = Tick::from_millis(1_000_000);
    let driver = Driver::start(keys, host.keys.public(), rng, now);
    Lab::new(driver, host, now)
}

impl Page {
    fn ask(&mut self, call: impl Call) -> RequestId {
        self.machine.call(call.into_request()).unwrap()
    }

    fn subscribe(&mut self) -> RequestId {
        self.ask(Subscribe { session_id: session(), after_seq: 0 })
    }

    /// How it was last told to stand.
    fn standing(&self) -> &Standing {
        let told = self.told.iter().rev();
        told.filter_map(|it| if let Output::Standing(standing) = it { Some(standing) } else { None })
            .next()
            .unwrap()
    }

    fn is_up(&self) -> bool {
        matches!(self.standing(), Standing::Connected { .. })
    }

    fn answers(&self, id: &RequestId) -> Vec<Result<Method, String>> {
        let of = |told: &Output| match told {
            Output::Answer(of, answer) if of == id => {
                Some(answer.as_ref().map(|it| it.method()).map_err(ToString::to_string))
            }
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    /// Numbers of the events handed on, in order.
    fn numbers(&self) -> Vec<u64> {
        let of = |told: &Output| match told {
            Output::Incoming(Incoming::Event(event)) => event.seq,
            _ => None,
        };
        self.told.iter().filter_map(of).collect()
    }

    fn carriers(&mut self, span: Duration) -> u32 {
        let before = self.dialed;
        self.wait(span);
        self.dialed - before
    }
}

fn revoke_rule() -> RevokeRule {
    RevokeRule { rule_id: RuleId::new("r").unwrap() }
}

fn start_task(prompt: &str) -> StartTask {
    StartTask {
        session_id: session(),
        task_id: None,
        prompt: prompt.into(),
        task_options: TaskOptions::default(),
        model: None,
        attachments: Vec::new(),
    }
}

fn every_number_once(page: &Page) {
    let all: Vec<u64> = (1..=page.host.api.len()).collect();
    assert_eq!(page.numbers(), all);
}

#[test]
fn it_is_connected_once_the_host_has_answered_and_not_before() {
    let mut page = page(1);
    let before = page.ask(ListSessions::default());
    while !page.is_up_or_told() {
        assert!(!page.host.has_device() || page.answers(&before).is_empty());
        assert!(page.step());
    }
    page.run();
    assert_eq!(page.answers(&before), [Ok(Method::ListSessions)], "asked before there was a connection");
    let told: Vec<_> = page.told.iter().filter(|it| matches!(it, Output::Standing(_))).collect();
    assert_eq!(told[0], &Output::Standing(Standing::Connecting));
    assert_eq!(told.len(), 2);
    assert!(page.is_up());
}

impl Page {
    fn is_up_or_told(&self) -> bool {
        self.told.iter().any(|it| matches!(it, Output::Standing(Standing::Connected { .. })))
    }
}

#[test]
fn events_follow_a_subscription_and_long_requests_get_through_a_narrow_carrier() {
    let mut page = page(2);
    page.room = 1;
    page.host.api.padding = 100;
    page.subscribe();
    page.run();
    for _ in 0..500 {
        page.host.write();
    }
    let task = page.ask(start_task(&"x".repeat(MAX_PROMPT_BYTES)));
    page.run();
    every_number_once(&page);
    assert_eq!(page.answers(&task), [Ok(Method::StartTask)]);
    assert_eq!(page.dialed, 1);
}

/// What a page does in the drop tests; gives the commands.
fn scenario(page: &mut Page) -> (RequestId, RequestId) {
    page.subscribe();
    let task = page.ask(start_task("go"));
    page.run();
    for _ in 0..5 {
        page.host.write();
    }
    let list = page.ask(ListSessions::default());
    page.run();
    page.host.write();
    page.run();
    (task, list)
}

#[test]
fn a_connection_that_breaks_at_any_message_loses_and_repeats_nothing() {
    let mut whole = page(3);
    scenario(&mut whole);
    let messages = whole.delivered;
    assert!(messages > 10, "{messages}");
    for at in 0..messages {
        let mut page = page(3);
        page.cut_at = Some(at);
        let (task, list) = scenario(&mut page);
        page.wait(4 * SECOND);
        assert!(page.is_up(), "cut at {at}");
        assert_eq!(page.cut_at, None, "cut at {at}");
        every_number_once(&page);
        assert_eq!(page.answers(&task), [Ok(Method::StartTask)], "cut at {at}");
        assert_eq!(page.answers(&list), [Ok(Method::ListSessions)], "cut at {at}");
        assert_eq!(page.host.api.effects["StartTask"], 1, "cut at {at}");
    }
}

#[test]
fn what_may_not_be_repeated_comes_back_with_words() {
    let mut page = page(4);
    page.run();
    let sent = page.ask(revoke_rule());
    page.step();
    assert_eq!(page.host.api.effects["RevokeRule"], 1);
    page.cut();
    let unsent = page.ask(revoke_rule());
    page.wait(SECOND);
    let words = page.answers(&sent).remove(0).unwrap_err();
    assert!(words.contains("RevokeRule") && words.contains("not known"), "{words}");
    assert_eq!(page.answers(&unsent), [Ok(Method::RevokeRule)]);
    assert_eq!(page.host.api.effects["RevokeRule"], 2);
}

#[test]
fn without_a_network_it_keeps_trying_and_says_so() {
    let mut page = page(5);
    page.network = Network::Down;
    let waiting = page.ask(ListSessions::default());
    let tries = page.carriers(60 * SECOND);
    assert!((20..60).contains(&tries), "{tries} in a minute");
    let Standing::Reconnecting { since, attempt, why } = page.standing().clone() else { panic!() };
    assert_eq!((since, attempt), (Tick::from_millis(1_000_000), tries));
    assert_eq!(why, "the host cannot be reached");
    assert!(!page.machine.is_over());
    page.network = Network::Up;
    page.wait(4 * SECOND);
    assert!(page.is_up());
    assert_eq!(page.answers(&waiting), [Ok(Method::ListSessions)]);
}

#[test]
fn a_broken_connection_is_told_since_when() {
    let mut page = page(6);
    page.wait(SECOND);
    page.network = Network::Down;
    let broke = page.now;
    page.wait(2 * SECOND);
    let Standing::Reconnecting { since, attempt, why } = page.standing().clone() else { panic!() };
    assert_eq!(since, broke);
    assert!(attempt > 1 && why == "the host cannot be reached", "{attempt} {why}");
}

#[test]
fn a_device_that_is_not_paired_is_told_so_by_the_host_itself() {
    let mut page = page(7);
    page.host.paired.clear();
    let waiting = page.ask(revoke_rule());
    page.wait(SECOND);
    assert_eq!(page.standing(), &Standing::Ended(Ending::NotPaired));
    assert!(page.machine.is_over() && page.answers(&waiting).is_empty());
    assert_eq!(page.carriers(60 * SECOND), 0);
    page.wake();
    assert_eq!(page.carriers(60 * SECOND), 0, "it is over for good");
}

#[test]
fn only_the_hosts_own_words_end_it() {
    for (code, ending) in [(1, Ending::NotPaired), (2, Ending::Revoked), (9, Ending::Unpaired)] {
        let mut page = page(8);
        page.run();
        page.host.close(code);
        page.wait(SECOND);
        assert_eq!(page.standing(), &Standing::Ended(ending));
        assert_eq!(page.carriers(60 * SECOND), 0);
    }
    // Anybody can cut a carrier, and answer with nothing, for as long as he likes.
    let mut page = page(8);
    for at in 0..40 {
        page.cut_at = Some(page.delivered + at % 4);
        page.wait(5 * SECOND);
        assert!(!page.machine.is_over());
    }
}

#[test]
fn a_host_that_wants_it_back_has_it_back() {
    for (code, at_once) in
        [(0, false), (3, true), (4, false), (5, false), (6, false), (7, false), (77, false)]
    {
        let mut page = page(9);
        page.subscribe();
        page.run();
        page.host.write();
        page.host.close(code);
        page.run();
        assert_eq!(page.is_up(), at_once, "{code}");
        page.host.write();
        page.wait(SECOND);
        assert!(page.is_up(), "{code}");
        every_number_once(&page);
        assert_eq!(page.dialed, 2, "{code}");
    }
}

#[test]
fn a_host_that_keeps_sending_it_away_is_not_run_down() {
    for code in [3, 5] {
        let mut page = page(10);
        let mut sent_away = 0;
        let until = page.now.plus(60 * SECOND);
        while page.now < until {
            page.wait(Duration::from_millis(10));
            if page.is_up() {
                sent_away += 1;
                page.host.close(code);
                page.run();
            }
        }
        assert!((10..130).contains(&sent_away), "{sent_away} in a minute after {code}");
    }
}

#[test]
fn new_keys_of_the_host_are_followed_by_signatures() {
    for told in [true, false] {
        let mut page = page(11);
        page.subscribe();
        page.run();
        page.host.write();
        page.host.rotate(true);
        let new = page.host.rotate(true);
        if told {
            page.host.close(8);
        } else {
            page.cut();
        }
        page.host.write();
        page.wait(SECOND);
        assert!(page.is_up());
        assert!(page.told.contains(&Output::Followed(new)));
        every_number_once(&page);
    }
}

#[test]
fn another_host_in_its_place_gets_nothing_and_ends_nothing_for_good() {
    let mut page = page(12);
    page.run();
    let keys = page.host.keys.clone();
    page.host.rotate(false);
    page.cut();
    let secret = page.ask(start_task("secret"));
    page.wait(SECOND);
    assert_eq!(page.standing(), &Standing::Ended(Ending::AnotherHost));
    assert!(page.answers(&secret).is_empty() && !page.host.api.effects.contains_key("StartTask"));
    assert_eq!(page.carriers(60 * SECOND), 0);
    // Home again.
    page.host.keys = keys;
    page.wake();
    assert!(page.is_up());
}

#[test]
fn a_host_that_refuses_a_handshake_although_it_has_its_keys_is_asked_again() {
    let mut page = page(13);
    page.cut_at = Some(1);
    page.wait(SECOND);
    assert!(page.is_up(), "{:?}", page.standing());
    assert_eq!(page.dialed, 3, "once more as a stranger, to see who is there");
}

#[test]
fn a_socket_that_died_in_its_sleep_is_found_out_within_two_seconds() {
    let mut page = page(14);
    page.subscribe();
    page.wait(SECOND);
    page.network = Network::Dead;
    page.sleep(Duration::from_secs(3_600));
    page.host.write();
    page.wake();
    assert_eq!(page.standing(), &Standing::Connected { carrier: CarrierKind::WebSocket, rtt_ms: None });
    page.wait(AFTER_WAKE - Duration::from_millis(1));
    assert!(page.is_up());
    page.network = Network::Up;
    page.wait(Duration::from_millis(1));
    assert!(page.is_up() && page.dialed == 2);
    every_number_once(&page);
}

#[test]
fn one_that_lives_is_kept_after_a_pause() {
    let mut page = page(15);
    page.wait(SECOND);
    page.sleep(60 * SECOND);
    page.wake();
    page.wake();
    page.wait(20 * SECOND);
    assert!(page.is_up() && page.dialed == 1);
    assert!(matches!(page.standing(), Standing::Connected { rtt_ms: Some(_), .. }));
}

#[test]
fn a_host_that_falls_silent_is_given_up() {
    let mut page = page(16);
    page.wait(SECOND);
    page.host.api.frozen = true;
    page.wait(18 * SECOND);
    assert_eq!(page.dialed, 1);
    page.host.api.frozen = false;
    page.wait(4 * SECOND);
    assert!(page.is_up() && page.dialed == 2);
}

#[test]
fn waking_up_does_not_wait_for_the_next_attempt() {
    let mut page = page(17);
    page.network = Network::Down;
    page.wait(60 * SECOND);
    page.network = Network::Up;
    let before = page.now;
    page.wake();
    assert!(page.is_up() && page.now == before);
}

#[test]
fn an_attempt_that_slept_is_begun_anew() {
    for deaf_from in 0..3 {
        let mut page = page(18);
        for _ in 0..deaf_from {
            page.step();
        }
        page.network = Network::Dead;
        page.run();
        page.sleep(60 * SECOND);
        page.network = Network::Up;
        page.wake();
        assert!(page.is_up(), "{deaf_from}");
    }
}

#[test]
fn an_attempt_that_nobody_answers_ends_in_time() {
    let mut page = page(19);
    page.network = Network::Dead;
    page.wait(ANSWER);
    assert!(
        matches!(page.standing(), Standing::Reconnecting { why, .. } if why == "the host does not answer")
    );
}

#[test]
fn a_host_of_another_version_is_not_talked_to() {
    let mut page = page(20);
    page.host.api.version = 1;
    let task = page.ask(start_task("go"));
    page.wait(SECOND);
    assert!(matches!(page.standing(), Standing::Ended(Ending::Version(why)) if why.contains("version 1")));
    assert!(page.answers(&task).is_empty() && page.host.api.effects.is_empty());
}

#[test]
fn a_host_that_breaks_the_protocol_is_left_and_tried_again() {
    let mut page = page(21);
    page.run();
    page.host.send_garbage();
    page.run();
    assert!(!page.is_up());
    page.wait(SECOND);
    assert!(page.is_up() && page.dialed == 2);
}

#[test]
fn an_answer_that_is_broken_off_is_asked_for_again() {
    let mut page = page(27);
    page.run();
    page.host.api.frozen = true;
    let list = page.ask(ListSessions::default());
    page.run();
    page.host.api.frozen = false;
    page.host.break_off();
    page.wait(SECOND);
    assert_eq!(page.answers(&list), [Ok(Method::ListSessions)]);
    assert_eq!(page.dialed, 2);
}

#[test]
fn the_page_is_reported_on_each_connection_and_its_answer_told_to_nobody() {
    let mut page = page(22);
    page.run();
    let report = PageReport { origin: "https://h".into(), verified: true, key: KeyStorage::Wrapped };
    page.machine.set_report(report);
    page.run();
    page.cut();
    page.wait(SECOND);
    assert_eq!(page.host.api.effects["ReportPage"], 2);
    assert!(!page.told.iter().any(|it| matches!(it, Output::Answer(..))));
}

#[test]
fn unpairing_is_answered_or_ended_by_the_word_for_it() {
    let mut page = page(23);
    page.run();
    page.ask(Unpair {});
    page.run();
    page.host.close(9);
    page.run();
    assert_eq!(page.standing(), &Standing::Ended(Ending::Unpaired));
}

#[test]
fn stopping_says_goodbye() {
    let mut page = page(24);
    page.run();
    page.machine.stop();
    page.run();
    assert!(page.machine.wanted().is_none() && page.machine.next_timeout().is_none());
    assert_eq!(page.carriers(60 * SECOND), 0);
}

#[test]
fn more_calls_than_streams_wait_their_turn() {
    let mut page = page(25);
    page.run();
    page.host.api.frozen = true;
    let calls: Vec<_> = (0..200).map(|_| page.ask(ListSessions::default())).collect();
    page.run();
    page.host.api.frozen = false;
    // The host has dropped what it got: it falls silent, and is asked again.
    page.wait(30 * SECOND);
    assert!(calls.iter().all(|id| page.answers(id) == [Ok(Method::ListSessions)]));
}

#[test]
fn what_is_followed_leaves_streams_for_requests() {
    // Those of the host's log and of requests beside a download.
    let left = Limits::PAIRED.streams() as usize - MAX_FOLLOWED;
    assert!(left >= 6, "{left}");
    let mut page = page(28);
    for n in 0..MAX_FOLLOWED {
        let session_id = lanyard_protocol::id::SessionId::new(format!("s{n}")).unwrap();
        page.ask(Subscribe { session_id, after_seq: 0 });
    }
    let one_more = Subscribe { session_id: session(), after_seq: 0 };
    assert!(page.machine.call(one_more.into_request()).is_err());
}

#[test]
fn a_response_is_of_the_method_called() {
    let mut page = page(26);
    let id = page.ask(ListSessions::default());
    page.run();
    let answer = page.told.iter().find_map(|it| match it {
        Output::Answer(of, Ok(response)) if *of == id => Some(response),
        _ => None,
    });
    assert!(matches!(**answer.unwrap(), Response::ListSessions(_)));
}
