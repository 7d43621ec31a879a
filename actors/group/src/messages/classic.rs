//! The classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use std::sync::Arc;

use bytes::Bytes;

use super::Client;
use crate::names::{InstanceId, MemberId};
use crate::records::JoinProtocol;
use crate::refusal::GroupRefused;

/// JoinGroup, all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroup {
    /// Who asks.
    pub client: Client,
    /// Empty on the first join.
    pub member_id: MemberId,
    /// Set for static members (v5 and later).
    pub instance_id: Option<InstanceId>,
    /// `consumer`, `connect` and others.
    pub protocol_type: Arc<str>,
    /// In order of preference.
    pub protocols: Vec<JoinProtocol>,
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// Milliseconds; v0 sends none and the session timeout stands for it.
    pub rebalance_timeout_ms: i32,
    /// v4 and later: a dynamic member gets its id first and joins with it. Source: KIP-394.
    pub needs_member_id: bool,
    /// v9 and later: a leader can be told that no assignment is wanted. Source: KIP-814.
    pub can_skip_assignment: bool,
}

/// What a member learns when the join phase ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedGroup {
    /// The member's id.
    pub member_id: MemberId,
    /// Generation; the member epoch when the group is a consumer group.
    pub generation: i32,
    /// Type of the group.
    pub protocol_type: Option<Arc<str>>,
    /// Chosen protocol.
    pub protocol_name: Option<Arc<str>>,
    /// Leader's id; empty in a consumer group, which has none.
    pub leader: MemberId,
    /// The leader need not compute an assignment.
    pub skip_assignment: bool,
    /// For the leader alone.
    pub members: Vec<JoinedMember>,
}

/// One member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// SyncGroup, all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncGroup {
    /// Generation of the join.
    pub generation: i32,
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// v5 and later; the session has refused their absence.
    pub protocol_type: Option<Arc<str>>,
    /// v5 and later.
    pub protocol_name: Option<Arc<str>>,
    /// From the leader alone.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a member is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedGroup {
    /// Type of the group.
    pub protocol_type: Option<Arc<str>>,
    /// Chosen protocol.
    pub protocol_name: Option<Arc<str>>,
    /// The leader's bytes for this member; empty when it got none.
    pub assignment: Bytes,
}

/// Heartbeat, all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Generation of the join.
    pub generation: i32,
    /// Member id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
}

/// LeaveGroup, all versions; versions 0 to 2 name one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveGroup {
    /// Who goes.
    pub members: Vec<LeavingMember>,
}

/// One member to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// Empty when an administrator removes a static member by its instance id.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
}

/// What became of one [`LeavingMember`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftMember {
    /// As sent.
    pub member_id: MemberId,
    /// As sent.
    pub instance_id: Option<InstanceId>,
    /// Left, or why not.
    pub result: Result<(), GroupRefused>,
}
