//! A partition on a disk that refuses, fails or stalls: what is refused, what goes on, and that it
//! recovers by itself.

mod scene;

use std::io::IoSlice;
use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::Offset;
use kabuki_runtime::{ActorPath, AskError, EventKind, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem, OpenMode};
use scene::*;

fn is_storage(appended: &Appended) -> bool {
    matches!(appended, Ok(Err(AppendRefused::Storage { .. })))
}

async fn until_leading(scene: &Scene) {
    scene.reach(|phase| *phase == PartitionPhase::Leading).await;
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        scene.fs.set_capacity(Some(0));
        let first = scene.send(plain(1, 1));
        let second = scene.send(plain(2, 1));
        for reply in [first, second] {
            assert!(matches!(
                reply.await,
                Ok(Err(AppendRefused::Storage { .. }))
            ));
        }
        assert!(is_storage(&scene.append(plain(3, 1)).await));
        assert_eq!(scene.read_all().await.len(), 3);
        let phase = scene.describe().await.phase;
        assert!(matches!(phase, PartitionPhase::Degraded { .. }));

        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(
            is_storage(&scene.append(plain(3, 1)).await),
            "the disk is full still"
        );
        scene.fs.set_capacity(None);
        until_leading(&scene).await;
        assert_eq!(
            scene.put(1).await,
            3,
            "nothing of what was refused is there"
        );
        let counts = [EventKind::Degraded, EventKind::Healed].map(|kind| scene.event_count(kind));
        assert_eq!(counts, [1, 1]);
        assert!(scene.facts().contains(&PartitionFact::Healed));
        assert_eq!(
            scene.event_count(EventKind::Restarted),
            0,
            "no restart was needed"
        );
        scene.stop().await;
    });
}

/// Time from the cure of a disk that has refused for a minute until the partition writes again.
async fn healing_time(scene: &Scene, is_written_to: bool) -> Duration {
    scene.fs.set_capacity(Some(0));
    assert!(is_storage(&scene.append(plain(1, 1)).await));
    tokio::time::sleep(Duration::from_secs(60)).await;
    if is_written_to {
        assert!(is_storage(&scene.append(plain(2, 1)).await));
    }
    scene.fs.set_capacity(None);
    let cured = tokio::time::Instant::now();
    until_leading(scene).await;
    cured.elapsed()
}

#[test]
fn a_cured_disk_is_found_within_a_second_and_sooner_when_somebody_wants_to_write() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        assert!(healing_time(&scene, false).await <= Duration::from_millis(1_020));
        assert_eq!(scene.put(1).await, 1);
        assert!(healing_time(&scene, true).await <= Duration::from_millis(120));
        assert_eq!(scene.put(1).await, 2);
        scene.stop().await;
    });
}

#[test]
fn a_refused_write_leaves_no_trace_in_the_sequences() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.append(idempotent(0)).await.unwrap().unwrap();
        scene.fs.set_capacity(Some(0));
        assert!(is_storage(&scene.append(idempotent(1)).await));
        scene.fs.set_capacity(None);
        until_leading(&scene).await;
        let resent = scene.append(idempotent(1)).await.unwrap().unwrap();
        assert_eq!(resent.base_offset, Offset(1));
        scene.stop().await;
    });
}

#[test]
fn an_immutable_directory_degrades_at_the_next_roll_and_heals_by_itself() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        until_leading(&scene).await;
        let rule = FaultRule::fail(dir(), Operation::ENTRY_CHANGES, FaultClass::Denied);
        let rule = scene.fs.inject(rule);
        for expected in 0..3 {
            let appended = scene.append(large(300 * 1024)).await.unwrap().unwrap();
            assert_eq!(
                appended.base_offset,
                Offset(expected),
                "the open segment is written"
            );
        }
        assert!(
            is_storage(&scene.append(large(300 * 1024)).await),
            "there is no next segment"
        );
        assert_eq!(scene.read_at(2, 1).await.unwrap().high_watermark, Offset(3));
        tokio::time::sleep(Duration::from_secs(30)).await;
        scene.fs.heal(rule);
        until_leading(&scene).await;
        let appended = scene.append(large(300 * 1024)).await.unwrap().unwrap();
        assert_eq!(appended.base_offset, Offset(3));
        assert_eq!(scene.describe().await.segment_count, 2);
        scene.stop().await;
    });
}

