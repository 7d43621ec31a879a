//! What a shard hears: requests from sessions, appends and reports from its groups, news from the keeper,
//! and its own jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use kabuki_partition::{AppendRefused, RecordsAppended, RecordsRead};
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_runtime::{Addr, Lane, Message, NoReply, ReplyPort, Undelivered};

use super::Shard;
use crate::coordinators::{CoordinatorRefused, GroupsListed};
use crate::messages::{Answer, GroupListing, Request};
use crate::names::GroupId;
use crate::records::Change;

/// A request to one group. From a session to the shard, and from there to the group.
pub(crate) struct AskGroup {
    pub(crate) group: GroupId,
    pub(crate) request: Request,
    /// Given by the shard: by it a group that wants to rest says which request it has seen last.
    pub(crate) stamp: u64,
    pub(crate) reply: ReplyPort<Result<Answer, CoordinatorRefused>>,
}

/// Asks for the records of a group, after the outcome of its appends is known. Sent by the group.
pub(crate) struct ReadGroup {
    pub(crate) group: GroupId,
    pub(crate) reply: ReplyPort<Result<RecordsOfGroup, String>>,
}

/// All that the log says of a group.
#[derive(Debug)]
pub(crate) struct RecordsOfGroup {
    pub(crate) reign: LeaderEpoch,
    /// The last record of each key, in the order of the log.
    pub(crate) changes: Vec<Change>,
}

/// Writes what a group decided, in one batch. Sent by the group, one at a time.
pub(crate) struct AppendGroup {
    pub(crate) group: GroupId,
    /// Reign in which the group read its records; refused in another one.
    pub(crate) reign: LeaderEpoch,
    pub(crate) changes: Vec<Change>,
    pub(crate) reply: ReplyPort<AppendOutcome>,
}

/// What became of an [`AppendGroup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    /// In the log for good.
    Committed,
    /// Certainly not in the log.
    Refused(String),
    /// Nobody knows yet.
    Unknown,
}

/// All groups of the shard.
pub(crate) struct ListGroups {
    pub(crate) reply: ReplyPort<GroupsListed>,
}

macro_rules! answered_by_port {
    ($($message:ty),+) => {$(
        impl Message for $message {
            type Reply = ();

            fn undelivered(self, why: Undelivered) {
                self.reply.refuse(why);
            }
        }
    )+};
}

answered_by_port!(AskGroup, ReadGroup, AppendGroup, ListGroups);

/// Tells a group that was on stage before its shard who leads now, and in which reign. Sent by the shard.
pub(crate) struct ReignShown {
    pub(crate) shard: Addr<Shard>,
    pub(crate) reign: LeaderEpoch,
}

/// A group looks different in a list now. Sent by the group.
pub(crate) struct GroupChanged {
    pub(crate) group: GroupId,
    pub(crate) listing: Option<GroupListing>,
}

/// A group has no member and nothing to do. Sent by the group.
pub(crate) struct GroupRests {
    pub(crate) group: GroupId,
    /// Stamp of the last request that it took.
    pub(crate) stamp: u64,
}

/// The leadership of the shard's partition may have changed. Sent by the keeper.
pub(crate) struct LeadershipMoved;

/// Some topic appeared, changed or went. From the keeper to the shards, and from there to the groups.
#[derive(Clone)]
pub(crate) struct TopicsChanged {
    pub(crate) deleted: Arc<BTreeSet<Arc<str>>>,
}

/// The shard's partition leads; first offset and high watermark.
pub(super) struct LogFound {
    pub(super) generation: u64,
    pub(super) outcome: Result<(Offset, Offset), String>,
}

/// A piece of the log for the reader.
pub(super) struct ChunkRead {
    pub(super) generation: u64,
    pub(super) outcome: Result<RecordsRead, String>,
}

/// An append came back from the partition.
pub(super) struct AppendReturned {
    pub(super) ticket: u64,
    pub(super) outcome: Result<Result<RecordsAppended, AppendRefused>, NoReply>,
}

/// The records of a group were read and handed out.
pub(super) struct GroupWasRead;

/// The child of a group has ended.
pub(super) struct GroupLeft {
    pub(super) group: GroupId,
}

/// All children have ended.
pub(super) struct ReignEnded {
    pub(super) generation: u64,
}

/// Time to look for the log again.
pub(super) struct LookDue {
    pub(super) generation: u64,
}

/// Time to send what the partition had no room for.
pub(super) struct SendDue;

/// Time to look for appends that take too long.
pub(super) struct OverdueDue;

/// Time to look for offsets past their retention.
pub(super) struct RetentionDue;

/// Time to bring the next groups on stage.
pub(super) struct WakeNextDue;

macro_rules! told {
    ($($message:ty: $lane:expr),+ $(,)?) => {$(
        impl Message for $message {
            type Reply = ();
            const LANE: Lane = $lane;
        }
    )+};
}

told! {
    GroupChanged: Lane::Data,
    GroupRests: Lane::Data,
    LeadershipMoved: Lane::Control,
    TopicsChanged: Lane::Control,
    ReignShown: Lane::Control,
    LogFound: Lane::Data,
    ChunkRead: Lane::Data,
    AppendReturned: Lane::Data,
    GroupWasRead: Lane::Data,
    GroupLeft: Lane::Data,
    ReignEnded: Lane::Data,
    LookDue: Lane::Data,
    SendDue: Lane::Data,
    OverdueDue: Lane::Data,
    RetentionDue: Lane::Data,
    WakeNextDue: Lane::Data,
}
