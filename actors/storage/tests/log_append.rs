//! Appends, rolls, flushes and trims of a log, and what is left of them after faults.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::Offset;
use kabuki_storage::log::{BatchSpan, remove_deleted, rename_for_delete};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{FaultClass, FileSystem, Log, LogConfig, LogFault};
use rig::{NOW_MS, Opened, Rig, bytes_of, spec};

fn span(bytes: u64, last_offset: i64, max_timestamp: i64) -> BatchSpan {
    BatchSpan {
        bytes,
        last_offset: Offset(last_offset),
        max_timestamp,
    }
}

fn with_first_batch(config: LogConfig) -> (Rig, Opened) {
    let rig = Rig::with_config(config);
    let mut opened = rig.open();
    rig.append(&mut opened, spec(0, 1).build()).unwrap();
    (rig, opened)
}

#[test]
fn batches_appended_together_are_one_write() {
    let rig = Rig::new();
    let mut opened = rig.open();
    let writes: Vec<_> = (0..1500).map(|index| spec(index, 1).build()).collect();
    opened.log.append(&rig.fs, &writes[..3]).unwrap();
    let steps = rig.fs.step_count();
    opened.log.append(&rig.fs, &writes[3..10]).unwrap();
    assert_eq!(rig.fs.step_count(), steps + 1);
    opened.log.append(&rig.fs, &writes[10..]).unwrap();
    let expected: Vec<u8> = writes.iter().flat_map(bytes_of).collect();
    assert_eq!(rig.read_all(&mut opened.log, 0, 1 << 20), expected);
    assert_eq!(opened.log.size_bytes(), expected.len() as u64);
    assert_eq!(opened.log.unflushed_bytes(), expected.len() as u64);
}

#[test]
fn a_segment_rolls_by_size_by_record_time_by_a_full_index_and_by_reach() {
    let (_, opened) = with_first_batch(LogConfig {
        segment_bytes: 1000,
        ..LogConfig::default()
    });
    let used = opened.log.size_bytes();
    assert!(!opened.log.must_roll(&span(1000 - used, 1, 0), NOW_MS));
    assert!(opened.log.must_roll(&span(1001 - used, 1, 0), NOW_MS));
    assert!(
        opened
            .log
            .must_roll(&span(1, i64::from(i32::MAX) + 1, 0), NOW_MS)
    );
    assert!(
        !opened
            .log
            .must_roll(&span(1, i64::from(i32::MAX), 0), NOW_MS)
    );

    let (_, opened) = with_first_batch(LogConfig {
        segment_ms: 50,
        ..LogConfig::default()
    });
    assert!(
        !opened.log.must_roll(&span(1, 1, 50), NOW_MS * 9),
        "by record time, not by the clock"
    );
    assert!(opened.log.must_roll(&span(1, 1, 51), NOW_MS));
    assert!(
        opened.log.must_roll(&span(1, 1, -1), NOW_MS + 51),
        "without timestamps by the clock"
    );

    let config = LogConfig {
        segment_index_bytes: 24,
        index_interval_bytes: 0,
        ..LogConfig::default()
    };
    let (rig, mut opened) = with_first_batch(config);
    rig.append(&mut opened, spec(1, 1).build()).unwrap();
    assert!(
        opened.log.must_roll(&span(1, 2, 9), NOW_MS),
        "one time entry of two is for the roll"
    );
}

#[test]
fn an_empty_segment_is_never_rolled_for_its_size() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 100,
        ..LogConfig::default()
    });
    let opened = rig.open();
    assert!(!opened.log.must_roll(&span(5000, 1, 0), i64::MAX));
}

#[test]
fn jitter_is_the_same_at_each_opening_and_bounded() {
    let config = LogConfig {
        segment_ms: 1000,
        segment_jitter_ms: 400,
        ..LogConfig::default()
    };
    let (rig, opened) = with_first_batch(config);
    let waits = |log: &Log| {
        (0..2000)
            .find(|at| log.must_roll(&span(1, 1, *at), NOW_MS))
            .unwrap()
    };
    let first = waits(&opened.log);
    assert!((601..=1001).contains(&first), "{first}");
    rig.close(opened);
    assert_eq!(waits(&rig.open().log), first);
}