#[test]
fn an_epoch_that_cannot_be_stored_is_served_and_keeps_the_recovery_point_behind_it() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        scene.trim(1).await.unwrap();
        let rule = FaultRule::fail(dir(), Operation::ENTRY_CHANGES, FaultClass::Denied);
        let rule = scene.fs.inject(rule);
        scene.lead(2).await.unwrap();
        assert_eq!(scene.put(1).await, 1);
        let refused = scene.trim(2).await;
        assert!(matches!(refused, Err(TrimRefused::Storage { .. })));
        assert_eq!(scene.stored_recovery_point(), 1);
        assert_eq!(scene.put(1).await, 2, "writes go on");

        scene.fs.heal(rule);
        scene.trim(2).await.unwrap();
        // As far as the first trim has synced; what came after it is synced without its index entries.
        assert_eq!(scene.stored_recovery_point(), 2);
        assert_eq!(scene.event_count(EventKind::Degraded), 0);
        scene.stop().await;
    });
}

#[test]
fn a_stop_whose_epochs_cannot_be_stored_is_not_a_clean_one() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let replacing = &[Operation::Rename];
        let rule = FaultRule::fail(
            dir().join("leader-epoch-checkpoint.tmp"),
            replacing,
            FaultClass::Io,
        );
        scene.fs.inject(rule);
        let stop = |reply| StopPartition {
            delete: false,
            reply,
        };
        let stopped = scene.partition.ask_with(DEADLINE, stop).await.unwrap();
        assert!(matches!(stopped, Err(StopRefused::Storage { .. })));
        assert_eq!(scene.stored_recovery_point(), 0);
        scene.stop().await;
    });
}

#[test]
fn a_failed_sync_ends_the_instance_and_the_answer_is_that_nothing_is_known() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let rule = FaultRule::fail(dir(), &[Operation::SyncData], FaultClass::Io).times(1);
        scene.fs.inject(rule);
        assert_eq!(scene.append(plain(9, 1)).await, Err(AskError::Lost));
        until_leading(&scene).await;
        assert_eq!(scene.event_count(EventKind::Faulted), 1);
        let failed = |fact: &PartitionFact| {
            matches!(
                fact,
                PartitionFact::Failed {
                    is_missing: false,
                    ..
                }
            )
        };
        assert!(scene.facts().iter().any(failed));
        let offset = scene.put(1).await;
        let values = scene.read_all().await;
        assert_eq!(values.len() as i64, offset + 1);
        assert_eq!(
            values[0],
            (0, "0".to_owned()),
            "what was acknowledged is there"
        );
        scene.stop().await;
    });
}

#[test]
fn what_a_failed_sync_left_is_written_again_before_it_counts_as_durable() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let rule = FaultRule::fail(dir(), &[Operation::SyncData], FaultClass::Io).times(1);
        scene.fs.inject(rule);
        assert_eq!(scene.append(plain(9, 1)).await, Err(AskError::Lost));
        until_leading(&scene).await;
        let seen = scene.read_all().await;
        assert_eq!(seen.len(), 2, "what the page cache held is shown");
        // The machine goes down: only what is on the medium stays.
        scene.fs.crash(0);
        scene.stop().await;
        let scene = Scene::on(&stage, scene.fs.clone(), flushing(), 2);
        until_leading(&scene).await;
        assert_eq!(scene.read_all().await, seen);
        scene.stop().await;
    });
}

#[test]
fn a_tail_that_cannot_be_synced_is_refused_more_and_frozen_until_it_can() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let syncing = FaultRule::fail(dir(), &[Operation::SyncData], FaultClass::Io);
        let rule = scene.fs.inject(syncing);
        assert_eq!(scene.append(plain(9, 1)).await, Err(AskError::Lost));
        scene
            .reach(|phase| matches!(phase, PartitionPhase::Degraded { .. }))
            .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(is_storage(&scene.append(plain(10, 1)).await));
        assert_eq!(
            scene.read_all().await.len(),
            1,
            "the unsynced record is not shown"
        );
        assert_eq!(
            scene.event_count(EventKind::Faulted),
            1,
            "it does not crash again and again"
        );
        scene.fs.heal(rule);
        until_leading(&scene).await;
        assert_eq!(scene.read_all().await.len(), 2, "it was written again");
        assert_eq!(scene.put(1).await, 2);
        let counts = [EventKind::Degraded, EventKind::Healed].map(|kind| scene.event_count(kind));
        assert_eq!(counts, [1, 1]);
        scene.stop().await;
    });
}

