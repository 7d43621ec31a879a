//! What a group makes durable: one [`Change`] is one record of `__consumer_offsets`, key and value.
//! Keys and values mirror Kafka's schemas field by field; bytes are made elsewhere. The group id is part of
//! every key there and not kept here: a change always belongs to the group that made it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};

use crate::names::{InstanceId, MemberId};
use crate::partitions::{OwnedPartitions, TopicPartitions};

/// One record: the new value of a key, `None` for a tombstone.
///
/// Key 4 (ConsumerGroupPartitionMetadata) is written by no Kafka since 4.1 and has no place here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keys 0 and 1: an offset that the group committed.
    Offset(OffsetKey, Option<CommittedOffset>),
    /// Key 2: a classic group at the end of a rebalance.
    ClassicGroup(Option<Arc<ClassicGroupValue>>),
    /// Key 3: epoch of a consumer group.
    GroupEpoch(Option<GroupEpochValue>),
    /// Key 5: what a member of a consumer group said of itself.
    Member(MemberId, Option<Arc<MemberValue>>),
    /// Key 6: epoch of the target assignment.
    TargetEpoch(Option<TargetEpochValue>),
    /// Key 7: what a member should own.
    Target(MemberId, Option<Arc<TopicPartitions>>),
    /// Key 8: what a member owns, and its epoch.
    Current(MemberId, Option<Arc<CurrentValue>>),
    /// Key 16: the topics that a regular expression stood for.
    Regex(Arc<str>, Option<Arc<RegexValue>>),
}

/// Identity of a record within its group; what compaction keeps the last of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// Keys 0 and 1.
    Offset(OffsetKey),
    /// Key 2.
    ClassicGroup,
    /// Key 3.
    GroupEpoch,
    /// Key 5.
    Member(MemberId),
    /// Key 6.
    TargetEpoch,
    /// Key 7.
    Target(MemberId),
    /// Key 8.
    Current(MemberId),
    /// Key 16.
    Regex(Arc<str>),
}

impl Change {
    /// The record's key.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Offset(key, _) => RecordKey::Offset(key.clone()),
            Self::ClassicGroup(_) => RecordKey::ClassicGroup,
            Self::GroupEpoch(_) => RecordKey::GroupEpoch,
            Self::Member(member, _) => RecordKey::Member(member.clone()),
            Self::TargetEpoch(_) => RecordKey::TargetEpoch,
            Self::Target(member, _) => RecordKey::Target(member.clone()),
            Self::Current(member, _) => RecordKey::Current(member.clone()),
            Self::Regex(regex, _) => RecordKey::Regex(regex.clone()),
        }
    }

    /// True when the record deletes its key.
    pub const fn is_tombstone(&self) -> bool {
        match self {
            Self::Offset(_, value) => value.is_none(),
            Self::ClassicGroup(value) => value.is_none(),
            Self::GroupEpoch(value) => value.is_none(),
            Self::Member(_, value) => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target(_, value) => value.is_none(),
            Self::Current(_, value) => value.is_none(),
            Self::Regex(_, value) => value.is_none(),
        }
    }

    /// About how many bytes the record takes in the log; never less than half of the truth.
    pub(crate) fn size_estimate(&self) -> usize {
        const FRAME: usize = 64;
        let body = match self {
            Self::Offset(key, value) => {
                key.topic.len() + value.as_ref().map_or(0, |value| value.metadata.len() + 32)
            }
            Self::ClassicGroup(value) => value.as_ref().map_or(0, |value| value.size_estimate()),
            Self::GroupEpoch(_) | Self::TargetEpoch(_) => 16,
            Self::Member(member, value) => {
                member.len() + value.as_ref().map_or(0, |value| value.bytes())
            }
            Self::Target(member, value) => {
                member.len() + value.as_ref().map_or(0, |value| value.len() * 6 + 24)
            }
            Self::Current(member, value) => {
                let count = value
                    .as_ref()
                    .map_or(0, |value| value.assigned.len() + value.revoking.len());
                member.len() + count * 10 + 32
            }
            Self::Regex(regex, value) => {
                regex.len()
                    + value.as_ref().map_or(0, |value| {
                        value
                            .topics
                            .iter()
                            .map(|topic| topic.len() + 4)
                            .sum::<usize>()
                    })
            }
        };
        FRAME + body
    }
}

/// Topic and partition of a committed offset. Offsets are kept by name: simple consumers know no ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

impl OffsetKey {
    /// Joins name and number.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: Arc::from(topic),
            partition,
        }
    }
}

/// OffsetCommitValue, version 4 (older ones where fields are absent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, -1 unknown.
    pub leader_epoch: LeaderEpoch,
    /// Free text of the client.
    pub metadata: Arc<str>,
    /// Wall clock of the commit, milliseconds since 1970.
    pub commit_ms: i64,
    /// When it ends, as clients of OffsetCommit v2 to v4 may say; -1 leaves it to the broker's retention.
    pub expire_ms: i64,
    /// Topic id at commit time, zero when unknown.
    pub topic_id: TopicId,
}

