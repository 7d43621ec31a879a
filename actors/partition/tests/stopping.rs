//! A partition that is on its way out.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_runtime::{AskError, Undelivered, reply_channel, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem};
use scene::*;

#[test]
fn a_partition_that_closes_its_log_lets_nobody_read_and_watch_in_turns() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let pause = Duration::from_secs(5);
        let slow = FaultRule::delay(dir(), &[Operation::SyncData], pause);
        scene.fs.inject(slow);
        let (reply, stopped) = reply_channel();
        let delete = false;
        let stop = StopPartition { delete, reply };
        scene.partition.try_tell(stop).expect("it takes orders");
        assert_eq!(scene.describe().await.phase, PartitionPhase::Stopping);

        let moved = scene.watch(1, 1).await;
        assert_eq!(moved, Ok(PartitionMoved::Removed));
        let read = |reply| ReadRecords {
            topic_id: topic_id(),
            fetch_offset: kabuki_protocol::ids::Offset(1),
            bytes_max: 1,
            must_return_one: true,
            current_leader_epoch: kabuki_protocol::ids::LeaderEpoch::NONE,
            last_fetched_epoch: kabuki_protocol::ids::LeaderEpoch::NONE,
            isolation: Isolation::ReadUncommitted,
            reply,
        };
        let refused = scene.partition.ask_with(DEADLINE, read).await;
        assert_eq!(refused, Err(AskError::NotDone(Undelivered::Stopped)));
        let stopped = stopped.await.expect("answered");
        assert_eq!(stopped, Ok(PartitionStopped { renamed_to: None }));
        scene.stop().await;
    });
}

#[test]
fn a_clean_stop_syncs_the_directory_of_a_partition_once() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let second = FaultRule::fail(dir(), &[Operation::SyncDir], FaultClass::Io).after(1);
        scene.fs.inject(second);
        let stop = |reply| StopPartition {
            delete: false,
            reply,
        };
        let stopped = scene.partition.ask_with(DEADLINE, stop).await.unwrap();
        assert_eq!(stopped, Ok(PartitionStopped { renamed_to: None }));
        assert_eq!(scene.stored_recovery_point(), 1);
        // Nothing of it is lost with the machine: the records, and the epoch they were written in.
        scene.fs.heal_all();
        scene.fs.crash(0);
        let epochs = scene
            .fs
            .read_whole(&dir().join("leader-epoch-checkpoint"), 1024);
        assert_eq!(epochs.unwrap(), b"0\n1\n1 0\n");
    });
}
