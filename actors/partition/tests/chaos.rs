//! An idempotent producer that sends again whatever was not acknowledged, against a partition that is
//! crashed, delayed and refused by its disk at random: every record is there once, in order.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_runtime::testing;
use kabuki_storage::FaultClass;
use kabuki_storage::sim_fs::{FaultRule, Operation, RuleId};
use scene::*;

/// Batches of one run.
const BATCH_COUNT: i32 = 150;

/// Batches in flight, as in the clients that keep order.
const IN_FLIGHT_MAX: i32 = 5;

/// Xorshift: the same run for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Does something bad, or takes it back.
fn disturb(scene: &Scene, random: &mut Random, rules: &mut Vec<RuleId>) {
    let pause = Duration::from_millis(random.below(200));
    let rule = match random.below(12) {
        0 | 1 => return scene.crash_if_up(),
        2 => FaultRule::delay(dir(), &[Operation::SyncData], pause),
        3 => FaultRule::delay(dir(), &[Operation::Write], pause),
        4 => FaultRule::delay(dir(), &[Operation::Create], pause),
        5 => FaultRule::fail(dir(), &[Operation::Write], FaultClass::Full).times(3),
        6 => FaultRule::fail(dir(), Operation::ENTRY_CHANGES, FaultClass::Denied).times(4),
        7 => FaultRule::fail(dir(), &[Operation::SetLen], FaultClass::Io).times(1),
        8 => FaultRule::fail(dir(), &[Operation::Write], FaultClass::Io).times(1),
        9 => FaultRule::not_cached(dir()),
        _ => {
            for rule in rules.drain(..) {
                scene.fs.heal(rule);
            }
            return;
        }
    };
    rules.push(scene.fs.inject(rule));
}

fn every_record_is_there_once(seed: u64, config: PartitionConfig) {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config);
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut rules = Vec::new();
        let mut next = 0;
        let mut attempts = 0;
        while next < BATCH_COUNT {
            attempts += 1;
            assert!(
                attempts < 10_000,
                "seed {seed}: batch {next} is never taken"
            );
            let window = next..(next + IN_FLIGHT_MAX).min(BATCH_COUNT);
            let replies: Vec<_> = window
                .map(|sequence| scene.send(idempotent(sequence)))
                .collect();
            if random.below(3) == 0 {
                disturb(&scene, &mut random, &mut rules);
            }
            let mut is_unbroken = true;
            for reply in replies {
                let is_taken = matches!(reply.await, Ok(Ok(_)));
                is_unbroken &= is_taken;
                next += i32::from(is_unbroken);
            }
            if !is_unbroken {
                tokio::time::sleep(Duration::from_millis(random.below(4_000))).await;
                // What the keeper does for a partition that spent its budget.
                scene.stage.root().revive("orders-0");
            }
        }
        scene.fs.heal_all();
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        let found: Vec<String> = scene.read_all().await.into_iter().map(|it| it.1).collect();
        let expected: Vec<String> = (0..BATCH_COUNT).map(|value| value.to_string()).collect();
        assert_eq!(found, expected, "seed {seed}");
        scene.stop().await;

        let scene = Scene::on(&stage, scene.fs.clone(), config, 2);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        assert_eq!(
            scene.read_all().await.len(),
            expected.len(),
            "seed {seed}, after a restart"
        );
        scene.stop().await;
    });
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

#[test]
fn an_idempotent_producer_finds_every_record_once() {
    let mut config = config();
    // A roll every fifteen batches or so.
    config.log.segment_bytes = 1024;
    for seed in seeds(40) {
        every_record_is_there_once(seed, config);
    }
}

#[test]
fn an_idempotent_producer_finds_every_record_once_with_group_commit() {
    let mut config = flushing();
    config.log.segment_bytes = 1024;
    for seed in seeds(40) {
        every_record_is_there_once(seed, config);
    }
}
