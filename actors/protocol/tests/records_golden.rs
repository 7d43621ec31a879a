//! Record batches against known bytes and against the crate kafka-protocol, in both directions.

// Clippy takes only the functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use kabuki_protocol::records::{
    self, BatchBuilder, BatchHeader, Compression, HEADER_BYTES, MAGIC, Record, batches,
};
use kafka_protocol::records as oracle;

const NOW_MS: i64 = 1_700_000_000_000;

fn oracle_codec(compression: Compression) -> oracle::Compression {
    match compression {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

/// Records of many sizes, some larger than any window or block of a codec.
fn sample_records(count: usize) -> Vec<oracle::Record> {
    (0..count)
        .map(|n| {
            let value = match n % 5 {
                0 => None,
                1 => Some(Bytes::new()),
                2 => Some(Bytes::from(vec![n as u8; 100])),
                3 => Some(Bytes::from(format!("value {n}").repeat(n % 40))),
                _ => Some(Bytes::from(
                    (0..90_000).map(|b| (b / 7 % 251) as u8).collect::<Vec<_>>(),
                )),
            };
            let headers = (0..n % 3).map(|h| {
                let value = (h > 0).then(|| Bytes::from(format!("header value {h}")));
                (format!("header-{h}").into(), value)
            });
            oracle::Record {
                transactional: true,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 5,
                producer_id: 4_711,
                producer_epoch: 3,
                timestamp_type: oracle::TimestampType::Creation,
                offset: 1_000 + n as i64,
                sequence: 77 + n as i32,
                timestamp: NOW_MS + 13 * n as i64 % 7,
                key: (n % 4 != 0).then(|| Bytes::from(format!("key {n}"))),
                value,
                headers: headers.collect(),
            }
        })
        .collect()
}

fn assert_same(ours: &Record, header: &BatchHeader, theirs: &oracle::Record) {
    assert_eq!(header.record_offset(ours.offset_delta).get(), theirs.offset);
    assert_eq!(
        header.record_timestamp(ours.timestamp_delta),
        theirs.timestamp
    );
    assert_eq!(ours.key, theirs.key);
    assert_eq!(ours.value, theirs.value);
    let theirs_headers: Vec<(String, Option<Bytes>)> = theirs
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    assert_eq!(ours.headers, theirs_headers);
}

#[test]
fn batches_of_the_oracle_are_read_with_every_codec() {
    for compression in Compression::ALL {
        for count in [1, 2, 7, 60] {
            let theirs = sample_records(count);
            let mut encoded = BytesMut::new();
            let options = oracle::RecordEncodeOptions {
                version: 2,
                compression: oracle_codec(compression),
            };
            oracle::RecordBatchEncoder::encode(&mut encoded, theirs.iter(), &options).unwrap();
            let encoded = encoded.freeze();

            let found: Vec<_> = batches(&encoded).map(Result::unwrap).collect();
            assert_eq!(found.len(), 1);
            let (header, batch) = &found[0];
            header.verify_crc(batch).unwrap();
            assert_eq!(header.attributes.compression(), Ok(compression));
            assert_eq!(header.base_offset, Offset(1_000));
            assert_eq!(header.partition_leader_epoch, LeaderEpoch(5));
            assert_eq!(header.producer_id, ProducerId(4_711));
            assert_eq!((header.producer_epoch, header.base_sequence), (3, 77));
            assert!(header.attributes.is_transactional());
            let ours: Vec<Record> = records::records(batch)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(ours.len(), count, "{compression}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_same(ours, header, theirs);
            }
        }
    }
}

#[test]
fn the_oracle_reads_our_batches_with_every_codec() {
    for compression in Compression::ALL {
        for count in [1, 2, 7, 60] {
            let theirs = sample_records(count);
            let mut builder = BatchBuilder::new(compression)
                .base_offset(Offset(1_000))
                .leader_epoch(LeaderEpoch(5))
                .producer(ProducerId(4_711), 3, 77)
                .transactional(true);
            for record in &theirs {
                let headers: Vec<(&str, Option<&[u8]>)> = record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_deref()))
                    .collect();
                builder.push(
                    record.timestamp,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    &headers,
                );
            }
            let mut batch = builder.build().unwrap();
            let decoded = oracle::RecordBatchDecoder::decode(&mut batch).unwrap();
            assert_eq!(decoded.compression, oracle_codec(compression));
            assert_eq!(decoded.records, theirs, "{compression}");
        }
    }
}

