//! The ids and positions that many crates share, as types that cannot be swapped by mistake.
//! Text forms are those of Kafka's tools; no message, file or socket is known here.

mod topic;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use topic::{TOPIC_NAME_BYTES_MAX, TopicId, TopicIdRefused, TopicName, TopicNameRefused};

/// Number of a producer's session; rises when a producer id is fenced or re-initialised. -1 is none.
///
/// Source: KIP-98.
pub type ProducerEpoch = i16;

/// Defines a newtype over a signed integer whose -1 means "none", as everywhere on Kafka's wire.
macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Kafka's -1: absent, unknown or not applicable.
            pub const NONE: Self = Self(-1);

            /// Wraps a number as it came from the wire or a file; any value is representable.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }

            /// True for every negative value: Kafka uses only -1, peers may send others.
            pub const fn is_none(self) -> bool {
                self.0 < 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

integer_id! {
    /// Position of a record in the log of one partition, counted from 0.
    Offset(i64)
}

integer_id! {
    /// Term of a partition's leader; rises with every change of leadership and never falls.
    ///
    /// Source: KIP-101.
    LeaderEpoch(i32)
}

integer_id! {
    /// `node.id` of a broker or controller.
    NodeId(i32)
}

integer_id! {
    /// Id of an idempotent or transactional producer, unique in the cluster.
    ///
    /// Source: KIP-98.
    ProducerId(i64)
}

impl Offset {
    /// First offset of a new log.
    pub const ZERO: Self = Self(0);
    /// Greater than every offset a log can reach; the open end of a range.
    pub const MAX: Self = Self(i64::MAX);

    /// The offset `count` records further on.
    ///
    /// # Panics
    /// Panics past 2^63 - 1. Numbers that a client or a peer sent go through [`Offset::checked_add`].
    pub const fn plus(self, count: i64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("no log reaches the end of the offset range"),
        )
    }

    /// The offset after this one. Panics as [`Offset::plus`] does.
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The offset `count` records further on, `None` past 2^63 - 1.
    pub const fn checked_add(self, count: i64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Records between `earlier` and this offset; negative when `earlier` lies behind it.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One partition of a topic, by name; printed `orders-3` like its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// Topic it belongs to.
    pub topic: TopicName,
    /// Number within the topic, counted from 0.
    pub partition: i32,
}

impl PartitionId {
    /// Joins topic and number.
    pub const fn new(topic: TopicName, partition: i32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl FromStr for PartitionId {
    type Err = PartitionIdRefused;

    /// Parses `orders-3`; the topic's name may hold dashes itself, the last one parts.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || PartitionIdRefused {
            text: text.chars().take(300).collect(),
        };
        let (topic, number) = text.rsplit_once('-').ok_or_else(refused)?;
        let is_plain = !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        let topic = TopicName::new(topic).map_err(|_| refused())?;
        match number.parse() {
            Ok(partition) if is_plain => Ok(Self { topic, partition }),
            _ => Err(refused()),
        }
    }
}

/// A text that is no `<topic>-<partition>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not <topic>-<partition>")]
pub struct PartitionIdRefused {
    /// The text, cut at 300 characters.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_ids_print_and_parse_like_directories() {
        let id: PartitionId = "my-topic-12".parse().unwrap();
        assert_eq!((id.topic.as_str(), id.partition), ("my-topic", 12));
        assert_eq!(id.to_string(), "my-topic-12");
        for bad in [
            "orders",
            "orders-",
            "-3",
            "orders-03",
            "orders-+3",
            "orders-99999999999",
            "",
        ] {
            assert!(bad.parse::<PartitionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn offsets_past_the_range_are_none_when_checked() {
        assert_eq!(Offset(5).plus(3), Offset(8));
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset(8).since(Offset(5)), 3);
        assert!(Offset::NONE.is_none() && !Offset::ZERO.is_none());
    }
}
