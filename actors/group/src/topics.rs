//! What a group must know of topics. The shell answers from the metadata image; nothing here is cached.

use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

/// One topic as a group sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Partitions are numbered from 0 up to this, exclusive.
    pub partition_count: i32,
}

/// The topics of the cluster at one moment.
pub trait TopicCatalog {
    /// Finds a topic by name.
    fn by_name(&self, name: &str) -> Option<TopicInfo>;

    /// Finds a topic by id.
    fn by_id(&self, id: TopicId) -> Option<TopicInfo>;

    /// Rises with every change of any topic.
    fn version(&self) -> i64;
}

/// Hash of one topic; the hash of a group's topics is the sum of theirs, 0 for none, so that their order does
/// not count.
///
/// It changes when a topic appears, disappears, is created again or gets partitions. The function is this
/// project's own: Kafka, reading our records, would see another hash than its own and compute one assignment
/// more.
///
/// FNV-1a with a final mix, over id, name and partition count; never 0.
pub(crate) fn topic_hash(topic: &TopicInfo) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let count = topic.partition_count.to_be_bytes();
    let bytes = topic
        .id
        .as_bytes()
        .iter()
        .chain(topic.name.as_bytes())
        .chain(&count);
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    // Murmur's finish: without it two sums of similar topics could meet.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash | 1
}
