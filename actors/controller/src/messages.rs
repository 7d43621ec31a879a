//! What the controller is told, and what it answers. Everything is answered after the change is
//! committed and the image that holds it was published, so who reads the image after the answer sees it.

use kabuki_protocol::ids::{LeaderEpoch, NodeId, ProducerId, TopicId, TopicName};
use kabuki_runtime::{Lane, Message, ReplyPort, Undelivered};

pub use crate::refusal::{
    AlterConfigsRefused, ChangeRefused, CreatePartitionsRefused, CreateTopicRefused,
    DeleteTopicRefused, NotCommitted, UpdateFeaturesRefused,
};

use crate::image::{DirectoryId, Endpoint};

/// Creates topics. Each topic succeeds or fails by itself; outcomes are in the order of the request.
///
/// Source: CreateTopics, KIP-4.
pub struct CreateTopics {
    /// Topics as asked for; nothing is checked yet.
    pub topics: Vec<NewTopic>,
    /// All checks, no change.
    pub validate_only: bool,
    /// Where the outcomes go.
    pub reply: ReplyPort<Vec<Result<TopicCreated, CreateTopicRefused>>>,
}

/// One topic of [`CreateTopics`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopic {
    /// Name as the client sent it.
    pub name: String,
    /// -1: `num.partitions` of the broker; must be -1 with assignments.
    pub partition_count: i32,
    /// -1: `default.replication.factor`; must be -1 with assignments.
    pub replication_factor: i16,
    /// Partition index and its replicas in order of preference; empty: the controller places them.
    pub assignments: Vec<(i32, Vec<NodeId>)>,
    /// Overrides; one without value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic is there (or would be, when only validated).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreated {
    /// Its name.
    pub name: TopicName,
    /// Its id; [`TopicId::ZERO`] when only validated.
    pub id: TopicId,
    /// Count of partitions.
    pub partition_count: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// Overrides as stored; the session adds the effective values for the answer.
    pub configs: std::sync::Arc<crate::image::ConfigOverrides>,
}

/// Deletes topics. Outcomes in the order of the request.
///
/// Source: DeleteTopics, KIP-4, KIP-516.
pub struct DeleteTopics {
    /// Topics by name or by id.
    pub topics: Vec<TopicRef>,
    /// Where the outcomes go.
    pub reply: ReplyPort<Vec<Result<TopicDeleted, DeleteTopicRefused>>>,
}

/// A topic as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name, unchecked.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// A topic is gone from the image; its files follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDeleted {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
}

/// Adds partitions to topics. Outcomes in the order of the request.
///
/// Source: CreatePartitions, KIP-195.
pub struct CreatePartitions {
    /// Topics and the counts wanted.
    pub topics: Vec<PartitionsWanted>,
    /// All checks, no change.
    pub validate_only: bool,
    /// Where the outcomes go.
    pub reply: ReplyPort<Vec<Result<PartitionsCreated, CreatePartitionsRefused>>>,
}

/// One topic of [`CreatePartitions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsWanted {
    /// Name as the client sent it.
    pub name: String,
    /// Partitions after the change, not those to add.
    pub partition_count: i32,
    /// Replicas of each *added* partition; `None`: the controller places them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// Partitions were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsCreated {
    /// The topic.
    pub name: TopicName,
    /// Count of partitions now.
    pub partition_count: i32,
}

/// Changes configurations, key by key or as a whole. Outcomes in the order of the request.
///
/// Source: IncrementalAlterConfigs, KIP-339; AlterConfigs, KIP-133.
pub struct AlterConfigs {
    /// Resources and what to do with them.
    pub resources: Vec<ConfigAlteration>,
    /// All checks, no change.
    pub validate_only: bool,
    /// Where the outcomes go.
    pub reply: ReplyPort<Vec<Result<(), AlterConfigsRefused>>>,
}

/// One resource of [`AlterConfigs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// What is configured.
    pub resource: ConfigResource,
    /// What to do.
    pub change: ConfigChange,
}

/// A change of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Key by key, in order; a key may come once.
    Operations(Vec<ConfigOperation>),
    /// These keys and no others: what is not named goes back to its default. A key may come once, and
    /// has a value.
    Replacement(Vec<(String, Option<String>)>),
}

/// What can be configured. Other resource types of Kafka are refused by the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic by name, unchecked.
    Topic(String),
    /// One broker.
    Broker(NodeId),
    /// What all brokers start from (Kafka's broker resource with an empty name).
    DefaultBroker,
    /// A group by its id, whether it exists or not.
    Group(String),
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigOperation {
    /// Key as the client sent it.
    pub key: String,
    /// What to do.
    pub action: ConfigAction,
    /// Null where the action needs none.
    pub value: Option<String>,
}

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigAction {
    /// Code 0: the value replaces the old one.
    Set,
    /// Code 1: back to the default.
    Delete,
    /// Code 2: adds entries to a list.
    Append,
    /// Code 3: takes entries from a list.
    Subtract,
    /// Any other code: no resource of the request is changed.
    Unknown,
}

