//! One pass over the records of a batch that looks at structure and fixed fields only.
//!
//! Keys, values and headers are skipped, nothing is allocated per record. The same code runs over
//! the slice of an uncompressed batch and over a decompressor's fixed window.

use bytes::Bytes;

use super::decompress::Decompressor;
use super::varint::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX, unfold, unfold_long};
use super::{BatchError, BatchHeader, Compression, HEADER_BYTES};

/// Window of a decompressed stream. Records larger than it are skipped window by window.
const WINDOW_BYTES: usize = 32 * 1024;

/// What a pass learns of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordShape {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) has_key: bool,
}

/// Why a source or a record ends a pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes end within a record.
    End,
    /// The record is malformed.
    Bad(&'static str),
    /// The codec gave up. Boxed, so that the hot results stay small.
    Codec(Box<BatchError>),
}

impl Stop {
    /// The error of record `index` that this stop is.
    pub(crate) fn at(self, index: i32) -> BatchError {
        match self {
            Self::End => BatchError::Record {
                index,
                why: "ends behind the batch",
            },
            Self::Bad(why) => BatchError::Record { index, why },
            Self::Codec(error) => *error,
        }
    }
}

/// Bytes of records, one after another.
pub(crate) trait RecordSource {
    /// Bytes taken so far.
    fn position(&self) -> u64;

    /// Takes one byte.
    fn byte(&mut self) -> Result<u8, Stop>;

    /// Drops `count` bytes.
    fn skip(&mut self, count: u64) -> Result<(), Stop>;

    /// True when no byte is left.
    fn at_end(&mut self) -> Result<bool, Stop>;

    /// Takes one record if that is cheap to do; `None`, and nothing taken, for one that must be
    /// looked at byte by byte, whether it is sound or not.
    #[inline]
    fn take_plain_record(&mut self) -> Option<RecordShape> {
        None
    }

    /// Takes a 32-bit varint.
    #[inline]
    fn varint(&mut self) -> Result<i32, Stop> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unfold(u32::from(first)));
        }
        let mut folded = u32::from(first & 0x7f);
        for place in 1..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            folded |= u32::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(unfold(folded));
            }
        }
        Err(Stop::Bad("has a number of more than 5 bytes"))
    }

    /// Takes a 64-bit varint.
    #[inline]
    fn varlong(&mut self) -> Result<i64, Stop> {
        let mut folded = 0;
        for place in 0..VARLONG_BYTES_MAX {
            let byte = self.byte()?;
            folded |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(unfold_long(folded));
            }
        }
        Err(Stop::Bad("has a number of more than 10 bytes"))
    }
}

/// Records that lie in memory as they are.
#[derive(Debug)]
pub(crate) struct SliceSource<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> SliceSource<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl RecordSource for SliceSource<'_> {
    #[inline]
    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::End)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn skip(&mut self, count: u64) -> Result<(), Stop> {
        let left = self.bytes.len() - self.at;
        if count > left as u64 {
            return Err(Stop::End);
        }
        self.at += count as usize;
        Ok(())
    }

    #[inline]
    fn at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.at == self.bytes.len())
    }

    #[inline]
    fn take_plain_record(&mut self) -> Option<RecordShape> {
        let (shape, bytes) = plain_record(self.bytes.get(self.at..)?)?;
        self.at += bytes;
        Some(shape)
    }
}

/// The record at the start of `bytes` and its length, if it is sound, has no headers, and all its
/// numbers are short: nearly every record there is, in a third of the time of [`take_record`].
#[inline]
fn plain_record(bytes: &[u8]) -> Option<(RecordShape, usize)> {
    let mut at = 0;
    let length = usize::try_from(short_number(bytes, &mut at)?).ok()?;
    let end = at + length;
    // From here on no read can leave the record.
    let record = bytes.get(..end)?;
    // Attributes.
    at += 1;
    let timestamp_delta = i64::from(short_number(record, &mut at)?);
    let offset_delta = short_number(record, &mut at)?;
    let key_length = short_number(record, &mut at)?;
    at += usize::try_from(key_length).unwrap_or(0);
    let value_length = short_number(record, &mut at)?;
    at += usize::try_from(value_length).unwrap_or(0);
    let header_count = *record.get(at)?;
    let shape = RecordShape {
        timestamp_delta,
        offset_delta,
        has_key: key_length >= 0,
    };
    (header_count == 0 && at + 1 == end).then_some((shape, end))
}

