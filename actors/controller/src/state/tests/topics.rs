//! Creating and deleting topics, adding partitions.

use kabuki_protocol::ids::{NodeId, TopicId};

use super::{Bench, new_topic, rows};
use crate::messages::{NewTopic, PartitionsWanted, TopicRef};
use crate::refusal::DeleteTopicRefused;

#[test]
fn create_topics_follows_rule_a1() {
    // Name, partitions, replication factor; three brokers, `old.name` exists.
    let table = "
        orders 3 2        | 3x2
        defaults -1 -1    | 1x1
        old.name 1 1      | topic 'old.name' already exists
        old_name 1 1      | topic 'old_name' collides with existing topic 'old.name': '.' and '_' count as equal
        old-name 1 1      | 1x1
        a/b 1 1           | topic name \"a/b\" is invalid: topic name holds '/', only a-z, A-Z, 0-9, '.', '_' and '-' are allowed
        .. 1 1            | topic name \"..\" is invalid: topic name is '.' or '..'
        __cluster_metadata 1 1 | topic '__cluster_metadata' belongs to the cluster itself and can not be created
        zero 0 1          | number of partitions must be positive or -1 for the default, not 0
        minus -2 1        | number of partitions must be positive or -1 for the default, not -2
        huge 10001 1      | 10001 partitions are more than the 10000 that are allowed
        none 1 0          | replication factor must be positive or -1 for the default, not 0
        many 1 4          | replication factor 4 is larger than the 3 broker(s) available
        both 0 0          | replication factor must be positive or -1 for the default, not 0
    ";
    let mut bench = Bench::with_brokers(3);
    bench.topic("old.name", 1, 1);
    for (asked, expected) in rows(table) {
        let words: Vec<&str> = asked.split_whitespace().collect();
        let topic = new_topic(
            words[0],
            words[1].parse().unwrap(),
            words[2].parse().unwrap(),
        );
        assert_eq!(bench.create(topic), expected, "{asked}");
    }
}

#[test]
fn assignments_by_hand_follow_rule_a1() {
    // Partition:replicas; three brokers.
    let table = "
        0:1,2 1:2,3     | 2x2
        1:1 0:2         | 2x1
        0:1 2:1         | assigned partitions must be numbered from 0 without gaps; partition 1 is missing
        0:1 0:2         | partition 0 is assigned more than once
        -1:1            | assigned partitions must be numbered from 0 without gaps; partition 0 is missing
        0:1,1           | partition 0 names broker 1 more than once
        0:9             | partition 0 names broker 9, which is not registered
        0:1,2 1:3       | partition 1 has 1 replica(s) where the others have 2
        0:              | partition 0 has an empty replica list
    ";
    let mut bench = Bench::with_brokers(3);
    for (at, (asked, expected)) in rows(table).enumerate() {
        let topic = NewTopic {
            assignments: assignments(asked),
            ..new_topic(&format!("t{at}"), -1, -1)
        };
        assert_eq!(bench.create(topic), expected, "{asked}");
    }
    for (count, factor) in [(1, -1), (-1, 1)] {
        let topic = NewTopic {
            assignments: assignments("0:1"),
            ..new_topic("counts", count, factor)
        };
        assert!(
            bench
                .create(topic)
                .contains("must be -1 when replicas are assigned by hand")
        );
    }
}

fn assignments(text: &str) -> Vec<(i32, Vec<NodeId>)> {
    let each = text.split_whitespace().map(|entry| {
        let (partition, nodes) = entry.split_once(':').unwrap();
        (partition.parse().unwrap(), nodes_of(nodes))
    });
    each.collect()
}

fn nodes_of(text: &str) -> Vec<NodeId> {
    let numbers = text.split(',').filter(|node| !node.is_empty());
    numbers.map(|node| NodeId(node.parse().unwrap())).collect()
}

