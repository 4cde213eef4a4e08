//! Either side is killed at any of its steps; after one reconnect both mean the same.

use super::*;
use crate::lab::PROVISIONAL;

/// One life after another: the pairing, a kill at a step, the person, one reconnect, the person again.
/// `None` when the side has no such step.
fn one_life(carrier: Carrier, method: Way, side: Side, step: u32, answers: Answers) -> Option<Lab> {
    let mut lab = Lab::new(51).over(carrier);
    let line = lab.connect(0, 0);
    lab.kill_at(side, 0, step);
    join(&mut lab, line, method);
    lab.run();
    answer(&mut lab, method, answers);
    lab.run();
    let killed = !lab.is_up(line);
    // Whoever was killed is back, with what it has written down.
    let again = lab.connect(0, 0);
    lab.return_to_host(again);
    lab.run();
    answer(&mut lab, method, answers);
    lab.run();
    killed.then_some(lab)
}

#[derive(Debug, Clone, Copy)]
enum Answers {
    Yes,
    No,
}

/// A person approves what the device shows; after a link also without looking.
fn answer(lab: &mut Lab, method: Way, answers: Answers) {
    match (answers, method) {
        (Answers::No, _) => lab.deny(0),
        (Answers::Yes, Way::Code) => {
            lab.approve(0, 0);
        }
        (Answers::Yes, Way::Pass) => {
            lab.let_pass(0);
        }
        (Answers::Yes, Way::Link) => {
            let digits = lab.hosts[0].waiting().next().map(|asks| asks.digits().to_string());
            digits.map(|digits| lab.approve_with(0, &digits));
        }
    }
}

#[test]
fn killed_at_any_step_both_sides_agree_after_one_reconnect() {
    for (carrier, method) in ways() {
        for side in [Side::Device, Side::Host] {
            let mut outcomes = Vec::new();
            for step in 0.. {
                let name = format!("{side:?} at step {step}, {method:?} over {carrier:?}");
                let Some(mut lab) = one_life(carrier, method, side, step, Answers::Yes) else { break };
                // A device that knows nothing does not come back: the entry made for it is forgotten in time.
                if !lab.devices[0].is_paired() {
                    let provisional = lab.hosts[0].entries.iter().all(|entry| entry.provisional.is_some());
                    assert!(provisional, "{name}: an entry for good that the device does not know of");
                    lab.advance(PROVISIONAL);
                }
                assert!(lab.agree(0, 0), "{name}");
                assert!(lab.devices[0].pending.is_none(), "{name}: the device still waits");
                outcomes.push(lab.devices[0].is_paired());
            }
            // The matrix has kills that cost the pairing, and kills that do not.
            assert!(outcomes.len() >= 9, "{side:?} {method:?}: {outcomes:?}");
            assert!(
                outcomes.contains(&true) && outcomes.contains(&false),
                "{side:?} {method:?}: {outcomes:?}"
            );
            // Once it holds, a later kill does not undo it.
            assert!(outcomes.is_sorted(), "{side:?} {method:?}: {outcomes:?}");
        }
    }
}

#[test]
fn killed_at_any_step_a_denied_device_is_paired_nowhere() {
    for (carrier, method) in ways() {
        for side in [Side::Device, Side::Host] {
            let mut kills = 0;
            while let Some(lab) = one_life(carrier, method, side, kills, Answers::No) {
                assert_nobody_asks(&lab);
                kills += 1;
            }
            assert!(kills >= 6, "{kills}");
        }
    }
}

#[test]
fn a_lost_acknowledgement_costs_nothing_if_the_device_comes_in_time() {
    for late in [false, true] {
        let mut lab = Lab::new(52).with_adversary(|message| {
            let ack = matches!(message.to_host(), Some(crate::message::ToHost::Ack(_)));
            if ack { Vec::new() } else { vec![message] }
        });
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        lab.approve(0, 0);
        lab.run();
        assert!(lab.devices[0].is_paired() && lab.hosts[0].entries[0].provisional.is_some());
        if late {
            lab.advance(PROVISIONAL);
        }
        let again = lab.connect(0, 0);
        assert_eq!(lab.return_to_host(again), !late);
        assert!(lab.agree(0, 0));
        assert_eq!(lab.devices[0].is_paired(), !late);
    }
}

