//! Topics that come and go: where their partitions are put, and what is left of them.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use kabuki_protocol::ids::Offset;
use kabuki_runtime::testing;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem, Log};
use scene::*;

#[test]
fn partitions_of_a_new_topic_are_served_and_assigned() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 3).await;
        assert_eq!(scene.dirs(0), ["orders-0", "orders-1", "orders-2"]);
        for partition in ["orders-0", "orders-1", "orders-2"] {
            let shown = scene.shown(partition).unwrap();
            assert_eq!(shown.directories.as_ref(), [dir_id(0)]);
        }
        assert!(scene.stop().await.1.is_empty());
    });
}

#[test]
fn partitions_are_spread_over_the_log_directories() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 3).await;
        scene.serve("orders", 6).await;
        for directory in 0..3 {
            assert_eq!(scene.dirs(directory).len(), 2);
        }
        scene.delete("orders").await;
        scene
            .until("all left", |scene| scene.find("orders-5").is_none())
            .await;
        scene.serve("a", 1).await;
        scene.serve("b", 2).await;
        let counts = (0..3).map(|directory| {
            let dirs = scene.dirs(directory);
            dirs.iter()
                .filter(|name| !name.ends_with("-delete"))
                .count()
        });
        assert_eq!(counts.collect::<Vec<_>>(), [1, 1, 1]);
        scene.stop().await;
    });
}

#[test]
fn a_deleted_topic_is_renamed_at_once_and_removed_after_the_delay() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        scene.delete("orders").await;
        scene
            .until("it left", |scene| scene.find("orders-0").is_none())
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(plain(&scene.dirs(0)), ["orders-0.*-delete"]);
        // file.delete.delay.ms is a minute.
        tokio::time::sleep(Duration::from_secs(58)).await;
        assert_eq!(plain(&scene.dirs(0)), ["orders-0.*-delete"]);
        scene
            .until("removed", |scene| scene.dirs(0).is_empty())
            .await;
        scene.stop().await;
    });
}

#[test]
fn a_topic_made_again_at_once_begins_empty() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        let old = scene.serve("orders", 1).await;
        scene.append("orders-0", 100).await.unwrap().unwrap();
        scene.delete("orders").await;
        let new = scene.create("orders", 1).await;
        assert_ne!(old, new);
        scene
            .until("the new one", |scene| scene.dirs(0).len() == 2)
            .await;
        scene.until_serving("orders-0").await;
        let description = scene.describe("orders-0").await;
        assert_eq!(description.topic_id, new);
        assert_eq!(
            description.log_end,
            Offset(1),
            "the first append is its own"
        );
        assert_eq!(plain(&scene.dirs(0)), ["orders-0", "orders-0.*-delete"]);
        assert!(scene.stop().await.1.is_empty());
    });
}

#[test]
fn a_topic_deleted_and_made_again_while_its_directory_is_made_ends_up_on_stage() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        let slow = FaultRule::delay(root(0), &[Operation::CreateDir], Duration::from_secs(3));
        let rule = scene.fs.inject(slow);
        scene.create("orders", 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.delete("orders").await;
        let new = scene.create("orders", 1).await;
        scene.fs.heal(rule);
        scene.until_serving("orders-0").await;
        assert_eq!(scene.describe("orders-0").await.topic_id, new);
        assert_eq!(scene.describe("orders-0").await.log_end, Offset(1));
        scene.stop().await;
    });
}

#[test]
fn a_directory_that_cannot_be_renamed_leaves_when_it_can() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        scene.append("orders-0", 100).await.unwrap().unwrap();
        let refuse = FaultRule::fail(root(0), &[Operation::Rename], FaultClass::Denied);
        let rule = scene.fs.inject(refuse);
        scene.delete("orders").await;
        let new = scene.create("orders", 1).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(
            scene.find("orders-0").is_none(),
            "nothing is made in its place"
        );
        scene.fs.heal(rule);
        scene.until_serving("orders-0").await;
        assert_eq!(scene.describe("orders-0").await.topic_id, new);
        assert_eq!(scene.describe("orders-0").await.log_end, Offset(1));
        scene.stop().await;
    });
}

#[test]
fn directories_left_of_deleted_topics_are_removed_at_the_start() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        scene.delete("orders").await;
        scene
            .until("it left", |scene| scene.find("orders-0").is_none())
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let fs = scene.stop().await.0;
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        scene
            .until("removed", |scene| scene.dirs(0).is_empty())
            .await;
        scene.stop().await;
    });
}

#[test]
fn strays_are_put_aside_and_make_room() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let fs = scene.stop().await.0;
        let stranger = kabuki_protocol::ids::TopicId([9; 16]);
        Log::create(&fs, &dir(0, "lost-0"), stranger).unwrap();
        fs.rename(&dir(0, "orders-0"), &dir(0, "moved")).unwrap();
        Log::create(&fs, &dir(0, "orders-0"), stranger).unwrap();
        let scene = Scene::on(&stage, fs, 1, &[]).await;
        let strays = ["lost-0.*-stray", "moved", "orders-0.*-stray"];
        scene
            .until("aside", |scene| plain(&scene.dirs(0)) == strays)
            .await;
        scene
            .until("offline", |scene| scene.leader("orders-0") == -1)
            .await;
        // A new topic of the name of a stray gets a directory of its own.
        scene.serve("lost", 1).await;
        assert_eq!(scene.dirs(0)[0], "lost-0");
        scene
            .fs
            .rename(&dir(0, "moved"), &dir(0, "orders-0"))
            .unwrap();
        scene.until_serving("orders-0").await;
        scene.stop().await;
    });
}

#[test]
fn a_directory_that_takes_no_new_partition_is_passed_over() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        let refuse = FaultRule::fail(root(0), &[Operation::CreateDir], FaultClass::ReadOnly);
        let rule = scene.fs.inject(refuse);
        scene.serve("orders", 2).await;
        assert_eq!(scene.dirs(0).len(), 0);
        assert_eq!(scene.dirs(1), ["orders-0", "orders-1"]);
        scene.fs.heal(rule);
        scene.serve("more", 2).await;
        assert_eq!(scene.dirs(0), ["more-0", "more-1"]);
        scene.stop().await;
    });
}
