//! From the layers of a topic's configuration to what its partitions are opened with.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::catalogue::{ConfigLayers, TopicConfig};
use kabuki_controller::image::MetadataImage;
use kabuki_partition::PartitionConfig;
use kabuki_storage::{LogConfig, ProducerLimits};

/// Reads effective configurations; the static layer is fixed, the others come with the image.
pub(crate) struct PartitionConfigs {
    broker: Arc<BrokerConfig>,
}

impl PartitionConfigs {
    pub(crate) fn new(broker: Arc<BrokerConfig>) -> Self {
        Self { broker }
    }

    /// What the partitions of a topic are opened with.
    pub(crate) fn of_topic(&self, image: &MetadataImage, topic: &str) -> PartitionConfig {
        let layers = ConfigLayers {
            topic: image.topic(topic).map(|topic| &*topic.configs),
            ..ConfigLayers::of_broker(image, &self.broker)
        };
        let topic = TopicConfig::effective(&layers);
        PartitionConfig {
            log: LogConfig {
                segment_bytes: unsigned(topic.segment_bytes),
                segment_ms: topic.segment_ms,
                segment_jitter_ms: topic.segment_jitter_ms,
                index_interval_bytes: unsigned(topic.index_interval_bytes),
                segment_index_bytes: unsigned(topic.segment_index_bytes),
                flush_messages: topic.flush_messages,
                flush_ms: topic.flush_ms,
            },
            producers: ProducerLimits {
                expiration_ms: layers.broker_i64("producer.id.expiration.ms"),
                ..ProducerLimits::default()
            },
        }
    }

    /// How long the files of a deleted topic stay: the topic is gone, so the broker's value counts.
    pub(crate) fn file_delete_delay(&self, image: &MetadataImage) -> Duration {
        let layers = ConfigLayers::of_broker(image, &self.broker);
        let delay_ms = TopicConfig::effective(&layers).file_delete_delay_ms;
        Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0))
    }
}

/// Sizes have validators that keep them positive.
fn unsigned(bytes: i32) -> u32 {
    u32::try_from(bytes).unwrap_or(0)
}