#[test]
fn two_names_that_collide_only_with_each_other_are_both_created() {
    let mut bench = Bench::with_brokers(1);
    let answers = bench.create_all(&[new_topic("co.x", 1, 1), new_topic("co_x", 1, 1)]);
    assert_eq!(answers, ["1x1", "1x1"]);
    // Either of them still blocks a third, also after the other is gone.
    let decision = bench
        .metadata
        .delete_topics(&[TopicRef::Name("co.x".into())]);
    assert!(bench.take(decision)[0].is_ok());
    assert!(
        bench
            .create(new_topic("co.x", 1, 1))
            .contains("collides with existing topic 'co_x'")
    );
}

#[test]
fn a_name_that_stands_twice_is_not_created_at_all() {
    let mut bench = Bench::with_brokers(1);
    let twice = [
        new_topic("a", 1, 1),
        new_topic("b", 1, 1),
        new_topic("a", 2, 1),
    ];
    let answers = bench.create_all(&twice);
    assert!(answers[0].contains("more than once") && answers[2].contains("more than once"));
    assert_eq!(answers[1], "1x1");
    assert!(bench.metadata.image.topic("a").is_none());
}

#[test]
fn one_request_makes_ten_thousand_partitions_at_most() {
    let mut bench = Bench::with_brokers(1);
    let mut topics = ["a", "b", "c/d", "e", "e"].map(|name| new_topic(name, 5000, 1));
    topics[2].partition_count = -1;
    for validate_only in [true, false] {
        let decision = bench
            .metadata
            .create_topics(&topics, validate_only, TopicId::random);
        let told: Vec<String> = decision
            .answer
            .iter()
            .map(|answer| answer.as_ref().expect_err("too many").to_string())
            .collect();
        let all = "10001 partitions are more than the 10000 that are allowed";
        assert_eq!(told, [all; 5]);
    }
    topics[2].partition_count = 0;
    let told = bench.create_all(&topics);
    let all = "10000 partitions are more than the 9998 that are allowed";
    assert_eq!(told, [all; 5]);
    topics[1].partition_count = 4998;
    let told = bench.create_all(&topics);
    assert_eq!(told[..2], ["5000x1", "4998x1"]);
    assert!(told[4].contains("more than once"));
}

#[test]
fn validate_only_makes_all_checks_and_no_record() {
    let bench = Bench::with_brokers(1);
    let topics = [new_topic("fine", 2, 1), new_topic("bad", 1, 5)];
    let decision = bench.metadata.create_topics(&topics, true, TopicId::random);
    assert!(decision.records.is_empty());
    let [fine, bad] = <[_; 2]>::try_from(decision.answer).unwrap();
    assert_eq!(fine.unwrap().id, TopicId::ZERO);
    assert!(bad.is_err());
}

#[test]
fn bad_overrides_refuse_the_topic() {
    let table = "
        retention.ms=1000                 | 1x1
        no.such.key=1                     | unknown topic config name: no.such.key
        message.format.version=2.8        | unknown topic config name: message.format.version
        retention.ms=soon                 | invalid value \"soon\" for configuration retention.ms: is not a number of type long
        cleanup.policy=delete,compact     | 1x1
        cleanup.policy=shred              | invalid value \"shred\" for configuration cleanup.policy: must be one of delete, compact
        min.insync.replicas=0             | invalid value \"0\" for configuration min.insync.replicas: must be at least 1
        segment.bytes=100                 | invalid value \"100\" for configuration segment.bytes: must be at least 1048576
        compression.gzip.level=0          | invalid value \"0\" for configuration compression.gzip.level: must be -1 or between 1 and 9
        preallocate=yes                   | invalid value \"yes\" for configuration preallocate: must be one of true, false
        remote.storage.enable=true        | invalid value \"true\" for configuration remote.storage.enable: must be one of false
        leader.replication.throttled.replicas=0:1,1:2 | 1x1
        leader.replication.throttled.replicas=0-1 | invalid value \"0-1\" for configuration leader.replication.throttled.replicas: must be * or a list of partition:broker pairs
        min.compaction.lag.ms=9 max.compaction.lag.ms=5 | min.compaction.lag.ms = 9 contradicts max.compaction.lag.ms = 5
        retention.ms                      | configuration retention.ms has no value
    ";
    let mut bench = Bench::with_brokers(1);
    for (at, (asked, expected)) in rows(table).enumerate() {
        let pairs = asked
            .split_whitespace()
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (pair.to_owned(), None),
            });
        let topic = NewTopic {
            configs: pairs.collect(),
            ..new_topic(&format!("t{at}"), 1, 1)
        };
        assert_eq!(bench.create(topic), expected, "{asked}");
    }
}

