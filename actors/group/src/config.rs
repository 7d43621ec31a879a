//! The settings that groups are judged by, with Kafka's defaults. The shell fills them from the broker's
//! configuration and, where a group has overrides, from its own.

/// Which online changes of protocol are allowed. Source: `group.consumer.migration.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// A classic group becomes a consumer group when a consumer of the new protocol joins.
    Upgrade,
    /// A consumer group becomes a classic group when its last member of the new protocol leaves.
    Downgrade,
    /// Both ways.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// True when a classic group may become a consumer group.
    pub const fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// True when a consumer group may become a classic group.
    pub const fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// Limits and times; milliseconds where the name says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub classic_size_max: usize,
    /// How long a new member's parked Join may wait; Kafka's five minutes.
    pub new_member_join_timeout_ms: i32,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub consumer_size_max: usize,
    /// `group.consumer.assignment.interval.ms`: a target is computed at most so often.
    pub consumer_assignment_interval_ms: i32,
    /// A target that takes more steps (members, topics that each reads, partitions) is computed beside the
    /// group's thread: so many take half a millisecond.
    pub assignment_steps_max: usize,
    /// How old a resolved regular expression may get; Kafka's `group.consumer.regex.refresh.interval.ms`.
    pub consumer_regex_refresh_ms: i64,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// Most bytes of protocols, names and expressions that one member may bring. Kafka has no such bound
    /// but the request's; 1 MiB holds a subscription to 10,000 topics.
    pub member_bytes_max: usize,
    /// Most bytes that the members of one group may bring together: what one hostile group can hold of the
    /// node's memory, and what one assignment has to look up. Enough for 10,000 members of 1 KiB.
    pub group_bytes_max: usize,
    /// Records of one append end here; `segment.bytes` and `max.message.bytes` bound it from above.
    pub append_bytes_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            classic_size_max: i32::MAX as usize,
            new_member_join_timeout_ms: 300_000,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_size_max: i32::MAX as usize,
            consumer_assignment_interval_ms: 1_000,
            assignment_steps_max: 2_000,
            consumer_regex_refresh_ms: 600_000,
            migration_policy: MigrationPolicy::Bidirectional,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            member_bytes_max: MIB,
            group_bytes_max: 16 * MIB,
            append_bytes_max: MIB / 2,
        }
    }
}
