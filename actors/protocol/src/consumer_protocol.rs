//! What consumers tell each other through a classic group: subscriptions in JoinGroup, assignments in
//! SyncGroup. A broker passes the bytes on as they are and reads them only to know the topics wanted,
//! and to let classic members into a group of the new protocol.
//!
//! A 16-bit version stands in front. Versions add at the end and none is flexible, so a version of the
//! future is read as the newest known one, and bytes behind are ignored.
//!
//! | version | change |
//! |---|---|
//! | 1 | the subscription has the partitions owned (KIP-429) |
//! | 2 | and the generation in which they were owned (KIP-792) |
//! | 3 | and the rack (KIP-881) |
//!
//! Source: Kafka's `ConsumerProtocol`.

use bytes::Bytes;

use crate::codec::{self, DecodeError, Decoder, EncodeError, Malformed, Message};

/// Protocol type of groups whose members speak this.
pub const PROTOCOL_TYPE: &str = "consumer";

/// What a consumer wants and owns.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-3")]
pub struct ConsumerProtocolSubscription {
    /// Names of the topics wanted.
    pub topics: Vec<String>,
    /// For the assignor. Shares the memory of the bytes read: what outlives them keeps a copy.
    pub user_data: Option<Bytes>,
    /// Partitions owned.
    #[kafka(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// Generation in which they were owned; -1 for none.
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// Rack of the consumer; Kafka takes an empty one for null.
    #[kafka(versions = "3+", ignorable)]
    pub rack_id: Option<String>,
}

/// What a consumer shall own.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-3")]
pub struct ConsumerProtocolAssignment {
    /// The partitions by topic.
    pub assigned_partitions: Vec<TopicPartition>,
    /// From the assignor. Shares the memory of the bytes read: what outlives them keeps a copy.
    pub user_data: Option<Bytes>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: String,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

impl ConsumerProtocolSubscription {
    /// Reads version and subscription.
    ///
    /// # Errors
    /// A version below 0, and any malformed content; anybody can put anything into a JoinGroup.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        from_bytes(bytes)
    }

    /// Writes version and subscription; what the version lacks is left out.
    ///
    /// # Errors
    /// An unknown version, or a text over 32,767 bytes.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        codec::encode_prefixed(version, self, version)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads version and assignment.
    ///
    /// # Errors
    /// A version below 0, and any malformed content; anybody can put anything into a SyncGroup. Among
    /// them no bytes at all: what a member is handed that the leader left out.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        from_bytes(bytes)
    }

    /// Writes version and assignment.
    ///
    /// # Errors
    /// An unknown version, or a text over 32,767 bytes.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        codec::encode_prefixed(version, self, version)
    }
}

fn from_bytes<T: Message>(bytes: &Bytes) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes.clone());
    let version = decoder
        .read_i16()
        .map_err(|error| error.in_field(T::NAME))?;
    if version < *T::VERSIONS.start() {
        return Err(DecodeError::from(Malformed::Version { version }).in_field(T::NAME));
    }
    T::decode(&mut decoder, version.min(*T::VERSIONS.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_the_future_is_read_as_the_newest() {
        let bytes = Bytes::from_static(
            b"\x7f\xff\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\0\x01rnew",
        );
        let read = ConsumerProtocolSubscription::from_bytes(&bytes).unwrap();
        assert_eq!((read.topics, read.generation_id), (vec!["t".to_owned()], 5));
        assert_eq!(read.rack_id.as_deref(), Some("r"));
    }

    #[test]
    fn a_version_below_0_and_no_version_are_refused() {
        let refused = ConsumerProtocolAssignment::from_bytes(&Bytes::from_static(&[0xff; 20]));
        let version = Malformed::Version { version: -1 };
        assert_eq!(refused.unwrap_err().kind, version);
        for bytes in [&b""[..], b"\0"] {
            let refused = ConsumerProtocolSubscription::from_bytes(&Bytes::copy_from_slice(bytes));
            assert!(matches!(
                refused.unwrap_err().kind,
                Malformed::Truncated { .. }
            ));
        }
    }
}
