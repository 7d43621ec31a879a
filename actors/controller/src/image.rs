//! The metadata image: what brokers, sessions and keepers read of the cluster, immutable once published.
//!
//! Holds no decision: `state` makes every change through `apply` and publishes a clone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, NodeId, PartitionId, ProducerId, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::features::Feature;
use crate::sharded::ShardedMap;

/// Where the newest image is seen; the value before the metadata log was read is the empty image,
/// for which [`MetadataImage::is_loaded`] is false.
pub type ImageWatch = watch::Receiver<Arc<MetadataImage>>;

/// Configuration overrides of one resource, by key.
pub type ConfigOverrides = BTreeMap<String, String>;

/// Everything committed so far.
///
/// A clone costs one reference count per shard of the topic maps (64 each) and one per broker, not one
/// per topic or partition. A change copies what it touches: the shard of the topic (a 64th of the
/// topics, one reference count each) and the topic itself (its partitions, three reference counts each).
#[derive(Debug, Clone)]
pub struct MetadataImage {
    pub(crate) cluster_id: Arc<str>,
    pub(crate) offset: i64,
    pub(crate) is_loaded: bool,
    pub(crate) brokers: BTreeMap<NodeId, Arc<BrokerImage>>,
    pub(crate) topics: ShardedMap<TopicName, Arc<TopicImage>>,
    pub(crate) topic_names: ShardedMap<TopicId, TopicName>,
    pub(crate) partition_count: usize,
    /// Names that hold '.' or '_', under the name with '_' only: what collides.
    pub(crate) folded_names: ShardedMap<String, Vec<TopicName>>,
    pub(crate) broker_configs: BTreeMap<NodeId, Arc<ConfigOverrides>>,
    pub(crate) default_broker_configs: Arc<ConfigOverrides>,
    /// Only groups that have overrides.
    pub(crate) group_configs: ShardedMap<String, Arc<ConfigOverrides>>,
    pub(crate) next_producer_id: ProducerId,
    /// Levels that were changed.
    pub(crate) feature_levels: Arc<BTreeMap<String, i16>>,
    pub(crate) quorum_leader: NodeId,
    pub(crate) quorum_leader_epoch: LeaderEpoch,
}

impl MetadataImage {
    /// The image before anything is committed.
    pub fn empty(cluster_id: &str) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            offset: -1,
            is_loaded: false,
            brokers: BTreeMap::new(),
            topics: ShardedMap::default(),
            topic_names: ShardedMap::default(),
            partition_count: 0,
            folded_names: ShardedMap::default(),
            broker_configs: BTreeMap::new(),
            default_broker_configs: Arc::default(),
            group_configs: ShardedMap::default(),
            next_producer_id: ProducerId(0),
            feature_levels: Arc::default(),
            quorum_leader: NodeId::NONE,
            quorum_leader_epoch: LeaderEpoch(0),
        }
    }

    /// An image that holds these topics, as if a metadata log of theirs had been read up to `offset`.
    /// For the tests of those who follow images; in a broker all images come from the log.
    pub fn of_topics(
        cluster_id: &str,
        offset: i64,
        topics: impl IntoIterator<Item = TopicImage>,
    ) -> Self {
        let mut image = Self::empty(cluster_id);
        image.offset = offset;
        image.is_loaded = true;
        for topic in topics {
            image.topic_names.insert(topic.id, topic.name.clone());
            image.partition_count += topic.partitions.len();
            image.topics.insert(topic.name.clone(), Arc::new(topic));
        }
        image
    }

    /// Whether the metadata log was read. Before, nothing here may be believed.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// The cluster's id as Kafka's tools print it.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Offset in the metadata log of the last record that is in this image; -1 for none.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Registered brokers in the order of their ids, fenced ones included.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// One broker.
    pub fn broker(&self, node: NodeId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&node)
    }

    /// Count of topics.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Count of the partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// All topics in the order of their names.
    pub fn topics_by_name(&self) -> Vec<&Arc<TopicImage>> {
        let mut topics: Vec<_> = self.topics.values().collect();
        topics.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        topics
    }

    /// One topic by name; takes any text, so that a name a client sent needs no check before.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// One topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&**self.topic_names.get(&id)?)
    }

    /// One partition by topic name and index.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionImage> {
        self.topic(topic)?.partition(partition)
    }

    /// Dynamic configuration of one broker (source 2); empty when it has none.
    pub fn broker_configs(&self, node: NodeId) -> Arc<ConfigOverrides> {
        self.broker_configs.get(&node).cloned().unwrap_or_default()
    }

    /// As [`MetadataImage::broker_configs`], without taking part in its ownership.
    pub fn broker_overrides(&self, node: NodeId) -> &ConfigOverrides {
        static NONE: ConfigOverrides = ConfigOverrides::new();
        self.broker_configs
            .get(&node)
            .map_or(&NONE, |configs| configs)
    }

    /// Dynamic configuration that every broker starts from (source 3).
    pub fn default_broker_configs(&self) -> &Arc<ConfigOverrides> {
        &self.default_broker_configs
    }

    /// Configuration of one group (source 8); empty when it has none. Whether the group exists is not
    /// known here.
    pub fn group_overrides(&self, group: &str) -> &ConfigOverrides {
        static NONE: ConfigOverrides = ConfigOverrides::new();
        self.group_configs
            .get(group)
            .map_or(&NONE, |configs| configs)
    }

    /// Names of the groups that have a configuration, in no order.
    pub fn configured_groups(&self) -> impl Iterator<Item = &str> {
        self.group_configs.keys().map(String::as_str)
    }

    /// First producer id that no persisted block holds.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The level at which a feature runs; 0 for one that is switched off, or that nobody knows.
    pub fn feature_level(&self, name: &str) -> i16 {
        let initial = Feature::named(name).map_or(0, |feature| feature.initial);
        self.feature_levels.get(name).copied().unwrap_or(initial)
    }

    /// The voter that leads the metadata log, and since which epoch. Every start of a node is an epoch.
    pub fn quorum_leader(&self) -> (NodeId, LeaderEpoch) {
        (self.quorum_leader, self.quorum_leader_epoch)
    }
}

