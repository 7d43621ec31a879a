//! Restarts: of the keeper and of a log directory under partitions that serve, and of the node.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use kabuki_partition::TrimLog;
use kabuki_protocol::ids::Offset;
use kabuki_runtime::{ActorState, AskError, EventKind, testing};
use kabuki_storage::checkpoint::{self, LOG_STARTS, RECOVERY_POINTS};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem};
use scene::*;

#[test]
fn partitions_notice_nothing_of_a_keepers_crash() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        scene.crash("keeper");
        assert!(scene.serves("orders-0").await && scene.serves("orders-1").await);
        scene
            .until("restarted", |scene| {
                scene.event_count("keeper", EventKind::Restarted) == 1
            })
            .await;
        // It does its work again, and has not touched what was there.
        scene.serve("more", 1).await;
        assert_eq!(scene.dirs(0), ["more-0", "orders-0", "orders-1"]);
        assert_eq!(scene.event_count("orders-0", EventKind::Restarted), 0);
        scene.delete("orders").await;
        scene
            .until("left", |scene| scene.find("orders-1").is_none())
            .await;
        assert!(scene.stop().await.1.is_empty());
    });
}

#[test]
fn what_befell_partitions_while_there_was_no_keeper_is_found_out() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 3).await;
        // The keeper does not come back before this scan has ended.
        let slow = Duration::from_secs(10);
        let rule = scene
            .fs
            .inject(FaultRule::delay(root(0), &[Operation::List], slow));
        scene.crash("keeper");
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.fs.heal(rule);
        scene.crash("keeper");
        scene.park("orders-0").await;
        scene.delete("orders").await;
        scene.create("orders", 1).await;
        scene.create("more", 1).await;
        scene.until_serving("more-0").await;
        scene.until_serving("orders-0").await;
        scene
            .until("left", |scene| scene.find("orders-2").is_none())
            .await;
        assert_eq!(scene.describe("orders-0").await.log_end, Offset(1));
        scene.stop().await;
    });
}

#[test]
fn a_partition_parked_while_there_was_no_keeper_is_brought_back() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        scene.park("orders-0").await;
        scene.crash("keeper");
        scene.until_serving("orders-0").await;
        assert_eq!(scene.leader("orders-0"), 1);
        scene.stop().await;
    });
}

#[test]
fn a_keeper_that_keeps_crashing_is_brought_back_for_ever() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        for _ in 0..40 {
            scene
                .until("running", |scene| {
                    scene.state("keeper") == ActorState::Running
                })
                .await;
            scene.crash("keeper");
        }
        scene.serve("more", 1).await;
        assert!(scene.serves("orders-0").await);
        scene.stop().await;
    });
}

#[test]
fn a_keeper_that_falls_while_a_directory_is_made_finishes_it() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        let slow = FaultRule::delay(root(0), &[Operation::CreateDir], Duration::from_secs(3));
        let rule = scene.fs.inject(slow);
        scene.create("orders", 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.fs.heal(rule);
        scene.crash("keeper");
        scene.until_serving("orders-0").await;
        assert_eq!(scene.dirs(0), ["orders-0"]);
        assert_eq!(scene.dirs(1).len(), 0);
        scene
            .until("assigned", |scene| {
                scene.shown("orders-0").unwrap().directories.as_ref() == [dir_id(0)]
            })
            .await;
        scene.stop().await;
    });
}

#[test]
fn a_log_directory_that_falls_answers_what_waited_and_loses_no_checkpoint() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 2).await;
        for _ in 0..5 {
            scene.append("orders-0", 100).await.unwrap().unwrap();
            scene.append("orders-1", 100).await.unwrap().unwrap();
        }
        trim(&scene, "orders-0", 2).await.unwrap();
        // Synced by this, so that the next one waits for the log directory alone.
        trim(&scene, "orders-1", 1).await.unwrap();
        let replacement = root(0).join(format!("{LOG_STARTS}.tmp"));
        let slow = FaultRule::delay(replacement, &[Operation::SyncData], Duration::from_secs(1));
        let rule = scene.fs.inject(slow);
        let waiting = tokio::task::spawn_local({
            let actor = scene.find("orders-1").unwrap();
            let topic_id = scene.topic_id("orders-1");
            async move { ask_trim(&actor, topic_id, 3).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.fs.heal(rule);
        scene.crash("dirs/0");
        assert!(waiting.await.unwrap().is_err(), "it cannot be known");
        trim(&scene, "orders-1", 4).await.unwrap();
        let starts = checkpoint::read(&scene.fs, &root(0).join(LOG_STARTS)).unwrap();
        let starts: Vec<(String, i64)> = starts
            .iter()
            .map(|(id, start)| (id.to_string(), start.get()))
            .collect();
        let wanted = [("orders-0".to_owned(), 2), ("orders-1".to_owned(), 4)];
        assert_eq!(starts, wanted);
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        scene.until_serving("orders-0").await;
        assert_eq!(scene.describe("orders-0").await.log_start, Offset(2));
        scene.stop().await;
    });
}

