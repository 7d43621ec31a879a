//! Each rule of `check_batch`, by its name in the order in which they are judged.

// Clippy takes only the functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kabuki_protocol::ids::{Offset, ProducerId};
use kabuki_protocol::records::{
    AppendRules, BatchBuilder, BatchHeader, CheckedBatch, Compression, HEADER_BYTES,
    RECORD_ERRORS_MAX, RecordRefused, RefusedKind, TimestampType, check_batch,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn builder_of(compression: Compression, count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(compression);
    for n in 0..count {
        builder.push(NOW_MS + n as i64, Some(b"key"), Some(&[n as u8; 20]), &[]);
    }
    builder
}

fn batch_of(compression: Compression, count: usize) -> Bytes {
    builder_of(compression, count).build().unwrap()
}

/// The batch with its header changed and its checksum made right again.
fn with_header(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(batch).unwrap();
    change(&mut header);
    with_head(batch, header.encode())
}

fn with_head(batch: &Bytes, head: [u8; HEADER_BYTES]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[..HEADER_BYTES].copy_from_slice(&head);
    let crc = kabuki_protocol::crc::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

fn check(batch: Bytes) -> Result<CheckedBatch, RecordRefused> {
    check_batch(Some(batch), &AppendRules::default(), NOW_MS)
}

fn refused(batch: Bytes) -> RefusedKind {
    check(batch).unwrap_err().kind
}

fn refused_by(batch: Bytes, rules: &AppendRules) -> RecordRefused {
    check_batch(Some(batch), rules, NOW_MS).unwrap_err()
}

#[test]
fn null_and_empty_records_are_not_one_batch() {
    let rules = AppendRules::default();
    let kind = check_batch(None, &rules, NOW_MS).unwrap_err().kind;
    assert_eq!(kind, RefusedKind::NotOneBatch);
    assert_eq!(refused(Bytes::new()), RefusedKind::NotOneBatch);
}

#[test]
fn a_batch_cut_anywhere_is_not_one_batch() {
    let batch = batch_of(Compression::None, 3);
    for end in 0..batch.len() {
        assert_eq!(
            refused(batch.slice(..end)),
            RefusedKind::NotOneBatch,
            "cut at {end}"
        );
    }
}

#[test]
fn two_batches_are_refused_without_the_log_start() {
    let batch = batch_of(Compression::None, 1);
    let kind = refused([batch.clone(), batch].concat().into());
    assert_eq!(kind, RefusedKind::NotOneBatch);
    assert!(!kind.answers_log_start(13));
}

#[test]
fn stray_bytes_behind_a_batch_are_not_stored() {
    let batch = batch_of(Compression::None, 2);
    for stray in 1..12 {
        let sent = [&batch[..], &vec![0xab; stray]].concat();
        assert_eq!(
            check(sent.into()).unwrap().bytes,
            batch,
            "{stray} stray bytes"
        );
    }
    let cut_second = [&batch[..], &batch[..batch.len() - 1]].concat();
    assert_eq!(check(cut_second.into()).unwrap().bytes, batch);
}

#[test]
fn stray_bytes_that_read_as_a_malformed_batch_are_corrupt() {
    let batch = batch_of(Compression::None, 2);
    for stray in [vec![0; 12], vec![0; 80], vec![0xff; 12], vec![0x11; 17]] {
        let sent = [&batch[..], &stray].concat();
        assert_eq!(refused(sent.into()), RefusedKind::Corrupt, "{stray:?}");
    }
}

#[test]
fn old_formats_are_not_one_batch_and_unknown_ones_cannot_be_measured() {
    let with_magic = |magic: i8| with_header(&batch_of(Compression::None, 1), |h| h.magic = magic);
    assert_eq!(refused(with_magic(0)), RefusedKind::NotOneBatch);
    assert_eq!(refused(with_magic(1)), RefusedKind::NotOneBatch);
    assert_eq!(refused(with_magic(3)), RefusedKind::Unmeasurable);
    assert_eq!(refused(with_magic(-1)), RefusedKind::Unmeasurable);
}

#[test]
fn a_length_that_holds_no_header_is_corrupt() {
    let unmeasurable = [i32::MIN, -1, 0, 13].map(|length| (length, RefusedKind::Unmeasurable));
    let corrupt = [14, 48].map(|length| (length, RefusedKind::Corrupt));
    for (batch_length, expected) in unmeasurable.into_iter().chain(corrupt) {
        let batch = with_header(&batch_of(Compression::None, 1), |h| {
            h.batch_length = batch_length
        });
        let kind = refused(batch);
        assert_eq!(kind, expected, "length {batch_length}");
        assert!(!kind.answers_log_start(13));
    }
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    let mut bytes = batch_of(Compression::None, 1).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let kind = refused(bytes.into());
    assert_eq!(kind, RefusedKind::Corrupt);
    assert!(!kind.answers_log_start(13));
}

#[test]
fn unknown_codecs_are_told_apart() {
    for code in 5..=7 {
        let batch = with_header(&batch_of(Compression::None, 1), |h| h.attributes.0 |= code);
        let kind = refused(batch);
        assert_eq!(kind, RefusedKind::UnknownCodec);
        assert!(kind.answers_log_start(7));
        assert!(
            !kind.answers_log_start(6),
            "Kafka fails before it knows the log"
        );
    }
}

#[test]
fn zstd_needs_produce_version_7() {
    let rules = |produce_version| AppendRules {
        produce_version,
        ..AppendRules::default()
    };
    let batch = batch_of(Compression::Zstd, 1);
    assert_eq!(
        refused_by(batch.clone(), &rules(6)).kind,
        RefusedKind::UnsupportedCompression
    );
    assert!(check_batch(Some(batch), &rules(7), NOW_MS).is_ok());
    assert!(check_batch(Some(batch_of(Compression::Lz4, 1)), &rules(3), NOW_MS).is_ok());
}

#[test]
fn a_base_offset_other_than_0_is_refused() {
    let batch = builder_of(Compression::None, 1)
        .base_offset(Offset(1))
        .build()
        .unwrap();
    assert_eq!(refused(batch), RefusedKind::InvalidRecord);
}

#[test]
fn max_message_bytes_counts_the_whole_batch() {
    let batch = batch_of(Compression::None, 5);
    let rules = |max_message_bytes| AppendRules {
        max_message_bytes,
        ..AppendRules::default()
    };
    assert!(check_batch(Some(batch.clone()), &rules(batch.len()), NOW_MS).is_ok());
    let refused = refused_by(batch.clone(), &rules(batch.len() - 1));
    assert_eq!(refused.kind, RefusedKind::BatchTooLarge);
    assert!(!refused.kind.answers_log_start(13));
}

#[test]
fn max_message_bytes_holds_before_and_after_recompression() {
    let zeros = |compression| {
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW_MS, None, Some(&[0; 100_000]), &[]);
        builder.build().unwrap()
    };
    for (sent, topic) in [
        (Compression::None, Compression::Gzip),
        (Compression::Gzip, Compression::None),
    ] {
        let rules = |max_message_bytes| AppendRules {
            max_message_bytes,
            compression: Some((topic, topic.default_level())),
            ..AppendRules::default()
        };
        let refused = refused_by(zeros(sent), &rules(10_000));
        assert_eq!(refused.kind, RefusedKind::BatchTooLarge);
        assert!(check_batch(Some(zeros(sent)), &rules(101_000), NOW_MS).is_ok());
    }
}

#[test]
fn a_batch_larger_than_a_segment_has_no_home() {
    let batch = batch_of(Compression::None, 5);
    let rules = AppendRules {
        segment_bytes: batch.len() - 1,
        ..AppendRules::default()
    };
    let refused = refused_by(batch, &rules);
    assert_eq!(refused.kind, RefusedKind::BatchLargerThanSegment);
    assert!(!refused.kind.answers_log_start(13));
}

#[test]
fn counts_of_the_header_must_agree() {
    let cases: [(i32, i32); 7] = [
        (0, -1),
        (-1, -2),
        (3, 1),
        (3, 3),
        (i32::MIN, i32::MAX),
        (0, i32::MAX),
        (3, -1),
    ];
    for (record_count, last_offset_delta) in cases {
        let batch = with_header(&batch_of(Compression::None, 3), |h| {
            h.record_count = record_count;
            h.last_offset_delta = last_offset_delta;
        });
        let kind = refused(batch);
        assert_eq!(
            kind,
            RefusedKind::InvalidRecord,
            "{record_count} {last_offset_delta}"
        );
        assert!(kind.answers_log_start(13));
    }
}

#[test]
fn decoded_records_must_be_as_many_as_the_header_counts() {
    for compression in Compression::ALL {
        for record_count in [1, 2, 4, 1_000_000] {
            let batch = with_header(&batch_of(compression, 3), |h| {
                h.record_count = record_count;
                h.last_offset_delta = record_count - 1;
            });
            assert_eq!(
                refused(batch),
                RefusedKind::InvalidRecord,
                "{compression} {record_count}"
            );
        }
    }
}

#[test]
fn a_client_may_not_write_control_batches() {
    let batch = builder_of(Compression::None, 1)
        .control(true)
        .build()
        .unwrap();
    assert_eq!(refused(batch), RefusedKind::InvalidRecord);
}

#[test]
fn a_producer_id_needs_a_sequence() {
    let with = |id, sequence| {
        builder_of(Compression::None, 1)
            .producer(ProducerId(id), 0, sequence)
            .build()
            .unwrap()
    };
    assert_eq!(refused(with(7, -1)), RefusedKind::InvalidRecord);
    assert!(check(with(7, 0)).is_ok());
    assert!(check(with(-1, -1)).is_ok());
}

#[test]
fn the_attributes_of_records_are_not_looked_at() {
    let mut marked = batch_of(Compression::None, 1).to_vec();
    // Length, then the attributes of the first record: a codec that records no longer have.
    marked[HEADER_BYTES + 1] = 1;
    let marked = with_header(&marked.into(), |_| ());
    assert!(check(marked.clone()).is_ok());

    let packed = snap::raw::Encoder::new()
        .compress_vec(&marked[HEADER_BYTES..])
        .unwrap();
    let mut header = BatchHeader::parse(&marked).unwrap();
    header.attributes = header.attributes.with_compression(Compression::Snappy);
    header.batch_length = (HEADER_BYTES - 12 + packed.len()) as i32;
    let batch = [&header.encode()[..], &packed].concat();
    assert!(check(with_head(&batch.into(), header.encode())).is_ok());
}

#[test]
fn a_compacted_topic_names_every_record_without_a_key() {
    let rules = AppendRules {
        is_compacted: true,
        ..AppendRules::default()
    };
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        for key in [Some(&b"a"[..]), None, Some(b""), None] {
            builder.push(NOW_MS, key, Some(b"v"), &[]);
        }
        let batch = builder.build().unwrap();
        let refused = refused_by(batch.clone(), &rules);
        assert_eq!(refused.kind, RefusedKind::InvalidRecord);
        assert!(refused.kind.answers_log_start(13));
        let indexes: Vec<i32> = refused
            .record_errors
            .iter()
            .map(|error| error.index)
            .collect();
        assert_eq!(indexes, [1, 3]);
        assert!(check(batch).is_ok(), "other topics take null keys");
    }
}

