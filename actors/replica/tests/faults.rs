//! Partitions and directories that fail: who is offline, for how long, and who notices nothing.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use kabuki_protocol::ids::Offset;
use kabuki_runtime::{ActorState, EventKind, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem};
use scene::*;

#[test]
fn a_parked_partition_alone_is_offline_and_is_brought_back() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 3).await;
        let epoch = scene.shown("orders-1").unwrap().leader_epoch;
        scene.park("orders-1").await;
        scene
            .until("offline", |scene| scene.leader("orders-1") == -1)
            .await;
        assert_eq!(scene.leader("orders-0"), 1);
        assert!(scene.serves("orders-0").await && scene.serves("orders-2").await);
        assert_eq!(scene.event_count("orders-1", EventKind::SteppedDown), 1);
        assert_eq!(scene.event_count("orders-0", EventKind::Panicked), 0);
        scene
            .until("online", |scene| scene.leader("orders-1") == 1)
            .await;
        scene.until_serving("orders-1").await;
        assert!(scene.shown("orders-1").unwrap().leader_epoch > epoch);
        assert!(scene.stop().await.1.is_empty());
    });
}

#[test]
fn a_missing_directory_is_offline_until_it_is_back() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        scene.append("orders-0", 100).await.unwrap().unwrap();
        let end = scene.describe("orders-0").await.log_end;
        let fs = scene.stop().await.0;
        fs.rename(&dir(0, "orders-0"), &dir(0, "unmounted"))
            .unwrap();
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        scene.until_serving("orders-1").await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(scene.dirs(0), ["orders-1", "unmounted"], "it is never made");
        scene
            .fs
            .rename(&dir(0, "unmounted"), &dir(0, "orders-0"))
            .unwrap();
        scene.until_serving("orders-0").await;
        assert_eq!(
            scene.describe("orders-0").await.log_end,
            Offset(end.get() + 1)
        );
        scene.stop().await;
    });
}

#[test]
fn a_directory_that_vanishes_under_a_partition_is_offline_until_it_is_back() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        scene
            .fs
            .rename(&dir(0, "orders-0"), &dir(0, "unmounted"))
            .unwrap();
        scene.crash("orders-0");
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        assert!(scene.serves("orders-1").await);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(scene.dirs(0), ["orders-1", "unmounted"], "it is never made");
        scene
            .fs
            .rename(&dir(0, "unmounted"), &dir(0, "orders-0"))
            .unwrap();
        scene.until_serving("orders-0").await;
        scene.stop().await;
    });
}

#[test]
fn a_partition_in_two_directories_is_refused_until_one_is_gone() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        let id = scene.serve("orders", 2).await;
        let fs = scene.stop().await.0;
        kabuki_storage::Log::create(&fs, &dir(1, "orders-0"), id).unwrap();
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        assert!(scene.find("orders-0").is_none());
        scene.until_serving("orders-1").await;
        scene.fs.remove_dir_all(&dir(1, "orders-0")).unwrap();
        scene.until_serving("orders-0").await;
        scene.stop().await;
    });
}

#[test]
fn a_failed_directory_leaves_the_others_serving() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 2).await;
        let fs = scene.stop().await.0;
        let all = Operation::ALL;
        let rule = fs.inject(FaultRule::fail(root(1), all, FaultClass::Io));
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        scene.until_serving("orders-0").await;
        scene
            .until("offline", |scene| scene.leader("orders-1") == -1)
            .await;
        scene.serve("more", 2).await;
        assert_eq!(scene.dirs(0), ["more-0", "more-1", "orders-0"]);
        scene.fs.heal(rule);
        scene.until_serving("orders-1").await;
        scene.stop().await;
    });
}

#[test]
fn a_directory_that_hangs_leaves_the_others_serving() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 2).await;
        let fs = scene.stop().await.0;
        let slow = Duration::from_secs(120);
        let rule = fs.inject(FaultRule::delay(root(1), &[Operation::List], slow));
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        scene.until_serving("orders-0").await;
        scene
            .until("offline", |scene| scene.leader("orders-1") == -1)
            .await;
        scene.fs.heal(rule);
        scene.until_serving("orders-1").await;
        scene.stop().await;
    });
}

