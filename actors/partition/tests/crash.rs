//! A partition that crashes: what callers see, what is still there, what is never written twice.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::CheckedBatch;
use kabuki_runtime::{AskError, EventKind, NoReply, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn appends_in_hand_are_lost_and_queued_ones_are_done_by_the_next_instance() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let rule = scene
            .fs
            .inject(FaultRule::delay(dir(), &[Operation::SyncData], PAUSE));
        let in_hand = scene.send(plain(10, 1));
        tokio::time::sleep(PAUSE / 2).await;
        scene.fs.heal(rule);
        scene.crash();
        let queued = scene.send(plain(11, 1));
        assert_eq!(
            in_hand.await,
            Err(NoReply::Lost),
            "it waited for the group commit"
        );
        let appended = queued.await.unwrap().unwrap();
        assert_eq!(
            appended.base_offset,
            Offset(2),
            "behind the one that may have been written"
        );
        let values: Vec<String> = scene.read_all().await.into_iter().map(|it| it.1).collect();
        assert_eq!(values, ["0", "10", "11"]);
        assert_eq!(scene.event_count(EventKind::Panicked), 1);
        scene.stop().await;
    });
}

#[test]
fn a_new_instance_waits_for_the_write_of_the_old_one() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let rule = scene
            .fs
            .inject(FaultRule::delay(dir(), &[Operation::Write], PAUSE * 10));
        let in_hand = scene.send(large(300 * 1024));
        tokio::time::sleep(PAUSE).await;
        scene.crash();
        assert_eq!(in_hand.await, Err(NoReply::Lost));
        scene.fs.heal(rule);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        // The write came to its end and was found by the recovery: it is not written over.
        assert_eq!(scene.put(1).await, 2);
        assert_eq!(scene.read_all().await.len(), 3);
        scene.stop().await;
    });
}

#[test]
fn a_resend_after_a_crash_gets_the_original_offset() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for sequence in 0..3 {
            scene.append(idempotent(sequence)).await.unwrap().unwrap();
        }
        scene.crash();
        let resent = scene.append(idempotent(2)).await.unwrap().unwrap();
        assert_eq!(resent.base_offset, Offset(2));
        let next = scene.append(idempotent(3)).await.unwrap().unwrap();
        assert_eq!(next.base_offset, Offset(3));
        let gap = scene.append(idempotent(5)).await.unwrap().unwrap_err();
        assert!(matches!(
            gap,
            AppendRefused::OutOfOrderSequence { expected: 4, .. }
        ));
        assert_eq!(scene.read_all().await.len(), 4);
        scene.stop().await;
    });
}

/// A batch whose bytes are not what was checked: the state panics on it.
fn poison() -> CheckedBatch {
    let good = plain(66, 1);
    CheckedBatch {
        bytes: good.bytes.slice(..1),
        ..good
    }
}

#[test]
fn a_batch_that_crashes_the_partition_twice_is_refused_untouched() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        for _ in 0..2 {
            assert_eq!(scene.append(poison()).await, Err(AskError::Lost));
        }
        let refused = |state_suspect| {
            let log_start = Offset(0);
            Ok(Err(AppendRefused::Poisonous {
                state_suspect,
                log_start,
            }))
        };
        assert_eq!(scene.append(poison()).await, refused(true));
        assert!(scene.facts().contains(&PartitionFact::StateSuspect));
        assert_eq!(scene.put(1).await, 1, "another batch is not held up");
        assert_eq!(scene.append(poison()).await, refused(false));
        assert_eq!(scene.event_count(EventKind::Panicked), 2);
        scene.stop().await;
    });
}

#[test]
fn a_poisonous_batch_among_others_is_the_one_that_is_named() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        for _ in 0..2 {
            let sent: Vec<_> = [plain(1, 1), poison(), plain(2, 1)]
                .into_iter()
                .map(|batch| scene.send(batch))
                .collect();
            for reply in sent {
                let _ = reply.await;
            }
        }
        let refused = scene.append(poison()).await.unwrap();
        assert!(matches!(refused, Err(AppendRefused::Poisonous { .. })));
        scene.stop().await;
    });
}

#[test]
fn a_resend_after_a_clean_restart_gets_the_original_offset() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for sequence in 0..3 {
            scene.append(idempotent(sequence)).await.unwrap().unwrap();
        }
        scene.stop().await;
        let scene = Scene::on(&stage, scene.fs.clone(), config(), 2);
        let resent = scene.append(idempotent(2)).await.unwrap().unwrap();
        assert_eq!(resent.base_offset, Offset(2));
        scene.stop().await;
    });
}

