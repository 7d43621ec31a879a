//! Leader epochs over crashes: the epoch file is written with the recovery point and not with the
//! leadership, and what it lacks, or lost, is told by the batches.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test")]

mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::batches;
use kabuki_runtime::{StopOutcome, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FileSystem, OpenMode, SimFs};
use scene::*;

const EPOCH_FILE: &str = "leader-epoch-checkpoint";

fn epoch_file(fs: &SimFs) -> Option<Vec<u8>> {
    fs.read_whole(&dir().join(EPOCH_FILE), 4096).ok()
}

fn write_epoch_file(fs: &SimFs, content: &[u8]) {
    let file = fs.open(&dir().join(EPOCH_FILE), OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, &[std::io::IoSlice::new(content)]).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn an_epoch_is_in_its_file_before_a_recovery_point_passes_its_records() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(3).await;
        scene.lead(5).await.unwrap();
        scene.put(1).await;
        assert_eq!(epoch_file(&scene.fs).unwrap(), b"0\n0\n", "as it was made");
        assert_eq!(scene.stored_recovery_point(), 0);
        scene.trim(2).await.unwrap();
        assert_eq!(scene.stored_recovery_point(), 4);
        scene.fs.crash(1);
        assert_eq!(epoch_file(&scene.fs).unwrap(), b"0\n2\n1 0\n5 3\n");
        scene.stop().await;
    });
}

#[test]
fn taking_the_leadership_changes_no_file() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        scene.stop().await;

        let scene = Scene::on(&stage, scene.fs.clone(), config(), 4);
        let before = scene.fs.step_count();
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        scene.lead(6).await.unwrap();
        assert_eq!(scene.fs.step_count(), before);
        // Nor does the end of one in which nothing was written.
        scene.stop().await;
        assert_eq!(epoch_file(&scene.fs).unwrap(), b"0\n1\n1 0\n");
    });
}

#[test]
fn a_log_is_closed_only_when_no_job_writes_its_epoch_file() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(3).await;
        scene.lead(5).await.unwrap();
        scene.put(1).await;
        let rule = FaultRule::hang(dir(), &[Operation::Rename]);
        let rule = scene.fs.inject(rule);
        // The checkpoint of the trim stores the epochs first; the stop comes while it does.
        let stopped = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let steps = scene.fs.step_count();
            let healed = async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert_eq!(scene.fs.step_count(), steps, "the close waits");
                scene.fs.heal(rule);
            };
            tokio::join!(scene.stop(), healed).0
        };
        let (trimmed, stopped) = tokio::join!(scene.trim(2), stopped);
        trimmed.unwrap();
        assert_eq!(stopped, StopOutcome::Ended);
        assert_eq!(epoch_file(&scene.fs).unwrap(), b"0\n2\n1 0\n5 3\n");
        assert_eq!(scene.stored_recovery_point(), 4);
    });
}

/// What befalls the epoch file in a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Torn,
    /// As it was when the last recovery point was stored.
    Old,
}

/// Epochs, appends and recovery points in random order, until the process or the machine ends; the
/// next incarnation must say of every record in which epoch it was written.
fn epochs_survive(seed: u64) {
    testing::run(|stage| async move {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let fs = new_disk();
        let mut epoch = 1;
        for round in 0..4 {
            let config = if next(2) == 0 { config() } else { flushing() };
            let scene = Scene::on(&stage, fs.clone(), config, epoch);
            scene.reach(|phase| *phase == PartitionPhase::Leading).await;
            let mut at_checkpoint = None;
            let is_machine = next(2) == 0;
            if is_machine {
                fs.lose_power_after(next(200));
            }
            for _ in 0..next(20) {
                match next(4) {
                    0 => {
                        epoch += 1 + next(2) as i32;
                        scene.epoch.store(epoch, Ordering::Relaxed);
                        let leader_epoch = LeaderEpoch(epoch);
                        let order = |reply| BecomeLeader {
                            leader_epoch,
                            reply,
                        };
                        let _ = scene.partition.ask_with(DEADLINE, order).await;
                    }
                    1 => {
                        let trim = |reply| TrimLog {
                            topic_id: topic_id(),
                            before: Offset(next(3) as i64 - 1),
                            reply,
                        };
                        let trimmed = scene.partition.ask_with(DEADLINE, trim).await;
                        // Nothing can be read once the power is gone.
                        if let (Ok(_), Some(text)) = (trimmed, epoch_file(&fs)) {
                            at_checkpoint = Some((scene.stored_recovery_point(), text));
                        }
                    }
                    _ => drop(scene.append(plain(0, 1 + next(3) as usize)).await),
                }
            }
            // Nothing of what it does to stop reaches the disk.
            fs.lose_power_after(0);
            scene.stop().await;
            if is_machine {
                fs.crash(seed);
            } else {
                fs.kill();
            }
            fs.heal_all();
            let fate = [Fate::Kept, Fate::Lost, Fate::Torn, Fate::Old][next(4) as usize];
            let stored = scene.stored_recovery_point();
            match (fate, at_checkpoint, epoch_file(&fs)) {
                (Fate::Lost, _, Some(_)) => fs.remove_file(&dir().join(EPOCH_FILE)).unwrap(),
                (Fate::Torn, _, Some(text)) => write_epoch_file(&fs, &text[..text.len() / 2]),
                (Fate::Old, Some((at, old)), _) if at == stored => write_epoch_file(&fs, &old),
                _ => {}
            }

            epoch += 1;
            let scene = Scene::on(&stage, fs.clone(), config, epoch);
            scene.reach(|phase| *phase == PartitionPhase::Leading).await;
            let what = format!("seed {seed}, round {round}, {fate:?}");
            tell_of_their_epochs(&scene, epoch, &what).await;
            scene.stop().await;
            epoch += 1;
        }
    });
}

/// Asks for the end of each epoch that a batch was written in.
async fn tell_of_their_epochs(scene: &Scene, led_in: i32, what: &str) {
    let described = scene.describe().await;
    let (mut at, end) = (described.log_start.get(), described.high_watermark.get());
    let mut starts: Vec<(i32, i64)> = Vec::new();
    while at < end {
        let read = scene.read_at(at, 1 << 20).await.unwrap();
        for batch in batches(&read.records) {
            let (header, _) = batch.unwrap();
            let epoch = header.partition_leader_epoch.get();
            if starts.last().is_none_or(|(last, _)| *last != epoch) {
                starts.push((epoch, header.base_offset.get()));
            }
            at = header.next_offset().get();
        }
    }
    assert_eq!(scene.epoch_end(led_in).await, (led_in, end), "{what}");
    let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([end]);
    for ((epoch, _), ends_at) in starts.iter().zip(ends) {
        let found = scene.epoch_end(*epoch).await;
        assert_eq!(found, (*epoch, ends_at), "{what}: {starts:?}");
    }
}

#[test]
fn every_record_is_known_by_its_epoch_after_any_crash() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).unwrap(),
        Err(_) => 0..60,
    };
    for seed in seeds {
        epochs_survive(seed);
    }
}
