//! A disk that fails syncs and keeps nothing of what it was given: what was acknowledged is there or
//! told to be lost, what was not is cut, and the partition heals by itself.

mod scene;

use std::path::PathBuf;
use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_runtime::{AskError, EventKind, testing};
use kabuki_storage::FaultClass;
use kabuki_storage::sim_fs::{FaultRule, Operation, RuleId};
use scene::*;

fn log() -> PathBuf {
    dir().join("00000000000000000000.log")
}

fn fail_syncs(scene: &Scene) -> RuleId {
    let rule = FaultRule::fail(dir(), &[Operation::SyncData], FaultClass::Io);
    scene.fs.inject(rule)
}

async fn until_degraded(scene: &Scene) {
    scene
        .reach(|phase| matches!(phase, PartitionPhase::Degraded { .. }))
        .await;
}

async fn until_leading(scene: &Scene) {
    scene.reach(|phase| *phase == PartitionPhase::Leading).await;
}

/// What the supervision log says is lost.
fn loss(scene: &Scene) -> Option<String> {
    let events = scene.stage.supervision_log().recent();
    let mut causes = events.into_iter().map(|event| event.cause);
    causes.find(|cause| cause.starts_with("lost"))
}

/// The story ends well: what was not acknowledged is sent again and stored once, on the medium.
async fn is_whole_after_the_cure(scene: &Scene, rule: RuleId) {
    scene.fs.heal(rule);
    until_leading(scene).await;
    let resent = scene.append(idempotent(1)).await;
    let resent = resent.expect("an answer").expect("it is taken");
    assert_eq!(resent.base_offset, Offset(1));
    let seen = scene.read_all().await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    scene.fs.crash(0);
    scene.stop().await;
    let again = Scene::on(&scene.stage, scene.fs.clone(), flushing(), 2);
    until_leading(&again).await;
    assert_eq!(again.read_all().await, seen);
    again.stop().await;
}

#[test]
fn pages_dropped_while_the_disk_fails_are_not_taken_for_the_records_they_held() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.append(idempotent(0)).await.unwrap().unwrap();
        let rule = fail_syncs(&scene);
        assert_eq!(scene.append(idempotent(1)).await, Err(AskError::Lost));
        until_degraded(&scene).await;
        scene.fs.drop_pages(&log()).unwrap();
        assert_eq!(scene.read_all().await.len(), 1, "what was synced is served");
        is_whole_after_the_cure(&scene, rule).await;
        let counts = [EventKind::Faulted, EventKind::Recovered].map(|kind| scene.event_count(kind));
        assert_eq!(
            counts,
            [2, 2],
            "the failed sync, and the loss when it was noticed"
        );
        assert_eq!(loss(&scene), None, "nobody was told of what is gone");
    });
}

#[test]
fn pages_dropped_before_the_next_instance_looks_are_cut_by_it() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.append(idempotent(0)).await.unwrap().unwrap();
        let rule = fail_syncs(&scene);
        assert_eq!(scene.append(idempotent(1)).await, Err(AskError::Lost));
        scene.fs.drop_pages(&log()).unwrap();
        until_degraded(&scene).await;
        assert_eq!(scene.describe().await.log_end, Offset(1));
        assert_eq!(scene.read_all().await.len(), 1);
        is_whole_after_the_cure(&scene, rule).await;
        assert_eq!(scene.event_count(EventKind::Faulted), 1);
        assert_eq!(loss(&scene), None);
    });
}

#[test]
fn acknowledged_records_that_the_medium_lost_are_told_and_end_the_epoch() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.append(idempotent(0)).await.unwrap().unwrap();
        let rule = fail_syncs(&scene);
        assert_eq!(scene.append(idempotent(1)).await, Err(AskError::Lost));
        // The write that failed was to the block that holds the record before it as well.
        scene.fs.lose_block(&log(), 0).unwrap();
        until_degraded(&scene).await;
        scene.fs.heal(rule);
        scene
            .reach(|phase| *phase == PartitionPhase::Following)
            .await;
        let (log_end, leader_epoch) = (Offset(0), LeaderEpoch(1));
        assert!(scene.facts().contains(&PartitionFact::TailCut {
            log_end,
            leader_epoch
        }));
        let loss = loss(&scene).unwrap();
        assert_eq!(loss, "lost offsets 0 to 1, which had been shown");
        scene.lead(2).await.unwrap();
        assert_eq!(scene.put(1).await, 0);
        scene.stop().await;
    });
}

#[test]
fn without_flushes_what_is_left_of_an_acknowledged_tail_is_kept_and_the_rest_told() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(3).await;
        let rule = fail_syncs(&scene);
        // A trim moves the recovery point first, which syncs.
        let before = Offset(1);
        let trim = |reply| TrimLog {
            topic_id: topic_id(),
            before,
            reply,
        };
        let trimmed = scene.partition.ask_with(DEADLINE, trim).await;
        assert!(matches!(trimmed, Err(AskError::Lost)));
        until_degraded(&scene).await;
        assert_eq!(
            scene.read_all().await.len(),
            3,
            "served from the page cache"
        );
        scene.fs.drop_pages(&log()).unwrap();
        scene.fs.heal(rule);
        scene
            .reach(|phase| *phase == PartitionPhase::Following)
            .await;
        let loss = loss(&scene).unwrap();
        assert_eq!(loss, "lost offsets 0 to 3, which had been shown");
        scene.lead(2).await.unwrap();
        assert_eq!(scene.put(1).await, 0);
        scene.stop().await;
    });
}

#[test]
fn a_sync_that_hangs_keeps_nobody_waiting_and_its_end_heals() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.append(idempotent(0)).await.unwrap().unwrap();
        let rule = FaultRule::hang(dir(), &[Operation::SyncData]);
        let rule = scene.fs.inject(rule);
        let began = tokio::time::Instant::now();
        assert_eq!(scene.append(idempotent(1)).await, Err(AskError::Lost));
        assert!(began.elapsed() <= Duration::from_secs(10));
        until_degraded(&scene).await;
        let refused = scene.append(idempotent(1)).await;
        assert!(matches!(refused, Ok(Err(AppendRefused::Storage { .. }))));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(scene.read_all().await.len(), 1, "what was synced is served");

        scene.fs.heal(rule);
        until_leading(&scene).await;
        let resent = scene.append(idempotent(1)).await.unwrap().unwrap();
        assert_eq!(resent.base_offset, Offset(1), "it was written once");
        assert_eq!(scene.read_all().await.len(), 2);
        let counts = [EventKind::Degraded, EventKind::Healed, EventKind::Faulted];
        assert_eq!(counts.map(|kind| scene.event_count(kind)), [1, 1, 0]);
        scene.stop().await;
    });
}

#[test]
fn syncs_that_follow_each_other_for_long_are_not_taken_for_one_that_hangs() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        let slow = Duration::from_secs(4);
        let rule = FaultRule::delay(dir(), &[Operation::SyncData], slow);
        scene.fs.inject(rule);
        for sequence in 0..5 {
            scene.append(idempotent(sequence)).await.unwrap().unwrap();
        }
        assert_eq!(scene.event_count(EventKind::Degraded), 0);
        scene.stop().await;
    });
}