#[test]
fn a_crash_leaves_leadership_and_watched_offsets_as_they_were() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        let parked = scene.watch(1, 3);
        // Behind it in the mailbox: now the watcher is in hand.
        scene.find(OffsetTarget::Latest).await.unwrap();
        scene.crash();
        assert_eq!(parked.await, Err(NoReply::Lost));
        let parked = scene.watch(1, 3);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        let description = scene.describe().await;
        assert_eq!(
            description.leader_epoch,
            LeaderEpoch(1),
            "the keeper gave no order"
        );
        scene.put(1).await;
        assert_eq!(parked.await, Ok(PartitionMoved::HighWatermark(Offset(4))));
        scene.stop().await;
    });
}

#[test]
fn records_that_were_shown_and_are_gone_end_the_epoch() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        // The page cache loses what this process had written: seen by the next instance only.
        scene.fs.crash(1);
        scene.crash();
        scene
            .reach(|phase| *phase == PartitionPhase::Following)
            .await;
        let log_end = Offset(0);
        let leader_epoch = LeaderEpoch(1);
        assert!(scene.facts().contains(&PartitionFact::TailCut {
            log_end,
            leader_epoch
        }));
        let refused = scene.append(plain(0, 1)).await.unwrap();
        assert!(matches!(refused, Err(AppendRefused::NotLeader { .. })));

        // It forgets nothing of that in a second crash, and serves once the epoch is raised.
        scene.crash();
        scene
            .reach(|phase| *phase == PartitionPhase::Following)
            .await;
        scene.lead(2).await.unwrap();
        assert_eq!(scene.put(1).await, 0);
        scene.stop().await;
    });
}

#[test]
fn while_a_recovery_is_long_callers_are_told_that_nothing_was_done() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        let rule = scene
            .fs
            .inject(FaultRule::delay(dir(), &[Operation::Read], PAUSE * 10));
        scene.crash();
        let refused = scene.append(plain(0, 1)).await;
        assert!(matches!(refused, Err(kabuki_runtime::AskError::NotDone(_))));
        assert_eq!(scene.describe().await.phase, PartitionPhase::Recovering);
        scene.fs.heal(rule);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        assert_eq!(scene.put(1).await, 3);
        scene.stop().await;
    });
}

/// One run: appends with `flush.messages=1` until the power goes at a random operation, then a
/// restart; all that was acknowledged must be there, at its offset, and nothing twice.
fn power_loss_keeps_what_was_acknowledged(seed: u64, big: CheckedBatch) {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        scene.fs.lose_power_after(next(150));
        let mut acknowledged = Vec::new();
        let mut sequence = 0;
        for _ in 0..30 {
            let replies: Vec<_> = (0..=next(4))
                .map(|_| {
                    let sent = sequence;
                    sequence += 1;
                    // Now and then one that goes through the pool, and fills segments.
                    let is_large = next(8) == 0;
                    let batch = if is_large {
                        big.clone()
                    } else {
                        plain(sent, 1)
                    };
                    (sent, is_large, scene.send(batch))
                })
                .collect();
            for (sent, is_large, reply) in replies {
                if let Ok(Ok(appended)) = reply.await {
                    acknowledged.push((appended.base_offset.get(), sent, is_large));
                }
            }
        }
        scene.fs.crash(seed);
        scene.stop().await;

        let scene = Scene::on(&stage, scene.fs.clone(), flushing(), 2);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        let found = scene.read_all().await;
        for (offset, sent, is_large) in acknowledged {
            let value = found.iter().find(|(at, _)| *at == offset);
            let (_, value) = value.unwrap_or_else(|| panic!("seed {seed}: {offset} is gone"));
            if !is_large {
                assert_eq!(
                    *value,
                    sent.to_string(),
                    "seed {seed}: another record at {offset}"
                );
            }
        }
        let offsets: Vec<i64> = found.iter().map(|(offset, _)| *offset).collect();
        let expected: Vec<i64> = (0..offsets.len() as i64).collect();
        assert_eq!(offsets, expected, "seed {seed}: a hole or a record twice");
        scene.stop().await;
    });
}

#[test]
fn no_record_acknowledged_with_flush_messages_is_lost_to_a_power_loss() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).unwrap(),
        Err(_) => 0..80,
    };
    let big = large(280 * 1024);
    for seed in seeds {
        power_loss_keeps_what_was_acknowledged(seed, big.clone());
    }
}
