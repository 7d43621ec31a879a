//! One record of a batch: how it is written, and how readers see it.

use bytes::{Buf, Bytes};

use super::scan::{RecordSource, SliceSource, Stop};
use super::varint::{put_varint, put_varlong, varlong_bytes};

/// One record of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Unused by format v2; 0 from every known writer.
    pub attributes: i8,
    /// Milliseconds from the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// Offset from the base offset of the batch.
    pub offset_delta: i32,
    /// `None` is no key, which differs from an empty one.
    pub key: Option<Bytes>,
    /// `None` is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order, duplicate keys kept. Keys that are no UTF-8 come with U+FFFD.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Record {
    /// Reads the bytes of one record, without its length; key and values share `bytes`.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, Stop> {
        let mut source = SliceSource::new(bytes);
        let attributes = source.byte()?.cast_signed();
        let timestamp_delta = source.varlong()?;
        let offset_delta = source.varint()?;
        let key = field(&mut source, bytes)?;
        let value = field(&mut source, bytes)?;

        let header_count = source.varint()?;
        let Ok(header_count) = usize::try_from(header_count) else {
            return Err(Stop::Bad("has a negative header count"));
        };
        // Each header takes at least 2 bytes: what is reserved was paid for.
        let left = bytes.len() - source.position() as usize;
        if header_count > left / 2 {
            return Err(Stop::Bad("counts more headers than it holds"));
        }
        let mut headers = Vec::with_capacity(header_count);
        for _ in 0..header_count {
            let Some(name) = field(&mut source, bytes)? else {
                return Err(Stop::Bad("has a header without a key"));
            };
            let name = String::from_utf8_lossy(&name).into_owned();
            headers.push((name, field(&mut source, bytes)?));
        }
        if !source.at_end()? {
            return Err(Stop::Bad("does not end where its length says"));
        }
        Ok(Self {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        })
    }
}

/// Takes a length and that many bytes, shared with `bytes`; a negative length is null.
fn field(source: &mut SliceSource<'_>, bytes: &Bytes) -> Result<Option<Bytes>, Stop> {
    let length = source.varint()?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let start = source.position() as usize;
    source.skip(length as u64)?;
    Ok(Some(bytes.slice(start..start + length)))
}

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordParts<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl RecordParts<'_> {
    /// Appends the record with its length to `out`.
    ///
    /// The caller keeps the sum of all parts below 2^31 bytes.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut body_bytes = 1
            + varlong_bytes(self.timestamp_delta)
            + varlong_bytes(i64::from(self.offset_delta))
            + field_bytes(self.key)
            + field_bytes(self.value)
            + varlong_bytes(self.headers.len() as i64);
        for (name, value) in self.headers {
            body_bytes += field_bytes(Some(name.as_bytes())) + field_bytes(*value);
        }
        put_varlong(out, body_bytes as i64);
        let body_start = out.len();
        out.push(0);
        put_varlong(out, self.timestamp_delta);
        put_varint(out, self.offset_delta);
        put_field(out, self.key);
        put_field(out, self.value);
        put_varlong(out, self.headers.len() as i64);
        for (name, value) in self.headers {
            put_field(out, Some(name.as_bytes()));
            put_field(out, *value);
        }
        assert_eq!(
            out.len() - body_start,
            body_bytes,
            "record length disagrees with its bytes"
        );
    }
}

fn field_bytes(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varlong_bytes(bytes.len() as i64) + bytes.len())
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Takes the record at the start of `bytes` if all of it is there: its length and its body.
///
/// `Ok(None)` asks for more bytes; the number is how many the record takes with its length.
pub(crate) fn split_record(bytes: &mut impl SplitBytes) -> Result<Option<Bytes>, Stop> {
    let mut source = SliceSource::new(bytes.as_slice());
    let length = match source.varint() {
        Ok(length) => length,
        Err(Stop::End) => return Ok(None),
        Err(stop) => return Err(stop),
    };
    let Ok(length) = usize::try_from(length) else {
        return Err(Stop::Bad("has a negative length"));
    };
    let prefix = source.position() as usize;
    if bytes.as_slice().len() - prefix < length {
        return Ok(None);
    }
    Ok(Some(bytes.split(prefix, length)))
}

/// Bytes that records are split off.
pub(crate) trait SplitBytes {
    fn as_slice(&self) -> &[u8];
    /// Drops `prefix` bytes and takes the `length` bytes behind them.
    fn split(&mut self, prefix: usize, length: usize) -> Bytes;
}

impl SplitBytes for Bytes {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn split(&mut self, prefix: usize, length: usize) -> Bytes {
        self.advance(prefix);
        self.split_to(length)
    }
}

impl SplitBytes for bytes::BytesMut {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn split(&mut self, prefix: usize, length: usize) -> Bytes {
        self.advance(prefix);
        self.split_to(length).freeze()
    }
}
