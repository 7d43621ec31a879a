//! What the controller decides. Each command gives its answer and the records that make it so; the
//! caller proposes the records and answers once they are committed. No clock, randomness, file or
//! mailbox here: ids and defaults come in as arguments.

mod apply;
mod brokers;
mod configs;
mod features;
mod partitions;
mod placement;
mod snapshot;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kabuki_protocol::ids::ProducerId;

pub(crate) use apply::{ImageBroken, apply};
pub(crate) use configs::idle_keys;
pub(crate) use snapshot::snapshot_records;

use crate::broker_config::BrokerConfig;
use crate::image::MetadataImage;
use crate::records::{MetadataRecord, Records};

/// Producer ids that are made durable at a time, as in Kafka: after a crash so many are lost at most,
/// of 2^63.
pub(crate) const PRODUCER_ID_BLOCK: i64 = 1000;

/// Partitions that one request may make, Kafka's bound for the records of one operation: a few hundred
/// bytes of request must not cost gigabytes of metadata.
pub(super) const PARTITIONS_PER_REQUEST_MAX: i32 = 10_000;

/// What a command came to: the answer, and the records it needs. Without records nothing changes.
#[derive(Debug)]
pub(crate) struct Decision<T> {
    pub(crate) answer: T,
    pub(crate) records: Records,
}

impl<T> Decision<T> {
    fn unchanged(answer: T) -> Self {
        let records = Records::new();
        Self { answer, records }
    }
}

/// Defaults and limits that commands are judged by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) partition_count: i32,
    pub(crate) replication_factor: i16,
    pub(crate) partition_count_max: i32,
    pub(crate) can_delete_topics: bool,
    /// Bounds and defaults of what groups may be configured with.
    pub(crate) broker: Arc<BrokerConfig>,
}

impl Settings {
    pub(crate) fn new(config: &Arc<BrokerConfig>) -> Self {
        let int = |key: &str| i32::try_from(config.number(key)).unwrap_or(i32::MAX);
        Self {
            partition_count: int("num.partitions"),
            replication_factor: i16::try_from(config.number("default.replication.factor"))
                .unwrap_or(i16::MAX),
            partition_count_max: int("kabuki.topic.partitions.max"),
            can_delete_topics: config.is_on("delete.topic.enable"),
            broker: config.clone(),
        }
    }
}

/// The working metadata: all that was decided, committed or not yet.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) image: MetadataImage,
    pub(crate) settings: Settings,
    /// Ids of a persisted (or proposed) block that were not handed out: from the first up to the
    /// second, exclusive. Empty after a restart, so no id is given twice.
    free_producer_ids: (i64, i64),
}

impl Metadata {
    pub(crate) fn new(image: MetadataImage, settings: Settings) -> Self {
        Self {
            image,
            settings,
            free_producer_ids: (0, 0),
        }
    }

    /// Makes decided records visible to the next decisions.
    pub(crate) fn apply_all(&mut self, records: &[MetadataRecord]) -> Result<(), ImageBroken> {
        records
            .iter()
            .try_for_each(|record| apply(&mut self.image, record))
    }

    /// Hands out one id, and reserves the next block when none is left.
    pub(crate) fn allocate_producer_id(&mut self) -> Decision<ProducerId> {
        let mut records = Records::new();
        if self.free_producer_ids.0 == self.free_producer_ids.1 {
            let first = self.image.next_producer_id.get();
            let end = first + PRODUCER_ID_BLOCK;
            records.push(MetadataRecord::ProducerIdsReserved {
                next: ProducerId(end),
            });
            self.free_producer_ids = (first, end);
        }
        let answer = ProducerId(self.free_producer_ids.0);
        self.free_producer_ids.0 += 1;
        Decision { answer, records }
    }
}
