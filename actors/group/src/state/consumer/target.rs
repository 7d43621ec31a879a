//! The target assignment: which member should own what, for one group epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::{ConsumerImage, ConsumerSoft, Context, Ledger};
use crate::assignors::{Assignor, GroupSpec, MemberSpec};
use crate::names::MemberId;
use crate::partitions::TopicPartitions;
use crate::records::{Change, MemberValue, RegexValue, TargetEpochValue};
use crate::topics::TopicCatalog;

/// Targets that differ from those before, by member.
pub(crate) type ComputedTargets = Vec<(MemberId, TopicPartitions)>;

/// What a target is computed from, as it was at one moment. It shares its values with the state, so that a large
/// one can be computed on another thread while the group goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct AssignmentJob {
    /// Group epoch that the target is for.
    epoch: i32,
    members: BTreeMap<MemberId, JobMember>,
    regexes: BTreeMap<Arc<str>, Arc<RegexValue>>,
}

#[derive(Debug, PartialEq, Eq)]
struct JobMember {
    value: Arc<MemberValue>,
    /// `None` before the first.
    target: Option<Arc<TopicPartitions>>,
}

impl ConsumerSoft {
    /// Computes a new target, or has it computed, when the group epoch has passed the last one and the interval
    /// allows it. Until a large one is there members go by the one before, as in the interval.
    pub(crate) fn update_target(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        let image = &ledger.durable.consumer;
        let is_behind = image.group_epoch() > image.target_epoch();
        if self.assigning.is_some() || !is_behind || !is_due(image, cx) {
            return;
        }
        let job = AssignmentJob::of(image);
        if job.is_within(cx.config.assignment_steps_max, cx.topics) {
            write(job.epoch, job.compute(cx.topics), cx, ledger);
        } else {
            let job = Arc::new(job);
            self.assigning = Some(job.clone());
            self.to_assign = Some(job);
        }
    }

    /// Takes a target that was computed elsewhere; `None` when that failed. One that nobody waits for, because
    /// the changes that asked for it were undone, has no effect.
    pub(crate) fn target_computed(
        &mut self,
        job: &Arc<AssignmentJob>,
        targets: Option<ComputedTargets>,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        let is_awaited = self
            .assigning
            .as_ref()
            .is_some_and(|awaited| Arc::ptr_eq(awaited, job));
        if !is_awaited {
            return;
        }
        self.assigning = None;
        let image = &ledger.durable.consumer;
        let is_here = |id: &MemberId| image.members().contains_key(id);
        // A static member that came back under another id meanwhile has raised no epoch and took the old target
        // with it, to an id that may even be another member's: the next heartbeat asks again. Who joined has no
        // target yet, and who left has raised the epoch.
        let is_last = image.group_epoch() == job.epoch;
        let is_as_before = |(id, target): (&MemberId, &Arc<TopicPartitions>)| {
            let member = job.members.get(id);
            member.is_some_and(|member| member.target.as_ref() == Some(target))
        };
        let is_valid = image.targets().iter().all(is_as_before)
            && (!is_last || job.members.keys().all(is_here));
        let Some(mut targets) = targets.filter(|_| is_valid) else {
            return;
        };
        targets.retain(|(id, _)| is_here(id));
        write(job.epoch, targets, cx, ledger);
    }
}

fn write(epoch: i32, targets: ComputedTargets, cx: &Context<'_>, ledger: &mut Ledger) {
    for (id, target) in targets {
        ledger.write(Change::Target(id, Some(Arc::new(target))));
    }
    ledger.write(Change::TargetEpoch(Some(TargetEpochValue {
        epoch,
        computed_ms: cx.now.wall_ms,
    })));
}

impl AssignmentJob {
    fn of(image: &ConsumerImage) -> Self {
        let member = |(id, value): (&MemberId, &Arc<MemberValue>)| {
            let target = image.targets().get(id).cloned();
            let value = value.clone();
            (id.clone(), JobMember { value, target })
        };
        Self {
            epoch: image.group_epoch(),
            members: image.members().iter().map(member).collect(),
            regexes: image.regexes().clone(),
        }
    }

    /// True when members, what they read and the partitions of that are no more than `steps_max` together.
    fn is_within(&self, steps_max: usize, topics: &dyn TopicCatalog) -> bool {
        let mut left = steps_max;
        let mut names = BTreeSet::new();
        for member in self.members.values() {
            let found = self.found(&member.value);
            let topic_count = found.map_or(0, |value| value.topics.len());
            let steps = 1 + member.value.topic_names.len() + topic_count;
            match left.checked_sub(steps) {
                Some(rest) => left = rest,
                None => return false,
            }
            names.extend(self.names(&member.value));
        }
        let partition_counts = names
            .into_iter()
            .filter_map(|name| topics.by_name(name))
            .map(|topic| usize::try_from(topic.partition_count).unwrap_or(0));
        partition_counts.sum::<usize>() <= left
    }

    /// The targets that change.
    pub(crate) fn compute(&self, topics: &dyn TopicCatalog) -> ComputedTargets {
        let assignor = assignor(self.members.values().map(|member| &member.value));
        let mut targets = assignor.assign(&self.spec(topics)).into_iter();
        let mut changed = Vec::new();
        // Both are in the order of ids.
        for (id, member) in &self.members {
            let target = targets.next().filter(|(owner, _)| owner == id);
            let (id, target) = target.expect("an assignor answers for every member");
            if member.target.as_deref() != Some(&target) {
                changed.push((id, target));
            }
        }
        changed
    }

    fn found(&self, member: &MemberValue) -> Option<&RegexValue> {
        let regex = member.regex()?;
        self.regexes.get(regex).map(|value| &**value)
    }

    /// All that a member reads, some names twice.
    fn names<'a>(&'a self, member: &'a MemberValue) -> impl Iterator<Item = &'a Arc<str>> {
        let by_regex = self.found(member).into_iter();
        let by_regex = by_regex.flat_map(|value| value.topics.iter());
        member.topic_names.iter().chain(by_regex)
    }

    fn spec(&self, topics: &dyn TopicCatalog) -> GroupSpec {
        let mut spec = GroupSpec::default();
        // Members of one application say the same: each subscription is looked up once.
        let mut known: BTreeMap<_, Arc<BTreeSet<TopicId>>> = BTreeMap::new();
        for (id, member) in &self.members {
            let subscription = (&member.value.topic_names, member.value.regex());
            let ids = known.entry(subscription).or_insert_with(|| {
                let mut ids = BTreeSet::new();
                let found = self.names(&member.value);
                for topic in found.filter_map(|name| topics.by_name(name)) {
                    spec.partition_counts
                        .insert(topic.id, topic.partition_count);
                    ids.insert(topic.id);
                }
                Arc::new(ids)
            });
            spec.members.insert(
                id.clone(),
                MemberSpec {
                    instance_id: member.value.instance_id.clone(),
                    topics: ids.clone(),
                    target: member.target.clone().unwrap_or_default(),
                },
            );
        }
        spec
    }
}

fn is_due(image: &ConsumerImage, cx: &Context<'_>) -> bool {
    let last_ms = image.target_computed_ms();
    let age_ms = cx.now.wall_ms - last_ms;
    let interval_ms = i64::from(cx.config.consumer_assignment_interval_ms);
    // A clock that was set back does not stop the group.
    last_ms == 0 || !(0..interval_ms).contains(&age_ms)
}

/// What most members ask for; uniform when nobody does.
pub(crate) fn assignor<'a>(members: impl Iterator<Item = &'a Arc<MemberValue>>) -> Assignor {
    let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
    for member in members {
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
