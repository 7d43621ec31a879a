//! Why bytes do not decode, and why a message does not encode.

/// Bytes that are no message of the version they claim to be.
///
/// From a client it means: close the connection (Kafka does the same, without an answer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {kind}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: Malformed,
    /// `Struct.field` where it went wrong; empty outside of any struct.
    pub field: &'static str,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end early, or a length or count claims more than there is.
    #[error("needs at least {needed_bytes} bytes, {left_bytes} are left")]
    Truncated {
        /// Least number of bytes that the claim needs.
        needed_bytes: usize,
        /// Bytes left.
        left_bytes: usize,
    },
    /// A null where the version allows none.
    #[error("null is not allowed")]
    Null,
    /// An unsigned varint over 32 bits.
    #[error("varint does not fit 32 bits")]
    Varint,
    /// A text over [`STRING_BYTES_MAX`](super::STRING_BYTES_MAX).
    #[error("text of {bytes} bytes is too long")]
    Text {
        /// Claimed length.
        bytes: usize,
    },
    /// An array over [`ELEMENTS_MAX`](super::ELEMENTS_MAX).
    #[error("array of {count} elements is too long")]
    Elements {
        /// Claimed number of elements.
        count: usize,
    },
    /// More tagged fields than [`TAGGED_FIELDS_MAX`](super::TAGGED_FIELDS_MAX).
    #[error("{count} tagged fields are too many")]
    TaggedFields {
        /// Claimed number of tagged fields.
        count: usize,
    },
    /// A version that this crate does not know.
    #[error("version {version} is not supported")]
    Version {
        /// The version asked for.
        version: i16,
    },
}

impl DecodeError {
    /// A null where none is allowed.
    pub const fn null(field: &'static str) -> Self {
        Self {
            kind: Malformed::Null,
            field,
        }
    }

    /// Names the place, unless an inner struct has done so.
    pub fn in_field(self, field: &'static str) -> Self {
        if self.field.is_empty() {
            Self { field, ..self }
        } else {
            self
        }
    }
}

impl From<Malformed> for DecodeError {
    fn from(kind: Malformed) -> Self {
        Self { kind, field: "" }
    }
}

/// A message that cannot be expressed in the version asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    Version {
        /// Name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is set, the version lacks it, and dropping it would change the meaning.
    #[error("{field} is set, but version {version} does not carry it")]
    NotInVersion {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null, and the version cannot say so.
    #[error("{field} is null, but the version does not allow it")]
    Null {
        /// `Struct.field`.
        field: &'static str,
    },
    /// A text over 32,767 bytes, or bytes or an array over 2^31 - 1.
    #[error("{field} has a length of {length}, which is too long")]
    TooLong {
        /// `Struct.field`.
        field: &'static str,
        /// Bytes of the text, or elements of the array.
        length: usize,
    },
}

impl EncodeError {
    /// Names the place, unless an inner struct has done so.
    pub fn in_field(self, field: &'static str) -> Self {
        match self {
            Self::TooLong { field: "", length } => Self::TooLong { field, length },
            other => other,
        }
    }
}