#[test]
fn a_phone_that_sleeps_while_a_person_thinks_gets_its_answer() {
    for carrier in CARRIERS {
        let mut lab = Lab::new(53).over(carrier);
        let mut line = lab.connect(0, 0);
        lab.join_by_link(line);
        lab.run();
        for _ in 0..5 {
            lab.hang_up(line);
            line = lab.connect(0, 0);
            assert!(lab.return_to_host(line));
            lab.run();
            assert_eq!(lab.hosts[0].waiting().count(), 1);
        }
        // The yes comes while nobody is connected.
        lab.hang_up(line);
        assert!(lab.approve(0, 0));
        lab.run();
        assert!(!lab.devices[0].is_paired());
        line = lab.connect(0, 0);
        assert!(lab.return_to_host(line));
        lab.run();
        assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
        assert_eq!(lab.hosts[0].entries[0].provisional, None);
    }
}

#[test]
fn a_host_that_forgot_says_so_and_the_device_stops_waiting() {
    let mut lab = Lab::new(54);
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    lab.kill(Side::Host, 0);
    let again = lab.connect(0, 0);
    assert!(lab.return_to_host(again));
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Unknown));
    assert_nobody_asks(&lab);
}

#[test]
fn a_wait_is_resumed_by_its_device_alone_and_in_its_channel_alone() {
    for carrier in CARRIERS {
        let mut lab = Lab::new(55).over(carrier);
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        let fresh = lab.connect(0, 0);
        let to_host = lab.channel(fresh, Side::Device).unwrap();
        let from_device = lab.channel(fresh, Side::Host).unwrap();
        let pending = lab.devices[0].pending.clone().unwrap();
        let resume = pending.resume(&to_host).unwrap();
        let asks = lab.hosts[0].waiting().next().unwrap();
        assert!(asks.is_resumed_by(&resume, &from_device));
        let stranger = carrier.key_of(&super::forger::keys(61).public());
        let elsewhere = Channel { binding: [1; 32], ..from_device };
        assert!(!asks.is_resumed_by(&resume, &Channel { peer: stranger, ..from_device }));
        assert!(!asks.is_resumed_by(&resume, &elsewhere), "a resume from another channel, replayed");
        assert!(!asks.is_resumed_by(&pending.acknowledge(), &from_device));
        let crate::message::ToHost::Resume(mut wrong) = resume.clone() else { panic!("no resume") };
        wrong.mac[0] ^= 1;
        assert!(!asks.is_resumed_by(&crate::message::ToHost::Resume(wrong.clone()), &from_device));
        wrong.mac[0] ^= 1;
        wrong.sid.0[0] ^= 1;
        assert!(!asks.is_resumed_by(&crate::message::ToHost::Resume(wrong), &from_device));
        // A device does not show its sid to a host it does not wait for.
        let other = Channel { peer: stranger, ..to_host };
        assert_eq!(pending.resume(&other), Err(Abort::WrongHost));
    }
}

#[test]
fn records_read_back_and_those_of_another_version_do_not() {
    let mut lab = Lab::new(56).with_adversary(|message| {
        let ack = matches!(message.to_host(), Some(crate::message::ToHost::Ack(_)));
        if ack { Vec::new() } else { vec![message] }
    });
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    let pending = lab.devices[0].pending.clone().unwrap();
    let bytes = crate::message::to_bytes(&pending);
    let read = postcard::from_bytes::<crate::device::PendingJoin>(&bytes).unwrap();
    assert!(read == pending && read.digits() == pending.digits());
    lab.approve(0, 0);
    lab.run();
    let (record, _) = lab.hosts[0].entries[0].provisional.clone().unwrap();
    let provisional = crate::host::Provisional::from_bytes(&record).unwrap();
    assert!(provisional.is_acknowledged_by(&pending.acknowledge()));
    assert_eq!(provisional.to_bytes(), record);
    for end in 0..record.len() {
        assert!(crate::host::Provisional::from_bytes(&record[..end]).is_none());
    }
    let mut other = record.clone();
    other[0] = 2;
    assert!(crate::host::Provisional::from_bytes(&other).is_none());
    other = record;
    other.push(0);
    assert!(crate::host::Provisional::from_bytes(&other).is_none());
}
