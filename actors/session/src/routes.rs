//! From a topic as a client names it to the partition actors of this node, cached per connection.
//! An entry belongs to one image of one topic id, so a topic that was deleted and created again
//! under its name is never served by what was kept of the old one.

use std::collections::HashMap;
use std::sync::Arc;

use kabuki_controller::catalogue::{CompressionType, ConfigLayers, TimestampType, TopicConfig};
use kabuki_controller::image::{ConfigOverrides, MetadataImage, TopicImage};
use kabuki_protocol::ids::{LeaderEpoch, NodeId, TopicId};
use kabuki_protocol::records::{self, AppendRules, Compression};

use crate::handlers::produce_costly::EXPANDED_BYTES_MAX;
use crate::ports::PartitionPort;
use crate::services::SessionServices;

/// Why a request cannot be handed to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// The image knows no such partition: 3.
    UnknownPartition,
    /// Another node leads, or none (-1), or this one leads and its actor is not on stage yet: 6.
    /// Never 5, upon which a Java consumer ends.
    NotLeader {
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
    /// The thread that serves it stands still, as when its file system is frozen: 56.
    StandsStill,
}

impl Unrouted {
    /// The leader to tell a client, if it is another node.
    pub(crate) fn leader_elsewhere(self, node: NodeId) -> Option<(NodeId, LeaderEpoch)> {
        match self {
            Self::NotLeader {
                leader,
                leader_epoch,
            } if leader != node && !leader.is_none() => Some((leader, leader_epoch)),
            _ => None,
        }
    }
}

/// The routes that one connection has used.
#[derive(Debug)]
pub(crate) struct Routes {
    image: Arc<MetadataImage>,
    broker_configs: [Arc<ConfigOverrides>; 2],
    topics: HashMap<TopicId, TopicRoute>,
}

/// One topic: its image, what may be appended to it, its partition actors.
#[derive(Debug)]
pub(crate) struct TopicRoute {
    pub(crate) topic: Arc<TopicImage>,
    pub(crate) rules: AppendRules,
    ports: Vec<Option<Arc<PartitionPort>>>,
}

impl Routes {
    pub(crate) fn new(services: &SessionServices) -> Self {
        let image = services.image();
        let broker_configs = broker_configs(&image, services.node());
        Self {
            image,
            broker_configs,
            topics: HashMap::new(),
        }
    }

    /// Takes up the newest image; entries that it contradicts are forgotten.
    pub(crate) fn refresh(&mut self, services: &SessionServices) {
        let image = services.image();
        if Arc::ptr_eq(&image, &self.image) {
            return;
        }
        let configs = broker_configs(&image, services.node());
        let is_same_broker = configs
            .iter()
            .zip(&self.broker_configs)
            .all(|(new, old)| Arc::ptr_eq(new, old) || new == old);
        self.topics.retain(|id, route| {
            let current = image.topic_by_id(*id);
            is_same_broker && current.is_some_and(|topic| Arc::ptr_eq(topic, &route.topic))
        });
        self.broker_configs = configs;
        self.image = image;
    }

    /// The image that all answers of this connection come from until the next refresh.
    pub(crate) fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// The route of a topic by name.
    pub(crate) fn by_name(
        &mut self,
        name: &str,
        services: &SessionServices,
    ) -> Option<&mut TopicRoute> {
        let topic = self.image.topic(name)?.clone();
        Some(self.entry(topic, services))
    }

    /// The route of a topic by id.
    pub(crate) fn by_id(
        &mut self,
        id: TopicId,
        services: &SessionServices,
    ) -> Option<&mut TopicRoute> {
        if !self.topics.contains_key(&id) {
            let topic = self.image.topic_by_id(id)?.clone();
            return Some(self.entry(topic, services));
        }
        self.topics.get_mut(&id)
    }

    /// Forgets a partition actor that has stopped, so that the next request looks for its successor.
    pub(crate) fn forget(&mut self, id: TopicId, partition: i32) {
        let route = self.topics.get_mut(&id);
        let port = usize::try_from(partition).ok().zip(route);
        if let Some(port) = port.and_then(|(index, route)| route.ports.get_mut(index)) {
            *port = None;
        }
    }

    fn entry(&mut self, topic: Arc<TopicImage>, services: &SessionServices) -> &mut TopicRoute {
        let [dynamic_broker, dynamic_default] = &self.broker_configs;
        self.topics.entry(topic.id).or_insert_with(|| {
            let config = TopicConfig::effective(&ConfigLayers {
                topic: Some(&topic.configs),
                dynamic_broker,
                dynamic_default,
                static_broker: services.config.values(),
            });
            let ports = vec![None; topic.partitions.len()];
            TopicRoute {
                rules: append_rules(&config),
                ports,
                topic,
            }
        })
    }
}

impl TopicRoute {
    /// The actor of one partition, if this node leads it.
    pub(crate) fn port(
        &mut self,
        index: i32,
        services: &SessionServices,
    ) -> Result<&Arc<PartitionPort>, Unrouted> {
        let image = self
            .topic
            .partition(index)
            .ok_or(Unrouted::UnknownPartition)?;
        let (leader, leader_epoch) = (image.leader, image.leader_epoch);
        let not_leader = Unrouted::NotLeader {
            leader,
            leader_epoch,
        };
        if leader != services.node() {
            return Err(not_leader);
        }
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| self.ports.get_mut(index));
        let place = place.ok_or(Unrouted::UnknownPartition)?;
        if place.is_none() {
            let found = services.partition(&self.topic.partition_id(index));
            *place = found.map(Arc::new);
        }
        let port = place.as_ref().ok_or(not_leader)?;
        if port.stands_still() {
            return Err(Unrouted::StandsStill);
        }
        Ok(port)
    }
}

fn broker_configs(image: &MetadataImage, node: NodeId) -> [Arc<ConfigOverrides>; 2] {
    [
        image.broker_configs(node),
        image.default_broker_configs().clone(),
    ]
}

/// What the configuration of a topic lets clients append. The version is set for each request.
fn append_rules(config: &TopicConfig) -> AppendRules {
    let bytes = |count: i32| usize::try_from(count).unwrap_or(0);
    AppendRules {
        max_message_bytes: bytes(config.max_message_bytes),
        segment_bytes: bytes(config.segment_bytes),
        is_compacted: config.cleanup_policy.compact,
        timestamp_type: match config.message_timestamp_type {
            TimestampType::CreateTime => records::TimestampType::CreateTime,
            TimestampType::LogAppendTime => records::TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        compression: match config.compression {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some((Compression::None, 0)),
            CompressionType::Gzip { level } => Some((Compression::Gzip, level)),
            CompressionType::Snappy => Some((Compression::Snappy, 0)),
            CompressionType::Lz4 { level } => Some((Compression::Lz4, level)),
            CompressionType::Zstd { level } => Some((Compression::Zstd, level)),
        },
        expanded_bytes_max: EXPANDED_BYTES_MAX,
        ..AppendRules::default()
    }
}
