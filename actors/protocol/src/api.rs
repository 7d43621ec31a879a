//! The one table of Kafka's APIs: keys, versions to advertise and to decode, header versions.
//! It holds what this crate has messages for; a broker may advertise fewer, never more.

use std::fmt;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiSpec {
    /// The key.
    pub key: ApiKey,
    /// Lowest version in an ApiVersions answer.
    pub min: i16,
    /// Highest version in an ApiVersions answer, and highest that is decoded.
    pub max: i16,
    /// Lowest version that is decoded. Above `min` only for Produce.
    pub decode_min: i16,
    /// First version with compact lengths and tagged fields; `i16::MAX` where there is none.
    pub flexible_since: i16,
}

/// Builds the key and the table from one line an API.
macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident = $key:literal: $min:literal..=$max:literal,
        decode from $decode_min:literal, flexible since $flexible:expr;)*) => {
        /// The key of a Kafka API, first field of each request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $($(#[$doc])* $name = $key,)*
        }

        impl ApiKey {
            /// The key of a number; `None` for APIs that this crate does not know.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name, `ListOffsets`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The key's line in [`APIS`].
            pub const fn spec(self) -> ApiSpec {
                match self {
                    $(Self::$name => ApiSpec {
                        key: Self::$name,
                        min: $min,
                        max: $max,
                        decode_min: $decode_min,
                        flexible_since: $flexible,
                    },)*
                }
            }
        }

        /// Every API, ascending by key. Ranges are those of Apache Kafka 4.3.
        pub const APIS: &[ApiSpec] = &[$(ApiKey::$name.spec()),*];
    };
}

apis! {
    /// Appends batches to partitions. Versions 0 to 2 are advertised and not decoded: librdkafka up
    /// to 2.11 takes their absence for a broker without compression (KAFKA-18659).
    Produce = 0: 0..=13, decode from 3, flexible since 9;
    /// Reads batches, with a wait for new ones.
    Fetch = 1: 4..=18, decode from 4, flexible since 12;
    /// Finds offsets by timestamp, and the ends of logs.
    ListOffsets = 2: 1..=11, decode from 1, flexible since 6;
    /// Names brokers, topics, partitions and leaders.
    Metadata = 3: 0..=13, decode from 0, flexible since 9;
    /// Stores offsets of a group.
    OffsetCommit = 8: 2..=10, decode from 2, flexible since 8;
    /// Reads offsets of groups.
    OffsetFetch = 9: 1..=10, decode from 1, flexible since 6;
    /// Names the broker that coordinates a group or a transactional id.
    FindCoordinator = 10: 0..=6, decode from 0, flexible since 3;
    /// Enters a classic group.
    JoinGroup = 11: 0..=9, decode from 0, flexible since 6;
    /// Keeps a member in its classic group.
    Heartbeat = 12: 0..=4, decode from 0, flexible since 4;
    /// Takes members out of a classic group.
    LeaveGroup = 13: 0..=5, decode from 0, flexible since 4;
    /// Hands in and fetches the assignment of a classic group.
    SyncGroup = 14: 0..=5, decode from 0, flexible since 4;
    /// Describes classic groups.
    DescribeGroups = 15: 0..=6, decode from 0, flexible since 5;
    /// Names groups.
    ListGroups = 16: 0..=5, decode from 0, flexible since 3;
    /// Names the APIs and versions of a broker; its response header is always version 0.
    ApiVersions = 18: 0..=4, decode from 0, flexible since 3;
    /// Creates topics.
    CreateTopics = 19: 2..=7, decode from 2, flexible since 5;
    /// Deletes topics.
    DeleteTopics = 20: 1..=6, decode from 1, flexible since 4;
    /// Deletes records below an offset.
    DeleteRecords = 21: 0..=2, decode from 0, flexible since 2;
    /// Hands out producer ids.
    InitProducerId = 22: 0..=5, decode from 0, flexible since 2;
    /// Finds where a leader epoch ended.
    OffsetForLeaderEpoch = 23: 2..=4, decode from 2, flexible since 4;
    /// Reads configuration.
    DescribeConfigs = 32: 1..=4, decode from 1, flexible since 4;
    /// Replaces whole configurations.
    AlterConfigs = 33: 0..=2, decode from 0, flexible since 2;
    /// Names the log directories of a broker and what lies in them.
    DescribeLogDirs = 35: 1..=5, decode from 1, flexible since 2;
    /// Adds partitions to topics.
    CreatePartitions = 37: 0..=3, decode from 0, flexible since 2;
    /// Deletes groups.
    DeleteGroups = 42: 0..=2, decode from 0, flexible since 2;
    /// Changes single configuration keys.
    IncrementalAlterConfigs = 44: 0..=1, decode from 0, flexible since 1;
    /// Deletes offsets of a group.
    OffsetDelete = 47: 0..=0, decode from 0, flexible since i16::MAX;
    /// Describes the quorum of the metadata log.
    DescribeQuorum = 55: 0..=2, decode from 0, flexible since 0;
    /// Raises or lowers the levels of features.
    UpdateFeatures = 57: 0..=2, decode from 0, flexible since 0;
    /// Names the brokers or controllers of a cluster.
    DescribeCluster = 60: 0..=2, decode from 0, flexible since 0;
    /// Names the producers that partitions remember.
    DescribeProducers = 61: 0..=0, decode from 0, flexible since 0;
    /// Keeps a member in its group of the new protocol and tells it what to own.
    ConsumerGroupHeartbeat = 68: 0..=1, decode from 0, flexible since 0;
    /// Describes groups of the new protocol.
    ConsumerGroupDescribe = 69: 0..=1, decode from 0, flexible since 0;
    /// Names what has a configuration.
    ListConfigResources = 74: 0..=1, decode from 0, flexible since 0;
    /// Names the partitions of topics, a page at a time.
    DescribeTopicPartitions = 75: 0..=0, decode from 0, flexible since 0;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// True when `version` of this API can be decoded.
    pub const fn decodes(self, version: i16) -> bool {
        let spec = self.spec();
        spec.decode_min <= version && version <= spec.max
    }

    /// True when `version` has compact lengths and tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.spec().flexible_since
    }

    /// Version of the request header: 2 for flexible versions, else 1.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header: 1 for flexible versions, else 0.
    ///
    /// Always 0 for ApiVersions, whose answer must be readable to a client that does not yet know
    /// what the broker speaks (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            Self::ApiVersions => 0,
            _ if self.is_flexible(version) => 1,
            _ => 0,
        }
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> Self {
        key.code()
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ascends_and_its_ranges_are_sound() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for spec in APIS {
            assert_eq!(ApiKey::from_code(spec.key.code()), Some(spec.key));
            assert!(
                spec.min <= spec.decode_min && spec.decode_min <= spec.max,
                "{}",
                spec.key
            );
        }
        assert_eq!(ApiKey::from_code(7), None);
    }

    #[test]
    fn api_versions_answers_with_header_0_in_every_version() {
        for version in 0..=4 {
            assert_eq!(ApiKey::ApiVersions.response_header_version(version), 0);
        }
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::Produce.response_header_version(8), 0);
        assert_eq!(ApiKey::Produce.response_header_version(9), 1);
    }

    #[test]
    fn produce_is_advertised_from_0_but_decoded_from_3() {
        assert_eq!(ApiKey::Produce.spec().min, 0);
        assert!(!ApiKey::Produce.decodes(2) && ApiKey::Produce.decodes(3));
        assert!(ApiKey::Produce.decodes(13) && !ApiKey::Produce.decodes(14));
    }
}
