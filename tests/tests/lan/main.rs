//! Hosts and devices as people have them, on local networks as people have them: real `lanyard` processes in real network
//! namespaces, and something happens to the network, the host or the device while the agent works.
//!
//! In each scenario the task goes on, the client comes back by itself, what it shows has no gap and nothing twice, and
//! the question that was open is still open and can be answered. They all run at once, each on a network of its own:
//! most of their time is waiting.
#![cfg(target_os = "linux")]

mod addresses;
mod crowd;
mod impostors;
mod interruptions;
mod neighbours;
mod pairings;
mod scene;
mod together;
mod weather;
mod work;

use std::time::Duration;

use anyhow::Result;

/// The program that plays the model.
const MODEL: &str = env!("CARGO_BIN_EXE_lanyard-model");

/// The program that announces what it is told to.
const MDNS: &str = env!("CARGO_BIN_EXE_lanyard-mdns");

/// Waits for a while that belongs to the scenario, such as the minute for which a link is down.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Seconds of a scenario.
const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Declares a test for each scenario, and the list of all.
macro_rules! scenarios {
    ($($name:ident = $path:path;)*) => {
        const SCENARIOS: &[together::Scenario] =
            &[$(together::Scenario { name: stringify!($name), run: || together::block_on($path()) },)*];

        $(#[test]
        fn $name() -> Result<()> {
            together::outcome(stringify!($name))
        })*
    };
}

scenarios! {
    three_devices_work_on_three_hosts_at_once = crowd::three_by_three;
    link_local_ipv6_alone_is_enough = addresses::link_local_only;
    a_device_that_gets_another_address_goes_on = addresses::device_moves;
    a_host_that_gets_another_address_is_found_again = addresses::host_moves;
    when_one_of_two_interfaces_fails_the_other_carries_on = addresses::two_interfaces;
    where_multicast_is_dropped_the_link_and_the_address_lead_to_the_host = weather::no_multicast;
    five_percent_loss_is_not_noticed = weather::five_percent_loss;
    thirty_percent_loss_is_survived = weather::thirty_percent_loss;
    a_link_that_is_down_for_two_seconds_is_not_noticed = weather::down_for_two_seconds;
    a_link_that_is_down_for_a_minute_is_survived = weather::down_for_a_minute;
    a_host_that_is_killed_comes_back_with_everything = interruptions::host_is_killed;
    a_host_that_is_restarted_in_order_comes_back_with_everything = interruptions::host_is_restarted;
    a_device_that_slept_for_ninety_seconds_missed_nothing = interruptions::device_sleeps;
    a_code_is_good_for_two_minutes = interruptions::code_expires;
    beside_avahi_everything_works = neighbours::beside_avahi;
    two_hosts_of_one_name_are_told_apart = neighbours::two_of_one_name;
    hosts_hear_each_other_and_not_themselves = neighbours::hosts_hear_each_other;
    a_device_is_not_led_astray_by_a_false_announcement = impostors::paired_device_is_not_fooled;
    a_code_typed_at_an_impostor_grants_it_nothing = impostors::joining_device_is_not_fooled;
    pairing_works_every_time_also_when_packets_are_lost = pairings::many;
}
