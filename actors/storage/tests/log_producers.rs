//! Idempotent producers of a log: what is new, what is a resend, what is refused, and what a snapshot
//! keeps of it.
#![allow(clippy::unwrap_used)]

mod rig;

use kabuki_protocol::ids::{Offset, ProducerId};
use kabuki_storage::producers::SnapshotRefused;
use kabuki_storage::{
    OpenLog, PageCache, ProducerBatch, ProducerLimits, ProducerRefused, ProducerTable,
    ProducerVerdict,
};
use rig::{NOW_MS, Rig, spec};

fn table() -> ProducerTable {
    ProducerTable::new(ProducerLimits::default())
}

fn batch(id: i64, epoch: i16, sequence: i32, count: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: ProducerId(id),
        producer_epoch: epoch,
        base_sequence: sequence,
        last_offset_delta: count - 1,
        max_timestamp: NOW_MS,
        is_transactional: false,
        is_control: false,
    }
}

fn apply(table: &mut ProducerTable, batch: ProducerBatch, base_offset: i64) {
    drop(table.apply(&batch, Offset(base_offset)));
}

fn out_of_order(id: i64, found: i32, last: i32) -> ProducerVerdict {
    let producer_id = ProducerId(id);
    ProducerVerdict::Refused(ProducerRefused::OutOfOrderSequence {
        producer_id,
        found,
        last,
    })
}

#[test]
fn i2_each_of_the_last_five_batches_is_told_as_a_resend_with_its_own_offsets() {
    let mut table = table();
    for index in 0..7 {
        let next = batch(1, 0, index * 10, 10);
        assert_eq!(table.check(&next), ProducerVerdict::Append);
        apply(&mut table, next, 100 + i64::from(index) * 20);
    }
    for index in 2..7 {
        let base_offset = 100 + i64::from(index) * 20;
        assert_eq!(
            table.check(&batch(1, 0, index * 10, 10)),
            ProducerVerdict::Duplicate {
                base_offset: Offset(base_offset),
                last_offset: Offset(base_offset + 9),
                timestamp: NOW_MS,
            }
        );
        assert_eq!(
            table.check(&batch(1, 0, index * 10, 9)),
            out_of_order(1, index * 10, 69)
        );
        assert_eq!(
            table.check(&batch(1, 0, index * 10 + 1, 9)),
            out_of_order(1, index * 10 + 1, 69)
        );
    }
    assert_eq!(
        table.check(&batch(1, 0, 10, 10)),
        out_of_order(1, 10, 69),
        "older than five"
    );
}

#[test]
fn i3_an_older_epoch_is_refused_even_for_a_resend() {
    let mut table = table();
    apply(&mut table, batch(1, 3, 0, 5), 0);
    apply(&mut table, batch(1, 4, 0, 5), 5);
    assert_eq!(
        table.check(&batch(1, 3, 0, 5)),
        ProducerVerdict::Refused(ProducerRefused::InvalidEpoch {
            producer_id: ProducerId(1),
            found: 3,
            current: 4
        })
    );
}

#[test]
fn i4_a_newer_epoch_starts_at_zero() {
    let mut table = table();
    apply(&mut table, batch(1, 3, 0, 5), 0);
    assert_eq!(table.check(&batch(1, 4, 0, 1)), ProducerVerdict::Append);
    assert_eq!(table.check(&batch(1, 4, 5, 1)), out_of_order(1, 5, -1));
    apply(&mut table, batch(1, 4, 0, 1), 5);
    assert_eq!(table.check(&batch(1, 4, 1, 1)), ProducerVerdict::Append);
}

#[test]
fn i4_the_first_epoch_after_none_starts_anywhere() {
    let mut table = table();
    apply(&mut table, batch(1, -1, 0, 1), 0);
    assert_eq!(table.check(&batch(1, 0, 1, 1)), ProducerVerdict::Append);
    assert_eq!(table.check(&batch(1, 0, 7, 1)), ProducerVerdict::Append);
    apply(&mut table, batch(1, 0, 7, 1), 1);
    assert_eq!(table.check(&batch(1, 0, 9, 1)), out_of_order(1, 9, 7));
}