#[test]
fn a_roll_starts_the_next_file_at_the_log_end_with_a_snapshot_of_the_producers() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    let idempotent = rig::Spec {
        producer: Some((7, 0, 0)),
        ..spec(1, 4)
    };
    rig.append(&mut opened, idempotent.build()).unwrap();
    let rolled = opened
        .log
        .roll_job(&opened.producers, NOW_MS)
        .run(&rig.fs)
        .unwrap();
    assert!(opened.log.is_busy());
    opened.log.install(rolled);
    assert!(!opened.log.is_busy());
    let names = rig.names();
    for suffix in ["log", "index", "timeindex", "snapshot"] {
        assert!(
            names.contains(&format!("00000000000000000005.{suffix}")),
            "{names:?}"
        );
    }
    assert_eq!(
        rig.content("00000000000000000000.timeindex").len(),
        12,
        "the entry of the roll"
    );
    rig.append(&mut opened, spec(5, 1).build()).unwrap();
    let segments: Vec<_> = opened
        .log
        .segments()
        .map(|s| (s.base.get(), s.end.get()))
        .collect();
    assert_eq!(segments, [(0, 5), (5, 6)]);
}

#[test]
fn a_failed_roll_leaves_the_log_as_it_was_and_can_be_tried_again() {
    for operation in [
        Operation::Create,
        Operation::Rename,
        Operation::SyncDir,
        Operation::Write,
    ] {
        let (rig, mut opened) = with_first_batch(LogConfig::default());
        let names = rig.names();
        let rule = rig
            .fs
            .inject(FaultRule::fail(&rig.dir, &[operation], FaultClass::Denied));
        let fault = opened
            .log
            .roll_job(&opened.producers, NOW_MS)
            .run(&rig.fs)
            .unwrap_err();
        assert_eq!(fault.class(), FaultClass::Denied);
        opened.log.roll_failed();
        rig.fs.heal(rule);
        let left: Vec<_> = rig
            .names()
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect();
        assert!(left.iter().all(|name| !name.ends_with("log")), "{left:?}");
        let rolled = opened
            .log
            .roll_job(&opened.producers, NOW_MS)
            .run(&rig.fs)
            .unwrap();
        opened.log.install(rolled);
        rig.append(&mut opened, spec(1, 1).build()).unwrap();
        rig.close(opened);
        assert_eq!(rig.open().log.log_end(), Offset(2));
    }
}

#[test]
fn a_full_disk_refuses_the_append_and_leaves_no_trace_of_it() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    rig.fs.set_capacity(Some(1000));
    let before = rig.content("00000000000000000000.log");
    let large = rig::Spec {
        value_bytes: 5000,
        ..spec(2, 1)
    }
    .build();
    let fault = opened
        .log
        .append(&rig.fs, &[spec(1, 1).build(), large])
        .unwrap_err();
    assert!(matches!(fault, LogFault::Io { .. }), "{fault}");
    assert_eq!(fault.class(), FaultClass::Full);
    assert_eq!(opened.log.log_end(), Offset(1));
    assert_eq!(rig.content("00000000000000000000.log"), before);
    rig.fs.set_capacity(None);
    rig.append(&mut opened, spec(1, 1).build()).unwrap();
    assert_eq!(opened.log.log_end(), Offset(2));
}

#[test]
fn a_tail_that_could_not_be_cut_is_cut_before_the_next_append() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    rig.fs.set_capacity(Some(700));
    let no_cut = FaultRule::fail(&rig.dir, &[Operation::SetLen], FaultClass::Io);
    let rule = rig.fs.inject(no_cut);
    let large = rig::Spec {
        value_bytes: 5000,
        ..spec(1, 1)
    }
    .build();
    let fault = opened
        .log
        .append(&rig.fs, std::slice::from_ref(&large))
        .unwrap_err();
    let LogFault::TornAppend { log_end, .. } = fault else {
        panic!("{fault}");
    };
    assert_eq!(log_end, Offset(1));
    rig.fs.set_capacity(None);
    let again = opened
        .log
        .append(&rig.fs, &[spec(1, 1).build()])
        .unwrap_err();
    assert!(matches!(again, LogFault::TornAppend { .. }), "{again}");
    rig.fs.heal(rule);
    rig.append(&mut opened, spec(1, 1).build()).unwrap();
    let expected = [spec(0, 1), spec(1, 1)]
        .map(|spec| bytes_of(&spec.build()))
        .concat();
    assert_eq!(rig.content("00000000000000000000.log"), expected);
}