/// A varint of at most three bytes.
#[inline(always)]
fn short_number(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = u32::from(*bytes.get(*at)?);
    *at += 1;
    if first < 0x80 {
        return Some(unfold(first));
    }
    let second = u32::from(*bytes.get(*at)?);
    *at += 1;
    if second < 0x80 {
        return Some(unfold(first & 0x7f | second << 7));
    }
    let third = u32::from(*bytes.get(*at)?);
    *at += 1;
    (third < 0x80).then(|| unfold(first & 0x7f | (second & 0x7f) << 7 | third << 14))
}

/// Records behind a codec, seen through a fixed window.
#[derive(Debug)]
pub(crate) struct StreamSource {
    reader: Decompressor,
    window: Box<[u8]>,
    start: usize,
    end: usize,
    dropped_bytes: u64,
}

impl StreamSource {
    /// Gives up once the records expand beyond `expanded_bytes_max`.
    pub(crate) fn new(
        compression: Compression,
        packed: Bytes,
        expanded_bytes_max: u64,
    ) -> Result<Self, BatchError> {
        let reader = Decompressor::new(compression, packed, expanded_bytes_max)?;
        let window = vec![0; WINDOW_BYTES].into_boxed_slice();
        Ok(Self {
            reader,
            window,
            start: 0,
            end: 0,
            dropped_bytes: 0,
        })
    }

    /// The bytes of the window not yet taken, read anew if there are none; empty at the end.
    pub(crate) fn window(&mut self) -> Result<&[u8], Stop> {
        if self.start == self.end {
            self.dropped_bytes += self.end as u64;
            self.start = 0;
            self.end = 0;
            let read = self.reader.read(&mut self.window);
            self.end = read.map_err(|error| Stop::Codec(Box::new(error)))?;
        }
        Ok(&self.window[self.start..self.end])
    }

    /// Takes the first `count` bytes of the window.
    pub(crate) fn take(&mut self, count: usize) {
        assert!(
            count <= self.end - self.start,
            "took more than the window holds"
        );
        self.start += count;
    }
}

impl RecordSource for StreamSource {
    #[inline]
    fn position(&self) -> u64 {
        self.dropped_bytes + self.start as u64
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        if self.start == self.end && self.window()?.is_empty() {
            return Err(Stop::End);
        }
        let byte = self.window[self.start];
        self.start += 1;
        Ok(byte)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), Stop> {
        while count > 0 {
            let window_bytes = self.window()?.len();
            if window_bytes == 0 {
                return Err(Stop::End);
            }
            let step = count.min(window_bytes as u64);
            self.take(step as usize);
            count -= step;
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.window()?.is_empty())
    }
}

/// Takes one record.
#[inline]
pub(crate) fn take_record(source: &mut impl RecordSource) -> Result<RecordShape, Stop> {
    let length = source.varint()?;
    let Ok(length) = u64::try_from(length) else {
        return Err(Stop::Bad("has a negative length"));
    };
    let end = source.position() + length;
    // Attributes of a record: unused, and whatever they are, Kafka takes them.
    source.byte()?;
    let timestamp_delta = source.varlong()?;
    let offset_delta = source.varint()?;
    let has_key = skip_field(source, end)?;
    skip_field(source, end)?;

    let header_count = source.varint()?;
    if header_count < 0 {
        return Err(Stop::Bad("has a negative header count"));
    }
    for _ in 0..header_count {
        // Each header takes 2 bytes, so a lying count ends here and not after 2^31 rounds.
        if source.position() >= end {
            return Err(Stop::Bad("counts more headers than it holds"));
        }
        if !skip_field(source, end)? {
            return Err(Stop::Bad("has a header without a key"));
        }
        skip_field(source, end)?;
    }
    if source.position() != end {
        return Err(Stop::Bad("does not end where its length says"));
    }
    Ok(RecordShape {
        timestamp_delta,
        offset_delta,
        has_key,
    })
}

