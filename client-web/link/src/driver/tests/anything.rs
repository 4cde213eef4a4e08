//! Whatever the network, the host and the page do, in any order.

use std::time::Duration;

use lanyard_protocol::method::Method;
use proptest::prelude::*;

use super::{SECOND, every_number_once, page, start_task};
use crate::lab::Network;

#[derive(Debug, Clone)]
enum Step {
    Deliver(usize),
    Write,
    Task,
    Cut,
    Wait(u16),
    Sleep,
    Wake,
    Go(Network),
    Close(u32),
    Rotate,
    Room(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..30).prop_map(Step::Deliver),
        4 => Just(Step::Write),
        2 => Just(Step::Task),
        1 => Just(Step::Cut),
        2 => (0_u16..30_000).prop_map(Step::Wait),
        1 => Just(Step::Sleep),
        1 => Just(Step::Wake),
        1 => prop_oneof![Just(Network::Down), Just(Network::Dead), Just(Network::Up)].prop_map(Step::Go),
        1 => prop_oneof![Just(3), Just(4), Just(5), Just(7)].prop_map(Step::Close),
        1 => Just(Step::Rotate),
        1 => (1_usize..4).prop_map(Step::Room),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_each_event_comes_once_and_each_command_counts_once(
        seed in 100_u64..1_000,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut page = page(seed);
        page.subscribe();
        let mut tasks = Vec::new();
        let mut rotations = 0;
        for step in steps {
            match step {
                Step::Deliver(messages) => drop((0..messages).take_while(|_| page.step()).count()),
                Step::Write => page.host.write(),
                Step::Task => tasks.push(page.ask(start_task("go"))),
                Step::Cut => page.cut(),
                Step::Wait(millis) => page.wait(Duration::from_millis(millis.into())),
                Step::Sleep => page.sleep(600 * SECOND),
                Step::Wake => page.wake(),
                Step::Go(network) => page.network = network,
                Step::Close(code) => page.host.close(code),
                // A lineage holds as many as a device that was away that long can follow.
                Step::Rotate if rotations < 8 => {
                    rotations += 1;
                    page.host.rotate(true);
                    page.host.close(8);
                }
                Step::Rotate => {}
                Step::Room(room) => page.room = room,
            }
        }
        page.network = Network::Up;
        page.wake();
        page.wait(40 * SECOND);
        prop_assert!(page.is_up(), "{:?}", page.standing());
        every_number_once(&page);
        for task in &tasks {
            prop_assert_eq!(page.answers(task), [Ok(Method::StartTask)]);
        }
        let effects = page.host.api.effects.get("StartTask").copied().unwrap_or_default();
        prop_assert_eq!(effects as usize, tasks.len());
    }
}
