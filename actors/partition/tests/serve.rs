//! A healthy partition: appends, reads at the boundaries, watchers, look-ups, leadership, trims.

mod scene;

use std::time::Duration;

use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_runtime::{NoReply, testing};
use kabuki_storage::FileSystem;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

#[test]
fn what_was_appended_is_read_back_at_its_offset() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        assert_eq!(scene.put(2).await, 0);
        assert_eq!(scene.put(1).await, 2);
        let values = scene.read_all().await;
        let expected = [(0, "0"), (1, "0"), (2, "1")];
        assert_eq!(
            values,
            expected.map(|(offset, value)| (offset, value.to_owned()))
        );
        scene.stop().await;
    });
}

#[test]
fn a_stored_batch_carries_the_leader_epoch() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        scene.lead(4).await.unwrap();
        scene.put(1).await;
        let read = scene.read_at(0, 1 << 20).await.unwrap();
        let epochs = kabuki_protocol::records::batches(&read.records)
            .map(|batch| batch.unwrap().0.partition_leader_epoch.get());
        assert_eq!(epochs.collect::<Vec<_>>(), [1, 4]);
        scene.stop().await;
    });
}

#[test]
fn reads_begin_with_the_batch_that_holds_the_offset_and_end_with_a_whole_one() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for _ in 0..3 {
            scene.put(4).await;
        }
        let batch_bytes = plain(0, 4).bytes.len();
        let offsets = |read: &RecordsRead| {
            let values = values_of(&read.records);
            (values.first().unwrap().0, values.last().unwrap().0)
        };
        let read = scene.read_at(5, 2 * batch_bytes).await.unwrap();
        assert_eq!(offsets(&read), (4, 11));
        let read = scene.read_at(5, 2 * batch_bytes - 1).await.unwrap();
        assert_eq!(
            offsets(&read),
            (4, 7),
            "a batch that does not fit is left out"
        );
        let read = scene.read_at(5, 1).await.unwrap();
        assert_eq!(offsets(&read), (4, 7), "the first one always comes");
        assert_eq!(
            (read.high_watermark, read.log_start),
            (Offset(12), Offset(0))
        );

        assert!(scene.read_at(12, 1 << 20).await.unwrap().records.is_empty());
        let out_of_range = scene.read_at(13, 1 << 20).await.unwrap_err();
        let expected = ReadRefused::OffsetOutOfRange {
            fetch_offset: Offset(13),
            log_start: Offset(0),
            log_end: Offset(12),
        };
        assert_eq!(out_of_range, expected);
        scene.stop().await;
    });
}

#[test]
fn a_read_that_is_not_cached_comes_from_the_pool() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for _ in 0..20 {
            scene.put(1).await;
        }
        let rule = scene.fs.inject(FaultRule::not_cached(dir()));
        let reads = (0..20).map(|at| scene.read_at(at, 1));
        let mut found = Vec::new();
        for read in reads {
            found.push(values_of(&read.await.unwrap().records)[0].0);
        }
        assert_eq!(found, (0..20).collect::<Vec<i64>>());
        scene.fs.heal(rule);
        scene.stop().await;
    });
}

#[test]
fn reads_go_on_over_segments_and_over_a_roll() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for expected in 0..8 {
            let appended = scene.append(large(300 * 1024)).await.unwrap().unwrap();
            assert_eq!(appended.base_offset, Offset(expected));
        }
        assert_eq!(scene.describe().await.segment_count, 3);
        let offsets: Vec<i64> = scene
            .read_all()
            .await
            .iter()
            .map(|(offset, _)| *offset)
            .collect();
        assert_eq!(offsets, (0..8).collect::<Vec<i64>>());
        scene.stop().await;
    });
}

#[test]
fn a_watcher_is_told_when_there_is_more_and_when_the_partition_goes() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let moved = |offset| Ok(PartitionMoved::HighWatermark(Offset(offset)));
        assert_eq!(scene.watch(1, 0).await, moved(1), "there is more already");

        let replaced = scene.watch(1, 1);
        let first = scene.watch(1, 1);
        let second = scene.watch(2, 1);
        assert_eq!(
            replaced.await,
            Err(NoReply::Lost),
            "one wish for each watcher"
        );
        scene.put(3).await;
        assert_eq!(first.await, moved(4));
        assert_eq!(second.await, moved(4));

        let led = scene.watch(1, 4);
        scene.lead(2).await.unwrap();
        assert_eq!(led.await, Ok(PartitionMoved::Changed));

        let left = scene.watch(3, 4);
        let watcher = WatcherId(3);
        scene
            .partition
            .try_tell(UnwatchPartition { watcher })
            .unwrap();
        assert_eq!(left.await, Err(NoReply::Lost));

        let parked = scene.watch(1, 4);
        scene.stop().await;
        assert_eq!(parked.await, Ok(PartitionMoved::Removed));
    });
}

