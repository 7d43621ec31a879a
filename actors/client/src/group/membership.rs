//! What a member says in its heartbeats and what it learns from them; nothing of records and offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, EPOCH_JOIN, EPOCH_LEAVE,
    EPOCH_LEAVE_STATIC, TopicPartitions,
};
use tokio::time::Instant;

use super::GroupOptions;
use crate::cluster::Client;
use crate::error::ClientError;

/// Heartbeats before the broker has named its interval.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// Partitions by topic.
pub(super) type Owned = BTreeMap<TopicId, BTreeSet<i32>>;

/// A heartbeat to be sent.
pub(super) type Beat = ConsumerGroupHeartbeatRequest;

/// Membership in a group.
#[derive(Debug)]
pub(super) struct Membership {
    group: String,
    topics: Vec<String>,
    instance_id: Option<String>,
    assignor: Option<String>,
    rebalance_timeout_ms: i32,
    /// Made here: a member keeps it for as long as it lives. Source: KIP-1082.
    member_id: String,
    epoch: i32,
    /// What the last heartbeat said of partitions; only changes are said again.
    said: Option<Owned>,
    target: BTreeSet<(TopicId, i32)>,
    interval: Duration,
    beat_at: Instant,
}

impl Membership {
    pub(super) fn new(options: &GroupOptions) -> Self {
        let rebalance_timeout_ms = options.rebalance_timeout.as_millis();
        Self {
            group: options.group.clone(),
            topics: options.topics.clone(),
            instance_id: options.instance_id.clone(),
            assignor: options.assignor.clone(),
            rebalance_timeout_ms: i32::try_from(rebalance_timeout_ms).unwrap_or(i32::MAX),
            member_id: TopicId::random().to_string(),
            epoch: EPOCH_JOIN,
            said: None,
            target: BTreeSet::new(),
            interval: INTERVAL_DEFAULT,
            beat_at: Instant::now(),
        }
    }

    pub(super) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// When the next heartbeat is due.
    pub(super) fn beat_at(&self) -> Instant {
        self.beat_at
    }

    /// The next heartbeat of a member that owns these partitions; without them it says nothing of any.
    pub(super) fn beat(&mut self, owned: Option<&Owned>) -> Beat {
        let is_join = self.epoch == EPOCH_JOIN;
        let owned = owned.filter(|owned| is_join || self.said.as_ref() != Some(owned));
        if let Some(owned) = owned {
            self.said = Some(owned.clone());
        }
        let partitions = owned.map(|owned| {
            let topics = owned.iter().map(|(topic_id, partitions)| TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            });
            topics.collect()
        });
        Beat {
            group_id: self.group.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rack_id: None,
            rebalance_timeout_ms: if is_join {
                self.rebalance_timeout_ms
            } else {
                -1
            },
            subscribed_topic_names: is_join.then(|| self.topics.clone()),
            subscribed_topic_regex: None,
            server_assignor: self.assignor.clone().filter(|_| is_join),
            topic_partitions: partitions,
        }
    }

    /// The last heartbeat; none where the member is in no group.
    pub(super) fn leaving(&mut self) -> Option<Beat> {
        if !self.is_member() {
            return None;
        }
        self.epoch = match self.instance_id {
            Some(_) => EPOCH_LEAVE_STATIC,
            None => EPOCH_LEAVE,
        };
        Some(self.beat(None))
    }

    /// Takes in an answer. It names partitions only when they have changed, so they are kept.
    pub(super) fn learn(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        self.epoch = answer.member_epoch;
        if let Some(id) = answer.member_id.as_ref().filter(|id| !id.is_empty()) {
            self.member_id.clone_from(id);
        }
        if let Ok(interval_ms @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            self.interval = Duration::from_millis(interval_ms);
        }
        self.beat_at = Instant::now() + self.interval;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            let partitions =
                topics.flat_map(|of| of.partitions.iter().map(|index| (of.topic_id, *index)));
            self.target = partitions.collect();
        }
    }

    /// The partitions that the member shall own.
    pub(super) fn target(&self) -> &BTreeSet<(TopicId, i32)> {
        &self.target
    }

    /// What is owned has changed: the group hears of it at once.
    pub(super) fn acknowledge(&mut self) {
        self.beat_at = Instant::now();
    }

    /// False before it has joined, and after the group has given it up.
    pub(super) fn is_member(&self) -> bool {
        self.epoch > EPOCH_JOIN
    }

    /// The group has given the member up; it joins again.
    pub(super) fn fenced(&mut self) {
        self.epoch = EPOCH_JOIN;
        self.said = None;
        self.target.clear();
        self.beat_at = Instant::now();
    }
}

/// Whether the group goes on without the member that was told this.
pub(super) fn is_fenced(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound
        )
    )
}

/// Sends a heartbeat to the coordinator of the group.
pub(super) async fn send(
    client: &Client,
    options: &GroupOptions,
    beat: &Beat,
) -> Result<ConsumerGroupHeartbeatResponse, ClientError> {
    let group = &options.group;
    client
        .at_coordinator(group, async |connection| {
            let answer = connection.call(beat).await?;
            let message = answer.error_message.as_deref();
            let what = || format!("membership in group {group}");
            ClientError::check(answer.error_code, message, what)?;
            Ok(answer)
        })
        .await
}
