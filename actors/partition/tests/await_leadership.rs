//! Who waits for a partition to serve is answered when it does, and never left alone.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, TopicId};
use kabuki_runtime::{NoReply, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

#[test]
fn who_waits_from_before_the_recovery_on_is_answered_when_the_partition_serves() {
    testing::run(|stage| async move {
        let fs = new_disk();
        // Recovery and the epoch take longer than messages wait for an instance.
        let slow = Duration::from_millis(400);
        fs.inject(FaultRule::delay(
            dir(),
            &[Operation::Read, Operation::SyncData],
            slow,
        ));
        let scene = Scene::on(&stage, fs.clone(), config(), 1);
        let held = scene.await_leadership().await.unwrap().unwrap();
        assert_eq!(held.leader_epoch, LeaderEpoch(1));
        scene.put(1).await;
        // Once it leads the answer is at once.
        scene.await_leadership().await.unwrap().unwrap();
        scene.stop().await;
    });
}

#[test]
fn who_waits_at_a_replica_that_does_not_lead_is_told_when_it_does_or_goes() {
    testing::run(|stage| async move {
        let scene = Scene::on(&stage, new_disk(), config(), -1);
        let first = scene.await_leadership();
        scene.lead(3).await.unwrap();
        let held = first.await.unwrap().unwrap();
        assert_eq!(held.leader_epoch, LeaderEpoch(3));

        scene.epoch.store(-1, std::sync::atomic::Ordering::Relaxed);
        scene
            .partition
            .try_tell(ResignLeadership {
                leader_epoch: LeaderEpoch(4),
            })
            .unwrap();
        let second = scene.await_leadership();
        // Answered after it: the wait has been taken.
        scene.describe().await;
        scene.crash();
        assert_eq!(second.await, Err(NoReply::Lost), "ask the next instance");
        let third = scene.await_leadership();
        scene.describe().await;
        scene.stop().await;
        assert!(matches!(third.await, Err(NoReply::NotDone(_))));
    });
}

#[test]
fn nobody_waits_for_the_partition_of_another_topic() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        let (asked, hosted) = (TopicId([8; 16]), topic_id());
        let wait = |reply| AwaitLeadership {
            topic_id: asked,
            reply,
        };
        let refused = scene.partition.ask_with(DEADLINE, wait).await.unwrap();
        assert_eq!(refused, Err(AwaitRefused::ForeignTopic { asked, hosted }));
        scene.stop().await;
    });
}
