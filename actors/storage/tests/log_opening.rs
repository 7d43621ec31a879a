//! Opening a log: whose directory it is, what interrupted work left in it, what its small files say,
//! and disks that refuse writes.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem, Log, LogConfig, LogFault, OpenLog, PageCache};
use rig::{FIRST, NOW_MS, Opened, Rig, bytes_of, dense, fill, log_file, spec};

#[test]
fn directories_that_are_no_log_of_this_topic_are_refused() {
    let rig = Rig::new();
    let open = |dir: &str, topic_id: TopicId| {
        let open = OpenLog {
            dir: dir.into(),
            topic_id,
            ..rig.open_log(0, PageCache::Kept)
        };
        Log::open(&rig.fs, open).map(|_| ())
    };
    let missing = open("/data/other-0", rig::TOPIC_ID).unwrap_err();
    assert!(matches!(missing, LogFault::NoLog { .. }), "{missing}");
    rig.fs.create_dir_all("/data/empty-0".as_ref()).unwrap();
    let empty = open("/data/empty-0", rig::TOPIC_ID).unwrap_err();
    assert!(matches!(empty, LogFault::NoLog { .. }), "{empty}");
    let foreign = open("/data/orders-3", TopicId([1; 16])).unwrap_err();
    assert!(
        matches!(foreign, LogFault::ForeignTopic { .. }),
        "{foreign}"
    );
    rig.write("partition.metadata", b"version: 7\n");
    let malformed = open("/data/orders-3", rig::TOPIC_ID).unwrap_err();
    assert!(
        matches!(malformed, LogFault::Malformed { .. }),
        "{malformed}"
    );
}

#[test]
fn a_directory_with_records_is_not_made_anew() {
    let rig = Rig::new();
    Log::create(&rig.fs, &rig.dir, rig::TOPIC_ID).unwrap();
    let mut opened = rig.open();
    fill(&rig, &mut opened, 1);
    assert!(Log::create(&rig.fs, &rig.dir, rig::TOPIC_ID).is_err());
}

#[test]
fn leftovers_of_interrupted_work_are_removed_or_finished() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..dense()
    });
    let mut opened = rig.open();
    fill(&rig, &mut opened, 12);
    let bases: Vec<_> = opened
        .log
        .segments()
        .map(|segment| segment.base.get())
        .collect();
    let end = rig.close(opened);
    rig.write(&format!("{FIRST}.index.deleted"), b"gone");
    rig.write("leader-epoch-checkpoint.tmp", b"half");
    rig.write("kabuki.probe", b"tried");
    rig.write(&format!("{:020}.log.cleaned", bases[2]), b"half");
    rig.write(
        &format!("{:020}.log.swap", bases[2]),
        b"not all were renamed",
    );
    // The first two segments were compacted into one whose renaming was under way.
    let compacted = bytes_of(&spec(1, 1).build());
    rig.write(&format!("{FIRST}.log.swap"), &compacted);
    rig.write(&format!("{:020}.timeindex", bases[1] + 1), b"no log");
    let recovered = rig.recover(end).unwrap();
    assert_eq!(recovered.report.leftovers, 6);
    assert_eq!(rig.content(&log_file(0)), compacted);
    let names = rig.names();
    for suffix in [".deleted", ".cleaned", ".swap", ".tmp", ".probe"] {
        assert!(
            names.iter().all(|name| !name.ends_with(suffix)),
            "{names:?}"
        );
    }
    assert!(!names.contains(&format!("{:020}.timeindex", bases[1] + 1)));
    assert_eq!(recovered.log.log_end().get(), end);
}

#[test]
fn an_empty_log_opens_without_a_look_into_its_segment() {
    let rig = Rig::new();
    for suffix in ["log", "index", "timeindex"] {
        let path = rig.path(&format!("{FIRST}.{suffix}"));
        let reading = &[Operation::Open, Operation::Read];
        rig.fs
            .inject(FaultRule::fail(path, reading, FaultClass::Io));
    }
    let recovered = rig.recover(0).unwrap();
    assert_eq!(recovered.log.log_end(), Offset(0));
    rig.fs.heal_all();
    let mut opened: Opened = recovered.into();
    rig.append(&mut opened, spec(0, 3).build()).unwrap();
    assert_eq!(rig.recover(0).unwrap().log.log_end(), Offset(3));
}

#[test]
fn segments_below_the_log_start_go_and_a_start_past_the_end_begins_anew() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..dense()
    });
    let mut opened = rig.open();
    fill(&rig, &mut opened, 12);
    let bases: Vec<_> = opened
        .log
        .segments()
        .map(|segment| segment.base.get())
        .collect();
    let end = rig.close(opened);
    let open = OpenLog {
        log_start: Offset(bases[2] + 1),
        ..rig.open_log(end, PageCache::Kept)
    };
    let recovered = Log::open(&rig.fs, open).unwrap();
    assert_eq!(recovered.log.log_start().get(), bases[2] + 1);
    assert_eq!(
        recovered.log.segments().next().unwrap().base.get(),
        bases[2]
    );
    let open = OpenLog {
        log_start: Offset(end + 5),
        ..rig.open_log(end, PageCache::Kept)
    };
    let recovered = Log::open(&rig.fs, open).unwrap();
    assert_eq!(recovered.log.log_start(), recovered.log.log_end());
    assert_eq!(recovered.log.log_end().get(), end + 5);
    let mut opened = recovered.into();
    rig.append(&mut opened, spec(end + 5, 1).build()).unwrap();
}

