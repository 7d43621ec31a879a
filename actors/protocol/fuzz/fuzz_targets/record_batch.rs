//! Batches as a client might send them, under all the rules a topic can have.

#![no_main]

use bytes::Bytes;
use kabuki_protocol::crc::crc32c;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::{
    AppendRules, BatchHeader, CheckedBatch, Compression, HEADER_BYTES, MAGIC, TimestampType,
    batches, check_batch, find_max_timestamp, records,
};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, batch)) = input.split_first() else {
        return;
    };
    let rules = rules(choice);
    feed(Bytes::copy_from_slice(batch), &rules);
    // Mutation alone never meets a checksum: this leads past it.
    if let Some(mended) = mend(batch) {
        feed(mended, &rules);
    }
});

fn rules(choice: u8) -> AppendRules {
    let recompress =
        Compression::from_code(choice >> 5).map(|codec| (codec, codec.default_level()));
    AppendRules {
        max_message_bytes: 1 << 20,
        is_compacted: choice & 1 != 0,
        timestamp_type: match choice & 2 {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: if choice & 4 != 0 { 1_000 } else { i64::MAX },
        compression: if choice & 8 != 0 { recompress } else { None },
        produce_version: if choice & 16 != 0 { 6 } else { 13 },
        ..AppendRules::default()
    }
}

/// The batch with the length, magic and checksum that its other bytes ask for.
fn mend(batch: &[u8]) -> Option<Bytes> {
    if batch.len() < HEADER_BYTES {
        return None;
    }
    let mut mended = batch.to_vec();
    let length = u32::try_from(batch.len() - 12).ok()?;
    mended[8..12].copy_from_slice(&length.to_be_bytes());
    mended[16] = MAGIC as u8;
    let crc = crc32c(&mended[21..]);
    mended[17..21].copy_from_slice(&crc.to_be_bytes());
    Some(mended.into())
}

fn feed(bytes: Bytes, rules: &AppendRules) {
    // A consumer walks what a broker sent, unchecked.
    for found in batches(&bytes) {
        let Ok((_, batch)) = found else { break };
        if let Ok(records) = records(&batch) {
            let _ = records.take(10_000).take_while(Result::is_ok).count();
        }
        let _ = find_max_timestamp(&batch);
    }
    if let Ok(checked) = check_batch(Some(bytes), rules, NOW_MS) {
        stored(&checked);
    }
}

/// What passed the check is a sound batch at its place in the log.
fn stored(checked: &CheckedBatch) {
    let whole = Bytes::from(checked.stamped(Offset(4_711), LeaderEpoch(3)).concat());
    let header = BatchHeader::parse(&whole).expect("a stored batch has a header");
    assert_eq!(header.batch_bytes(), whole.len());
    assert_eq!(header.base_offset, Offset(4_711));
    header
        .verify_crc(&whole)
        .expect("a stored batch has its checksum");
    let mut count = 0;
    for (index, record) in records(&whole)
        .expect("a stored batch has records")
        .enumerate()
    {
        let record = record.expect("a stored record can be read");
        assert_eq!(record.offset_delta, index as i32);
        count += 1;
    }
    assert_eq!(count, checked.record_count);
    assert_eq!(header.max_timestamp, checked.max_timestamp);
}