impl ConfigAction {
    /// The action of a code in IncrementalAlterConfigs.
    pub fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => Self::Unknown,
        }
    }
}

/// Raises or lowers the levels of features, all of them or none. A feature that comes twice takes the
/// level that comes last.
///
/// Source: UpdateFeatures, KIP-584.
pub struct UpdateFeatures {
    /// The features.
    pub updates: Vec<FeatureUpdate>,
    /// All checks, no change.
    pub validate_only: bool,
    /// Answered after the commit.
    pub reply: ReplyPort<Result<(), UpdateFeaturesRefused>>,
}

/// The new level of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Name as the client sent it.
    pub feature: String,
    /// The level.
    pub level: i16,
    /// Which way the client means to go; `None` for a code that Kafka does not have.
    pub upgrade_type: Option<UpgradeType>,
}

/// Which way a level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    /// Code 1: up.
    Upgrade,
    /// Code 2: down, as long as no metadata gets lost.
    SafeDowngrade,
    /// Code 3: down, whatever gets lost.
    UnsafeDowngrade,
}

impl UpgradeType {
    /// The type of a code in UpdateFeatures; `None` for codes Kafka does not have.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

/// Hands out one producer id that was never given before, from a block of 1000 that is persisted first.
pub struct AllocateProducerId {
    /// Where the id goes.
    pub reply: ReplyPort<Result<ProducerId, NotCommitted>>,
}

/// A broker has started. Raises the leader epoch of every partition it leads, makes it leader
/// again of the offline ones it holds, and takes leadership away where the directory is not online.
/// A repeated registration of the same incarnation changes nothing but the endpoints.
#[derive(Debug)]
pub struct RegisterBroker {
    /// Its id.
    pub node: NodeId,
    /// Random per process.
    pub incarnation: [u8; 16],
    /// Advertised endpoints.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Log directories that could be opened.
    pub directories: Vec<DirectoryId>,
    /// Where the broker's epoch goes.
    pub reply: ReplyPort<Result<BrokerRegistered, ChangeRefused>>,
}

/// A broker is registered and offered to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerRegistered {
    /// Offset of the registration in the metadata log.
    pub broker_epoch: i64,
    /// Offset in the metadata log up to which the image holds the effects of the registration.
    pub image_offset: i64,
}

/// Tells where the replicas of `node` lie. Partitions that are unknown by now are passed over.
///
/// Source: KIP-858. Sent by the replica keeper, many partitions at once.
pub struct AssignDirectories {
    /// The node whose replicas these are.
    pub node: NodeId,
    /// Each partition and its directory.
    pub assignments: Vec<(PartitionRef, DirectoryId)>,
    /// Answered after the commit.
    pub reply: ReplyPort<Result<(), ChangeRefused>>,
}

/// A partition by topic id, so that a topic that was deleted and created again is not taken for the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionRef {
    /// The topic.
    pub topic: TopicId,
    /// The index.
    pub partition: i32,
}

/// Raises the leader epoch of partitions that `node` leads, because a restart cut their tail.
pub struct RaiseLeaderEpoch {
    /// The leader that asks.
    pub node: NodeId,
    /// The partition.
    pub partition: PartitionRef,
    /// Where the new epoch goes.
    pub reply: ReplyPort<Result<LeaderEpoch, ChangeRefused>>,
}

/// Takes the leadership of one partition from `node`: another in-sync replica leads, or none (leader -1).
///
/// Sent by the replica keeper for a parked, failed or missing replica.
pub struct MarkPartitionOffline {
    /// The node whose replica failed.
    pub node: NodeId,
    /// The partition.
    pub partition: PartitionRef,
    /// Answered after the commit; `Ok` also when it was offline before.
    pub reply: ReplyPort<Result<(), ChangeRefused>>,
}

/// The replica of `node` serves again: an offline partition gets it as leader, in a new epoch.
pub struct MarkPartitionOnline {
    /// The node whose replica is well.
    pub node: NodeId,
    /// The partition.
    pub partition: PartitionRef,
    /// Where the epoch goes in which it leads.
    pub reply: ReplyPort<Result<LeaderEpoch, ChangeRefused>>,
}

macro_rules! answered_by_port {
    ($($message:ty, $lane:expr;)+) => {$(
        impl Message for $message {
            type Reply = ();
            const LANE: Lane = $lane;

            fn undelivered(self, why: Undelivered) {
                self.reply.refuse(why);
            }
        }
    )+};
}

// All on the data lane: it is held until the metadata log was read, which the control lane is not.
answered_by_port! {
    CreateTopics, Lane::Data;
    DeleteTopics, Lane::Data;
    CreatePartitions, Lane::Data;
    AlterConfigs, Lane::Data;
    UpdateFeatures, Lane::Data;
    AllocateProducerId, Lane::Data;
    RegisterBroker, Lane::Data;
    AssignDirectories, Lane::Data;
    RaiseLeaderEpoch, Lane::Data;
    MarkPartitionOffline, Lane::Data;
    MarkPartitionOnline, Lane::Data;
}