#[test]
fn writes_in_the_pool_end_like_direct_ones() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    let job = opened
        .log
        .write_job(vec![spec(1, 2).build(), spec(3, 1).build()]);
    assert_eq!(opened.log.log_end(), Offset(1), "not before it is written");
    let wrote = job.run(&rig.fs).unwrap();
    opened.log.wrote(wrote);
    assert_eq!(opened.log.log_end(), Offset(4));

    // A job whose outcome is lost may have left anything behind the end.
    let job = opened.log.write_job(vec![spec(4, 2).build()]);
    job.run(&rig.fs).unwrap();
    opened.log.write_failed(None);
    rig.append(&mut opened, spec(4, 1).build()).unwrap();
    rig.close(opened);
    assert_eq!(rig.open().log.log_end(), Offset(5));
}

#[test]
fn a_flush_moves_the_recovery_point_to_where_it_began() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    let job = opened.log.flush_job(NOW_MS);
    rig.append(&mut opened, spec(1, 3).build()).unwrap();
    let flushed = job.run(&rig.fs).unwrap();
    assert_eq!(opened.log.recovery_point(), Offset(0));
    opened.log.flushed(flushed);
    assert_eq!(opened.log.recovery_point(), Offset(1));
    assert_eq!(opened.log.unflushed_records(), 3);
    assert_eq!(
        opened.log.unflushed_bytes(),
        bytes_of(&spec(1, 3).build()).len() as u64
    );
}

#[test]
fn a_sync_of_records_touches_no_index_and_leaves_the_recovery_point() {
    let (rig, mut opened) = with_first_batch(LogConfig {
        index_interval_bytes: 0,
        ..LogConfig::default()
    });
    for base in 1..4 {
        rig.append(&mut opened, spec(base, 1).build()).unwrap();
    }
    for kind in ["index", "timeindex"] {
        let index = rig.path(&format!("00000000000000000000.{kind}"));
        let refusing = FaultRule::fail(&index, Operation::CHANGES, FaultClass::Full);
        rig.fs.inject(refusing);
    }
    rig.sync_records(&mut opened).unwrap();
    assert_eq!(opened.log.unflushed_records(), 0);
    assert_eq!(opened.log.recovery_point(), Offset(0));
    assert!(
        rig.flush(&mut opened).is_err(),
        "that one writes the indexes"
    );

    rig.fs.heal_all();
    rig.flush(&mut opened).unwrap();
    assert_eq!(opened.log.recovery_point(), Offset(4));
}

#[test]
fn flush_settings_ask_for_a_flush_by_records_and_by_time() {
    let config = LogConfig {
        flush_messages: 3,
        flush_ms: 100,
        ..LogConfig::default()
    };
    let (rig, mut opened) = with_first_batch(config);
    assert!(!opened.log.must_flush(NOW_MS + 99));
    assert!(opened.log.must_flush(NOW_MS + 100));
    rig.append(&mut opened, spec(1, 2).build()).unwrap();
    assert!(opened.log.must_flush(NOW_MS));
    rig.flush(&mut opened).unwrap();
    assert!(
        !opened.log.must_flush(NOW_MS + 1000),
        "nothing is unflushed"
    );
}

#[test]
fn a_failed_sync_is_told_and_moves_nothing() {
    let (rig, mut opened) = with_first_batch(LogConfig::default());
    rig.fs
        .inject(FaultRule::fail(&rig.dir, &[Operation::SyncData], FaultClass::Io).times(1));
    let fault = rig.flush(&mut opened).unwrap_err();
    assert!(fault.class().ends_handle());
    assert_eq!(opened.log.recovery_point(), Offset(0));
}

