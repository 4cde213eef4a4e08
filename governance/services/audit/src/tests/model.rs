//! Ingest against a model: whatever is repeated, cut, reordered, raced or broken off, each record is there once and the
//! chains are whole.

use std::collections::BTreeMap;
use std::time::Duration;

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use serde_json::Value;

use super::{House, Link, event, host, links, person};
use crate::MIGRATIONS;

/// A small generator with a seed, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Ids and texts of everything an export holds, by source.
async fn exported(house: &House) -> BTreeMap<String, Vec<(u64, String)>> {
    let (status, bytes) = house.raw(&person("t", Role::Admin), "GET", "/audit/export", String::new()).await;
    assert_eq!(status.as_u16(), 200);
    let mut found: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for line in String::from_utf8(bytes).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let id = record["event"]["eventId"].as_str().unwrap().to_owned();
        let of = found.entry(record["source"].as_str().unwrap().to_owned()).or_default();
        of.push((record["seq"].as_u64().unwrap(), id));
    }
    found
}

fn expected(chain: &[Link], upto: u64) -> Vec<(u64, String)> {
    let of = |link: &Link| {
        let event: Value = serde_json::from_str(&link.text).unwrap();
        (link.seq, event["eventId"].as_str().unwrap().to_owned())
    };
    chain.iter().filter(|link| link.seq <= upto).map(of).collect()
}

#[tokio::test]
async fn batches_repeated_overlapping_and_reordered_from_two_sources() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        for seed in [7, 4_242, 987_654_321_u64] {
            let mut dice = Dice(seed);
            let names = [format!("agt_a{seed}"), format!("agt_b{seed}")];
            let chains = [links(None, (1..=120).map(event)), links(None, (50..=170).map(event))];
            let mut stored = [0_usize; 2];
            while stored.iter().zip(&chains).any(|(stored, chain)| *stored < chain.len()) {
                let which = dice.below(2);
                let chain = &chains[which];
                let from = dice.below(chain.len());
                let to = (from + 1 + dice.below(40)).min(chain.len());
                let (status, answer) = house.post(&host("t", &names[which]), &chain[from..to]).await;
                if from > stored[which] {
                    assert_eq!(
                        (status, answer["details"]["head"]["lastSeq"].as_u64()),
                        (409, Some(stored[which] as u64))
                    );
                    continue;
                }
                let fresh = to.saturating_sub(stored[which]);
                assert_eq!(status, 202, "{answer}");
                assert_eq!(answer["accepted"].as_u64(), Some(fresh as u64));
                assert_eq!(answer["duplicates"].as_u64(), Some((to - from - fresh) as u64));
                stored[which] = stored[which].max(to);
                assert_eq!(answer["lastSeq"].as_u64(), Some(stored[which] as u64));
            }
            let found = exported(&house).await;
            for (name, chain) in names.iter().zip(&chains) {
                assert_eq!(found[name], expected(chain, u64::MAX));
            }
        }
        let verdict = house.verify(&person("t", Role::Viewer)).await;
        assert_eq!(verdict["whole"], true, "{verdict}");
        assert_eq!(verdict["chains"].as_array().unwrap().len(), 6);
    })
    .await;
}

#[tokio::test]
async fn sixteen_at_once_store_a_batch_once() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let chain = links(None, (1..=300).map(event));
        for part in chain.chunks(100) {
            let posts = (0..16).map(|_| {
                let (house, part) = (house.clone(), part.to_vec());
                tokio::spawn(async move { house.post(&host("t", "agt_1"), &part).await })
            });
            let (mut accepted, mut duplicates) = (0, 0);
            for post in posts.collect::<Vec<_>>() {
                let (status, answer) = post.await.unwrap();
                assert_eq!(status, 202, "{answer}");
                accepted += answer["accepted"].as_u64().unwrap();
                duplicates += answer["duplicates"].as_u64().unwrap();
            }
            assert_eq!((accepted, duplicates), (100, 1_500));
        }
        assert_eq!(exported(&house).await["agt_1"], expected(&chain, u64::MAX));
        assert_eq!(house.verify(&person("t", Role::Viewer)).await["whole"], true);
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_broken_off_leave_all_of_a_batch_or_nothing() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let (agent, chain) = (host("t", "agt_1"), links(None, (1..=600).map(event)));
        let (mut dice, mut broken) = (Dice(99), 0);
        for part in chain.chunks(30) {
            let before = house.get(&agent, "/audit/head").await.1["lastSeq"].as_u64().unwrap();
            assert_eq!(before + 1, part[0].seq);
            // Dropped somewhere between the first byte and the answer, like a process that is killed.
            let patience = Duration::from_micros(u64::try_from(dice.below(6_000)).unwrap());
            if tokio::time::timeout(patience, house.post(&agent, part)).await.is_err() {
                broken += 1;
                let (after, head) = (part.last().unwrap().seq, house.get(&agent, "/audit/head").await.1);
                let stands = head["lastSeq"].as_u64().unwrap();
                assert!(stands == before || stands == after, "{stands} is neither {before} nor {after}");
            }
            let (status, answer) = house.post(&agent, part).await;
            assert_eq!(
                (status, answer["lastSeq"].as_u64()),
                (202, part.last().map(|link| link.seq)),
                "{answer}"
            );
        }
        assert!(broken > 0, "nothing was broken off: the patience is too long for this machine");
        assert_eq!(exported(&house).await["agt_1"], expected(&chain, u64::MAX));
        assert_eq!(house.verify(&person("t", Role::Viewer)).await["whole"], true);
    })
    .await;
}