#[test]
fn offsets_are_found_by_time() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for times in [&[100, 200][..], &[150, 900], &[900, 300]] {
            let times: Vec<i64> = times.iter().map(|time| NOW_MS + time).collect();
            scene.append(at_times(&times)).await.unwrap().unwrap();
        }
        let found = |offset, timestamp: i64| {
            Ok(OffsetFound {
                offset: Offset(offset),
                timestamp: NOW_MS + timestamp,
                leader_epoch: LeaderEpoch(1),
            })
        };
        assert_eq!(
            scene.find(OffsetTarget::Timestamp(NOW_MS + 150)).await,
            found(1, 200)
        );
        assert_eq!(
            scene.find(OffsetTarget::Timestamp(NOW_MS + 900)).await,
            found(3, 900)
        );
        assert_eq!(scene.find(OffsetTarget::MaxTimestamp).await, found(3, 900));
        let none = scene.find(OffsetTarget::Timestamp(NOW_MS + 901)).await;
        assert_eq!(none, Ok(OffsetFound::NONE));
        let latest = scene.find(OffsetTarget::Latest).await.unwrap();
        assert_eq!((latest.offset, latest.timestamp), (Offset(6), -1));
        scene.stop().await;
    });
}

#[test]
fn a_trim_is_answered_when_it_is_durable_and_frees_whole_segments() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        for _ in 0..8 {
            scene.append(large(300 * 1024)).await.unwrap().unwrap();
        }
        let parked = scene.watch(1, 8);
        let low_watermark = Offset(4);
        assert_eq!(scene.trim(4).await, Ok(LogTrimmed { low_watermark }));
        assert_eq!(parked.await, Ok(PartitionMoved::Changed));
        assert!(scene.read_at(3, 1 << 20).await.is_err());
        assert_eq!(
            values_of(&scene.read_at(4, 1).await.unwrap().records)[0].0,
            4
        );
        let description = scene.describe().await;
        assert_eq!(
            (description.log_start, description.segment_count),
            (Offset(4), 2)
        );
        assert!(matches!(
            scene.trim(9).await,
            Err(TrimRefused::OffsetOutOfRange { .. })
        ));

        // The machine goes down: the log start that was told is kept.
        scene.stop().await;
        scene.fs.crash(1);
        let scene = Scene::on(&stage, scene.fs.clone(), config(), 2);
        assert_eq!(scene.describe().await.phase, PartitionPhase::Recovering);
        assert_eq!(
            scene.find(OffsetTarget::Earliest).await.unwrap().offset,
            Offset(4)
        );
        assert_eq!(scene.trim(-1).await.unwrap().low_watermark, Offset(8));
        scene.stop().await;
    });
}

#[test]
fn a_replica_that_does_not_lead_serves_nobody() {
    testing::run(|stage| async move {
        let scene = Scene::on(&stage, new_disk(), config(), -1);
        let leader_epoch = LeaderEpoch::NONE;
        let refused = scene.append(plain(0, 1)).await.unwrap();
        assert_eq!(refused, Err(AppendRefused::NotLeader { leader_epoch }));
        assert_eq!(scene.watch(1, 0).await, Ok(PartitionMoved::Changed));
        assert!(matches!(
            scene.trim(0).await,
            Err(TrimRefused::NotLeader { .. })
        ));

        let taken = scene.lead(3).await.unwrap();
        assert_eq!(
            (taken.leader_epoch, taken.epoch_start),
            (LeaderEpoch(3), Offset(0))
        );
        scene.put(1).await;
        let stale = scene.lead(2).await;
        assert!(matches!(stale, Err(BecomeLeaderRefused::StaleEpoch { .. })));

        let leader_epoch = LeaderEpoch(3);
        scene
            .partition
            .try_tell(ResignLeadership { leader_epoch })
            .unwrap();
        let refused = scene.read_at(0, 1).await.unwrap_err();
        assert_eq!(refused, NotServed::NotLeader { leader_epoch }.into());
        scene.stop().await;
    });
}

#[test]
fn appends_wait_for_the_epoch_of_a_fresh_start() {
    testing::run(|stage| async move {
        let fs = new_disk();
        let pause = Duration::from_millis(20);
        fs.inject(FaultRule::delay(dir(), &[Operation::Rename], pause));
        let scene = Scene::on(&stage, fs, config(), 7);
        let appended = scene.append(plain(0, 1)).await.unwrap().unwrap();
        assert_eq!(
            appended.base_offset,
            Offset(0),
            "it was not refused for a moment's reason"
        );
        scene.fs.heal_all();
        scene.stop().await;
    });
}

#[test]
fn a_clean_stop_leaves_nothing_to_scan() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, flushing());
        scene.put(5).await;
        let pause = Duration::from_millis(50);
        let rule = FaultRule::delay(dir(), &[Operation::SyncData], pause);
        let rule = scene.fs.inject(rule);
        let last = scene.send(plain(7, 1));
        tokio::time::sleep(pause / 2).await;
        scene.stop().await;
        scene.fs.heal(rule);
        let appended = last.await.unwrap().unwrap();
        assert_eq!(appended.base_offset, Offset(5), "taken before the stop");
        let scene = Scene::on(&stage, scene.fs.clone(), config(), 2);
        scene.reach(|phase| *phase == PartitionPhase::Leading).await;
        let scanned = PartitionFact::LogRecovered {
            log_start: Offset(0),
            log_end: Offset(6),
            scanned_bytes: 0,
            cut_bytes: 0,
        };
        assert_eq!(scene.facts()[0], scanned);
        scene.stop().await;
    });
}