#[test]
fn i5_sequences_follow_each_other_over_the_end_of_their_range() {
    let mut table = table();
    apply(&mut table, batch(1, 0, i32::MAX - 1, 3), 0);
    assert_eq!(
        table.check(&batch(1, 0, i32::MAX - 1, 3)),
        ProducerVerdict::Duplicate {
            base_offset: Offset(0),
            last_offset: Offset(2),
            timestamp: NOW_MS
        }
    );
    assert_eq!(table.check(&batch(1, 0, 1, 1)), ProducerVerdict::Append);
    assert_eq!(table.check(&batch(1, 0, 2, 1)), out_of_order(1, 2, 0));
    apply(&mut table, batch(2, 0, i32::MAX, 1), 9);
    assert_eq!(table.check(&batch(2, 0, 0, 1)), ProducerVerdict::Append);
}

#[test]
fn i6_a_producer_that_is_not_known_may_start_anywhere() {
    assert_eq!(table().check(&batch(1, 5, 77, 1)), ProducerVerdict::Append);
    let nobody = ProducerBatch {
        producer_id: ProducerId::NONE,
        ..batch(0, -1, -1, 1)
    };
    let mut table = table();
    assert_eq!(table.check(&nobody), ProducerVerdict::Append);
    apply(&mut table, nobody, 0);
    assert!(table.is_empty());
}

#[test]
fn i9_expiry_goes_by_record_time_and_spares_open_transactions() {
    let mut table = table();
    let day_ms = ProducerLimits::default().expiration_ms;
    apply(
        &mut table,
        ProducerBatch {
            max_timestamp: 1000,
            ..batch(1, 0, 0, 1)
        },
        0,
    );
    apply(
        &mut table,
        ProducerBatch {
            max_timestamp: 2000,
            ..batch(2, 0, 0, 1)
        },
        1,
    );
    let open = ProducerBatch {
        max_timestamp: 0,
        is_transactional: true,
        ..batch(3, 0, 0, 1)
    };
    apply(&mut table, open, 2);
    assert_eq!(table.expire(1000 + day_ms - 1), 0);
    assert_eq!(table.expire(1000 + day_ms), 1);
    assert_eq!(
        table.check(&batch(1, 0, 50, 1)),
        ProducerVerdict::Append,
        "forgotten"
    );
    assert_eq!(table.expire(i64::MAX), 1);
    let ids: Vec<_> = table
        .producers()
        .map(|known| known.producer_id.get())
        .collect();
    assert_eq!(ids, [3]);
    let marker = ProducerBatch {
        is_control: true,
        base_sequence: -1,
        ..open
    };
    apply(&mut table, marker, 3);
    assert_eq!(table.expire(i64::MAX), 1, "the transaction ended");
}

#[test]
fn a_reverted_batch_was_never_there() {
    let mut table = table();
    apply(&mut table, batch(1, 0, 0, 2), 0);
    let before = table.clone();
    let first = table.apply(&batch(1, 1, 0, 4), Offset(2));
    let second = table.apply(&batch(1, 1, 4, 4), Offset(6));
    let third = table.apply(&batch(2, 0, 0, 1), Offset(10));
    for applied in [third, second, first] {
        table.revert(applied);
    }
    assert_eq!(table, before);
}

#[test]
fn a_full_table_forgets_those_that_wrote_longest_ago() {
    let limits = ProducerLimits {
        producers_max: 100,
        ..ProducerLimits::default()
    };
    let mut table = ProducerTable::new(limits);
    for id in 0..1000 {
        apply(&mut table, batch(id, 0, 0, 1), id * 2);
        apply(
            &mut table,
            batch(0, 0, i32::try_from(id).unwrap() + 1, 1),
            id * 2 + 1,
        );
        assert!(table.len() <= 100);
    }
    let ids: Vec<_> = table
        .producers()
        .map(|known| known.producer_id.get())
        .collect();
    assert!(ids.len() > 90 && ids[0] == 0, "{ids:?}");
    assert!(ids[1] > 890, "{ids:?}");
}