#[test]
fn timestamps_out_of_bounds_name_their_records() {
    let rules = AppendRules {
        timestamp_before_max_ms: 1_000,
        timestamp_after_max_ms: 500,
        ..AppendRules::default()
    };
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        for delta in [-1_000, -1_001, 500, 501] {
            builder.push(NOW_MS + delta, None, None, &[]);
        }
        builder.push(-1, None, None, &[]);
        let refused = refused_by(builder.build().unwrap(), &rules);
        assert_eq!(refused.kind, RefusedKind::InvalidTimestamp);
        assert!(refused.kind.answers_log_start(13));
        let indexes: Vec<i32> = refused
            .record_errors
            .iter()
            .map(|error| error.index)
            .collect();
        assert_eq!(
            indexes,
            [1, 3],
            "bounds are inclusive and -1 is no timestamp"
        );
    }
}

#[test]
fn one_timestamp_error_among_key_errors_decides_the_kind() {
    let rules = AppendRules {
        is_compacted: true,
        ..AppendRules::default()
    };
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(NOW_MS, None, None, &[]);
    builder.push(NOW_MS + 3_600_001, Some(b"k"), None, &[]);
    // Without a key and too late: only the first fault counts.
    builder.push(NOW_MS + 3_600_001, None, None, &[]);
    let refused = refused_by(builder.build().unwrap(), &rules);
    assert_eq!(refused.kind, RefusedKind::InvalidTimestamp);
    assert_eq!(refused.record_errors.len(), 3);
    assert_eq!(
        refused.record_errors[0].message,
        refused.record_errors[2].message
    );
}

