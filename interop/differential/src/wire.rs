//! The primitive types on the wire, both ways.

use crate::Stopped;

/// Bytes of a message in the making.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn int8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn int16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn int32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn int64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag, as in records.
    pub(crate) fn varint(&mut self, value: i64) {
        let mut left = ((value << 1) ^ (value >> 63)) as u64;
        while left >= 0x80 {
            self.bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.push(left as u8);
    }

    /// The length in front of an array or of bytes; `None` is null.
    pub(crate) fn length(&mut self, length: Option<usize>, is_compact: bool) {
        match (length, is_compact) {
            (None, true) => self.unsigned_varint(0),
            (None, false) => self.int32(-1),
            (Some(length), true) => self.unsigned_varint(length as u32 + 1),
            (Some(length), false) => self.int32(length as i32),
        }
    }

    /// The length in front of a text, which takes two bytes where it is not compact.
    pub(crate) fn text_length(&mut self, length: Option<usize>, is_compact: bool) {
        match length {
            _ if is_compact => self.length(length, true),
            None => self.int16(-1),
            Some(length) => self.int16(length as i16),
        }
    }
}

/// Bytes of a message that is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Stopped> {
        if count > self.left.len() {
            let left = self.left.len();
            return Err(Stopped::because(format!(
                "{count} bytes where {left} are left"
            )));
        }
        let (taken, left) = self.left.split_at(count);
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stopped> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn int8(&mut self) -> Result<i8, Stopped> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn int16(&mut self) -> Result<i16, Stopped> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn int32(&mut self) -> Result<i32, Stopped> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn int64(&mut self) -> Result<i64, Stopped> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn float64(&mut self) -> Result<f64, Stopped> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, Stopped> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Stopped::because("a varint of more than five bytes"))
    }

    pub(crate) fn length(&mut self, is_compact: bool) -> Result<Option<usize>, Stopped> {
        let length = if is_compact {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.int32()?)
        };
        length_from(length)
    }

    pub(crate) fn text_length(&mut self, is_compact: bool) -> Result<Option<usize>, Stopped> {
        if is_compact {
            return self.length(true);
        }
        length_from(i64::from(self.int16()?))
    }
}

fn length_from(length: i64) -> Result<Option<usize>, Stopped> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| Stopped::because(format!("a length of {length}"))),
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, Stopped> {
    let bad = || Stopped::because(format!("{text:?} is not hexadecimal"));
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(bad());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad()))
        .collect()
}