#[test]
fn a_job_that_passes_its_deadline_is_told_for_its_directory_once_each_way() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let rule = FaultRule::hang(root(0), &[Operation::SyncDir]);
        let rule = scene.fs.inject(rule);
        scene.create("more", 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(scene.event_count("dirs/0", EventKind::Degraded), 1);
        assert!(scene.serves("orders-0").await, "its thread moves");
        scene.fs.heal(rule);
        scene.until_serving("more-0").await;
        scene
            .until("healed", |scene| {
                scene.event_count("dirs/0", EventKind::Healed) == 1
            })
            .await;
        scene.stop().await;
    });
}

#[test]
fn a_thread_that_stands_still_is_told_for_its_directory_once_each_way() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 1).await;
        let thread = stage.system_arbiter().standstill().clone();
        for round in 1..=2 {
            for (is_still, healed) in [(true, round - 1), (true, round - 1), (false, round)] {
                thread.set(is_still);
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert_eq!(scene.event_count("dirs/0", EventKind::Degraded), round);
                assert_eq!(scene.event_count("dirs/0", EventKind::Healed), healed);
            }
            // Sooner the second would be counted with the first.
            tokio::time::sleep(Duration::from_secs(120)).await;
        }
        scene.stop().await;
    });
}

#[test]
fn a_search_that_takes_its_time_is_not_taken_for_a_directory_that_hangs() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let fs = scene.stop().await.0;
        fs.remove_dir_all(&dir(0, "orders-0")).unwrap();
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        // Of two searches in a row, one is out when the first has been for longer than one may be.
        let slow = Duration::from_secs(15);
        scene
            .fs
            .inject(FaultRule::delay(root(0), &[Operation::List], slow));
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(scene.event_count("keeper", EventKind::Degraded), 0);
        scene.stop().await;
    });
}

#[test]
fn writes_refused_for_too_long_take_the_leadership_until_they_are_taken_again() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        let writing = [Operation::Write, Operation::Create];
        let full = FaultRule::fail(dir(0, "orders-0"), &writing, FaultClass::Full);
        let rule = scene.fs.inject(full);
        assert!(!scene.serves("orders-0").await);
        tokio::time::sleep(Duration::from_secs(25)).await;
        assert_eq!(
            scene.leader("orders-0"),
            1,
            "kabuki.degraded.leader.ms is 30 s"
        );
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        assert!(scene.serves("orders-1").await);
        scene.fs.heal(rule);
        scene
            .until("online", |scene| scene.leader("orders-0") == 1)
            .await;
        scene.until_serving("orders-0").await;
        assert_eq!(scene.event_count("orders-0", EventKind::Panicked), 0);
        scene.stop().await;
    });
}

#[test]
fn writes_refused_for_a_moment_take_nothing() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let epoch = scene.shown("orders-0").unwrap().leader_epoch;
        for _ in 0..4 {
            let writing = [Operation::Write, Operation::Create];
            let full = FaultRule::fail(dir(0, "orders-0"), &writing, FaultClass::Full);
            let rule = scene.fs.inject(full);
            assert!(!scene.serves("orders-0").await);
            tokio::time::sleep(Duration::from_secs(12)).await;
            scene.fs.heal(rule);
            scene.until_serving("orders-0").await;
        }
        assert_eq!(scene.shown("orders-0").unwrap().leader_epoch, epoch);
        scene.stop().await;
    });
}

#[test]
fn the_controller_is_asked_again_when_it_could_not_commit() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let full = FaultRule::fail("/meta", &[Operation::Write], FaultClass::Full);
        let rule = scene.fs.inject(full);
        scene.park("orders-0").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(scene.leader("orders-0"), 1);
        // The partition is brought back and parked again meanwhile.
        for _ in 0..3 {
            scene
                .until("revived", |scene| {
                    scene.state("orders-0") == ActorState::Running
                })
                .await;
            scene.park("orders-0").await;
        }
        scene.fs.heal(rule);
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        scene.until_serving("orders-0").await;
        scene.stop().await;
    });
}