#[test]
fn epochs_follow_the_log_when_their_file_is_lost_or_ahead() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..dense()
    });
    let mut opened = rig.open();
    for (index, epoch) in [0, 0, 2, 2, 2, 5, 5, 5, 5, 6].into_iter().enumerate() {
        let write = rig::Spec {
            epoch,
            ..spec(index as i64, 1)
        };
        opened
            .epochs
            .assign(LeaderEpoch(epoch), write.build().base_offset);
        rig.append(&mut opened, write.build()).unwrap();
    }
    let expected = opened.epochs.clone();
    assert_eq!(expected.entries().len(), 4);
    opened.epochs.assign(LeaderEpoch(9), Offset(10));
    opened.log.epochs_job(&opened.epochs).run(&rig.fs).unwrap();
    rig.close(opened);
    for recovery_point in [0, 4, 10] {
        assert_eq!(
            rig.recover(recovery_point).unwrap().epochs,
            expected,
            "an epoch too many"
        );
        rig.write("leader-epoch-checkpoint", b"0\n1\nnonsense");
        assert_eq!(
            rig.recover(recovery_point).unwrap().epochs,
            expected,
            "malformed"
        );
        rig.fs
            .remove_file(&rig.path("leader-epoch-checkpoint"))
            .unwrap();
        assert_eq!(
            rig.recover(recovery_point).unwrap().epochs,
            expected,
            "missing"
        );
        rig.write("leader-epoch-checkpoint", b"0\n1\n0 0\n");
        if recovery_point == 0 {
            assert_eq!(
                rig.recover(0).unwrap().epochs,
                expected,
                "behind what is scanned"
            );
        }
        rig.write("leader-epoch-checkpoint", expected.encode().as_bytes());
    }
}

#[test]
fn a_truncated_log_ends_before_the_batch_that_spans_the_offset() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..dense()
    });
    for to in 0..24 {
        let rig = &rig;
        let mut opened = rig.open();
        let start = opened.log.log_end().get();
        for base in (start..24).step_by(2) {
            rig.append(&mut opened, spec(base, 2).build()).unwrap();
        }
        rig.checkpoint(&mut opened).unwrap();
        let recovered = opened
            .log
            .truncate_job(Offset(to), NOW_MS)
            .run(&rig.fs)
            .unwrap();
        assert_eq!(
            recovered.log.log_end().get(),
            to / 2 * 2,
            "truncated to {to}"
        );
        let mut opened: Opened = recovered.into();
        let expected: Vec<u8> = (0..to / 2)
            .flat_map(|i| bytes_of(&spec(i * 2, 2).build()))
            .collect();
        assert_eq!(rig.read_all(&mut opened.log, 0, 5000), expected);
    }
}

#[test]
fn a_log_opens_and_is_read_on_a_disk_that_refuses_writes() {
    let config = LogConfig {
        segment_bytes: 2000,
        ..dense()
    };
    for class in [FaultClass::Full, FaultClass::ReadOnly, FaultClass::Denied] {
        let rig = Rig::with_config(config);
        let mut opened = rig.open();
        opened.epochs.assign(LeaderEpoch(0), Offset(0));
        opened.log.epochs_job(&opened.epochs).run(&rig.fs).unwrap();
        fill(&rig, &mut opened, 17);
        opened.epochs.assign(LeaderEpoch(1), opened.log.log_end());
        opened.log.epochs_job(&opened.epochs).run(&rig.fs).unwrap();
        drop(opened);
        rig.fs.kill();
        rig.write("00000000000000000000.index.deleted", b"left");
        let rule = FaultRule::fail(&rig.dir, Operation::CHANGES, class);
        let rule = rig.fs.inject(rule);
        let mut opened: Opened = rig.recover(0).unwrap().into();
        let expected: Vec<u8> = (0..17)
            .flat_map(|i| bytes_of(&spec(i * 2, 2).build()))
            .collect();
        assert_eq!(rig.read_all(&mut opened.log, 0, 700), expected, "{class:?}");
        let fault = rig.append(&mut opened, spec(34, 1).build()).unwrap_err();
        assert_eq!(fault.class(), class);
        rig.fs.heal(rule);
        rig.append(&mut opened, spec(34, 1).build()).unwrap();
        rig.close(opened);
        assert_eq!(rig.recover(0).unwrap().log.log_end(), Offset(35));
    }
}
