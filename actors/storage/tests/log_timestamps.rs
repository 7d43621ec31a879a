//! Searches by timestamp, over segments, batches and records.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchBuilder, Compression, TimestampType};
use kabuki_storage::LogConfig;
use kabuki_storage::log::TimestampOffset;
use rig::{Opened, Rig, write_of};

fn dense() -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

/// Appends batches whose records have these timestamps.
fn append(rig: &Rig, opened: &mut Opened, batches: &[(Compression, &[i64])]) {
    for (compression, timestamps) in batches {
        let base = opened.log.log_end();
        let mut builder = BatchBuilder::new(*compression).base_offset(base);
        for timestamp in *timestamps {
            builder.push(*timestamp, None, Some(&[b'v'; 90]), &[]);
        }
        rig.append(opened, write_of(builder.build().unwrap()))
            .unwrap();
    }
}

fn first_at_least(rig: &Rig, opened: &Opened, timestamp: i64, up_to: i64) -> Option<(i64, i64)> {
    let job = opened
        .log
        .offset_for_timestamp_job(timestamp, Offset(up_to));
    job.run(&rig.fs).unwrap().map(pair)
}

fn largest(rig: &Rig, opened: &Opened, up_to: i64) -> Option<(i64, i64)> {
    opened
        .log
        .max_timestamp_job(Offset(up_to))
        .run(&rig.fs)
        .unwrap()
        .map(pair)
}

fn pair(found: TimestampOffset) -> (i64, i64) {
    (found.offset.get(), found.timestamp)
}

#[test]
fn the_first_record_that_is_new_enough_is_found_whatever_the_order() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    let mut all = Vec::new();
    let mut state = 7_u64;
    for index in 0..60 {
        let mut timestamps = Vec::new();
        for _ in 0..1 + index % 4 {
            // Rising on the whole, out of order in the small.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            timestamps.push(1000 + index * 20 + (state >> 33) as i64 % 300);
        }
        let codec = Compression::ALL[index as usize % 5];
        append(&rig, &mut opened, &[(codec, &timestamps)]);
        all.extend(timestamps);
    }
    assert!(opened.log.segments().count() > 5);
    let end = all.len() as i64;
    let check = |opened: &Opened, log_start: usize| {
        for target in (900..2600).step_by(7) {
            let found = all
                .iter()
                .skip(log_start)
                .position(|timestamp| *timestamp >= target);
            let expected = found.map(|at| ((at + log_start) as i64, all[at + log_start]));
            assert_eq!(
                first_at_least(&rig, opened, target, end),
                expected,
                "{target}"
            );
        }
        let highest = *all[log_start..].iter().max().unwrap();
        let first = all
            .iter()
            .skip(log_start)
            .position(|timestamp| *timestamp == highest);
        let expected = first.map(|at| ((at + log_start) as i64, highest));
        assert_eq!(largest(&rig, opened, end), expected);
    };
    check(&opened, 0);
    opened.log.set_log_start(Offset(11));
    check(&opened, 11);
    drop(opened);
    let mut opened = rig.open();
    check(&opened, 0);
    opened
        .log
        .trim_job(Offset(end - 3))
        .unwrap()
        .run(&rig.fs)
        .unwrap();
    check(&opened, all.len() - 3);
}

#[test]
fn what_lies_at_or_past_the_bound_is_not_found() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    let none = Compression::None;
    append(&rig, &mut opened, &[(none, &[10, 20]), (none, &[30, 40])]);
    assert_eq!(first_at_least(&rig, &opened, 30, 4), Some((2, 30)));
    assert_eq!(first_at_least(&rig, &opened, 30, 2), None);
    assert_eq!(first_at_least(&rig, &opened, 41, 4), None);
    assert_eq!(largest(&rig, &opened, 4), Some((3, 40)));
    assert_eq!(largest(&rig, &opened, 3), None);
}

#[test]
fn logs_without_records_or_timestamps_have_neither() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    assert_eq!(first_at_least(&rig, &opened, 0, 0), None);
    assert_eq!(largest(&rig, &opened, 0), None);
    append(
        &rig,
        &mut opened,
        &[(Compression::None, &[-1, -1]), (Compression::Zstd, &[-1])],
    );
    assert_eq!(first_at_least(&rig, &opened, 0, 3), None);
    assert_eq!(largest(&rig, &opened, 3), None);
}

#[test]
fn records_with_append_time_all_have_the_time_of_their_batch() {
    let rig = Rig::with_config(dense());
    let mut opened = rig.open();
    let mut builder =
        BatchBuilder::new(Compression::Gzip).timestamp_type(TimestampType::LogAppendTime);
    builder.push(500, None, None, &[]);
    builder.push(700, None, None, &[]);
    rig.append(&mut opened, write_of(builder.build().unwrap()))
        .unwrap();
    assert_eq!(first_at_least(&rig, &opened, 600, 2), Some((0, 700)));
    assert_eq!(largest(&rig, &opened, 2), Some((0, 700)));
}
