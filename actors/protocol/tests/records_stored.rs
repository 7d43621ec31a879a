//! What `check_batch` makes of batches that it takes: what is kept, what is rewritten.

// Clippy takes only the functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use kabuki_protocol::records::{
    self, AppendRules, BatchBuilder, BatchHeader, CheckedBatch, Compression, HEADER_BYTES, Record,
    TimestampType, check_batch,
};
use proptest::prelude::*;

const NOW_MS: i64 = 1_700_000_000_000;

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record to be produced: timestamp, key, value, headers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Produced {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

fn push(builder: &mut BatchBuilder, offset_delta: i32, record: &Produced) {
    let headers: Vec<(&str, Option<&[u8]>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    builder.push_at(offset_delta, record.timestamp, key, value, &headers);
}

fn read_back(batch: &Bytes) -> Vec<Produced> {
    let header = BatchHeader::parse(batch).unwrap();
    header.verify_crc(batch).unwrap();
    let all: Vec<Record> = records::records(batch)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let numbers: Vec<i32> = all.iter().map(|record| record.offset_delta).collect();
    assert_eq!(numbers, (0..all.len() as i32).collect::<Vec<_>>());
    all.into_iter()
        .map(|record| Produced {
            timestamp: header.base_timestamp + record.timestamp_delta,
            key: record.key.map(|key| key.to_vec()),
            value: record.value.map(|value| value.to_vec()),
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (name, value.map(|value| value.to_vec())))
                .collect(),
        })
        .collect()
}

fn stored(checked: &CheckedBatch) -> Bytes {
    checked.stamped(Offset(900), LeaderEpoch(4)).concat().into()
}

fn check(batch: Bytes, rules: &AppendRules) -> CheckedBatch {
    check_batch(Some(batch), rules, NOW_MS).unwrap()
}

fn produced() -> impl Strategy<Value = Vec<Produced>> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let headers = proptest::collection::vec(("[a-c]{0,2}", bytes()), 0..4);
    let record =
        (0i64..2_000, bytes(), bytes(), headers).prop_map(|(ago_ms, key, value, headers)| {
            Produced {
                timestamp: NOW_MS - ago_ms,
                key,
                value,
                headers,
            }
        });
    proptest::collection::vec(record, 1..40)
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_produced_is_what_is_stored(
        records in produced(),
        sent in codec(),
        topic in proptest::option::of(codec()),
        gap in 0i32..3,
    ) {
        let mut builder = BatchBuilder::new(sent)
            .producer(ProducerId(88), 2, i32::MAX - 3)
            .transactional(true);
        // Gaps in the middle: the last offset delta agrees with the count all the same.
        let last = records.len() as i32 - 1;
        for (index, record) in records.iter().enumerate() {
            let index = index as i32;
            push(&mut builder, if index == last { last + gap } else { index }, record);
        }
        let mut sent_bytes = builder.build().unwrap().to_vec();
        sent_bytes[23..27].copy_from_slice(&last.to_be_bytes());
        let crc = kabuki_protocol::crc::crc32c(&sent_bytes[21..]);
        sent_bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let sent_bytes = Bytes::from(sent_bytes);

        let compression = topic.map(|codec| (codec, codec.default_level()));
        let rules = AppendRules { compression, ..AppendRules::default() };
        let checked = check(sent_bytes.clone(), &rules);
        let stored = stored(&checked);

        prop_assert_eq!(read_back(&stored), records.clone());
        let header = BatchHeader::parse(&stored).unwrap();
        let expected_codec = topic.unwrap_or(sent);
        prop_assert_eq!(header.attributes.compression(), Ok(expected_codec));
        prop_assert!(header.attributes.is_transactional());
        prop_assert_eq!(header.producer_id, ProducerId(88));
        prop_assert_eq!((header.producer_epoch, header.base_sequence), (2, i32::MAX - 3));
        prop_assert_eq!(header.base_offset, Offset(900));
        prop_assert_eq!(header.partition_leader_epoch, LeaderEpoch(4));
        let max = records.iter().map(|record| record.timestamp).max().unwrap();
        let first = records.iter().position(|record| record.timestamp == max).unwrap();
        prop_assert_eq!(checked.max_timestamp, max);
        prop_assert_eq!(checked.max_timestamp_delta, first as i32);
        if expected_codec == sent && gap == 0 {
            prop_assert_eq!(&checked.bytes, &sent_bytes);
            prop_assert_eq!(checked.bytes.as_ptr(), sent_bytes.as_ptr());
        }
    }
}