/// GroupMetadataValue: a classic group as it was when its leader synced, or when it became empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicGroupValue {
    /// `consumer`, `connect` and others; empty for none.
    pub protocol_type: Arc<str>,
    /// Number of completed rebalances.
    pub generation: i32,
    /// Chosen protocol (assignor), `None` when empty.
    pub protocol: Option<Arc<str>>,
    /// Member that computes assignments.
    pub leader: Option<MemberId>,
    /// Wall clock of the last change of state, -1 unknown.
    pub state_ms: i64,
    /// Members in order of their ids.
    pub members: Vec<ClassicMemberValue>,
}

impl ClassicGroupValue {
    fn size_estimate(&self) -> usize {
        let member_bytes = |member: &ClassicMemberValue| {
            member.member_id.len()
                + member.client_id.len()
                + member.client_host.len()
                + member.subscription.len()
                + member.assignment.len()
                + 48
        };
        64 + self.members.iter().map(member_bytes).sum::<usize>()
    }
}

/// One member in a [`ClassicGroupValue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMemberValue {
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address of the client, as Kafka prints it (`/127.0.0.1`).
    pub client_host: Arc<str>,
    /// Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// The member's metadata for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// ConsumerGroupMetadataValue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpochValue {
    /// Rises with every change that may ask for another assignment.
    pub epoch: i32,
    /// Hash of the topics that the group is subscribed to.
    pub metadata_hash: i64,
}

/// ConsumerGroupTargetAssignmentMetadataValue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetEpochValue {
    /// Group epoch that the target was computed for.
    pub epoch: i32,
    /// Wall clock of the computation.
    pub computed_ms: i64,
}

/// ConsumerGroupMemberMetadataValue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberValue {
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// Rack of the client.
    pub rack_id: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address of the client.
    pub client_host: Arc<str>,
    /// Names, whether such topics exist or not.
    pub topic_names: BTreeSet<Arc<str>>,
    /// Regular expression; `None` and empty both mean none.
    pub topic_regex: Option<Arc<str>>,
    /// Milliseconds to give up partitions in; -1 unknown.
    pub rebalance_timeout_ms: i32,
    /// Assignor that the member asks for.
    pub server_assignor: Option<Arc<str>>,
    /// Set for members that speak the classic protocol in a consumer group.
    pub classic: Option<ClassicProtocols>,
}

impl MemberValue {
    /// The regular expression, if there is one to match.
    pub fn regex(&self) -> Option<&Arc<str>> {
        self.topic_regex.as_ref().filter(|regex| !regex.is_empty())
    }

    /// About how many bytes the member holds, in memory and in its record.
    pub(crate) fn bytes(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let protocols = self.classic.as_ref().map_or(0, |classic| {
            let bytes = |protocol: &JoinProtocol| protocol.name.len() + protocol.metadata.len() + 8;
            classic.protocols.iter().map(bytes).sum::<usize>()
        });
        self.client_id.len()
            + self.client_host.len()
            + text(&self.rack_id)
            + text(&self.topic_regex)
            + self
                .topic_names
                .iter()
                .map(|name| name.len() + 4)
                .sum::<usize>()
            + protocols
            + 48
    }
}

/// What a classic member brought to a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicProtocols {
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// In the member's order of preference.
    pub protocols: Vec<JoinProtocol>,
}

/// A protocol (assignor) that a classic member supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinProtocol {
    /// Name, `range` for example.
    pub name: Arc<str>,
    /// What the member tells the leader; for consumers their subscription.
    pub metadata: Bytes,
}

/// How far a member is on its way to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i8)]
pub enum MemberState {
    /// Owns what the target of its epoch gives it.
    #[default]
    Stable = 0,
    /// Must give up partitions first.
    UnrevokedPartitions = 1,
    /// Waits for partitions that others have not given up.
    UnreleasedPartitions = 2,
    /// Written by a later release; the member is asked to join again.
    Unknown = 127,
}

/// ConsumerGroupCurrentMemberAssignmentValue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentValue {
    /// -2 while a static member is away.
    pub epoch: i32,
    /// The epoch before; a heartbeat that carries it lost the last answer.
    pub previous_epoch: i32,
    /// Where the member is.
    pub state: MemberState,
    /// What it owns, or may take.
    pub assigned: OwnedPartitions,
    /// What it must give up and still counts as its own.
    pub revoking: OwnedPartitions,
}

/// ConsumerGroupRegularExpressionValue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexValue {
    /// Names that matched.
    pub topics: BTreeSet<Arc<str>>,
    /// Version of the metadata that was searched.
    pub version: i64,
    /// Wall clock of the search.
    pub resolved_ms: i64,
}
