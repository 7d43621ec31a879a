//! Searches by time that a trim overtakes.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_runtime::testing;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

/// A log of one segment a batch, two records each, a second apart.
async fn three_segments(scene: &Scene) {
    for second in 0..3 {
        let time = NOW_MS + 2_000 * second;
        let batch = at_times(&[time, time + 1_000]);
        let appended = scene.append(batch).await.expect("the partition answers");
        appended.expect("the batch is taken");
    }
    assert_eq!(scene.describe().await.segment_count, 3);
}

fn one_batch_a_segment() -> PartitionConfig {
    let mut config = config();
    config.log.segment_bytes = 100;
    config
}

#[test]
fn a_search_that_a_trim_overtakes_finds_what_is_left() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, one_batch_a_segment());
        three_segments(&scene).await;
        // The answer of the disk is on its way while the records that it tells of are trimmed; the
        // fifth search waits for its turn, and the files that it was to look at are gone by then.
        let pause = Duration::from_secs(5);
        let slow = FaultRule::delay(dir(), &[Operation::Read], pause);
        scene.fs.inject(slow);
        let target = OffsetTarget::Timestamp(NOW_MS);
        let searches: Vec<_> = (0..5).map(|_| scene.find_later(target)).collect();
        scene.describe().await;
        assert_eq!(scene.trim(4).await.unwrap().low_watermark, Offset(4));
        for search in searches {
            let found = OffsetFound {
                offset: Offset(4),
                timestamp: NOW_MS + 4_000,
                leader_epoch: LeaderEpoch(1),
            };
            assert_eq!(search.await, Ok(Ok(found)));
        }
        scene.stop().await;
    });
}

#[test]
fn a_search_fails_on_a_disk_that_does_whatever_is_trimmed() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, one_batch_a_segment());
        three_segments(&scene).await;
        let class = kabuki_storage::FaultClass::Io;
        let rule = FaultRule::fail(dir(), &[Operation::Read, Operation::Open], class);
        scene.fs.inject(rule);
        let found = scene.find(OffsetTarget::Timestamp(NOW_MS)).await;
        assert!(
            matches!(found, Err(FindRefused::Storage { .. })),
            "{found:?}"
        );
        scene.fs.heal_all();
        scene.stop().await;
    });
}