#[test]
fn an_accepted_batch_is_shared_and_only_stamped() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW_MS, None, Some(&[9; 5_000]), &[]);
        let batch = builder.build().unwrap();
        let checked = check(batch.clone(), &AppendRules::default());
        assert_eq!(checked.bytes.as_ptr(), batch.as_ptr());
        let [head, rest] = checked.stamped(Offset(i64::MAX - 1), LeaderEpoch(9));
        assert_eq!(rest.as_ptr(), batch[HEADER_BYTES..].as_ptr());
        assert_eq!(head[..8], (i64::MAX - 1).to_be_bytes());
        assert_eq!(head[8..12], batch[8..12]);
        assert_eq!(head[12..16], 9i32.to_be_bytes());
        assert_eq!(head[16..], batch[16..HEADER_BYTES]);
        assert_eq!((checked.record_count, checked.log_append_time_ms), (1, -1));
    }
}

#[test]
fn a_log_append_time_topic_sets_its_time_and_a_right_checksum() {
    let topics = [None, Some((Compression::Zstd, 3))];
    for (sent, topic) in Compression::ALL
        .into_iter()
        .flat_map(|sent| topics.map(|to| (sent, to)))
    {
        let rules = AppendRules {
            timestamp_type: TimestampType::LogAppendTime,
            compression: topic,
            ..AppendRules::default()
        };
        let mut builder = BatchBuilder::new(sent);
        builder.push(5, None, Some(b"long ago"), &[]);
        builder.push(-1, None, Some(b"never"), &[]);
        let checked = check(builder.build().unwrap(), &rules);
        assert_eq!(checked.log_append_time_ms, NOW_MS);
        assert_eq!(
            (checked.max_timestamp, checked.max_timestamp_delta),
            (NOW_MS, 0)
        );

        let stored = stored(&checked);
        let header = BatchHeader::parse(&stored).unwrap();
        header.verify_crc(&stored).unwrap();
        assert_eq!(
            header.attributes.timestamp_type(),
            TimestampType::LogAppendTime
        );
        assert_eq!(header.max_timestamp, NOW_MS);
        assert_eq!(header.record_timestamp(123), NOW_MS);
        assert_eq!(
            records::records(&stored)
                .unwrap()
                .filter(Result::is_ok)
                .count(),
            2
        );
    }
}

#[test]
fn a_lying_max_timestamp_is_put_right() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW_MS, None, None, &[]);
        builder.push(NOW_MS + 7, None, None, &[]);
        let mut batch = builder.build().unwrap().to_vec();
        batch[35..43].copy_from_slice(&i64::MAX.to_be_bytes());
        let crc = kabuki_protocol::crc::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        let checked = check(batch.into(), &AppendRules::default());
        let stored = stored(&checked);
        let header = BatchHeader::parse(&stored).unwrap();
        header.verify_crc(&stored).unwrap();
        assert_eq!(header.max_timestamp, NOW_MS + 7);
        assert_eq!(
            (checked.max_timestamp, checked.max_timestamp_delta),
            (NOW_MS + 7, 1)
        );
    }
}

#[test]
fn records_without_timestamps_leave_the_batch_without() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(-1, None, None, &[]);
    let checked = check(builder.build().unwrap(), &AppendRules::default());
    assert_eq!(
        (checked.max_timestamp, checked.max_timestamp_delta),
        (-1, 0)
    );
}

#[test]
fn a_topic_with_the_codec_that_came_keeps_the_bytes() {
    for compression in Compression::ALL {
        let rules = AppendRules {
            compression: Some((compression, 1)),
            ..AppendRules::default()
        };
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW_MS, None, Some(&[1; 3_000]), &[]);
        let batch = builder.build().unwrap();
        assert_eq!(check(batch.clone(), &rules).bytes.as_ptr(), batch.as_ptr());
    }
}

#[test]
fn records_larger_than_every_window_are_checked_and_rewritten() {
    let value: Vec<u8> = (0..700_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let record = Produced {
        timestamp: NOW_MS,
        key: Some(vec![1; 200_000]),
        value: Some(value),
        headers: vec![("h".to_owned(), Some(vec![2; 100_000]))],
    };
    for sent in Compression::ALL {
        let mut builder = BatchBuilder::new(sent);
        push(&mut builder, 0, &record);
        let batch = builder.build().unwrap();
        for topic in Compression::ALL {
            let rules = AppendRules {
                compression: Some((topic, topic.default_level())),
                ..AppendRules::default()
            };
            let checked = check(batch.clone(), &rules);
            assert_eq!(
                read_back(&stored(&checked)),
                std::slice::from_ref(&record),
                "{sent} to {topic}"
            );
        }
    }
}
