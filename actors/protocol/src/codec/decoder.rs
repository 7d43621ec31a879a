//! Reads values from one frame without copying and without trusting a single length in it.

use bytes::Bytes;

use super::{DecodeError, Malformed};

/// Most elements that the arrays of one frame may claim together; what Kafka 4.4 allows for one.
pub const ELEMENTS_MAX: usize = 1_000_000;
/// Most tagged fields a struct may claim; what Kafka 4.4 allows.
pub const TAGGED_FIELDS_MAX: usize = 10_000;
/// Longest text in bytes, in compact form too; Kafka's own limit, from the 16-bit length.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// A cursor over one frame. Integers are big-endian.
///
/// Every read either succeeds within the bytes left or fails and leaves an unspecified position.
#[derive(Debug, Clone)]
pub struct Decoder {
    frame: Bytes,
    position: usize,
    /// Reads stop here: the end of the frame, or of the tagged field being read.
    end: usize,
    /// Elements of all arrays so far.
    elements: usize,
    elements_max: usize,
}

impl Decoder {
    /// Starts at the first byte of `frame`.
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        Self {
            frame,
            position: 0,
            end,
            elements: 0,
            elements_max: ELEMENTS_MAX,
        }
    }

    /// Lets the arrays of the frame claim no more than `elements_max` together, where the reader knows
    /// that more make no sense. Never more than [`ELEMENTS_MAX`].
    pub fn limit_elements(&mut self, elements_max: usize) {
        self.elements_max = elements_max.min(ELEMENTS_MAX);
    }

    /// Bytes not read yet.
    #[inline]
    pub fn left_bytes(&self) -> usize {
        self.end - self.position
    }

    /// True when everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.left_bytes() == 0
    }

    /// The bytes not read yet, sharing the frame's memory.
    pub fn rest(&self) -> Bytes {
        self.frame.slice(self.position..self.end)
    }

    /// Moves past `count` bytes and returns where they start.
    #[inline]
    fn advance(&mut self, count: usize) -> Result<usize, DecodeError> {
        let left_bytes = self.left_bytes();
        if count > left_bytes {
            return Err(Malformed::Truncated {
                needed_bytes: count,
                left_bytes,
            }
            .into());
        }
        let start = self.position;
        self.position += count;
        Ok(start)
    }

    /// Fails unless `count` values of at least `bytes_each` bytes can still follow.
    ///
    /// Called before anything is allocated for them.
    #[inline]
    pub fn expect_elements(&mut self, count: usize, bytes_each: usize) -> Result<(), DecodeError> {
        if count > self.elements_max.saturating_sub(self.elements) {
            return Err(Malformed::Elements { count }.into());
        }
        let needed_bytes = count.saturating_mul(bytes_each.max(1));
        let left_bytes = self.left_bytes();
        if needed_bytes > left_bytes {
            return Err(Malformed::Truncated {
                needed_bytes,
                left_bytes,
            }
            .into());
        }
        self.elements += count;
        Ok(())
    }

    /// The next `count` bytes, borrowed.
    #[inline]
    pub fn read_slice(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        let start = self.advance(count)?;
        Ok(&self.frame[start..start + count])
    }

    /// The next `count` bytes, sharing the frame's memory and keeping it alive.
    #[inline]
    pub fn read_shared(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(count)?;
        Ok(self.frame.slice(start..start + count))
    }

    /// The next `N` bytes by value.
    #[inline]
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.advance(N)?;
        let bytes = self.frame[start..].first_chunk();
        Ok(*bytes.expect("the position never passes the end of the frame"))
    }

    /// One signed byte.
    #[inline]
    pub fn read_i8(&mut self) -> Result<i8, DecodeError> {
        self.read_array().map(i8::from_be_bytes)
    }

    /// Two bytes, signed.
    #[inline]
    pub fn read_i16(&mut self) -> Result<i16, DecodeError> {
        self.read_array().map(i16::from_be_bytes)
    }

    /// Two bytes, unsigned.
    #[inline]
    pub fn read_u16(&mut self) -> Result<u16, DecodeError> {
        self.read_array().map(u16::from_be_bytes)
    }

    /// Four bytes, signed.
    #[inline]
    pub fn read_i32(&mut self) -> Result<i32, DecodeError> {
        self.read_array().map(i32::from_be_bytes)
    }

    /// Eight bytes, signed.
    #[inline]
    pub fn read_i64(&mut self) -> Result<i64, DecodeError> {
        self.read_array().map(i64::from_be_bytes)
    }

    /// An unsigned varint of at most five bytes, seven bits each, lowest first.
    #[inline]
    pub fn read_uvarint(&mut self) -> Result<u32, DecodeError> {
        let [first] = self.read_array()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        self.read_uvarint_after(first)
    }

    /// The rest of a varint whose first byte was not the last.
    fn read_uvarint_after(&mut self, first: u8) -> Result<u32, DecodeError> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let [byte] = self.read_array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint.into())
    }

    /// The length in front of a nullable text, bytes or array in compact form.
    #[inline]
    pub(super) fn read_compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length_plus_one = self.read_uvarint()?;
        Ok((length_plus_one as usize).checked_sub(1))
    }

    /// A copied text of `length` bytes. Bad UTF-8 becomes U+FFFD, as Kafka does it; the copy keeps
    /// a name that outlives its request from holding the whole frame in memory.
    #[inline]
    pub(super) fn read_text(&mut self, length: usize) -> Result<String, DecodeError> {
        if length > STRING_BYTES_MAX {
            return Err(Malformed::Text { bytes: length }.into());
        }
        let bytes = self.read_slice(length)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Reads the tagged fields at the end of a flexible struct: `read(tag, decoder)` for each.
    ///
    /// `read` sees a decoder that ends with the field; what it leaves unread is skipped. Of a tag
    /// that comes twice the last one counts.
    #[inline]
    pub fn read_tagged_fields(
        &mut self,
        mut read: impl FnMut(u32, &mut Decoder) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.read_uvarint()? as usize;
        if count == 0 {
            return Ok(());
        }
        if count > TAGGED_FIELDS_MAX {
            return Err(Malformed::TaggedFields { count }.into());
        }
        for _ in 0..count {
            let tag = self.read_uvarint()?;
            let size = self.read_uvarint()? as usize;
            let start = self.advance(size)?;
            let outer_end = self.end;
            self.position = start;
            self.end = start + size;
            let outcome = read(tag, self);
            self.position = start + size;
            self.end = outer_end;
            outcome?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(bytes: &'static [u8]) -> Decoder {
        Decoder::new(Bytes::from_static(bytes))
    }

    #[test]
    fn uvarints_span_one_to_five_bytes() {
        assert_eq!(decoder(&[0]).read_uvarint(), Ok(0));
        assert_eq!(decoder(&[0x7f]).read_uvarint(), Ok(127));
        assert_eq!(decoder(&[0x80, 0x01]).read_uvarint(), Ok(128));
        assert_eq!(
            decoder(&[0xff, 0xff, 0xff, 0xff, 0x0f]).read_uvarint(),
            Ok(u32::MAX)
        );
    }

    #[test]
    fn uvarints_over_32_bits_and_cut_ones_are_refused() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff, 0x1f][..],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ] {
            let outcome = Decoder::new(Bytes::copy_from_slice(bytes)).read_uvarint();
            assert_eq!(outcome, Err(Malformed::Varint.into()));
        }
        let truncated = Malformed::Truncated {
            needed_bytes: 1,
            left_bytes: 0,
        };
        assert_eq!(decoder(&[0x80]).read_uvarint(), Err(truncated.into()));
    }

    #[test]
    fn shared_bytes_point_into_the_frame() {
        let frame = Bytes::from(vec![7; 64]);
        let mut decoder = Decoder::new(frame.clone());
        decoder.read_i32().unwrap();
        let shared = decoder.read_shared(32).unwrap();
        assert_eq!(shared.as_ptr(), frame[4..].as_ptr());
        assert_eq!(decoder.left_bytes(), 28);
    }

    #[test]
    fn a_tagged_field_cannot_read_past_its_size() {
        // One field, tag 0, one byte long, then two more bytes of the frame.
        let mut decoder = decoder(&[1, 0, 1, 9, 8, 7]);
        let mut inner = None;
        decoder
            .read_tagged_fields(|_, decoder| {
                inner = Some(decoder.read_i16());
                Ok(())
            })
            .unwrap();
        let truncated = Malformed::Truncated {
            needed_bytes: 2,
            left_bytes: 1,
        };
        assert_eq!(inner, Some(Err(truncated.into())));
        assert_eq!(decoder.left_bytes(), 2);
    }

    #[test]
    fn counts_beyond_the_limits_are_refused_before_allocation() {
        let mut empty = decoder(&[]);
        let count = ELEMENTS_MAX + 1;
        assert_eq!(
            empty.expect_elements(count, 4),
            Err(Malformed::Elements { count }.into())
        );
        let truncated = Malformed::Truncated {
            needed_bytes: 4_000_000,
            left_bytes: 0,
        };
        assert_eq!(
            empty.expect_elements(ELEMENTS_MAX, 4),
            Err(truncated.into())
        );
        // Arrays in arrays count together.
        let mut decoder_of_two = decoder(&[0; 2]);
        assert_eq!(decoder_of_two.expect_elements(2, 1), Ok(()));
        let count = ELEMENTS_MAX - 1;
        assert_eq!(
            decoder_of_two.expect_elements(count, 1),
            Err(Malformed::Elements { count }.into())
        );
        let mut limited = decoder(&[0; 9]);
        limited.limit_elements(3);
        assert_eq!(limited.expect_elements(2, 1), Ok(()));
        assert_eq!(
            limited.expect_elements(2, 1),
            Err(Malformed::Elements { count: 2 }.into())
        );
        // 10,001 tagged fields.
        let outcome = decoder(&[0x91, 0x4e]).read_tagged_fields(|_, _| Ok(()));
        assert_eq!(
            outcome,
            Err(Malformed::TaggedFields { count: 10_001 }.into())
        );
    }
}