/// One registered broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerImage {
    /// Its id.
    pub id: NodeId,
    /// Grows with every registration; a broker's clean shutdown file and heart-beats name it.
    pub epoch: i64,
    /// Random per process: tells a restart from a repeated registration.
    pub incarnation: [u8; 16],
    /// Advertised endpoints, one per listener name.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Fenced brokers are registered but not offered to clients.
    pub is_fenced: bool,
    /// Log directories that are online.
    pub directories: Vec<DirectoryId>,
}

impl BrokerImage {
    /// The endpoint that clients of this listener are told.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.listener == listener)
    }
}

/// What a client connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Listener name in upper case, such as `PLAINTEXT`.
    pub listener: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicImage {
    /// Its name.
    pub name: TopicName,
    /// Its id; a topic that is deleted and created again has another one.
    pub id: TopicId,
    /// Partition `n` at index `n`.
    pub partitions: Vec<PartitionImage>,
    /// Overrides set on the topic (source 1).
    pub configs: Arc<ConfigOverrides>,
}

impl TopicImage {
    /// One partition; `None` also for negative indexes.
    pub fn partition(&self, index: i32) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// The id under which partition `index` is known on disk and in actor paths.
    pub fn partition_id(&self, index: i32) -> PartitionId {
        PartitionId {
            topic: self.name.clone(),
            partition: index,
        }
    }

    /// Whether Kafka's clients are told that the topic is internal.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.name)
    }
}

/// Whether a topic of this name belongs to the broker itself.
pub fn is_internal_topic(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    /// The leader; [`NodeId::NONE`] while the partition is offline.
    pub leader: NodeId,
    /// Never goes back, neither over restarts nor over offline times.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of this entry.
    pub partition_epoch: i32,
    /// Replicas in order of preference.
    pub replicas: Arc<[NodeId]>,
    /// Replicas that hold everything committed.
    pub isr: Arc<[NodeId]>,
    /// Log directory of each replica, parallel to `replicas`.
    pub directories: Arc<[DirectoryId]>,
}

impl PartitionImage {
    /// Whether a leader serves it.
    pub fn is_online(&self) -> bool {
        self.leader != NodeId::NONE
    }

    /// The log directory of the replica on `node`: `None` when it has no replica there,
    /// [`DirectoryId::UNASSIGNED`] before its keeper chose one.
    pub fn directory_of(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.replicas.iter().position(|replica| *replica == node)?;
        self.directories.get(at).copied()
    }
}

/// Identity of one log directory: `directory.id` of its `meta.properties`.
///
/// Sixteen random bytes, shown as base64url text without padding like topic ids. Source: KIP-858.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct DirectoryId(pub [u8; 16]);

impl DirectoryId {
    /// No directory was chosen yet.
    pub const UNASSIGNED: Self = Self([0; 16]);

    /// Whether a directory was chosen.
    pub fn is_assigned(self) -> bool {
        self != Self::UNASSIGNED
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TopicId(self.0).fmt(f)
    }
}

impl FromStr for DirectoryId {
    type Err = <TopicId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<TopicId>().map(|id| Self(id.0))
    }
}
