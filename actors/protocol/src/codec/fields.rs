//! How each basic type stands on the wire, in plain and in flexible versions.
//! A length below zero is null, as Kafka reads it; only -1 is ever written.

use bytes::Bytes;

use super::{DecodeError, Decoder, EncodeError, Encoder, Field, Form, STRING_BYTES_MAX, Structure};
use crate::ids::TopicId;

macro_rules! integer_field {
    ($($ty:ty: $bytes:literal $read:ident $put:ident,)*) => {$(
        impl Field for $ty {
            #[inline]
            fn bytes_min(_: Form) -> usize {
                $bytes
            }

            #[inline]
            fn read(decoder: &mut Decoder, _: Form) -> Result<Self, DecodeError> {
                decoder.$read()
            }

            #[inline]
            fn write(&self, encoder: &mut Encoder, _: Form) -> Result<(), EncodeError> {
                encoder.$put(*self);
                Ok(())
            }
        }
    )*};
}

integer_field! {
    i8: 1 read_i8 put_i8,
    i16: 2 read_i16 put_i16,
    u16: 2 read_u16 put_u16,
    i32: 4 read_i32 put_i32,
    i64: 8 read_i64 put_i64,
}

/// One byte; anything but 0 reads as true.
impl Field for bool {
    #[inline]
    fn bytes_min(_: Form) -> usize {
        1
    }

    #[inline]
    fn read(decoder: &mut Decoder, _: Form) -> Result<Self, DecodeError> {
        Ok(decoder.read_i8()? != 0)
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, _: Form) -> Result<(), EncodeError> {
        encoder.put_i8(i8::from(*self));
        Ok(())
    }
}

/// Sixteen bytes as they are.
impl Field for TopicId {
    #[inline]
    fn bytes_min(_: Form) -> usize {
        16
    }

    #[inline]
    fn read(decoder: &mut Decoder, _: Form) -> Result<Self, DecodeError> {
        decoder.read_array().map(Self)
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, _: Form) -> Result<(), EncodeError> {
        encoder.put_slice(&self.0);
        Ok(())
    }
}

/// Text: a 16-bit length, or the compact one; -1 or 0 for null.
impl Field for Option<String> {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        if form.is_flexible { 1 } else { 2 }
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        let length = if form.is_flexible {
            decoder.read_compact_length()?
        } else {
            usize::try_from(decoder.read_i16()?).ok()
        };
        length.map(|length| decoder.read_text(length)).transpose()
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(text) => put_text(encoder, text, form),
            None if form.is_flexible => {
                encoder.put_uvarint(0);
                Ok(())
            }
            None => {
                encoder.put_i16(-1);
                Ok(())
            }
        }
    }
}

impl Field for String {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        Option::<String>::bytes_min(form)
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        Option::<String>::read(decoder, form)?.ok_or(DecodeError::null(""))
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_text(encoder, self, form)
    }
}

#[inline]
fn put_text(encoder: &mut Encoder, text: &str, form: Form) -> Result<(), EncodeError> {
    let length = text.len();
    if length > STRING_BYTES_MAX {
        return Err(EncodeError::TooLong { field: "", length });
    }
    if form.is_flexible {
        encoder.put_uvarint(length as u32 + 1);
    } else {
        encoder.put_i16(length as i16);
    }
    encoder.put_slice(text.as_bytes());
    Ok(())
}

/// Writes the 32-bit or compact length in front of bytes and arrays.
#[inline]
fn put_length(encoder: &mut Encoder, length: Option<usize>, form: Form) -> Result<(), EncodeError> {
    let Some(length) = length else {
        if form.is_flexible {
            encoder.put_uvarint(0)
        } else {
            encoder.put_i32(-1)
        }
        return Ok(());
    };
    let bounded = i32::try_from(length).map_err(|_| EncodeError::TooLong { field: "", length })?;
    if form.is_flexible {
        // 2^31 - 1 plus one fits the unsigned varint.
        encoder.put_uvarint(bounded as u32 + 1);
    } else {
        encoder.put_i32(bounded);
    }
    Ok(())
}

#[inline]
fn read_length(decoder: &mut Decoder, form: Form) -> Result<Option<usize>, DecodeError> {
    if form.is_flexible {
        decoder.read_compact_length()
    } else {
        Ok(usize::try_from(decoder.read_i32()?).ok())
    }
}

/// Bytes and records: a 32-bit length, or the compact one. They share the frame's memory.
impl Field for Option<Bytes> {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        if form.is_flexible { 1 } else { 4 }
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        read_length(decoder, form)?
            .map(|length| decoder.read_shared(length))
            .transpose()
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_length(encoder, self.as_ref().map(Bytes::len), form)?;
        if let Some(bytes) = self {
            encoder.put_shared(bytes);
        }
        Ok(())
    }
}

impl Field for Bytes {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        Option::<Bytes>::bytes_min(form)
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        Option::<Bytes>::read(decoder, form)?.ok_or(DecodeError::null(""))
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_length(encoder, Some(self.len()), form)?;
        encoder.put_shared(self);
        Ok(())
    }
}

/// Arrays: a 32-bit count, or the compact one, then the elements.
impl<T: Field> Field for Option<Vec<T>> {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        if form.is_flexible { 1 } else { 4 }
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        let Some(count) = read_length(decoder, form)? else {
            return Ok(None);
        };
        decoder.expect_elements(count, T::bytes_min(form))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(decoder, form)?);
        }
        Ok(Some(elements))
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(elements) => elements.write(encoder, form),
            None => put_length(encoder, None, form),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    #[inline]
    fn bytes_min(form: Form) -> usize {
        Option::<Vec<T>>::bytes_min(form)
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        Option::<Vec<T>>::read(decoder, form)?.ok_or(DecodeError::null(""))
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_length(encoder, Some(self.len()), form)?;
        self.iter()
            .try_for_each(|element| element.write(encoder, form))
    }
}

/// Structs that may be null: 1 in front of the fields, or a null mark alone. The mark is a byte, any
/// below 0 for null; in a tagged field it is an unsigned varint, 0 for null, as in Kafka's generator.
impl<T: Structure> Field for Option<T> {
    #[inline]
    fn bytes_min(_: Form) -> usize {
        1
    }

    #[inline]
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        if decoder.read_i8()? < 0 {
            return Ok(None);
        }
        T::read(decoder, form).map(Some)
    }

    #[inline]
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_marked(self.as_ref(), -1, encoder, form)
    }

    #[inline]
    fn read_tagged(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        if decoder.read_uvarint()? == 0 {
            return Ok(None);
        }
        T::read(decoder, form).map(Some)
    }

    #[inline]
    fn write_tagged(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        put_marked(self.as_ref(), 0, encoder, form)
    }
}

fn put_marked<T: Structure>(
    structure: Option<&T>,
    null_mark: i8,
    encoder: &mut Encoder,
    form: Form,
) -> Result<(), EncodeError> {
    let Some(fields) = structure else {
        encoder.put_i8(null_mark);
        return Ok(());
    };
    encoder.put_i8(1);
    fields.write(encoder, form)
}
