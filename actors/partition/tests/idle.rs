//! Open files of a partition that nobody uses are given back, after what was written is synced.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_runtime::testing;
use kabuki_storage::FaultClass;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

const LONG: Duration = Duration::from_secs(180);

/// True when a read of the first record works although no file can be opened: it is open.
async fn is_open(scene: &Scene) -> bool {
    let rule = FaultRule::fail(dir(), &[Operation::Open], FaultClass::Io);
    let rule = scene.fs.inject(rule);
    let read = scene.read_at(0, 1 << 20).await;
    scene.fs.heal(rule);
    match read {
        Ok(read) => !read.records.is_empty(),
        Err(ReadRefused::Storage { .. }) => false,
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn files_are_given_back_after_a_while_without_use() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        assert!(is_open(&scene).await);
        assert_eq!(scene.describe().await.recovery_point.get(), 0);
        tokio::time::sleep(LONG).await;
        assert!(!is_open(&scene).await);
        assert_eq!(scene.describe().await.recovery_point.get(), 1, "synced");
        // And opened again when they are needed.
        scene.put(1).await;
        assert_eq!(scene.read_all().await.len(), 2);
        assert!(is_open(&scene).await);
        tokio::time::sleep(LONG).await;
        assert!(!is_open(&scene).await);
        scene.stop().await;
    });
}

#[test]
fn files_in_use_stay_open() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert!(is_open(&scene).await);
        }
        scene.stop().await;
    });
}

#[test]
fn a_read_alone_opens_files_for_a_while_only() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        scene.stop().await;
        let scene = Scene::on(&stage, scene.fs.clone(), config(), 1);
        scene.read_at(0, 1 << 20).await.unwrap();
        assert!(is_open(&scene).await);
        tokio::time::sleep(LONG).await;
        assert!(!is_open(&scene).await);
        scene.stop().await;
    });
}
