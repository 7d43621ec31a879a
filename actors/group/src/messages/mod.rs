//! What a group is asked and what it answers. One file a protocol; Kafka's wire types end in the session.

mod classic;
mod consumer;
mod offsets;
mod views;

use std::sync::Arc;

pub use classic::{
    Heartbeat, JoinGroup, JoinedGroup, JoinedMember, LeaveGroup, LeavingMember, LeftMember,
    SyncGroup, SyncedGroup,
};
pub use consumer::{ConsumerHeartbeat, HeartbeatAnswer};
pub use offsets::{
    CommitOffsets, CommittedPartition, DeleteOffsets, FetchOffsets, FetchedOffset, OffsetToCommit,
};
pub use views::{
    ClassicMemberView, ClassicView, ConsumerMemberView, ConsumerView, GroupListing, GroupState,
};

use crate::refusal::{DeleteOffsetRefused, GroupRefused};

/// Number under which the shell keeps a reply port; unique in one incarnation of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Two clocks, read once per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps; timers run on it.
    pub tick_ms: i64,
    /// Milliseconds since 1970; goes into records.
    pub wall_ms: i64,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client.id`, empty for none.
    pub id: Arc<str>,
    /// Address, as Kafka prints it (`/127.0.0.1`).
    pub host: Arc<str>,
}

/// A request with the token of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Classic: become or stay a member; parked until the rebalance completes.
    Join(JoinGroup),
    /// Classic: bring (leader) or fetch the assignment; parked until the leader brought it.
    Sync(SyncGroup),
    /// Classic: still here.
    Heartbeat(Heartbeat),
    /// Classic: go, or be made to go.
    Leave(LeaveGroup),
    /// KIP-848: join, stay, acknowledge and leave in one.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// Store offsets.
    CommitOffsets(CommitOffsets),
    /// Read stored offsets.
    FetchOffsets(FetchOffsets),
    /// Forget offsets of topics that the group does not read.
    DeleteOffsets(DeleteOffsets),
    /// Forget the group.
    DeleteGroup,
    /// DescribeGroups.
    DescribeClassic,
    /// ConsumerGroupDescribe.
    DescribeConsumer,
    /// ListGroups.
    List,
}

/// The answer to a [`Request`] of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Generation, leader, and for the leader all members.
    Join(Result<JoinedGroup, GroupRefused>),
    /// The member's assignment.
    Sync(Result<SyncedGroup, GroupRefused>),
    /// Nothing to say.
    Heartbeat(Result<(), GroupRefused>),
    /// One entry per member that was named.
    Leave(Result<Vec<LeftMember>, GroupRefused>),
    /// Epoch, and the assignment when it changed.
    ConsumerHeartbeat(Result<HeartbeatAnswer, GroupRefused>),
    /// One entry per partition, in the order of the request.
    CommitOffsets(Result<Vec<CommittedPartition>, GroupRefused>),
    /// One entry per partition asked for, or all that are stored.
    FetchOffsets(Result<Vec<FetchedOffset>, GroupRefused>),
    /// One entry per partition, in the order of the request.
    DeleteOffsets(Result<Vec<Result<(), DeleteOffsetRefused>>, GroupRefused>),
    /// The group is gone.
    DeleteGroup(Result<(), GroupRefused>),
    /// The group as DescribeGroups shows it.
    DescribeClassic(Result<ClassicView, GroupRefused>),
    /// The group as ConsumerGroupDescribe shows it.
    DescribeConsumer(Result<ConsumerView, GroupRefused>),
    /// The group as ListGroups shows it; `None` when there is none.
    List(Option<GroupListing>),
}

impl Answer {
    /// The same answer, refused.
    pub(crate) fn refused(&self, refused: GroupRefused) -> Self {
        match self {
            Self::Join(_) => Self::Join(Err(refused)),
            Self::Sync(_) => Self::Sync(Err(refused)),
            Self::Heartbeat(_) => Self::Heartbeat(Err(refused)),
            Self::Leave(_) => Self::Leave(Err(refused)),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(Err(refused)),
            Self::CommitOffsets(_) => Self::CommitOffsets(Err(refused)),
            Self::FetchOffsets(_) => Self::FetchOffsets(Err(refused)),
            Self::DeleteOffsets(_) => Self::DeleteOffsets(Err(refused)),
            Self::DeleteGroup(_) => Self::DeleteGroup(Err(refused)),
            Self::DescribeClassic(_) => Self::DescribeClassic(Err(refused)),
            Self::DescribeConsumer(_) => Self::DescribeConsumer(Err(refused)),
            Self::List(_) => Self::List(None),
        }
    }
}