#[test]
fn a_log_directory_that_cannot_read_its_checkpoints_does_not_replace_them() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        scene.append("orders-0", 100).await.unwrap().unwrap();
        trim(&scene, "orders-0", 1).await.unwrap();
        let fs = scene.kill().await;
        let starts = root(0).join(LOG_STARTS);
        let rule = fs.inject(FaultRule::fail(&starts, Operation::ALL, FaultClass::Io));
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(
            !scene.serves("orders-0").await,
            "its first offset is not known"
        );
        scene.fs.heal(rule);
        scene.until_serving("orders-0").await;
        assert_eq!(scene.describe("orders-0").await.log_start, Offset(1));
        assert!(scene.stop().await.1.is_empty());
    });
}

#[test]
fn a_malformed_checkpoint_costs_a_scan_and_no_partition() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let fs = scene.stop().await.0;
        let file = fs.open(
            &root(0).join(RECOVERY_POINTS),
            kabuki_storage::OpenMode::ReadWrite,
        );
        let file = file.unwrap();
        file.set_len(0).unwrap();
        file.sync_data().unwrap();
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        scene.until_serving("orders-0").await;
        scene.stop().await;
    });
}

#[test]
fn a_killed_node_serves_what_it_served() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 4).await;
        let epoch = scene.shown("orders-3").unwrap().leader_epoch;
        let fs = scene.kill().await;
        fs.crash(7);
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        for partition in ["orders-0", "orders-1", "orders-2", "orders-3"] {
            scene.until_serving(partition).await;
        }
        assert!(scene.shown("orders-3").unwrap().leader_epoch > epoch);
        assert_eq!(scene.dirs(0).len() + scene.dirs(1).len(), 4);
        scene.stop().await;
    });
}

#[test]
fn a_clean_stop_marks_the_directories_and_a_start_takes_the_marker_away() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 2).await;
        let (fs, trouble) = scene.stop().await;
        assert!(trouble.is_empty());
        assert!(is_marked(&fs, 0) && is_marked(&fs, 1));
        let points = checkpoint::read(&fs, &root(0).join(RECOVERY_POINTS)).unwrap();
        assert_eq!(points.values().copied().collect::<Vec<_>>(), [Offset(1)]);
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        scene.until_serving("orders-0").await;
        let fs = scene.kill().await;
        assert!(!is_marked(&fs, 0) && !is_marked(&fs, 1));
    });
}

#[test]
fn a_partition_that_is_not_closed_keeps_its_directory_alone_unmarked() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.serve("orders", 2).await;
        scene.park("orders-0").await;
        let (fs, trouble) = scene.stop().await;
        assert_eq!(trouble.len(), 2, "{trouble:?}");
        assert!(!is_marked(&fs, 0));
        assert!(is_marked(&fs, 1));
    });
}

#[test]
fn a_partition_that_was_never_opened_keeps_its_directory_unmarked() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        let id = scene.serve("orders", 1).await;
        let fs = scene.kill().await;
        kabuki_storage::Log::create(&fs, &dir(1, "orders-0"), id).unwrap();
        let scene = Scene::on(&stage, fs, 2, &[]).await;
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        let (fs, trouble) = scene.stop().await;
        assert_eq!(trouble.len(), 2, "{trouble:?}");
        assert!(!is_marked(&fs, 0) && !is_marked(&fs, 1));
    });
}

type Trimmed = Result<i64, String>;

async fn trim(scene: &Scene, partition: &str, before: i64) -> Trimmed {
    let actor = scene.find(partition).unwrap();
    ask_trim(&actor, scene.topic_id(partition), before).await
}

async fn ask_trim(
    actor: &kabuki_runtime::Addr<kabuki_partition::Partition>,
    topic_id: kabuki_protocol::ids::TopicId,
    before: i64,
) -> Trimmed {
    let before = Offset(before);
    let trim = |reply| TrimLog {
        topic_id,
        before,
        reply,
    };
    match actor.ask_with(DEADLINE, trim).await {
        Ok(Ok(trimmed)) => Ok(trimmed.low_watermark.get()),
        Ok(Err(refused)) => Err(refused.to_string()),
        Err(error) => Err(AskError::to_string(&error)),
    }
}
