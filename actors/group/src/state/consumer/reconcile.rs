//! The walk of one member to the target: it gives up first, then moves to the target's epoch, then gets what
//! others have let go. Source: Kafka's `CurrentAssignmentBuilder`.

use std::cell::Cell;
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::{ConsumerImage, Context, Ledger, TimerKey, await_revocation, is_reconciled};
use crate::names::MemberId;
use crate::partitions::{OwnedPartitions, TopicPartitions};
use crate::records::{Change, CurrentValue, MemberState};
use crate::topics::TopicCatalog;

/// Moves a member as far as it can go now, writes where it is, and returns that.
///
/// `owned` is what the client says it owns, `None` when it did not say.
pub(crate) fn advance(
    id: &MemberId,
    owned: Option<&TopicPartitions>,
    has_subscription_changed: bool,
    cx: &Context<'_>,
    ledger: &mut Ledger,
) -> Arc<CurrentValue> {
    let image = &ledger.durable.consumer;
    let current = image.current(id);
    if !has_subscription_changed && is_reconciled(&current, image.target_epoch()) {
        return current;
    }
    let walk = Walk {
        id,
        image,
        current: &current,
        owned,
        topics: cx.topics,
        last_asked: Cell::new(None),
    };
    let next = walk.next(has_subscription_changed);
    if next == *current && image.currents().contains_key(id) {
        return current;
    }
    check_exclusive(id, &next, image);
    let is_classic = image
        .members()
        .get(id)
        .is_some_and(|member| member.classic.is_some());
    let next = Arc::new(next);
    ledger.write(Change::Current(id.clone(), Some(next.clone())));
    // Classic members have a timer for their next join instead.
    if !is_classic {
        match next.state {
            MemberState::UnrevokedPartitions => await_revocation(id, next.epoch, cx, ledger),
            _ => ledger.timers.cancel(&TimerKey::Rebalance(id.clone())),
        }
    }
    next
}

/// No partition is given to a member while another owns it, whatever was decided before.
fn check_exclusive(id: &MemberId, next: &CurrentValue, image: &ConsumerImage) {
    for (topic, partition, _) in next.assigned.iter() {
        let owner = image.owner(topic, partition);
        assert!(
            owner.is_none_or(|owner| owner == id),
            "partition {topic}/{partition} has one owner"
        );
    }
}

/// What the walk goes by.
struct Walk<'a> {
    id: &'a MemberId,
    image: &'a ConsumerImage,
    current: &'a CurrentValue,
    owned: Option<&'a TopicPartitions>,
    topics: &'a dyn TopicCatalog,
    /// The answer to the last [`Walk::reads`]: partitions come topic by topic.
    last_asked: Cell<Option<(TopicId, bool)>>,
}

impl Walk<'_> {
    /// True when the member reads the topic. Asked for what it owns or should, which may be far less than all
    /// that it reads.
    fn reads(&self, id: TopicId) -> bool {
        if let Some((topic, is_read)) = self.last_asked.get()
            && topic == id
        {
            return is_read;
        }
        let is_read = self
            .topics
            .by_id(id)
            .is_some_and(|topic| self.image.is_read_by(self.id, &topic.name));
        self.last_asked.set(Some((id, is_read)));
        is_read
    }

    fn next(&self, has_subscription_changed: bool) -> CurrentValue {
        let current = self.current;
        match current.state {
            MemberState::Stable if current.epoch == self.image.target_epoch() => {
                // The target is not newer, so the member asked for less than it has (or for more, and must
                // wait for the next target).
                self.unsubscribe()
            }
            MemberState::UnrevokedPartitions if self.owns_any(&current.revoking) => {
                match has_subscription_changed {
                    true => self.unsubscribe(),
                    false => current.clone(),
                }
            }
            _ => self.toward_target(),
        }
    }

    /// What the member owns. A log written by others may give a partition to two; the later record has it.
    fn assigned(&self) -> impl Iterator<Item = (TopicId, i32, i32)> {
        let all = self.current.assigned.iter();
        all.filter(|(topic, partition, _)| self.image.owner(*topic, *partition) == Some(self.id))
    }

    /// True when the client may still own one of these; it does until it says otherwise.
    fn owns_any(&self, partitions: &OwnedPartitions) -> bool {
        self.owned.is_none_or(|owned| {
            partitions
                .iter()
                .any(|(topic, partition, _)| owned.contains(topic, partition))
        })
    }

    /// Takes partitions of topics away that the member reads no more; its epoch stays.
    fn unsubscribe(&self) -> CurrentValue {
        let mut next = self.current.clone();
        next.assigned = OwnedPartitions::new();
        for (topic, partition, epoch) in self.assigned() {
            match self.reads(topic) {
                true => next.assigned.insert(topic, partition, epoch),
                false => next.revoking.insert(topic, partition, epoch),
            }
        }
        next.previous_epoch = next.epoch;
        match !next.revoking.is_empty() && self.owns_any(&next.revoking) {
            true => next.state = MemberState::UnrevokedPartitions,
            false => next.revoking = OwnedPartitions::new(),
        }
        // Nothing to take away: the record must not change for the sake of its previous epoch.
        match next.assigned == self.current.assigned && next.revoking == self.current.revoking {
            true => self.current.clone(),
            false => next,
        }
    }

    fn toward_target(&self) -> CurrentValue {
        let current = self.current;
        let target = self.image.target(self.id);
        let wanted = |topic, partition| self.reads(topic) && target.contains(topic, partition);
        let mut kept = OwnedPartitions::new();
        let mut revoking = OwnedPartitions::new();
        for (topic, partition, epoch) in self.assigned() {
            match wanted(topic, partition) {
                true => kept.insert(topic, partition, epoch),
                false => revoking.insert(topic, partition, epoch),
            }
        }
        if !revoking.is_empty() && self.owns_any(&revoking) {
            return CurrentValue {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                state: MemberState::UnrevokedPartitions,
                assigned: kept,
                revoking,
            };
        }

        let target_epoch = self.image.target_epoch();
        let mut waits = false;
        for (topic, partition) in target
            .iter()
            .filter(|(topic, partition)| wanted(*topic, *partition))
        {
            let owner = self.image.owner(topic, partition);
            if kept.contains(topic, partition) {
                continue;
            } else if owner.is_none_or(|owner| owner == self.id) {
                kept.insert(topic, partition, target_epoch);
            } else {
                waits = true;
            }
        }
        CurrentValue {
            epoch: target_epoch,
            previous_epoch: current.epoch,
            state: match waits {
                true => MemberState::UnreleasedPartitions,
                false => MemberState::Stable,
            },
            assigned: kept,
            revoking: OwnedPartitions::new(),
        }
    }
}
