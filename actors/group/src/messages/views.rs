//! A group as administrators see it: DescribeGroups, ConsumerGroupDescribe, ListGroups.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;

/// State of a group, with Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No member; offsets may be stored.
    Empty,
    /// Classic: waits for members to join.
    PreparingRebalance,
    /// Classic: waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody has what it should have.
    Stable,
    /// Consumer: a newer epoch waits for its target.
    Assigning,
    /// Consumer: members are on their way to the target.
    Reconciling,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// Kafka's word, as answers carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Dead => "Dead",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One line of ListGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// `consumer`, `connect`, or empty.
    pub protocol_type: Arc<str>,
    /// State.
    pub state: GroupState,
    /// True for groups of the new protocol (`consumer`), false for `classic`.
    pub is_consumer: bool,
}

/// Answer to DescribeGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicView {
    /// State.
    pub state: GroupState,
    /// Type, empty for none.
    pub protocol_type: Arc<str>,
    /// Chosen protocol, empty unless stable.
    pub protocol: Arc<str>,
    /// Members in order of their ids.
    pub members: Vec<ClassicMemberView>,
}

/// One member in a [`ClassicView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMemberView {
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address of the client.
    pub client_host: Arc<str>,
    /// Metadata for the chosen protocol; empty unless stable.
    pub metadata: Bytes,
    /// Assignment; empty unless stable.
    pub assignment: Bytes,
}

/// Answer to ConsumerGroupDescribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerView {
    /// State.
    pub state: GroupState,
    /// Group epoch.
    pub group_epoch: i32,
    /// Epoch of the target assignment.
    pub assignment_epoch: i32,
    /// Assignor that the next target is computed with.
    pub assignor: Arc<str>,
    /// Members in order of their ids.
    pub members: Vec<ConsumerMemberView>,
}

/// One member in a [`ConsumerView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberView {
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// Rack of the client.
    pub rack_id: Option<Arc<str>>,
    /// Member epoch.
    pub member_epoch: i32,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address of the client.
    pub client_host: Arc<str>,
    /// Names.
    pub topic_names: Vec<Arc<str>>,
    /// Regular expression.
    pub topic_regex: Option<Arc<str>>,
    /// What it owns, or may take.
    pub assignment: TopicPartitions,
    /// What it should own.
    pub target: TopicPartitions,
    /// True when the member speaks the classic protocol (v1: member type 0 against 1).
    pub is_classic: bool,
}