#[test]
fn a_snapshot_keeps_the_last_batch_of_each_producer() {
    let mut table = table();
    for index in 0..3 {
        apply(&mut table, batch(1, 2, index * 5, 5), i64::from(index) * 5);
    }
    let open = ProducerBatch {
        is_transactional: true,
        ..batch(7, 0, 9, 1)
    };
    apply(&mut table, open, 15);
    let bytes = table.encode_snapshot();
    assert_eq!(bytes.len(), 10 + 2 * 46);
    let read = ProducerTable::decode_snapshot(&bytes, ProducerLimits::default()).unwrap();
    assert!(read.producers().eq(table.producers()));
    assert!(matches!(
        read.check(&batch(1, 2, 10, 5)),
        ProducerVerdict::Duplicate { .. }
    ));
    assert_eq!(
        read.check(&batch(1, 2, 5, 5)),
        out_of_order(1, 5, 14),
        "an older resend (V5)"
    );
    assert_eq!(read.check(&batch(1, 2, 15, 1)), ProducerVerdict::Append);
    assert_eq!(read.encode_snapshot(), bytes);
}

#[test]
fn snapshot_bytes_are_kafkas() {
    let mut table = table();
    apply(
        &mut table,
        ProducerBatch {
            max_timestamp: 0x0102_0304,
            ..batch(5, 1, 7, 3)
        },
        100,
    );
    let expected = [
        [0, 1].as_slice(),
        &[0x98, 0x97, 0x6d, 0x38],
        &[0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 5],
        &[0, 1],
        &[0, 0, 0, 9],
        &[0, 0, 0, 0, 0, 0, 0, 102],
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 1, 2, 3, 4],
        &[0xff; 4],
        &[0xff; 8],
    ]
    .concat();
    assert_eq!(table.encode_snapshot(), expected);
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let limits = ProducerLimits::default();
    let mut table = table();
    apply(&mut table, batch(1, 0, 0, 1), 0);
    let bytes = table.encode_snapshot();
    for cut in 0..bytes.len() {
        assert!(
            ProducerTable::decode_snapshot(&bytes[..cut], limits).is_err(),
            "cut at {cut}"
        );
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(
            ProducerTable::decode_snapshot(&flipped, limits).is_err(),
            "flip at {at}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        ProducerTable::decode_snapshot(&longer, limits),
        Err(SnapshotRefused::Crc)
    );
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before_it() {
    let rig = Rig::with_config(kabuki_storage::LogConfig {
        segment_bytes: 1000,
        ..Default::default()
    });
    let mut opened = rig.open();
    for index in 0..10 {
        let idempotent = rig::Spec {
            producer: Some((1, 0, index)),
            ..spec(i64::from(index), 1)
        };
        rig.append(&mut opened, idempotent.build()).unwrap();
    }
    let expected: Vec<_> = opened.producers.producers().collect();
    let end = rig.close(opened);
    let newest = rig.path(&format!("{end:020}.snapshot"));
    rig.fs.flip_bit(&newest, 20).unwrap();
    let recovered = rig.recover(end).unwrap();
    assert!(recovered.report.replayed_batches > 0);
    assert_eq!(
        recovered.producers.producers().collect::<Vec<_>>(),
        expected
    );
    assert!(!rig.names().contains(&format!("{end:020}.snapshot")));
    rig.close(recovered.into());
    assert!(
        rig.names().contains(&format!("{end:020}.snapshot")),
        "written again"
    );
}

#[test]
fn v5_a_producer_with_old_records_is_forgotten_at_the_next_opening() {
    let rig = Rig::new();
    let mut opened = rig.open();
    let old = rig::Spec {
        producer: Some((1, 0, 0)),
        timestamp: 1000,
        ..spec(0, 1)
    };
    rig.append(&mut opened, old.build()).unwrap();
    let end = rig.close(opened);
    let now_ms = 1000 + ProducerLimits::default().expiration_ms;
    let open = OpenLog {
        now_ms,
        ..rig.open_log(end, PageCache::Kept)
    };
    let recovered = kabuki_storage::Log::open(&rig.fs, open).unwrap();
    assert!(recovered.producers.is_empty());
}
