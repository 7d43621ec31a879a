//! The records of `__consumer_offsets`: what a group coordinator writes and is rebuilt from.
//!
//! A key is a 16-bit type and a body that is never flexible; a value is a 16-bit version and a body; no
//! value is a tombstone. Values are read in all versions that Kafka 4.3 reads and written in the one it
//! writes, so that its tools and clients read ours. Other types are those of share and streams groups.
//!
//! Source: Kafka's `GroupCoordinatorRecordSerde` and `GroupCoordinatorRecordHelpers`.

mod classic;
mod consumer;
mod offsets;

use bytes::Bytes;

pub use classic::{GroupMetadataKey, GroupMetadataValue, MemberMetadata};
pub use consumer::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    PartitionMetadata, TopicMetadata, TopicPartition, TopicPartitions, member_state,
};
pub use offsets::{OffsetCommitKey, OffsetCommitValue};

use crate::codec::{self, DecodeError, Decoder, EncodeError, Message};

/// Type of a key of Kafka before 0.9, read as [`OffsetCommitKey::TYPE`] and never written.
const LEGACY_OFFSET_COMMIT_TYPE: i16 = 0;

/// A key: says of which group, and of what in it, a record tells.
pub trait GroupRecordKey: Message {
    /// The number in front of the key.
    const TYPE: i16;
    /// What stands under such a key.
    type Value: GroupRecordValue;

    /// The group.
    fn group_id(&self) -> &str;
}

/// A value.
pub trait GroupRecordValue: Message {
    /// The version that Kafka 4.3 writes this value in.
    fn written_version(&self) -> i16;
}