#[test]
fn unlimited_bounds_do_not_overflow() {
    let rules = AppendRules {
        timestamp_after_max_ms: i64::MAX,
        ..AppendRules::default()
    };
    for timestamp in [i64::MAX, i64::MIN + 1, 0, -2] {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(timestamp, None, None, &[]);
        assert!(check_batch(Some(builder.build().unwrap()), &rules, NOW_MS).is_ok());
    }
}

#[test]
fn a_log_append_time_topic_refuses_batches_that_claim_it() {
    let rules = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..AppendRules::default()
    };
    let claiming = |compression| {
        let claim = TimestampType::LogAppendTime;
        builder_of(compression, 2)
            .timestamp_type(claim)
            .build()
            .unwrap()
    };
    for compression in Compression::ALL {
        let refused = refused_by(claiming(compression), &rules);
        assert_eq!(refused.kind, RefusedKind::InvalidTimestamp);
        assert_eq!(refused.record_errors.len(), 2);

        let stored = check(claiming(compression)).unwrap();
        assert_eq!(
            stored.header.attributes.timestamp_type(),
            TimestampType::CreateTime
        );
    }
}

#[test]
fn a_create_time_topic_refuses_a_claimed_append_time_of_nothing() {
    let mut builder =
        BatchBuilder::new(Compression::None).timestamp_type(TimestampType::LogAppendTime);
    builder.push(-1, None, None, &[]);
    assert_eq!(
        refused(builder.build().unwrap()),
        RefusedKind::InvalidTimestamp
    );
}

#[test]
fn record_errors_are_bounded() {
    let rules = AppendRules {
        is_compacted: true,
        ..AppendRules::default()
    };
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..10 * RECORD_ERRORS_MAX {
        builder.push(NOW_MS, None, None, &[]);
    }
    let refused = refused_by(builder.build().unwrap(), &rules);
    assert_eq!(refused.record_errors.len(), RECORD_ERRORS_MAX);
    assert!(
        refused.message.starts_with("10000 records"),
        "{}",
        refused.message
    );
}