#[test]
fn a_small_batch_has_its_known_bytes() {
    let mut builder = BatchBuilder::new(Compression::None)
        .base_offset(Offset(0x0102_0304))
        .leader_epoch(LeaderEpoch(7))
        .producer(ProducerId(9), 1, 5);
    builder.push(NOW_MS, Some(b"k"), Some(b"v"), &[]);
    builder.push(
        NOW_MS + 1,
        None,
        Some(b""),
        &[("h", None), ("h", Some(b"x"))],
    );
    let batch = builder.build().unwrap();

    let mut expected = Vec::new();
    expected.extend_from_slice(&0x0102_0304i64.to_be_bytes());
    expected.extend_from_slice(&(batch.len() as i32 - 12).to_be_bytes());
    expected.extend_from_slice(&7i32.to_be_bytes());
    expected.push(2);
    expected.extend_from_slice(&batch[17..21]);
    expected.extend_from_slice(&0i16.to_be_bytes());
    expected.extend_from_slice(&1i32.to_be_bytes());
    expected.extend_from_slice(&NOW_MS.to_be_bytes());
    expected.extend_from_slice(&(NOW_MS + 1).to_be_bytes());
    expected.extend_from_slice(&9i64.to_be_bytes());
    expected.extend_from_slice(&1i16.to_be_bytes());
    expected.extend_from_slice(&5i32.to_be_bytes());
    expected.extend_from_slice(&2i32.to_be_bytes());
    assert_eq!(expected.len(), HEADER_BYTES);
    // length 8, attributes, time +0, offset 0, key 1 "k", value 1 "v", no headers
    expected.extend_from_slice(&[16, 0, 0, 0, 2, b'k', 2, b'v', 0]);
    // length 13, attributes, time +1, offset 1, null key, empty value, "h" null, "h" "x"
    expected.extend_from_slice(&[26, 0, 2, 2, 1, 0, 4, 2, b'h', 1, 2, b'h', 2, b'x']);
    assert_eq!(batch, expected);
    BatchHeader::parse(&batch)
        .unwrap()
        .verify_crc(&batch)
        .unwrap();
}

#[test]
fn duplicate_headers_keep_their_order() {
    let headers: [(&str, Option<&[u8]>); 4] = [
        ("b", Some(b"1")),
        ("a", None),
        ("b", Some(b"2")),
        ("", Some(b"")),
    ];
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW_MS, None, None, &headers);
        let batch = builder.build().unwrap();
        let read: Vec<Record> = records::records(&batch)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let read: Vec<(&str, Option<&[u8]>)> = read[0]
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        assert_eq!(read, headers);
    }
}

#[test]
fn header_keys_that_are_no_utf8_are_read_with_replacement() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(NOW_MS, None, None, &[("xy", None)]);
    let mut batch = builder.build().unwrap().to_vec();
    let at = batch.len() - 3;
    batch[at] = 0xff;
    let read: Vec<Record> = records::records(&batch.into())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read[0].headers[0].0, "\u{fffd}y");
}

#[test]
fn a_range_is_cut_into_its_whole_batches() {
    let mut range = Vec::new();
    for n in 0..3 {
        let mut builder = BatchBuilder::new(Compression::ALL[n]).base_offset(Offset(n as i64));
        builder.push(NOW_MS, None, Some(&[n as u8; 50]), &[]);
        range.extend_from_slice(&builder.build().unwrap());
    }
    let whole = range.len();
    range.extend_from_within(..80);
    let mut found = batches(&Bytes::from(range));
    for n in 0..3 {
        assert_eq!(found.next().unwrap().unwrap().0.base_offset, Offset(n));
    }
    assert!(found.next().is_none(), "a cut batch is not given out");
    assert_eq!(found.rest().len(), 80);
    assert!(whole > 3 * HEADER_BYTES);
}

#[test]
fn the_oldest_formats_end_a_range_with_an_error() {
    let mut old = vec![0; 80];
    old[11] = 60;
    old[16] = 1;
    let mut found = batches(&Bytes::from(old));
    assert!(found.next().unwrap().is_err());
    assert!(found.next().is_none());
}

#[test]
fn an_empty_batch_left_by_compaction_reads_as_no_records() {
    for compression in Compression::ALL {
        let header = BatchHeader {
            attributes: BatchHeader::default()
                .attributes
                .with_compression(compression),
            last_offset_delta: 9,
            ..BatchHeader::default()
        };
        assert_eq!((header.magic, header.record_count), (MAGIC, 0));
        let batch = Bytes::copy_from_slice(&header.encode());
        assert_eq!(records::records(&batch).unwrap().count(), 0);
        assert_eq!(records::find_max_timestamp(&batch), Ok(None));
    }
}

#[test]
fn records_are_found_by_time_behind_every_codec() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression).base_offset(Offset(50));
        for timestamp in [10, 30, 20, 40, 40] {
            builder.push(timestamp, None, Some(&[1; 40_000]), &[]);
        }
        let batch = builder.build().unwrap();
        let find = |timestamp| records::find_timestamp(&batch, timestamp).unwrap();
        assert_eq!(find(0), Some((Offset(50), 10)));
        assert_eq!(find(11), Some((Offset(51), 30)));
        assert_eq!(find(31), Some((Offset(53), 40)));
        assert_eq!(find(41), None);
        assert_eq!(
            records::find_max_timestamp(&batch),
            Ok(Some((Offset(53), 40)))
        );
    }
}

#[test]
fn the_last_sequence_wraps_to_zero() {
    let header = |base_sequence, last_offset_delta| BatchHeader {
        base_sequence,
        last_offset_delta,
        ..BatchHeader::default()
    };
    assert_eq!(header(5, 2).last_sequence(), 7);
    assert_eq!(header(i32::MAX, 0).last_sequence(), i32::MAX);
    assert_eq!(header(i32::MAX, 1).last_sequence(), 0);
    assert_eq!(header(i32::MAX - 1, 3).last_sequence(), 1);
    assert_eq!(header(-1, 3).last_sequence(), -1);
}