/// Skips a length and that many bytes; false for a negative length, which is null.
#[inline]
fn skip_field(source: &mut impl RecordSource, end: u64) -> Result<bool, Stop> {
    let length = source.varint()?;
    let Ok(length) = u64::try_from(length) else {
        return Ok(false);
    };
    if source.position() + length > end {
        return Err(Stop::Bad("has a field that is longer than the record"));
    }
    source.skip(length)?;
    Ok(true)
}

/// Shows every record of `batch` to `visit`, in order, until it says to stop.
///
/// `batch` is one whole batch, looked through as far as `expanded_bytes_max`. Fails unless exactly `record_count` well-formed records fill it; when
/// `visit` returned false, what follows is not looked at.
pub(crate) fn visit_records(
    header: &BatchHeader,
    batch: &Bytes,
    expanded_bytes_max: u64,
    visit: impl FnMut(i32, RecordShape) -> bool,
) -> Result<(), BatchError> {
    match header.attributes.compression()? {
        Compression::None => {
            let records = batch.get(HEADER_BYTES..).unwrap_or_default();
            visit_source(header.record_count, &mut SliceSource::new(records), visit)
        }
        // Compaction leaves batches without records, and without a compressed stream.
        _ if header.record_count == 0 => Ok(()),
        compression => {
            let packed = batch.slice(HEADER_BYTES.min(batch.len())..);
            let mut source = StreamSource::new(compression, packed, expanded_bytes_max)?;
            visit_source(header.record_count, &mut source, visit)
        }
    }
}

fn visit_source(
    record_count: i32,
    source: &mut impl RecordSource,
    mut visit: impl FnMut(i32, RecordShape) -> bool,
) -> Result<(), BatchError> {
    for index in 0..record_count {
        let taken = match source.take_plain_record() {
            Some(shape) => Ok(shape),
            None => take_record(source),
        };
        match taken {
            Ok(shape) => {
                if !visit(index, shape) {
                    return Ok(());
                }
            }
            Err(stop) => return Err(stop.at(index)),
        }
    }
    match source.at_end() {
        Ok(true) => Ok(()),
        Ok(false) => Err(BatchError::Leftover { record_count }),
        Err(stop) => Err(stop.at(record_count)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::varint::put_varint;
    use super::*;

    fn record(timestamp_delta: i32, key: Option<&[u8]>, value: &[u8], headers: i32) -> Vec<u8> {
        let mut body = vec![0];
        put_varint(&mut body, timestamp_delta);
        put_varint(&mut body, 7);
        for field in [key, Some(value)] {
            put_varint(&mut body, field.map_or(-1, |field| field.len() as i32));
            body.extend(field.unwrap_or_default());
        }
        put_varint(&mut body, headers);
        let mut record = Vec::new();
        put_varint(&mut record, body.len() as i32);
        record.extend(body);
        record
    }

    #[test]
    fn the_short_way_finds_what_the_long_way_finds() {
        let value = vec![9; 300];
        let records = [
            record(0, None, b"", 0),
            record(70, Some(b"k"), b"value", 0),
            record(20_000, Some(b""), &value, 0),
            record(-2_000_000, Some(b"key"), b"v", 0),
            record(1, None, b"v", 1),
        ];
        let mut short_count = 0;
        for sound in &records {
            for (place, byte) in
                (0..sound.len().min(20)).flat_map(|place| (0..=255).map(move |byte| (place, byte)))
            {
                let mut bytes = sound.clone();
                bytes[place] = byte;
                bytes.extend([0; 3]);
                let Some((shape, length)) = plain_record(&bytes) else {
                    continue;
                };
                short_count += 1;
                let mut source = SliceSource::new(&bytes);
                let found = take_record(&mut source).expect("the short way took it for sound");
                assert_eq!((found, source.at), (shape, length), "{bytes:?}");
            }
        }
        assert!(short_count > 1_000, "{short_count} were read the short way");
        assert_eq!(plain_record(&records[3]), None, "a number of four bytes");
        assert_eq!(plain_record(&records[4]), None, "a record with headers");
    }
}
