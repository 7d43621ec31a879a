//! Judges a client's batch by everything that needs no partition state.
//!
//! Sequence numbers, leadership, in-sync replicas and quotas are the partition's and the session's.

use bytes::Bytes;

use super::header::{CRC_START, MAGIC_END};
use super::judge::Judge;
use super::reencode::{Rewrite, reencode};
use super::rules::PRODUCE_VERSION_ZSTD;
use super::scan::visit_records;
use super::{
    AppendRules, Attributes, BATCH_LENGTH_START, BatchError, BatchHeader, CheckedBatch,
    Compression, HEADER_BYTES, MAGIC, NO_TIMESTAMP, RecordRefused, RefusedKind, TimestampType,
};
use crate::crc::crc32c_of_parts;
use crate::ids::Offset;

/// Smallest batch length that Kafka takes for one of any format: the overhead of format v0.
const BATCH_LENGTH_MIN: i32 = 14;

/// Checks what a Produce request carries for one partition, and makes it what is to be stored.
///
/// The batch comes out as it went in, shared, unless the topic asks for another codec, its offset
/// deltas do not count from 0, or its timestamps are the broker's to set. An uncompressed batch is
/// read once; a compressed one streams through a fixed window. Called before the partition's
/// mailbox; large batches take milliseconds, so off its arbiter.
///
/// `now_ms` is the broker's clock in milliseconds since 1970. Refuses in the order in which Kafka
/// does, so that a batch with two faults gets Kafka's answer.
///
/// Source: KIP-98, KIP-32, KIP-467, KIP-390; Kafka 4.3 as seen running.
pub fn check_batch(
    records: Option<Bytes>,
    rules: &AppendRules,
    now_ms: i64,
) -> Result<CheckedBatch, RecordRefused> {
    let (header, batch) = single_batch(records, rules.produce_version)?;
    check_place_and_sum(&header, &batch, rules)?;
    let compression = header.attributes.compression()?;
    check_header(&header)?;

    let mut judge = Judge::new(&header, rules, now_ms);
    visit_records(&header, &batch, rules.expanded_bytes_max, |index, shape| {
        judge.record(index, shape);
        true
    })?;
    let verdict = judge.finish()?;

    let stored = StoredHeader::new(&header, rules, now_ms, verdict.max_timestamp);
    let target = rules
        .compression
        .filter(|(target, _)| *target != compression);
    let (header, bytes) = if target.is_some() || !verdict.is_numbered {
        let (compression, level) = target.unwrap_or((compression, compression.default_level()));
        let rewrite = Rewrite {
            compression,
            level,
            is_renumbered: !verdict.is_numbered,
            bytes_max: rules.max_message_bytes,
        };
        reencode(&stored.header, &batch, &rewrite)?
    } else if stored.header == header {
        (header, batch)
    } else {
        let head = stored.header.encode();
        let crc = crc32c_of_parts(&[&head[CRC_START..], &batch[HEADER_BYTES..]]);
        (
            BatchHeader {
                crc,
                ..stored.header
            },
            batch,
        )
    };
    if bytes.len() > rules.segment_bytes {
        let message = format!(
            "batch of {} bytes is larger than a segment of {}",
            bytes.len(),
            rules.segment_bytes
        );
        return Err(RecordRefused::batch(
            RefusedKind::BatchLargerThanSegment,
            message,
        ));
    }

    assert_eq!(
        bytes.len(),
        header.batch_bytes(),
        "stored length disagrees with its header"
    );
    Ok(CheckedBatch {
        header,
        bytes,
        max_timestamp: header.max_timestamp,
        max_timestamp_delta: stored.max_timestamp_delta(verdict.max_timestamp_delta),
        record_count: header.record_count,
        log_append_time_ms: stored.log_append_time_ms,
    })
}

/// Refuses records at whose start the length or the magic of a batch is impossible; those that are cut
/// or empty pass. Kafka refuses a whole Produce request for one such batch, before it looks at anything
/// else.
pub fn check_measurable(records: &[u8]) -> Result<(), RecordRefused> {
    leading_batch(records).map(|_| ())
}

/// Refuses what is no single batch of magic 2: what Kafka tells before it asks whether anything at all
/// may be appended.
pub fn check_form(records: Option<&Bytes>, produce_version: i16) -> Result<(), RecordRefused> {
    single_batch(records.cloned(), produce_version).map(|_| ())
}

/// Attributes of the batch of magic 2 at the start of `records`, which may be cut or too short for one.
pub fn leading_attributes(records: &[u8]) -> Option<Attributes> {
    let magic = records.get(MAGIC_END - 1)?.cast_signed();
    let bytes = records.get(CRC_START..)?.first_chunk()?;
    (magic == MAGIC).then(|| Attributes(i16::from_be_bytes(*bytes)))
}

/// Cuts the one batch out of what came.
///
/// A batch that is cut counts as none; bytes behind it are dropped unless they read as a batch.
fn single_batch(
    records: Option<Bytes>,
    produce_version: i16,
) -> Result<(BatchHeader, Bytes), RecordRefused> {
    let not_one = |why: &str| RecordRefused::batch(RefusedKind::NotOneBatch, why);
    let records = records.ok_or_else(|| not_one("records are null"))?;
    let Some(batch_bytes) = leading_batch(&records)? else {
        return Err(not_one("records hold no whole batch"));
    };
    let magic = records[MAGIC_END - 1].cast_signed();
    if magic != MAGIC {
        return Err(BatchError::Magic { magic }.into());
    }
    if produce_version < PRODUCE_VERSION_ZSTD
        && let Some(attributes) = leading_attributes(&records)
    {
        check_old_codec(attributes.compression()?, produce_version)?;
    }
    // A few stray bytes and a cut second batch pass; what reads as a malformed batch does not, but only
    // of the first one Kafka tells that it cannot be measured.
    let behind = leading_batch(&records[batch_bytes..]).map_err(|refused| RecordRefused {
        kind: RefusedKind::Corrupt,
        ..refused
    })?;
    if behind.is_some() {
        return Err(not_one("records hold more than one batch"));
    }
    let batch = records.slice(..batch_bytes);
    if batch_bytes < HEADER_BYTES {
        let batch_length = (batch_bytes - BATCH_LENGTH_START) as i32;
        return Err(BatchError::Length { batch_length }.into());
    }
    Ok((BatchHeader::parse(&batch)?, batch))
}

