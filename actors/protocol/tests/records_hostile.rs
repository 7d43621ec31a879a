//! Bytes of an attacker: nothing panics, nothing is allocated on the strength of a claim.

// Clippy takes only the functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use bytes::Bytes;
use kabuki_protocol::crc::crc32c;
use kabuki_protocol::records::{
    self, AppendRules, BatchBuilder, BatchError, BatchHeader, Compression, DECOMPRESSED_BYTES_MAX,
    HEADER_BYTES, RefusedKind, batches, check_batch,
};
use proptest::prelude::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn batch_of(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for n in 0..20u8 {
        let headers: [(&str, Option<&[u8]>); 2] = [("name", Some(&[n; 3])), ("name", None)];
        builder.push(
            NOW_MS,
            Some(&[n]),
            Some(&vec![n; usize::from(n) * 40]),
            &headers,
        );
    }
    builder.build().unwrap()
}

/// A batch with these record bytes behind a header that says `record_count`.
fn forged(compression: Compression, record_count: i32, records: &[u8]) -> Bytes {
    let header = BatchHeader {
        batch_length: (HEADER_BYTES - 12 + records.len()) as i32,
        attributes: BatchHeader::default()
            .attributes
            .with_compression(compression),
        last_offset_delta: record_count.wrapping_sub(1),
        record_count,
        ..BatchHeader::default()
    };
    with_sum([&header.encode()[..], records].concat())
}

