//! The uniform assignor where members want different topics: no partition could move to a member with two
//! fewer.
//!
//! Members keep what they have, free partitions go to the subscriber with the least, then partitions move
//! from the most to the least loaded subscriber of their topic while that makes the two more alike. Each
//! such move lowers the sum of squared loads, so it ends. Kafka's `UniformHeterogeneousAssignmentBuilder`
//! promises the same balance by another road.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kabuki_protocol::ids::TopicId;

use super::{GroupSpec, Targets};
use crate::names::MemberId;
use crate::partitions::TopicPartitions;

/// Passes over all topics. Ten are far more than balance takes in practice; a group that is built to need
/// more gets a complete, slightly uneven assignment in bounded time.
const PASS_COUNT_MAX: usize = 10;

/// Members are numbered in order of their ids, so that loads and owners are plain vectors.
struct Balance<'a> {
    ids: Vec<&'a MemberId>,
    loads: Vec<usize>,
    /// Members with the same subscription are a class: thousands with one expression have one list of topics.
    class_of: Vec<usize>,
    /// Per class: its members in order of their loads.
    by_load: Vec<BTreeSet<(usize, usize)>>,
    /// Classes that want the topic.
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    /// Per topic, per subscriber: what it owns.
    owned: BTreeMap<TopicId, BTreeMap<usize, BTreeSet<i32>>>,
}

pub(super) fn assign(spec: &GroupSpec) -> Targets {
    let mut balance = Balance {
        ids: spec.members.keys().collect(),
        loads: vec![0; spec.members.len()],
        class_of: Vec::with_capacity(spec.members.len()),
        by_load: Vec::new(),
        subscribers: BTreeMap::new(),
        owned: BTreeMap::new(),
    };
    let (class_of, classes) = spec.classes();
    balance.class_of = class_of;
    for (class, topics) in classes.into_iter().enumerate() {
        balance.by_load.push(BTreeSet::new());
        for topic in topics.iter() {
            balance.subscribers.entry(*topic).or_default().push(class);
        }
    }
    for (number, class) in balance.class_of.iter().enumerate() {
        balance.by_load[*class].insert((0, number));
    }
    let mut taken = HashSet::new();
    for (number, member) in spec.members.values().enumerate() {
        for (topic, partition) in member.target.iter() {
            if spec.may_own(member, topic, partition) && taken.insert((topic, partition)) {
                balance.give(topic, partition, number);
            }
        }
    }

    // Topics with few subscribers first: their partitions have the least choice.
    let mut topics: Vec<TopicId> = balance.subscribers.keys().copied().collect();
    topics.sort_by_key(|topic| (balance.subscriber_count(*topic), *topic));
    for topic in &topics {
        for partition in 0..spec.partition_count(*topic) {
            if !taken.contains(&(*topic, partition)) {
                let number = balance.least_loaded(*topic);
                balance.give(*topic, partition, number);
            }
        }
    }
    for _ in 0..PASS_COUNT_MAX {
        let mut moved = false;
        for topic in &topics {
            moved |= balance.even_out(*topic);
        }
        if !moved {
            break;
        }
    }
    balance.into_targets()
}

impl Balance<'_> {
    fn give(&mut self, topic: TopicId, partition: i32, number: usize) {
        self.load(number, self.loads[number] + 1);
        let owners = self.owned.entry(topic).or_default();
        owners.entry(number).or_default().insert(partition);
    }

    fn load(&mut self, number: usize, load: usize) {
        let class = &mut self.by_load[self.class_of[number]];
        class.remove(&(self.loads[number], number));
        class.insert((load, number));
        self.loads[number] = load;
    }

    fn subscriber_count(&self, topic: TopicId) -> usize {
        let classes = self.subscribers[&topic].iter();
        classes.map(|class| self.by_load[*class].len()).sum()
    }

    fn least_loaded(&self, topic: TopicId) -> usize {
        let classes = self.subscribers[&topic].iter();
        let least = classes
            .filter_map(|class| self.by_load[*class].first())
            .min();
        let (_, number) = least.expect("a topic is listed because a member subscribed to it");
        *number
    }

    /// Moves partitions of one topic until its subscribers are even; true when anything moved.
    fn even_out(&mut self, topic: TopicId) -> bool {
        let mut moved = false;
        loop {
            let Some(owners) = self.owned.get(&topic) else {
                return moved;
            };
            let from = owners
                .iter()
                .filter(|(_, partitions)| !partitions.is_empty())
                .map(|(number, _)| *number)
                .max_by_key(|number| (self.loads[*number], *number));
            let Some(from) = from else {
                return moved;
            };
            let to = self.least_loaded(topic);
            if self.loads[from] < self.loads[to] + 2 {
                return moved;
            }
            let partitions = self
                .owned
                .get_mut(&topic)
                .and_then(|owners| owners.get_mut(&from));
            // The highest number goes: the one that came last stays a guest.
            let Some(partition) = partitions.and_then(BTreeSet::pop_last) else {
                return moved;
            };
            self.load(from, self.loads[from] - 1);
            self.give(topic, partition, to);
            moved = true;
        }
    }

    fn into_targets(self) -> Targets {
        let mut targets = vec![TopicPartitions::new(); self.ids.len()];
        for (topic, owners) in self.owned {
            for (number, partitions) in owners {
                targets[number].set_topic(topic, partitions);
            }
        }
        self.ids.into_iter().cloned().zip(targets).collect()
    }
}