/// Why bytes are no record that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupRecordError {
    /// A type that belongs to another sort of group, or to a release of the future. Kafka passes over
    /// such a record when it loads; the errors below make the load fail.
    #[error("type {record_type} of group records is unknown")]
    UnknownType {
        /// The type.
        record_type: i16,
    },
    /// A key that is malformed.
    #[error("key of a group record is malformed: {0}")]
    Key(#[source] DecodeError),
    /// A value that is malformed, or of a version that Kafka 4.3 does not read.
    #[error("value of a group record is malformed: {0}")]
    Value(#[source] DecodeError),
}

/// Builds [`GroupRecord`] from one line a type.
macro_rules! group_records {
    ($($(#[$doc:meta])* $name:ident = $type:literal: $key:ident.$group:ident => $value:ident
        written in $written:expr;)*) => {
        /// One record: its key, and its value unless it is a tombstone.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum GroupRecord {
            $($(#[$doc])* $name($key, Option<$value>),)*
        }

        impl GroupRecord {
            /// The number in front of the key.
            pub const fn record_type(&self) -> i16 {
                match self {
                    $(Self::$name(..) => $type,)*
                }
            }

            /// The group that the record belongs to.
            pub fn group_id(&self) -> &str {
                match self {
                    $(Self::$name(key, _) => key.group_id(),)*
                }
            }

            /// True when the record takes back what stood under its key.
            pub const fn is_tombstone(&self) -> bool {
                match self {
                    $(Self::$name(_, value) => value.is_none(),)*
                }
            }

            /// Reads a record. Bytes behind key and value are ignored.
            ///
            /// Texts are copied, bytes share the memory they were read from: what outlives it keeps a
            /// copy.
            ///
            /// # Errors
            /// An unknown type, and malformed content: the topic is open to producers.
            pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, GroupRecordError> {
                let mut decoder = Decoder::new(key.clone());
                let record_type = decoder
                    .read_i16()
                    .map_err(|error| GroupRecordError::Key(error.in_field("type")))?;
                match record_type {
                    LEGACY_OFFSET_COMMIT_TYPE => {
                        let key = decode_key(&mut decoder)?;
                        let value = value.map(|value| decode_value(value, 0)).transpose()?;
                        Ok(Self::OffsetCommit(key, value))
                    }
                    $($type => {
                        let key = decode_key(&mut decoder)?;
                        let version_max = *<$value as Message>::VERSIONS.end();
                        let value = value.map(|value| decode_value(value, version_max)).transpose()?;
                        Ok(Self::$name(key, value))
                    })*
                    _ => Err(GroupRecordError::UnknownType { record_type }),
                }
            }

            /// Writes the key.
            ///
            /// # Errors
            /// A text over 32,767 bytes.
            pub fn encode_key(&self) -> Result<Bytes, EncodeError> {
                match self {
                    $(Self::$name(key, _) => encode_key(key),)*
                }
            }

            /// Writes the value; `None` for a tombstone.
            ///
            /// # Errors
            /// A text over 32,767 bytes.
            pub fn encode_value(&self) -> Result<Option<Bytes>, EncodeError> {
                match self {
                    $(Self::$name(_, value) => value.as_ref().map(encode_value).transpose(),)*
                }
            }
        }

        $(
            impl GroupRecordKey for $key {
                const TYPE: i16 = $type;
                type Value = $value;

                fn group_id(&self) -> &str {
                    &self.$group
                }
            }

            impl GroupRecordValue for $value {
                fn written_version(&self) -> i16 {
                    let written: fn(&Self) -> i16 = $written;
                    written(self)
                }
            }
        )*
    };
}

group_records! {
    /// An offset of a group, of whatever protocol.
    OffsetCommit = 1: OffsetCommitKey.group => OffsetCommitValue
        written in OffsetCommitValue::version_by_expiry;
    /// A classic group, all of it.
    GroupMetadata = 2: GroupMetadataKey.group => GroupMetadataValue written in |_| 3;
    /// Epoch of a group of the new protocol.
    ConsumerGroupMetadata = 3: ConsumerGroupMetadataKey.group_id => ConsumerGroupMetadataValue
        written in |_| 0;
    /// Topics that a group of the new protocol subscribes to; Kafka 4.3 writes only tombstones.
    ConsumerGroupPartitionMetadata = 4:
        ConsumerGroupPartitionMetadataKey.group_id => ConsumerGroupPartitionMetadataValue
        written in |_| 0;
    /// A member and what it wants.
    ConsumerGroupMemberMetadata = 5:
        ConsumerGroupMemberMetadataKey.group_id => ConsumerGroupMemberMetadataValue
        written in |_| 0;
    /// Epoch of the assignment that the members move to.
    ConsumerGroupTargetAssignmentMetadata = 6:
        ConsumerGroupTargetAssignmentMetadataKey.group_id => ConsumerGroupTargetAssignmentMetadataValue
        written in |_| 0;
    /// What a member shall own.
    ConsumerGroupTargetAssignmentMember = 7:
        ConsumerGroupTargetAssignmentMemberKey.group_id => ConsumerGroupTargetAssignmentMemberValue
        written in |_| 0;
    /// What a member owns.
    ConsumerGroupCurrentMemberAssignment = 8:
        ConsumerGroupCurrentMemberAssignmentKey.group_id => ConsumerGroupCurrentMemberAssignmentValue
        written in |_| 0;
    /// Topics that a regular expression was resolved to.
    ConsumerGroupRegularExpression = 16:
        ConsumerGroupRegularExpressionKey.group_id => ConsumerGroupRegularExpressionValue
        written in |_| 0;
}

fn decode_key<K: GroupRecordKey>(decoder: &mut Decoder) -> Result<K, GroupRecordError> {
    K::decode(decoder, 0).map_err(GroupRecordError::Key)
}

fn decode_value<V: GroupRecordValue>(
    value: &Bytes,
    version_max: i16,
) -> Result<V, GroupRecordError> {
    let mut decoder = Decoder::new(value.clone());
    let mut decode = || {
        let version = decoder
            .read_i16()
            .map_err(|error| error.in_field(V::NAME))?;
        if version > version_max {
            return Err(codec::Malformed::Version { version }.into());
        }
        V::decode(&mut decoder, version)
    };
    decode().map_err(|error: DecodeError| GroupRecordError::Value(error.in_field(V::NAME)))
}

/// Writes a key: a map from keys to offsets needs it without a record.
///
/// # Errors
/// A text over 32,767 bytes.
pub fn encode_key<K: GroupRecordKey>(key: &K) -> Result<Bytes, EncodeError> {
    codec::encode_prefixed(K::TYPE, key, 0)
}

fn encode_value<V: GroupRecordValue>(value: &V) -> Result<Bytes, EncodeError> {
    let version = value.written_version();
    codec::encode_prefixed(version, value, version)
}

/// The partition of `__consumer_offsets`, of `partition_count`, that holds a group: the remainder of
/// the absolute value of Java's hash of the id's UTF-16 units, where the lowest number counts as 0.
///
/// # Panics
/// Panics on a `partition_count` below 1.
pub fn partition_of(group_id: &str, partition_count: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0) % partition_count
}
