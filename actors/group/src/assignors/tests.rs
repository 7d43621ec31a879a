//! Tables and properties of the assignors.

use proptest::prelude::*;

use super::*;

fn topic(number: u8) -> TopicId {
    TopicId([number; 16])
}

fn member(topics: &[u8]) -> MemberSpec {
    MemberSpec {
        topics: Arc::new(topics.iter().copied().map(topic).collect()),
        ..MemberSpec::default()
    }
}

fn spec(counts: &[(u8, i32)], members: &[(&str, MemberSpec)]) -> GroupSpec {
    GroupSpec {
        members: members
            .iter()
            .map(|(id, member)| (MemberId::new(id), member.clone()))
            .collect(),
        partition_counts: counts
            .iter()
            .map(|(number, count)| (topic(*number), *count))
            .collect(),
    }
}

/// `a: 1/0 1/1; b: 2/0`
fn print(targets: &Targets) -> String {
    let line = |(id, target): (&MemberId, &TopicPartitions)| {
        let partitions: Vec<String> = target
            .iter()
            .map(|(topic, partition)| format!("{}/{partition}", topic.0[0]))
            .collect();
        format!("{id}: {}", partitions.join(" "))
    };
    targets.iter().map(line).collect::<Vec<_>>().join("; ")
}

fn next(spec: &GroupSpec, targets: Targets) -> GroupSpec {
    let mut spec = spec.clone();
    for (id, target) in targets {
        if let Some(member) = spec.members.get_mut(&id) {
            member.target = Arc::new(target);
        }
    }
    spec
}

#[test]
fn range_gives_the_same_numbers_of_all_topics_to_a_member() {
    let spec = spec(
        &[(1, 3), (2, 3)],
        &[("a", member(&[1, 2])), ("b", member(&[1, 2]))],
    );
    let targets = Assignor::Range.assign(&spec);
    assert_eq!(print(&targets), "a: 1/0 1/1 2/0 2/1; b: 1/2 2/2");
}

#[test]
fn range_counts_the_subscribers_of_each_topic() {
    let spec = spec(
        &[(1, 3), (2, 4)],
        &[
            ("a", member(&[1])),
            ("b", member(&[1, 2])),
            ("c", member(&[2])),
        ],
    );
    let targets = Assignor::Range.assign(&spec);
    assert_eq!(print(&targets), "a: 1/0 1/1; b: 1/2 2/0 2/1; c: 2/2 2/3");
}

#[test]
fn range_orders_static_members_by_instance_id_before_the_others() {
    let of_instance = |name: &str| MemberSpec {
        instance_id: Some(InstanceId::new(name)),
        ..member(&[1])
    };
    let spec = spec(
        &[(1, 3)],
        &[
            ("a", member(&[1])),
            ("x", of_instance("i2")),
            ("y", of_instance("i1")),
        ],
    );
    let targets = Assignor::Range.assign(&spec);
    assert_eq!(print(&targets), "a: 1/2; x: 1/1; y: 1/0");
}

#[test]
fn uniform_moves_only_what_balance_needs() {
    let one = spec(&[(1, 6)], &[("b", member(&[1]))]);
    let alone = Assignor::Uniform.assign(&one);
    assert_eq!(print(&alone), "b: 1/0 1/1 1/2 1/3 1/4 1/5");

    let mut two = next(&one, alone);
    two.members.insert(MemberId::new("a"), member(&[1]));
    let both = Assignor::Uniform.assign(&two);
    assert_eq!(print(&both), "a: 1/3 1/4 1/5; b: 1/0 1/1 1/2");

    let mut three = next(&two, both);
    three.members.insert(MemberId::new("c"), member(&[1]));
    let all = Assignor::Uniform.assign(&three);
    assert_eq!(print(&all), "a: 1/3 1/4; b: 1/0 1/1; c: 1/2 1/5");

    let mut left = next(&three, all);
    left.members.remove("b");
    assert_eq!(
        print(&Assignor::Uniform.assign(&left)),
        "a: 1/0 1/3 1/4; c: 1/1 1/2 1/5"
    );
}

#[test]
fn uniform_gives_the_odd_partition_to_who_has_it() {
    let mut odd = spec(&[(1, 3)], &[("a", member(&[1])), ("b", member(&[1]))]);
    let owner = |partitions: &[i32]| {
        Arc::new(
            partitions
                .iter()
                .map(|partition| (topic(1), *partition))
                .collect(),
        )
    };
    odd.members.get_mut("a").unwrap().target = owner(&[0]);
    odd.members.get_mut("b").unwrap().target = owner(&[1, 2]);
    assert_eq!(print(&Assignor::Uniform.assign(&odd)), "a: 1/0; b: 1/1 1/2");
}

