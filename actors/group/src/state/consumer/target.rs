//! The target assignment: which member should own what, for one group epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::{ConsumerImage, Context, Ledger};
use crate::assignors::{Assignor, GroupSpec, MemberSpec};
use crate::names::MemberId;
use crate::records::{Change, TargetEpochValue};
use crate::topics::TopicCatalog;

/// Computes a new target when the group epoch has passed the last one and the interval allows it (V7). Only
/// what differs is written.
pub(crate) fn update(cx: &Context<'_>, ledger: &mut Ledger) {
    let image = &ledger.durable.consumer;
    let epoch = image.group_epoch();
    if epoch <= image.target_epoch() || !is_due(image, cx) {
        return;
    }
    let targets = assignor(image).assign(&spec(image, cx.topics));
    for (id, target) in targets {
        let old = ledger.durable.consumer.targets().get(&id);
        if old.is_none_or(|old| **old != target) {
            ledger.write(Change::Target(id, Some(Arc::new(target))));
        }
    }
    ledger.write(Change::TargetEpoch(Some(TargetEpochValue {
        epoch,
        computed_ms: cx.now.wall_ms,
    })));
}

fn is_due(image: &ConsumerImage, cx: &Context<'_>) -> bool {
    let last_ms = image.target_computed_ms();
    let age_ms = cx.now.wall_ms - last_ms;
    let interval_ms = i64::from(cx.config.consumer_assignment_interval_ms);
    // A clock that was set back does not stop the group.
    last_ms == 0 || !(0..interval_ms).contains(&age_ms)
}

/// What most members ask for; uniform when nobody does.
pub(crate) fn assignor(image: &ConsumerImage) -> Assignor {
    let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
    for member in image.members().values() {
        let asked = member
            .server_assignor
            .as_deref()
            .and_then(Assignor::by_name);
        if let Some(assignor) = asked {
            *votes.entry(assignor).or_default() += 1;
        }
    }
    let winner = votes.into_iter().rev().max_by_key(|(_, count)| *count);
    winner.map_or(Assignor::default(), |(assignor, _)| assignor)
}

fn spec(image: &ConsumerImage, topics: &dyn TopicCatalog) -> GroupSpec {
    let mut spec = GroupSpec::default();
    // Members of one application say the same: each subscription is looked up once.
    let mut known = BTreeMap::new();
    for (id, member) in image.members() {
        let subscription = (&member.topic_names, member.regex());
        let ids: &Arc<BTreeSet<TopicId>> = known.entry(subscription).or_insert_with(|| {
            Arc::new(subscribed_ids(
                id,
                image,
                topics,
                &mut spec.partition_counts,
            ))
        });
        spec.members.insert(
            id.clone(),
            MemberSpec {
                instance_id: member.instance_id.clone(),
                topics: ids.clone(),
                target: image.target(id),
            },
        );
    }
    spec
}

/// Ids of the existing topics that a member reads, with their partition counts.
pub(super) fn subscribed_ids(
    id: &MemberId,
    image: &ConsumerImage,
    topics: &dyn TopicCatalog,
    partition_counts: &mut BTreeMap<TopicId, i32>,
) -> BTreeSet<TopicId> {
    let Some(member) = image.members().get(id) else {
        return BTreeSet::new();
    };
    let found = member.regex().and_then(|regex| image.regexes().get(regex));
    let by_regex = found.iter().flat_map(|value| value.topics.iter());
    let names = member.topic_names.iter().chain(by_regex);
    let mut ids = BTreeSet::new();
    for topic in names.filter_map(|name| topics.by_name(name)) {
        partition_counts.insert(topic.id, topic.partition_count);
        ids.insert(topic.id);
    }
    ids
}
