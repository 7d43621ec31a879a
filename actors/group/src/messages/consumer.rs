//! The consumer protocol of KIP-848: one heartbeat for everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Client;
use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;

/// ConsumerGroupHeartbeat. `None` means "as before" in every optional field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// Who asks.
    pub client: Client,
    /// Made by the client (v1); empty on a first v0 heartbeat, then the group makes one.
    pub member_id: MemberId,
    /// 0 joins, -1 leaves, -2 leaves for a while (static members), above 0 stays.
    pub member_epoch: i32,
    /// Set for static members.
    pub instance_id: Option<InstanceId>,
    /// Rack of the client.
    pub rack_id: Option<Arc<str>>,
    /// Milliseconds; -1 means "as before".
    pub rebalance_timeout_ms: i32,
    /// Names.
    pub topic_names: Option<BTreeSet<Arc<str>>>,
    /// Regular expression in RE2 syntax (v1); empty takes it away.
    pub topic_regex: Option<Arc<str>>,
    /// `uniform` or `range`.
    pub server_assignor: Option<Arc<str>>,
    /// What the member owns.
    pub owned: Option<TopicPartitions>,
}

/// Answer to a [`ConsumerHeartbeat`] that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// The member's id.
    pub member_id: MemberId,
    /// Its epoch, -1 or -2 after leaving.
    pub member_epoch: i32,
    /// Milliseconds to the next heartbeat.
    pub heartbeat_interval_ms: i32,
    /// What it may own, when that changed or the member said everything of itself.
    pub assignment: Option<TopicPartitions>,
}
