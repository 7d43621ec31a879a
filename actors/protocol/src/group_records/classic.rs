//! The record of a classic group.

use bytes::Bytes;

use crate::codec::Message;

/// Names a classic group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
#[kafka(versions = "0")]
pub struct GroupMetadataKey {
    /// The group.
    pub group: String,
}

/// A classic group, written when its members know their assignments and when it becomes empty.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    /// What the group is for, `consumer`; empty where only offsets are committed.
    pub protocol_type: String,
    /// Its generation.
    pub generation: i32,
    /// The assignor chosen, null without members.
    pub protocol: Option<String>,
    /// Member that assigns, null without members.
    pub leader: Option<String>,
    /// When the group came into its state, in milliseconds since 1970; -1 where unknown.
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// Its members.
    pub members: Vec<MemberMetadata>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberMetadata {
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    #[kafka(versions = "3+", ignorable)]
    pub group_instance_id: Option<String>,
    /// Client id of its last join.
    pub client_id: String,
    /// Address of its last join, `/127.0.0.1`.
    pub client_host: String,
    /// How long the group waits for it to join again, in milliseconds; -1 below version 1, where the
    /// session timeout counts.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// Longest silence before it is taken for gone, in milliseconds.
    pub session_timeout: i32,
    /// What it told the assignor chosen.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}