#[test]
fn a_deleted_partition_leaves_its_name_free() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let parked = scene.watch(1, 1);
        let delete = |reply| StopPartition {
            delete: true,
            reply,
        };
        let stopped = scene
            .partition
            .ask_with(DEADLINE, delete)
            .await
            .unwrap()
            .unwrap();
        let renamed_to = stopped.renamed_to.unwrap();
        assert!(renamed_to.to_string_lossy().ends_with("-delete"));
        assert_eq!(parked.await, Ok(PartitionMoved::Removed));
        assert!(scene.fs.exists(&renamed_to).unwrap());
        assert!(!scene.fs.exists(&dir()).unwrap());
        scene.stop().await;
    });
}

#[test]
fn idle_partitions_set_no_timer() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        // Its files are synced and given back within two minutes; then it is idle.
        tokio::time::sleep(Duration::from_secs(180)).await;
        let before = scene
            .stage
            .registry()
            .describe(&kabuki_runtime::ActorPath::new("/orders-0"));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let after = scene
            .stage
            .registry()
            .describe(&kabuki_runtime::ActorPath::new("/orders-0"));
        assert_eq!(
            before[0].messages, after[0].messages,
            "an hour passed without a message"
        );
        scene.stop().await;
    });
}

#[test]
fn who_means_a_deleted_topic_of_the_same_name_is_refused() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        let (asked, hosted) = (TopicId([8; 16]), topic_id());
        let partition = &scene.partition;
        let leader_epoch = LeaderEpoch::NONE;
        let current_leader_epoch = LeaderEpoch::NONE;

        let append = |reply| AppendRecords {
            topic_id: asked,
            batch: plain(0, 1),
            required_acks: RequiredAcks::All,
            reply,
        };
        let refused = partition.ask_with(DEADLINE, append).await.unwrap();
        assert_eq!(refused, Err(AppendRefused::ForeignTopic { asked, hosted }));
        let read = |reply| ReadRecords {
            topic_id: asked,
            fetch_offset: Offset(0),
            bytes_max: 1,
            must_return_one: true,
            current_leader_epoch,
            last_fetched_epoch: LeaderEpoch::NONE,
            isolation: Isolation::ReadUncommitted,
            reply,
        };
        let refused = partition.ask_with(DEADLINE, read).await.unwrap();
        assert_eq!(
            refused,
            Err(ReadRefused::NotServed(NotServed::ForeignTopic {
                asked,
                hosted
            }))
        );
        let find = |reply| FindOffset {
            topic_id: asked,
            target: OffsetTarget::Latest,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch,
            reply,
        };
        let refused = partition.ask_with(DEADLINE, find).await.unwrap();
        assert_eq!(
            refused,
            Err(FindRefused::NotServed(NotServed::ForeignTopic {
                asked,
                hosted
            }))
        );
        let find = |reply| FindEpochEnd {
            topic_id: asked,
            current_leader_epoch,
            leader_epoch,
            reply,
        };
        let refused = partition.ask_with(DEADLINE, find).await.unwrap();
        assert_eq!(
            refused,
            Err(FindRefused::NotServed(NotServed::ForeignTopic {
                asked,
                hosted
            }))
        );
        let trim = |reply| TrimLog {
            topic_id: asked,
            before: Offset(1),
            reply,
        };
        let refused = partition.ask_with(DEADLINE, trim).await.unwrap();
        assert_eq!(refused, Err(TrimRefused::ForeignTopic { asked, hosted }));
        let watch = |reply| WatchPartition {
            topic_id: asked,
            watcher: WatcherId(1),
            after: Offset(1),
            reply,
        };
        let moved = partition.ask_with(DEADLINE, watch).await.unwrap();
        assert_eq!(moved, PartitionMoved::Removed);

        assert_eq!(scene.read_all().await, [(0, "0".to_owned())]);
        scene.stop().await;
    });
}

#[test]
fn producers_are_described_by_a_leader_and_after_a_restart() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        assert_eq!(scene.producers().await.unwrap(), []);
        scene.append(idempotent(0)).await.unwrap().unwrap();
        scene.append(idempotent(1)).await.unwrap().unwrap();
        assert_eq!(scene.producers().await.unwrap(), [(9, 0, 1)]);
        scene.crash();
        assert_eq!(scene.producers().await.unwrap(), [(9, 0, 1)]);
        let resign = ResignLeadership {
            leader_epoch: LeaderEpoch(9),
        };
        scene.partition.try_tell(resign).unwrap();
        let refused = scene.producers().await.unwrap_err();
        assert!(matches!(refused, NotServed::NotLeader { .. }));
        scene.stop().await;
    });
}
