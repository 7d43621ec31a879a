//! The codec of Kafka's wire: one trait for what a field can be, one for a whole message.
//! Messages state their versions with `#[derive(Message)]`; no API is known here.

mod decoder;
mod encoder;
mod fields;
mod refusal;

use std::ops::RangeInclusive;

use bytes::Bytes;

pub use decoder::{Decoder, ELEMENTS_MAX, STRING_BYTES_MAX, TAGGED_FIELDS_MAX};
pub use encoder::{EncodedFrame, Encoder};
pub use kabuki_protocol_derive::Message;
pub use refusal::{DecodeError, EncodeError, Malformed};

/// Room for an embedded message: a committed offset takes about 50 bytes, its key as many.
const EMBEDDED_BYTES: usize = 64;

/// How a message is laid out: its version, and whether that version is flexible.
///
/// A flexible version has compact lengths (unsigned varint of length + 1, 0 for null) and a section
/// of tagged fields at the end of each struct. Source: KIP-482.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Version of the whole message; parts of it have none of their own.
    pub version: i16,
    /// Compact lengths and tagged fields.
    pub is_flexible: bool,
}

/// Anything that can stand in a message: integers, texts, bytes, arrays and structs.
pub trait Field: Sized {
    /// The fewest bytes a value takes; bounds what an array of a claimed length may allocate.
    fn bytes_min(form: Form) -> usize;

    /// Reads one value and moves the decoder past it.
    fn read(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError>;

    /// Writes one value.
    fn write(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError>;

    /// Reads a value that stands in a tagged field.
    fn read_tagged(decoder: &mut Decoder, form: Form) -> Result<Self, DecodeError> {
        Self::read(decoder, form)
    }

    /// Writes a value into a tagged field.
    fn write_tagged(&self, encoder: &mut Encoder, form: Form) -> Result<(), EncodeError> {
        self.write(encoder, form)
    }
}

/// A struct with `#[derive(Message)]`, which the other fields are not. One that may be null has a mark
/// in front, since it has no length to say so with.
pub trait Structure: Field {}

/// A request, a response, or a record of Kafka's internal topics: the outermost struct.
pub trait Message: Structure + Default {
    /// Kafka's name of the schema, `ProduceRequest`.
    const NAME: &'static str;
    /// Versions that can be encoded and decoded.
    const VERSIONS: RangeInclusive<i16>;
    /// First flexible version; `i16::MAX` where there is none.
    const FLEXIBLE_SINCE: i16;

    /// The layout of `version`.
    fn form(version: i16) -> Form {
        Form {
            version,
            is_flexible: version >= Self::FLEXIBLE_SINCE,
        }
    }

    /// Reads the message; bytes behind it stay in the decoder, where Kafka ignores them.
    ///
    /// # Errors
    /// A version outside [`Message::VERSIONS`], and any malformed content.
    fn decode(decoder: &mut Decoder, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            let kind = Malformed::Version { version };
            return Err(DecodeError {
                kind,
                field: Self::NAME,
            });
        }
        Self::read(decoder, Self::form(version))
    }

    /// Appends the message.
    ///
    /// # Errors
    /// A version outside [`Message::VERSIONS`], a field set that this version cannot carry and may
    /// not drop, a null that it cannot express, or a text over 32,767 bytes.
    fn encode(&self, encoder: &mut Encoder, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::Version {
                message: Self::NAME,
                version,
            });
        }
        self.write(encoder, Self::form(version))
    }
}

/// A number of 16 bits and a message, as Kafka embeds messages in fields and records.
pub(crate) fn encode_prefixed<T: Message>(
    prefix: i16,
    message: &T,
    version: i16,
) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::with_capacity(EMBEDDED_BYTES);
    encoder.put_i16(prefix);
    message.encode(&mut encoder, version)?;
    Ok(encoder.finish().to_bytes())
}
