//! OffsetCommit: who may commit, and what is stored.

use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};

use super::{Context, Group, Kind, Ledger};
use crate::messages::{CommitOffsets, CommittedPartition, OffsetToCommit};
use crate::names::MemberId;
use crate::records::{Change, CommittedOffset, CurrentValue, OffsetKey};
use crate::refusal::{CommitRefused, GroupRefused};
use crate::state::TimerKey;
use crate::state::classic::{ClassicGroup, ClassicState};
use crate::state::consumer::ConsumerImage;

/// First version that members of the new protocol may use.
const CONSUMER_VERSION_MIN: i16 = 9;

/// A member of a consumer group that commits with an older epoch: each partition is judged.
struct OlderEpoch {
    current: Arc<CurrentValue>,
    sent: i32,
    is_classic: bool,
}

impl OlderEpoch {
    /// The partition must be the member's, since that epoch or before.
    fn check(&self, topic: TopicId, partition: i32) -> Result<(), GroupRefused> {
        let owned = self.current.assigned.assignment_epoch(topic, partition);
        let epoch = owned.or_else(|| self.current.revoking.assignment_epoch(topic, partition));
        match epoch {
            Some(epoch) if epoch <= self.sent => Ok(()),
            _ => Err(GroupRefused::StaleMemberEpoch {
                sent: self.sent,
                current: epoch.unwrap_or(self.current.epoch),
                is_classic: self.is_classic,
            }),
        }
    }
}

impl Group {
    /// Stores offsets; the whole request is refused, or each partition is judged on its own.
    pub(in crate::state) fn commit_offsets(
        &mut self,
        request: &CommitOffsets,
        cx: &Context<'_>,
    ) -> Result<Vec<CommittedPartition>, GroupRefused> {
        let older = self.check_committer(request)?;
        let resolved: Vec<Option<TopicId>> = request
            .offsets
            .iter()
            .map(|offset| find(offset, cx))
            .collect();
        if let Some(older) = older {
            // One stale partition fails the whole commit.
            for (offset, topic) in request.offsets.iter().zip(&resolved) {
                older.check(topic.unwrap_or(offset.topic_id), offset.key.partition)?;
            }
        }
        if let Kind::Classic(classic) = &self.kind {
            renew_committer(classic, &request.member_id, cx, &mut self.ledger);
        }
        let mut answers = Vec::with_capacity(request.offsets.len());
        for (offset, topic) in request.offsets.iter().zip(resolved) {
            let result = check_partition(offset, topic, cx);
            if let Ok(topic_id) = result {
                let value = committed(offset, topic_id, request, cx);
                self.ledger
                    .write(Change::Offset(offset.key.clone(), Some(value)));
            }
            answers.push(CommittedPartition {
                key: offset.key.clone(),
                result: result.map(drop),
            });
        }
        Ok(answers)
    }

    fn check_committer(&self, request: &CommitOffsets) -> Result<Option<OlderEpoch>, GroupRefused> {
        if !self.exists() {
            return match request.generation < 0 {
                // A consumer that assigns partitions to itself: the group is what it commits.
                true => Ok(None),
                false if request.version >= CONSUMER_VERSION_MIN => Err(GroupRefused::UnknownGroup),
                false => Err(GroupRefused::IllegalGeneration {
                    sent: request.generation,
                    current: -1,
                }),
            };
        }
        match &self.kind {
            Kind::Classic(classic) => check_classic(classic, request).map(|()| None),
            Kind::Consumer(_) => check_consumer(&self.ledger.durable.consumer, request),
        }
    }
}

fn check_classic(group: &ClassicGroup, request: &CommitOffsets) -> Result<(), GroupRefused> {
    let is_empty = group.state == ClassicState::Empty;
    if request.generation < 0 && is_empty {
        return Ok(());
    }
    if request.generation < 0 && request.member_id.is_empty() && request.instance_id.is_none() {
        // A stranger must not move the offsets of a group that has members.
        return Err(GroupRefused::unknown_member(&request.member_id));
    }
    group.check_member(&request.member_id, request.instance_id.as_ref())?;
    group.check_generation(request.generation)?;
    match group.state {
        ClassicState::CompletingRebalance => Err(GroupRefused::RebalanceInProgress),
        // While the group prepares a rebalance members still commit what they have read.
        _ => Ok(()),
    }
}

fn check_consumer(
    image: &ConsumerImage,
    request: &CommitOffsets,
) -> Result<Option<OlderEpoch>, GroupRefused> {
    if request.generation < 0 && image.members().is_empty() {
        return Ok(None);
    }
    let id = &request.member_id;
    let Some(member) = image.members().get(id) else {
        return Err(GroupRefused::unknown_member(id));
    };
    let is_classic = member.classic.is_some();
    if !is_classic && request.version < CONSUMER_VERSION_MIN {
        return Err(GroupRefused::UnsupportedVersion);
    }
    let current = image.current(id);
    let sent = request.generation;
    if sent == current.epoch {
        return Ok(None);
    }
    if sent > current.epoch {
        return Err(GroupRefused::StaleMemberEpoch {
            sent,
            current: current.epoch,
            is_classic,
        });
    }
    Ok(Some(OlderEpoch {
        current,
        sent,
        is_classic,
    }))
}

/// Commits keep a classic member alive, as heartbeats do.
fn renew_committer(group: &ClassicGroup, id: &MemberId, cx: &Context<'_>, ledger: &mut Ledger) {
    if let Some(member) = group.members.get(id) {
        let at_ms = cx.now.tick_ms + i64::from(member.session_timeout_ms);
        ledger.timers.set(TimerKey::Session(id.clone()), at_ms, 0);
    }
}

/// Id of the partition's topic, `None` when the partition does not exist.
fn find(offset: &OffsetToCommit, cx: &Context<'_>) -> Option<TopicId> {
    let OffsetKey { topic, partition } = &offset.key;
    let topic = cx.topics.by_name(topic)?;
    let is_meant = offset.topic_id.is_zero() || offset.topic_id == topic.id;
    (is_meant && (0..topic.partition_count).contains(partition)).then_some(topic.id)
}

fn check_partition(
    offset: &OffsetToCommit,
    topic: Option<TopicId>,
    cx: &Context<'_>,
) -> Result<TopicId, CommitRefused> {
    let topic = topic.ok_or(CommitRefused::UnknownPartition)?;
    let bytes = offset
        .metadata
        .as_ref()
        .map_or(0, |metadata| metadata.len());
    let bytes_max = cx.config.offset_metadata_bytes_max;
    match bytes > bytes_max {
        true => Err(CommitRefused::MetadataTooLarge { bytes, bytes_max }),
        false => Ok(topic),
    }
}

fn committed(
    offset: &OffsetToCommit,
    topic_id: TopicId,
    request: &CommitOffsets,
    cx: &Context<'_>,
) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(offset.offset),
        leader_epoch: LeaderEpoch(offset.leader_epoch),
        metadata: offset.metadata.clone().unwrap_or_default(),
        commit_ms: cx.now.wall_ms,
        expire_ms: match request.retention_ms {
            negative if negative < 0 => -1,
            given_ms => cx.now.wall_ms.saturating_add(given_ms),
        },
        topic_id,
    }
}
