//! Rewrites a batch with another codec, or with offset deltas that count from 0.
//!
//! Streams from decompressor to compressor: neither the plain records nor a record is ever held.
//! Producer id, epoch, sequence, kind bits, timestamps, keys, values and headers stay as they are.

use bytes::Bytes;

use super::compress::Compressor;
use super::scan::{RecordSource, Stop, StreamSource};
use super::varint::{put_varint, put_varlong, varlong_bytes};
use super::{
    BATCH_LENGTH_START, BatchError, BatchHeader, Compression, DECOMPRESSED_BYTES_MAX, HEADER_BYTES,
};
use crate::crc::crc32c;

/// How a batch is to be rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite {
    pub(crate) compression: Compression,
    pub(crate) level: i32,
    /// Give the records the offset deltas 0 to n - 1.
    pub(crate) is_renumbered: bool,
    /// Limit on the new batch, header included.
    pub(crate) bytes_max: usize,
}

/// Rewrites `batch`, one whole batch whose records were found to be well-formed.
///
/// `header` is the new header but for codec, length and checksum.
pub(crate) fn reencode(
    header: &BatchHeader,
    batch: &Bytes,
    rewrite: &Rewrite,
) -> Result<(BatchHeader, Bytes), BatchError> {
    let source_compression = header.attributes.compression()?;
    let mut source = StreamSource::new(
        source_compression,
        batch.slice(HEADER_BYTES..),
        DECOMPRESSED_BYTES_MAX,
    )?;
    let mut sink = Compressor::new(rewrite.compression, rewrite.level, rewrite.bytes_max)?;
    if rewrite.is_renumbered {
        for index in 0..header.record_count {
            copy_record(&mut source, &mut sink, index)?;
        }
    } else {
        let at = |stop: Stop| stop.at(header.record_count);
        loop {
            let window = source.window().map_err(at)?;
            let window_bytes = window.len();
            if window_bytes == 0 {
                break;
            }
            sink.write(window)?;
            source.take(window_bytes);
        }
    }

    let attributes = header.attributes.with_compression(rewrite.compression);
    seal(
        &BatchHeader {
            attributes,
            ..*header
        },
        sink.finish()?,
    )
}

/// Puts `header` with its length and checksum before the records in `batch`, which starts with
/// room for it.
pub(crate) fn seal(
    header: &BatchHeader,
    mut batch: Vec<u8>,
) -> Result<(BatchHeader, Bytes), BatchError> {
    let Ok(batch_length) = i32::try_from(batch.len() - BATCH_LENGTH_START) else {
        return Err(BatchError::TooLarge {
            bytes_max: i32::MAX as usize,
        });
    };
    let mut header = BatchHeader {
        batch_length,
        crc: 0,
        ..*header
    };
    batch[..HEADER_BYTES].copy_from_slice(&header.encode());
    header.crc = crc32c(&batch[super::header::CRC_START..]);
    batch[..HEADER_BYTES].copy_from_slice(&header.encode());
    Ok((header, batch.into()))
}

/// Copies one record, with `index` as its offset delta.
fn copy_record(
    source: &mut StreamSource,
    sink: &mut Compressor,
    index: i32,
) -> Result<(), BatchError> {
    let at = |stop: Stop| stop.at(index);
    let length = source.varint().map_err(at)?;
    let start = source.position();
    let attributes = source.byte().map_err(at)?;
    let timestamp_delta = source.varlong().map_err(at)?;
    source.varint().map_err(at)?;
    let head_bytes = source.position() - start;
    let Some(mut left) = i64::from(length).checked_sub_unsigned(head_bytes) else {
        return Err(Stop::Bad("is shorter than its fields").at(index));
    };

    let new_head_bytes = 1 + varlong_bytes(timestamp_delta) + varlong_bytes(i64::from(index));
    let mut head = Vec::with_capacity(24);
    put_varlong(&mut head, left + new_head_bytes as i64);
    head.push(attributes);
    put_varlong(&mut head, timestamp_delta);
    put_varint(&mut head, index);
    sink.write(&head)?;
    while left > 0 {
        let window = source.window().map_err(at)?;
        if window.is_empty() {
            return Err(Stop::End.at(index));
        }
        let step = window.len().min(left as usize);
        sink.write(&window[..step])?;
        source.take(step);
        left -= step as i64;
    }
    Ok(())
}