#[test]
fn uniform_balances_members_that_want_different_topics() {
    let spec = spec(
        &[(1, 4), (2, 2)],
        &[
            ("a", member(&[1])),
            ("b", member(&[1, 2])),
            ("c", member(&[2])),
        ],
    );
    let targets = Assignor::Uniform.assign(&spec);
    assert_eq!(print(&targets), "a: 1/0 1/2; b: 1/1 1/3; c: 2/0 2/1");
}

#[test]
fn topics_that_do_not_exist_and_targets_that_clash_do_no_harm() {
    let mut odd = spec(&[(1, 2)], &[("a", member(&[1, 9])), ("b", member(&[1, 9]))]);
    let both: Arc<TopicPartitions> = Arc::new(
        [(topic(1), 0), (topic(1), 7), (topic(9), 0)]
            .into_iter()
            .collect(),
    );
    for member in odd.members.values_mut() {
        member.target = both.clone();
    }
    for assignor in [Assignor::Uniform, Assignor::Range] {
        assert_eq!(print(&assignor.assign(&odd)), "a: 1/0; b: 1/1");
    }
    assert_eq!(print(&Assignor::Uniform.assign(&GroupSpec::default())), "");
}

/// Up to six members with subscriptions over up to four topics, and anything for their current targets.
fn any_spec() -> impl Strategy<Value = GroupSpec> {
    let counts = prop::collection::vec(0..9i32, 1..5);
    let members = prop::collection::vec(
        (
            prop::collection::btree_set(1..6u8, 0..5),
            prop::collection::vec((1..6u8, 0..10i32), 0..12),
            prop::option::of("[a-c]"),
        ),
        0..7,
    );
    (counts, members).prop_map(|(counts, members)| {
        let mut spec = GroupSpec::default();
        for (number, count) in (1u8..).zip(counts) {
            spec.partition_counts.insert(topic(number), count);
        }
        for (number, (topics, target, instance)) in members.into_iter().enumerate() {
            let member = MemberSpec {
                instance_id: instance.map(|name| InstanceId::new(&format!("{name}{number}"))),
                topics: Arc::new(topics.into_iter().map(topic).collect()),
                target: Arc::new(target.into_iter().map(|(t, p)| (topic(t), p)).collect()),
            };
            spec.members
                .insert(MemberId::new(&format!("m{number}")), member);
        }
        spec
    })
}

/// Every partition of a subscribed topic has one owner, and that owner is subscribed.
fn check_complete(spec: &GroupSpec, targets: &Targets) -> Result<(), TestCaseError> {
    let mut owners = BTreeMap::new();
    for (id, target) in targets {
        let member = &spec.members[id];
        for (topic, partition) in target.iter() {
            prop_assert!(spec.may_own(member, topic, partition));
            prop_assert_eq!(
                owners.insert((topic, partition), id),
                None,
                "one owner per partition"
            );
        }
    }
    for (topic, count) in &spec.partition_counts {
        let is_wanted = spec
            .members
            .values()
            .any(|member| member.topics.contains(topic));
        for partition in 0..*count {
            prop_assert_eq!(owners.contains_key(&(*topic, partition)), is_wanted);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_partition_has_one_subscribed_owner(spec in any_spec()) {
        for assignor in [Assignor::Uniform, Assignor::Range] {
            check_complete(&spec, &assignor.assign(&spec))?;
        }
    }

    #[test]
    fn uniform_leaves_no_partition_that_a_member_with_two_fewer_wants(spec in any_spec()) {
        let targets = Assignor::Uniform.assign(&spec);
        for target in targets.values() {
            for (topic, _) in target.iter() {
                for (id, other) in &targets {
                    if spec.members[id].topics.contains(&topic) {
                        prop_assert!(target.len() <= other.len() + 1, "{}", print(&targets));
                    }
                }
            }
        }
    }

    #[test]
    fn uniform_is_stable_when_nothing_changes(spec in any_spec()) {
        let targets = Assignor::Uniform.assign(&spec);
        let again = Assignor::Uniform.assign(&next(&spec, targets.clone()));
        prop_assert_eq!(again, targets);
    }

    #[test]
    fn members_that_share_their_subscription_get_the_same(spec in any_spec()) {
        let mut known = BTreeMap::new();
        let mut shared = spec.clone();
        for member in shared.members.values_mut() {
            let topics = member.topics.clone();
            member.topics = known.entry(topics.clone()).or_insert(topics).clone();
        }
        for assignor in [Assignor::Uniform, Assignor::Range] {
            prop_assert_eq!(assignor.assign(&shared), assignor.assign(&spec));
        }
    }

    #[test]
    fn range_runs_are_neighbours(spec in any_spec()) {
        for target in Assignor::Range.assign(&spec).values() {
            for (_, partitions) in target.topics() {
                let first = partitions.first().copied().unwrap_or(0);
                let run: Vec<i32> = (first..).take(partitions.len()).collect();
                prop_assert!(partitions.iter().copied().eq(run));
            }
        }
    }
}