#[test]
fn a_failed_write_ends_the_instance() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let rule = FaultRule::fail(dir(), &[Operation::Write], FaultClass::Io).times(1);
        scene.fs.inject(rule);
        assert_eq!(scene.append(plain(9, 1)).await, Err(AskError::Lost));
        assert_eq!(scene.put(1).await, 1);
        assert_eq!(scene.event_count(EventKind::Faulted), 1);
        scene.stop().await;
    });
}

#[test]
fn a_read_that_fails_is_refused_and_nothing_else_is() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let rule = scene
            .fs
            .inject(FaultRule::fail(dir(), &[Operation::Read], FaultClass::Io));
        let refused = scene.read_at(0, 100).await.unwrap_err();
        assert!(matches!(refused, ReadRefused::Storage { .. }));
        assert_eq!(scene.put(1).await, 1);
        scene.fs.heal(rule);
        assert_eq!(scene.read_all().await.len(), 2);
        assert_eq!(scene.event_count(EventKind::Faulted), 0);
        scene.stop().await;
    });
}

#[test]
fn a_damaged_batch_is_named_as_such_and_told_once() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        scene.put(1).await;
        let damaged = dir().join("00000000000000000000.log");
        // The magic byte: the header cannot be one that was written.
        scene.fs.flip_bit(&damaged, 16).unwrap();
        for _ in 0..3 {
            let refused = scene.read_at(0, 100).await.unwrap_err();
            assert!(matches!(refused, ReadRefused::Corrupt { .. }), "{refused}");
        }
        assert_eq!(scene.put(1).await, 2, "writes go on");
        assert_eq!(scene.event_count(EventKind::Degraded), 1);
        assert_eq!(scene.event_count(EventKind::Faulted), 0);
        scene.stop().await;
    });
}

#[test]
fn what_lies_before_a_damaged_batch_is_served() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for _ in 0..3 {
            scene.put(1).await;
        }
        let first_bytes = scene.read_at(0, 1).await.unwrap().records.len() as u64;
        let log = dir().join("00000000000000000000.log");
        scene.fs.flip_bit(&log, first_bytes + 16).unwrap();
        // Once where the reader's place is known, once where the pool searches for it.
        for is_cached in [true, false] {
            let read = scene.read_at(0, 1 << 20).await.unwrap();
            assert_eq!(values_of(&read.records).len(), 1, "cached: {is_cached}");
            let refused = scene.read_at(1, 1 << 20).await.unwrap_err();
            assert!(matches!(refused, ReadRefused::Corrupt { .. }), "{refused}");
            scene.fs.inject(FaultRule::not_cached(dir()));
        }
        scene.stop().await;
    });
}

#[test]
fn a_tail_that_was_cut_at_start_is_told() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        scene.put(1).await;
        // As a kill leaves it: the recovery point is still at the start of the log.
        let log = dir().join("00000000000000000000.log");
        let left = scene.fs.read_whole(&log, 1 << 20).unwrap();
        scene.stop().await;
        let fs = new_disk();
        let file = fs.open(&log, OpenMode::ReadWrite).unwrap();
        let torn = IoSlice::new(&left[..left.len() - 1]);
        file.write_at(0, &[torn]).unwrap();

        let scene = Scene::on(&stage, fs, config(), 2);
        until_leading(&scene).await;
        assert_eq!(scene.read_all().await.len(), 1);
        assert_eq!(scene.event_count(EventKind::Recovered), 1);
        scene.stop().await;
    });
}