fn with_sum(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// Puts the bytes through everything that reads bytes. The answers do not matter.
fn read_every_way(bytes: &Bytes) {
    let rewriting = AppendRules {
        compression: Some((Compression::Lz4, 9)),
        is_compacted: true,
        ..AppendRules::default()
    };
    for rules in [AppendRules::default(), rewriting] {
        if let Ok(checked) = check_batch(Some(bytes.clone()), &rules, NOW_MS) {
            assert_eq!(checked.bytes.len(), checked.header.batch_bytes());
        }
    }
    for (_, batch) in batches(bytes).flatten() {
        if let Ok(all) = records::records(&batch) {
            all.for_each(drop);
        }
        drop(records::find_timestamp(&batch, 0));
        drop(records::find_max_timestamp(&batch));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_batches_never_panic(
        code in 0u8..5,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        is_summed in any::<bool>(),
    ) {
        let mut bytes = batch_of(Compression::from_code(code).unwrap()).to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let bytes = if is_summed && bytes.len() > 21 { with_sum(bytes) } else { bytes.into() };
        read_every_way(&bytes);
    }

    #[test]
    fn random_records_behind_a_right_checksum_never_panic(
        code in 0u8..5,
        record_count in prop_oneof![Just(1), Just(i32::MAX), 1i32..100],
        records in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        read_every_way(&forged(Compression::from_code(code).unwrap(), record_count, &records));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_every_way(&bytes.into());
    }
}

#[test]
fn lying_lengths_and_counts_within_a_record_are_refused() {
    let table: [(&str, &[u8]); 9] = [
        ("negative length", &[0x01]),
        ("length of 2 GiB", &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]),
        (
            "length beyond 5 bytes",
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
        (
            "key of 2 GiB",
            &[20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0],
        ),
        ("key longer than the record", &[12, 0, 0, 0, 20, 1, 0]),
        (
            "header count of 2^30",
            &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
        ),
        ("negative header count", &[12, 0, 0, 0, 1, 1, 1]),
        ("header without a key", &[16, 0, 0, 0, 1, 1, 2, 1, 1]),
        ("bytes behind the headers", &[14, 0, 0, 0, 1, 1, 0, 0]),
    ];
    for (name, bytes) in table {
        let batch = forged(Compression::None, 1, bytes);
        let refused = check_batch(Some(batch.clone()), &AppendRules::default(), NOW_MS);
        assert_eq!(
            refused.unwrap_err().kind,
            RefusedKind::InvalidRecord,
            "{name}"
        );
        let mut read = records::records(&batch).unwrap();
        assert!(read.next().unwrap().is_err(), "{name}");
        assert!(read.next().is_none(), "{name}");
    }
}

#[test]
fn bytes_that_no_codec_wrote_are_told_apart() {
    for compression in &Compression::ALL[1..] {
        let batch = forged(
            *compression,
            1,
            b"these bytes were compressed by nobody at all",
        );
        let refused = check_batch(Some(batch), &AppendRules::default(), NOW_MS).unwrap_err();
        assert_eq!(refused.kind, RefusedKind::Undecodable, "{compression}");
        assert!(refused.kind.answers_log_start(5), "{compression}");
    }
}

#[test]
fn a_compressed_stream_cut_anywhere_is_refused() {
    for compression in &Compression::ALL[1..] {
        let whole = batch_of(*compression);
        let header = BatchHeader::parse(&whole).unwrap();
        let records = &whole[HEADER_BYTES..];
        // The last bytes of a stream may be a trailer that the records do not need.
        for end in 0..records.len() - 20 {
            let batch = forged(*compression, header.record_count, &records[..end]);
            let refused = check_batch(Some(batch), &AppendRules::default(), NOW_MS).unwrap_err();
            let kinds = [RefusedKind::InvalidRecord, RefusedKind::Undecodable];
            assert!(kinds.contains(&refused.kind), "{compression} cut at {end}");
        }
    }
}

#[test]
fn gzip_members_are_read_on_and_what_follows_them_is_ignored() {
    let whole = batch_of(Compression::None);
    let header = BatchHeader::parse(&whole).unwrap();
    let (first, second) = whole[HEADER_BYTES..].split_at(1_000);
    let mut packed = Vec::new();
    for part in [first, second] {
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        packed = encoder.finish().unwrap();
    }
    packed.extend_from_slice(b"no member");
    let batch = forged(Compression::Gzip, header.record_count, &packed);
    assert!(check_batch(Some(batch), &AppendRules::default(), NOW_MS).is_ok());
}

/// Megabytes of resident memory at their highest so far, where the system tells.
fn peak_resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}

/// One record with a value of `value_bytes` zeros, compressed piece by piece.
fn bomb(compression: Compression, value_bytes: u64) -> Bytes {
    let packed = match compression {
        Compression::Gzip => {
            let level = flate2::Compression::best();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            write_zeros(&mut encoder, value_bytes);
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            write_zeros(&mut encoder, value_bytes);
            encoder.finish().unwrap()
        }
        other => panic!("no bomb of {other}"),
    };
    forged(compression, 1, &packed)
}

/// Writes a record of `value_bytes` zeros, a multiple of 1 MiB.
fn write_zeros(writer: &mut impl Write, value_bytes: u64) {
    // Attributes, time, offset, null key.
    let mut head = vec![0, 0, 0, 1];
    put_varint(&mut head, value_bytes);
    let mut length = Vec::new();
    put_varint(&mut length, head.len() as u64 + value_bytes + 1);
    writer.write_all(&length).unwrap();
    writer.write_all(&head).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..value_bytes >> 20 {
        writer.write_all(&zeros).unwrap();
    }
    writer.write_all(&[0]).unwrap();
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut folded = value << 1;
    while folded >= 0x80 {
        out.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

#[test]
fn a_bomb_is_streamed_or_refused_in_fixed_memory() {
    let rewriting = AppendRules {
        compression: Some((Compression::None, 0)),
        max_message_bytes: 1 << 20,
        ..AppendRules::default()
    };
    for compression in [Compression::Gzip, Compression::Zstd] {
        let large = bomb(compression, DECOMPRESSED_BYTES_MAX / 2);
        let too_large = bomb(compression, 2 * DECOMPRESSED_BYTES_MAX);
        let before = peak_resident_mib();

        let rules = AppendRules {
            max_message_bytes: 4 << 20,
            ..AppendRules::default()
        };
        assert!(
            check_batch(Some(large.clone()), &rules, NOW_MS).is_ok(),
            "{compression}"
        );
        let refused = check_batch(Some(too_large.clone()), &rules, NOW_MS).unwrap_err();
        assert_eq!(refused.kind, RefusedKind::ExpandsTooFar);
        let expansion = BatchError::Expansion {
            bytes_max: DECOMPRESSED_BYTES_MAX,
        };
        assert_eq!(refused.message, expansion.to_string());
        // Who has no time for it gives up early, and says so by the same kind.
        let hasty = AppendRules {
            expanded_bytes_max: 256 * 1024,
            ..rules.clone()
        };
        let refused = check_batch(Some(large.clone()), &hasty, NOW_MS).unwrap_err();
        assert_eq!(refused.kind, RefusedKind::ExpandsTooFar);
        // Unpacking for the disk gives up at the topic's limit, not at the end.
        let refused = check_batch(Some(large.clone()), &rewriting, NOW_MS).unwrap_err();
        assert_eq!(refused.kind, RefusedKind::BatchTooLarge);
        assert_eq!(records::find_timestamp(&large, i64::MAX), Ok(None));

        if let (Some(before), Some(after)) = (before, peak_resident_mib()) {
            assert!(
                after - before < 32,
                "{compression}: {before} MiB grew to {after} MiB"
            );
        }
    }
}