#[test]
fn a_checkpoint_replaces_the_snapshot_before_it_but_not_that_of_the_segment() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for index in 0..10 {
        let idempotent = rig::Spec {
            producer: Some((7, 0, index as i32)),
            ..spec(index, 1)
        };
        rig.append(&mut opened, idempotent.build()).unwrap();
        rig.checkpoint(&mut opened).unwrap();
    }
    let snapshots: Vec<_> = rig
        .names()
        .into_iter()
        .filter(|name| name.ends_with("snapshot"))
        .collect();
    let bases = opened
        .log
        .segments()
        .map(|segment| segment.base.get())
        .filter(|base| *base > 0);
    let mut expected: Vec<_> = bases
        .chain([10])
        .map(|at| format!("{at:020}.snapshot"))
        .collect();
    expected.dedup();
    assert_eq!(snapshots, expected);
    let producers = opened.producers.clone();
    drop(opened);
    let recovered = rig.recover(10).unwrap();
    assert_eq!(recovered.report.replayed_batches, 0);
    assert_eq!(
        recovered.producers.producers().collect::<Vec<_>>(),
        producers.producers().collect::<Vec<_>>()
    );
}

#[test]
fn a_trim_takes_whole_segments_with_their_files_and_never_the_active_one() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for index in 0..20 {
        rig.append(&mut opened, spec(index, 1).build()).unwrap();
    }
    rig.read_all(&mut opened.log, 0, 5000);
    let bases: Vec<_> = opened
        .log
        .segments()
        .map(|segment| segment.base.get())
        .collect();
    assert!(opened.log.trim_job(Offset(bases[1] - 1)).is_none());
    assert_eq!(opened.log.log_start().get(), bases[1] - 1);
    let removed = opened
        .log
        .trim_job(Offset(bases[2] + 1))
        .unwrap()
        .run(&rig.fs)
        .unwrap();
    assert_eq!(removed.segment_count, 2);
    assert_eq!(opened.log.log_start().get(), bases[2] + 1);
    let names = rig.names();
    for base in &bases[..2] {
        assert!(
            names
                .iter()
                .all(|name| !name.starts_with(&format!("{base:020}"))),
            "{names:?}"
        );
    }
    let read = rig.read_all(&mut opened.log, bases[2] + 1, 5000);
    assert_eq!(rig::spans(&read)[0].0, bases[2] + 1);
    opened
        .log
        .trim_job(Offset(20))
        .unwrap()
        .run(&rig.fs)
        .unwrap();
    assert_eq!(
        opened.log.segments().count(),
        1,
        "the next append needs a home"
    );
    assert_eq!(opened.log.log_end(), Offset(20));
    rig.append(&mut opened, spec(20, 1).build()).unwrap();
    rig.flush(&mut opened).unwrap();
}

#[test]
fn a_flush_that_overtakes_a_trim_does_not_fail() {
    let rig = Rig::with_config(LogConfig {
        segment_bytes: 1000,
        ..LogConfig::default()
    });
    let mut opened = rig.open();
    for index in 0..20 {
        rig.append(&mut opened, spec(index, 1).build()).unwrap();
    }
    drop(opened);
    let mut opened = rig.open();
    let flush = opened.log.flush_job(NOW_MS);
    opened
        .log
        .trim_job(Offset(15))
        .unwrap()
        .run(&rig.fs)
        .unwrap();
    let flushed = flush.run(&rig.fs).unwrap();
    opened.log.flushed(flushed);
    assert_eq!(opened.log.recovery_point(), Offset(20));
}

#[test]
fn a_deleted_partition_frees_its_name_at_once() {
    let (rig, opened) = with_first_batch(LogConfig::default());
    drop(opened);
    let renamed = rename_for_delete(&rig.fs, &rig.dir, 0xabc).unwrap();
    let name = renamed.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "orders-3.00000000000000000000000000000abc-delete");
    Log::create(&rig.fs, &rig.dir, rig::TOPIC_ID).unwrap();
    remove_deleted(&rig.fs, &renamed).unwrap();
    remove_deleted(&rig.fs, &renamed).unwrap();
    assert!(!rig.fs.exists(&renamed).unwrap());
    assert_eq!(rig.open().log.log_end(), Offset(0));
}