#[test]
fn leaders_go_round_the_brokers() {
    let mut bench = Bench::with_brokers(3);
    bench.topic("a", 4, 3);
    let topic = bench.metadata.image.topic("a").unwrap();
    let lists: Vec<Vec<i32>> = topic
        .partitions
        .iter()
        .map(|partition| partition.replicas.iter().map(|node| node.get()).collect())
        .collect();
    assert_eq!(lists, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 3, 2]]);
    assert_eq!(bench.leaders("a"), "1@0 2@0 3@0 1@0");
}

#[test]
fn delete_topics_follows_rule_a2() {
    let mut bench = Bench::with_brokers(1);
    let id = bench.topic("by-id", 1, 1);
    bench.topic("by-name", 1, 1);
    bench.topic("twice", 1, 1);
    let twice_id = bench.metadata.image.topic("twice").unwrap().id;
    let name = |name: &str| TopicRef::Name(name.to_owned());
    let asked = [
        TopicRef::Id(id),
        name("by-name"),
        name("twice"),
        TopicRef::Id(twice_id),
        name("missing"),
        TopicRef::Id(TopicId([99; 16])),
    ];
    let decision = bench.metadata.delete_topics(&asked);
    let answers: Vec<Option<DeleteTopicRefused>> =
        bench.take(decision).into_iter().map(Result::err).collect();
    let expected = [
        None,
        None,
        Some(DeleteTopicRefused::Duplicate),
        Some(DeleteTopicRefused::Duplicate),
        Some(DeleteTopicRefused::UnknownName),
        Some(DeleteTopicRefused::UnknownId),
    ];
    assert_eq!(answers, expected);
    assert_eq!(bench.metadata.image.topic_count(), 1);

    bench.metadata.settings.can_delete_topics = false;
    let decision = bench.metadata.delete_topics(&[name("twice")]);
    assert_eq!(decision.answer, [Err(DeleteTopicRefused::Disabled)]);
    assert!(decision.records.is_empty());
}

#[test]
fn create_partitions_follows_rule_a3() {
    // Topic, count, replicas of the added ones; two brokers, `orders` has 2 partitions of 1 replica.
    let table = "
        orders 2           | the topic has 2 partition(s), 2 would not be more
        orders 1           | the topic has 2 partition(s), 1 would not be more
        orders -5          | the topic has 2 partition(s), -5 would not be more
        missing 3          | no topic of this name exists
        orders 10001       | 10001 partitions are more than the 10000 that are allowed
        orders 10001 2     | 1 assignment(s) for 9999 added partition(s)
        orders 4 2         | 1 assignment(s) for 2 added partition(s)
        orders 3 1,2       | partition 2 has 2 replica(s) where the others have 1
        orders 3 7         | partition 2 names broker 7, which is not registered
        orders 4 2 2       | 4
        orders 5           | 5
    ";
    let mut bench = Bench::with_brokers(2);
    bench.topic("orders", 2, 1);
    for (asked, expected) in rows(table) {
        let words: Vec<&str> = asked.split_whitespace().collect();
        let lists: Vec<Vec<NodeId>> = words[2..].iter().map(|list| nodes_of(list)).collect();
        let wanted = PartitionsWanted {
            name: words[0].to_owned(),
            partition_count: words[1].parse().unwrap(),
            assignments: (!lists.is_empty()).then_some(lists),
        };
        let decision = bench
            .metadata
            .create_partitions(std::slice::from_ref(&wanted), true);
        assert!(decision.records.is_empty(), "only validated");
        let decision = bench.metadata.create_partitions(&[wanted], false);
        let answer = match bench.take(decision).swap_remove(0) {
            Ok(created) => created.partition_count.to_string(),
            Err(refused) => refused.to_string(),
        };
        assert_eq!(answer, expected, "{asked}");
    }
    assert_eq!(bench.leaders("orders"), "1@0 2@0 2@0 2@0 1@0");
}
