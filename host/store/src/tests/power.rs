//! Loss of power: sectors that were not synced are there, or not, in any combination.

use std::io::ErrorKind;
use std::sync::Arc;

use lanyard_ports::journal::{Cursor, Journal, Write};

use super::disk::SimDisk;
use super::sample::*;
use super::{Heard, counts};
use crate::StoreOptions;
use crate::open::open_on;

/// Small and repeatable; the quality of the bits does not matter.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    for round in 1..=counts(24, 2_000) {
        let mut random = XorShift(0x9e37_79b9_7f4a_7c15 ^ (round as u64) << 17);
        let disk = SimDisk::default();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(dir.path());
        let (store, _) = open_on(&options, Arc::new(Heard::default()), disk.clone()).unwrap();
        store.commit(vec![session("a")]).await.unwrap();
        disk.fail_after(random.next() % 300, ErrorKind::Other);
        let mut acknowledged = 0;
        for step in 0.. {
            let mut batch = if step % 2 == 0 { step_before("a", step) } else { step_after("a", step - 1) };
            let events = if step % 2 == 0 { 4 } else { 1 };
            batch.extend([count("events", events), connection(step as u64, false)]);
            batch.extend([device("d1", step as u8), Write::RemoveDevice(id("d2"))]);
            if store.commit(batch).await.is_err() {
                check(&disk, &mut random, &options, (acknowledged, events)).await;
                break;
            }
            acknowledged += events;
        }
    }
}

/// Cuts the power in several ways; the batch that was under way is there as a whole or not at all.
async fn check(disk: &SimDisk, random: &mut XorShift, options: &StoreOptions, (sure, open): (u64, u64)) {
    for likely in [0, 1, 2, 4] {
        let after = disk.after_power_loss(|| random.next() % 4 < likely);
        let (store, _) = open_on(options, Arc::new(Heard::default()), after).unwrap();
        let page = store.events(&sid("a"), Cursor::After(0), 10_000).unwrap();
        assert!(
            page.last_seq == sure || page.last_seq == sure + open,
            "{sure} were acknowledged, {open} under way, {} are there",
            page.last_seq
        );
        let seqs: Vec<_> = page.events.iter().filter_map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        assert_eq!(store.counters().unwrap().events, page.last_seq);
        let counted = store.counts("events").unwrap().first().map_or(0, |(_, count)| *count);
        assert_eq!(counted, page.last_seq, "rows of devices and of the session come together or not at all");
        let connections = store.connections(9_999).unwrap();
        let device = store.devices().unwrap().first().map(|device| u64::from(device.signing_key[0]));
        assert_eq!(device, connections.first().map(|row| row.connection % 256));
        store.commit(vec![event("a", "goes on")]).await.unwrap();
    }
}
