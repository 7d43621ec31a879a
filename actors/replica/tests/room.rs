//! How much room the log directories say that they have, and what they say when their disk does not.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use futures_util::future::join_all;
use kabuki_replica::LogDirDescription;
use kabuki_runtime::{AskError, testing};
use kabuki_storage::FaultClass;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

#[test]
fn a_directory_tells_its_room_or_that_its_disk_failed() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 2).await;
        scene.fs.set_capacity(Some(1_000_000));
        let LogDirDescription {
            total_bytes,
            usable_bytes,
        } = scene.room(0).await.unwrap().unwrap();
        assert_eq!(total_bytes, 1_000_000);
        assert!(0 < usable_bytes && usable_bytes < total_bytes);
        let broken = FaultRule::fail(root(1), &[Operation::List], FaultClass::Io);
        let rule = scene.fs.inject(broken);
        assert!(scene.room(1).await.unwrap().is_err());
        assert!(scene.room(0).await.unwrap().is_ok());
        scene.fs.heal(rule);
        assert!(scene.room(1).await.unwrap().is_ok());
        scene.stop().await;
    });
}

#[test]
fn those_who_ask_a_disk_that_hangs_wait_for_one_job() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, 1).await;
        scene.serve("orders", 1).await;
        let rule = FaultRule::delay(root(0), &[Operation::List], Duration::from_secs(11));
        let rule = scene.fs.inject(rule);
        // Each takes 11 s: had every one a job, the pool would be busy for minutes.
        for _ in 0..2 {
            let asked = join_all((0..100).map(|_| scene.room(0))).await;
            let late = |answer: &Result<_, _>| *answer == Err(AskError::DeadlinePassed);
            assert!(asked.iter().all(late));
        }
        assert!(scene.serves("orders-0").await);
        scene.fs.heal(rule);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(scene.room(0).await.unwrap().is_ok());
        scene.stop().await;
    });
}