#[test]
fn writes_of_a_slow_directory_go_through_its_pool_in_order() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        // A sync past the deadline makes the directory slow.
        let stall = Duration::from_secs(10);
        let rule = scene
            .fs
            .inject(FaultRule::delay(dir(), &[Operation::Write], stall));
        let first = scene.send(large(300 * 1024));
        tokio::time::sleep(stall * 3 / 4).await;
        assert!(scene.disk.is_slow());
        let behind: Vec<_> = (0..3).map(|value| scene.send(plain(value, 1))).collect();
        assert_eq!(
            scene.read_all().await.len(),
            1,
            "reads do not wait for the write"
        );
        scene.fs.heal(rule);
        let appended = first.await.unwrap().unwrap();
        assert_eq!(appended.base_offset, Offset(1));
        for (reply, expected) in behind.into_iter().zip(2..) {
            let appended = reply.await.unwrap().unwrap();
            assert_eq!(appended.base_offset, Offset(expected));
        }
        scene.stop().await;
    });
}

#[test]
fn appends_that_come_during_a_sync_share_the_next_one() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(1).await;
        let pause = Duration::from_millis(50);
        let segment = dir().join("00000000000000000000.log");
        scene
            .fs
            .inject(FaultRule::delay(segment, &[Operation::SyncData], pause));
        let started = tokio::time::Instant::now();
        let first = scene.send(plain(0, 1));
        tokio::time::sleep(pause / 2).await;
        let joined: Vec<_> = (0..20).map(|value| scene.send(plain(value, 1))).collect();
        first.await.unwrap().unwrap();
        for reply in joined {
            reply.await.unwrap().unwrap();
        }
        let syncs = started.elapsed().as_millis() / pause.as_millis();
        assert!(syncs <= 2, "21 appends took the time of {syncs} syncs");
        scene.fs.heal_all();
        scene.stop().await;
    });
}

#[test]
fn a_missing_directory_is_never_made_again() {
    testing::run(|stage| async move {
        let fs = new_disk();
        fs.remove_dir_all(&dir()).unwrap();
        let scene = Scene::on(&stage, fs, config(), 1);
        let refused = scene.append(plain(0, 1)).await;
        assert!(matches!(refused, Err(AskError::NotDone(_))));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let missing = |fact: &PartitionFact| {
            matches!(
                fact,
                PartitionFact::Failed {
                    is_missing: true,
                    ..
                }
            )
        };
        assert!(scene.facts().iter().any(missing));
        assert_eq!(scene.event_count(EventKind::BudgetSpent), 1);
        assert!(!scene.fs.exists(&dir()).unwrap());
        scene.stop().await;
    });
}

#[test]
fn the_recovery_point_is_stored_after_64_mib() {
    testing::run(|stage| async move {
        let mut config = config();
        config.log.segment_bytes = 1 << 30;
        let scene = Scene::new(&stage, config);
        let batch = large(8 << 20);
        for _ in 0..9 {
            scene.append(batch.clone()).await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let path = std::path::Path::new(ROOT).join("recovery-point-offset-checkpoint");
        let text = String::from_utf8(scene.fs.read_whole(&path, 1024).unwrap()).unwrap();
        assert_eq!(text, "0\n1\norders 0 8\n");
        scene.crash();
        until_leading(&scene).await;
        let scanned = scene.facts().into_iter().rev().find_map(|fact| match fact {
            PartitionFact::LogRecovered { scanned_bytes, .. } => Some(scanned_bytes),
            _ => None,
        });
        assert_eq!(
            scanned,
            Some(batch.bytes.len() as u64),
            "only what came after it"
        );
        scene.stop().await;
    });
}

#[test]
fn flush_ms_syncs_in_the_background() {
    testing::run(|stage| async move {
        let mut config = config();
        config.log.flush_ms = 1_000;
        let scene = Scene::new(&stage, config);
        scene.put(1).await;
        assert_eq!(
            scene.describe().await.recovery_point,
            Offset(0),
            "it was answered before"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(scene.describe().await.recovery_point, Offset(1));
        scene.stop().await;
    });
}

#[test]
fn a_stop_on_a_failing_disk_ends_all_the_same() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        scene
            .fs
            .inject(FaultRule::fail(ROOT, Operation::ALL, FaultClass::Io));
        scene.stop().await;
        let path = ActorPath::new("/orders-0");
        assert!(stage.registry().describe(&path).is_empty());
    });
}
