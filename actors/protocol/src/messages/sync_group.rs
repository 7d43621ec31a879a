//! SyncGroup (key 14): the leader hands in the assignment of a generation, every member fetches its
//! part of it.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | group instance id (KIP-345) |
//! | 4 | flexible (KIP-482) |
//! | 5 | type and name of the protocol, both ways (KIP-559) |

use bytes::Bytes;

use super::exchange;
use crate::codec::Message;

/// A member that waits for its assignment.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    /// The group.
    pub group_id: String,
    /// The generation that the member has joined.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    #[kafka(versions = "3+")]
    pub group_instance_id: Option<String>,
    /// What the group is for; from version 5 on a null is refused by the group.
    #[kafka(versions = "5+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor chosen; from version 5 on a null is refused by the group.
    #[kafka(versions = "5+", ignorable)]
    pub protocol_name: Option<String>,
    /// Assignments of all members, from the leader; empty from the others.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// Assignment of one member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SyncGroupRequestAssignment {
    /// The member.
    pub member_id: String,
    /// For that member; of consumers a
    /// [`ConsumerProtocolAssignment`](crate::consumer_protocol::ConsumerProtocolAssignment).
    /// Shares the request's memory: what outlives the request keeps a copy.
    pub assignment: Bytes,
}

/// The member's assignment.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What the group is for.
    #[kafka(versions = "5+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor chosen.
    #[kafka(versions = "5+", ignorable)]
    pub protocol_name: Option<String>,
    /// As the leader handed it in; empty on an error.
    pub assignment: Bytes,
}

exchange!(SyncGroup: SyncGroupRequest => SyncGroupResponse);