/// Bytes of the batch of any format at the start of `bytes`; `None` if it is not all there.
///
/// Judges length and magic as soon as they are there, as Kafka does.
fn leading_batch(bytes: &[u8]) -> Result<Option<usize>, RecordRefused> {
    let Some(length_bytes) = bytes
        .get(BATCH_LENGTH_START - 4..)
        .and_then(<[u8]>::first_chunk)
    else {
        return Ok(None);
    };
    let batch_length = i32::from_be_bytes(*length_bytes);
    let unmeasurable = |why: String| RecordRefused::batch(RefusedKind::Unmeasurable, why);
    if batch_length < BATCH_LENGTH_MIN {
        return Err(unmeasurable(
            BatchError::Length { batch_length }.to_string(),
        ));
    }
    let Some(magic) = bytes.get(MAGIC_END - 1) else {
        return Ok(None);
    };
    let magic = magic.cast_signed();
    if !(0..=MAGIC).contains(&magic) {
        return Err(unmeasurable(format!(
            "magic is {magic}, which no format has"
        )));
    }
    let batch_bytes = BATCH_LENGTH_START + batch_length as usize;
    Ok((batch_bytes <= bytes.len()).then_some(batch_bytes))
}

/// Before the version that has zstd, the codec is looked at first of all.
fn check_old_codec(compression: Compression, produce_version: i16) -> Result<(), RecordRefused> {
    if compression != Compression::Zstd {
        return Ok(());
    }
    let message =
        format!("zstd needs Produce version {PRODUCE_VERSION_ZSTD}, this is {produce_version}");
    Err(RecordRefused::batch(
        RefusedKind::UnsupportedCompression,
        message,
    ))
}

/// Base offset, size and checksum: what Kafka looks at before the rest of the header.
fn check_place_and_sum(
    header: &BatchHeader,
    batch: &[u8],
    rules: &AppendRules,
) -> Result<(), RecordRefused> {
    if header.base_offset != Offset::ZERO {
        return Err(invalid(format!(
            "base offset is {}, not 0",
            header.base_offset
        )));
    }
    // What is recompressed is measured once more afterwards.
    if batch.len() > rules.max_message_bytes {
        let message = format!(
            "batch of {} bytes is larger than {}",
            batch.len(),
            rules.max_message_bytes
        );
        return Err(RecordRefused::batch(RefusedKind::BatchTooLarge, message));
    }
    Ok(header.verify_crc(batch)?)
}

/// Counts, kind and sequence of the header.
fn check_header(header: &BatchHeader) -> Result<(), RecordRefused> {
    let BatchHeader {
        record_count,
        last_offset_delta,
        base_sequence,
        ..
    } = *header;
    if last_offset_delta < 0 {
        return Err(invalid(format!("last offset delta is {last_offset_delta}")));
    }
    if record_count <= 0 {
        return Err(invalid(format!("record count is {record_count}")));
    }
    if i64::from(last_offset_delta) + 1 != i64::from(record_count) {
        return Err(invalid(format!(
            "record count is {record_count} and last offset delta {last_offset_delta}"
        )));
    }
    if header.attributes.is_control() {
        return Err(invalid("a client may not write a control batch"));
    }
    if header.has_producer_id() && base_sequence < 0 {
        let id = header.producer_id;
        return Err(invalid(format!(
            "producer {id} sent base sequence {base_sequence}"
        )));
    }
    Ok(())
}

/// The header with the timestamps that the broker sets, before any change of codec.
struct StoredHeader {
    header: BatchHeader,
    log_append_time_ms: i64,
}

impl StoredHeader {
    /// A LogAppendTime topic gets the broker's time; else the largest time of the records counts,
    /// whatever the client said it was, and the bit goes.
    fn new(header: &BatchHeader, rules: &AppendRules, now_ms: i64, max_timestamp: i64) -> Self {
        let log_append_time_ms = match rules.timestamp_type {
            TimestampType::CreateTime => NO_TIMESTAMP,
            TimestampType::LogAppendTime => now_ms,
        };
        let max_timestamp = match rules.timestamp_type {
            TimestampType::CreateTime => max_timestamp,
            TimestampType::LogAppendTime => now_ms,
        };
        let attributes = header.attributes.with_timestamp_type(rules.timestamp_type);
        let header = BatchHeader {
            attributes,
            max_timestamp,
            ..*header
        };
        Self {
            header,
            log_append_time_ms,
        }
    }

    /// With the broker's time all records have the largest, the first of them included.
    fn max_timestamp_delta(&self, of_records: i32) -> i32 {
        if self.log_append_time_ms == NO_TIMESTAMP {
            of_records
        } else {
            0
        }
    }
}

fn invalid(message: impl Into<String>) -> RecordRefused {
    RecordRefused::batch(RefusedKind::InvalidRecord, message)
}
