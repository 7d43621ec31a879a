//! What operators ask: the partitions of topics page by page, producers, log directories.

mod kit;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::ProducerId;
use kabuki_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kabuki_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, resource,
};
use kabuki_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResult,
};
use kabuki_protocol::messages::describe_producers::{
    DescribeProducersRequest, PartitionResponse, TopicRequest as ProducersOf,
};
use kabuki_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, operation,
};
use kabuki_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kabuki_runtime::{Standstill, testing};
use kabuki_storage::KnownProducer;

use kit::Node;
use kit::client::{Client, batch, produce};

fn page(names: &[&str], limit: i32, cursor: Option<Cursor>) -> DescribeTopicPartitionsRequest {
    let topic = |name: &&str| TopicRequest {
        name: (*name).to_owned(),
    };
    DescribeTopicPartitionsRequest {
        topics: names.iter().map(topic).collect(),
        response_partition_limit: limit,
        cursor,
    }
}

/// `topic:partitions` of a page.
fn shown(page: &DescribeTopicPartitionsResponse) -> Vec<String> {
    let topics = page.topics.iter();
    topics
        .map(|topic| {
            let partitions = topic.partitions.iter();
            let indexes: Vec<_> = partitions
                .map(|partition| partition.partition_index)
                .collect();
            format!("{}:{indexes:?}", topic.name.as_deref().unwrap_or("-"))
        })
        .collect()
}

#[test]
fn the_pages_of_all_topics_hold_each_partition_once() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("b", 3).await;
        node.topic("a", 2).await;
        node.topic("c", 1).await;
        let mut client = node.connect().await;
        let mut cursor = None;
        let mut pages = Vec::new();
        loop {
            let answer = client.call(0, &page(&[], 2, cursor)).await;
            pages.push(shown(&answer).join(" "));
            cursor = answer.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, ["a:[0, 1]", "b:[0, 1]", "b:[2] c:[0]"]);
    });
}

#[test]
fn a_page_is_no_larger_than_the_node_allows() {
    testing::run(|stage| async move {
        let limit = [("max.request.partition.size.limit", "4")];
        let node = Node::start_with(&stage, &limit).await;
        node.topic("a", 9).await;
        let mut client = node.connect().await;
        for asked in [4, 5, i32::MAX] {
            let answer = client.call(0, &page(&["a"], asked, None)).await;
            assert_eq!(answer.topics[0].partitions.len(), 4);
            assert_eq!(answer.next_cursor.unwrap().partition_index, 4);
        }
        for asked in [0, -1, i32::MIN] {
            let answer = client.call(0, &page(&["a"], asked, None)).await;
            assert_eq!(answer.topics[0].partitions.len(), 1);
        }
        let far = Cursor {
            topic_name: "a".to_owned(),
            partition_index: i32::MAX,
        };
        let answer = client.call(0, &page(&["a"], i32::MAX, Some(far))).await;
        assert_eq!(
            (shown(&answer).join(" "), answer.next_cursor),
            ("a:[]".to_owned(), None)
        );
    });
}

#[test]
fn topics_that_are_named_again_and_again_are_answered_once() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("a", 1).await;
        let mut client = node.connect().await;
        let names = vec!["none"; 5_000];
        let answer = client.call(0, &page(&names, 2_000, None)).await;
        assert_eq!(shown(&answer), ["none:[]"]);
        assert_eq!(
            answer.topics[0].error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
    });
}

fn producers(count: i64) -> Vec<KnownProducer> {
    let producer = |id| KnownProducer {
        producer_id: ProducerId(id),
        producer_epoch: 1,
        last_sequence: 4,
        last_timestamp: 5,
        coordinator_epoch: -1,
        current_txn_first_offset: None,
    };
    (0..count).map(producer).collect()
}

async fn producers_of(
    client: &mut Client,
    topic: &str,
    indexes: Vec<i32>,
) -> Vec<PartitionResponse> {
    let topic = ProducersOf {
        name: topic.to_owned(),
        partition_indexes: indexes,
    };
    let request = DescribeProducersRequest {
        topics: vec![topic.clone(), topic],
    };
    let mut answer = client.call(0, &request).await;
    assert_eq!(answer.topics.len(), 1, "the second one says nothing new");
    answer.topics.remove(0).partitions
}

#[test]
fn producers_that_find_no_room_are_to_be_asked_for_again() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("a", 6).await;
        for log in &logs {
            log.lock().producers = producers(4_096);
        }
        let mut client = node.connect().await;
        let mut left: Vec<i32> = (0..6).chain(0..6).collect();
        let mut rounds = Vec::new();
        while !left.is_empty() {
            let answered = producers_of(&mut client, "a", left).await;
            let (full, refused): (Vec<_>, Vec<_>) =
                answered.iter().partition(|one| one.error_code == 0);
            assert!(full.iter().all(|one| one.active_producers.len() == 4_096));
            let again = ErrorCode::NotLeaderOrFollower.code();
            assert!(refused.iter().all(|one| one.error_code == again));
            assert!(refused.iter().all(|one| one.active_producers.is_empty()));
            rounds.push(full.len());
            left = refused.iter().map(|one| one.partition_index).collect();
        }
        assert_eq!(rounds, [4, 2]);
    });
}

#[test]
fn what_is_set_for_all_brokers_is_shown_without_what_stands_below() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let key = "message.max.bytes".to_owned();
        let set = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource::BROKER,
                resource_name: String::new(),
                configs: vec![AlterableConfig {
                    name: key.clone(),
                    config_operation: operation::SET,
                    value: Some("2000000".to_owned()),
                }],
            }],
            validate_only: false,
        };
        assert_eq!(client.call(1, &set).await.responses[0].error_code, 0);
        for (broker, expected) in [("", vec![3]), ("1", vec![3, 5])] {
            let describe = DescribeConfigsRequest {
                resources: vec![DescribeConfigsResource {
                    resource_type: resource::BROKER,
                    resource_name: broker.to_owned(),
                    configuration_keys: Some(vec![key.clone()]),
                }],
                include_synonyms: true,
                include_documentation: false,
            };
            let answer = client.call(4, &describe).await;
            let shown = &answer.results[0].configs[0];
            assert_eq!(shown.value.as_deref(), Some("2000000"));
            let sources: Vec<i8> = shown.synonyms.iter().map(|one| one.source).collect();
            assert_eq!(sources, expected, "broker {broker:?}");
        }
    });
}

#[test]
fn a_partition_that_is_not_on_stage_is_led_by_nobody() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.create_topic("a", 1, &[]).await;
        let mut client = node.connect().await;
        let not_leader = ErrorCode::NotLeaderOrFollower.code();

        let producers = producers_of(&mut client, "a", vec![0]).await;
        assert_eq!(producers[0].error_code, not_leader);
        let epoch = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic: "a".to_owned(),
                partitions: vec![OffsetForLeaderPartition::default()],
            }],
        };
        let answer = client.call(4, &epoch).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, not_leader);
        let trim = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "a".to_owned(),
                partitions: vec![DeleteRecordsPartition::default()],
            }],
            timeout_ms: 1_000,
        };
        let answer = client.call(2, &trim).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, not_leader);
    });
}

async fn log_dirs(
    client: &mut Client,
    version: i16,
    topics: Option<&[(&str, &[i32])]>,
) -> Vec<DescribeLogDirsResult> {
    let topic = |(name, indexes): &(&str, &[i32])| DescribableLogDirTopic {
        topic: (*name).to_owned(),
        partitions: indexes.to_vec(),
    };
    let request = DescribeLogDirsRequest {
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
    };
    client.call(version, &request).await.results
}

/// Topic, partition and bytes.
fn held(result: &DescribeLogDirsResult) -> Vec<(&str, i32, i64)> {
    let topics = result.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|one| (&*topic.name, one.partition_index, one.partition_size))
    });
    topics.collect()
}

#[test]
fn log_dirs_are_described_in_every_version() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("a", 2).await;
        node.topic("b", 1).await;
        let mut client = node.connect().await;
        let records = batch(1);
        let bytes = records.len() as i64;
        client.produce(9, &produce(-1, &[("a", 1, records)])).await;
        for version in 1..=5 {
            let results = log_dirs(&mut client, version, None).await;
            let [used, gone] = &results[..] else {
                panic!("two directories are configured: {results:?}");
            };
            assert_eq!((used.error_code, &*used.log_dir), (0, "/data"));
            assert_eq!(held(used), [("a", 0, 0), ("a", 1, bytes), ("b", 0, 0)]);
            let room = if version < 4 { (-1, -1) } else { (1_000, 400) };
            assert_eq!((used.total_bytes, used.usable_bytes), room);
            let storage = ErrorCode::KafkaStorageError.code();
            assert_eq!((gone.error_code, &*gone.log_dir), (storage, "/gone"));
            assert_eq!((gone.total_bytes, held(gone)), (-1, vec![]));
        }
    });
}

#[test]
fn log_dirs_hold_what_was_asked_for_and_is_open() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("a", 4).await;
        logs[1].lock().recovers = true;
        let stuck = Standstill::new(7);
        stuck.set(true);
        node.on_thread("a-2", &stuck);
        node.create_topic("b", 1, &[]).await;
        let mut client = node.connect().await;
        let asked: &[(&str, &[i32])] = &[
            ("a", &[3, 0, 0, -1, 1]),
            ("a", &[2, 3, 9]),
            ("b", &[0]),
            ("none", &[0]),
            ("a b", &[0]),
        ];
        let results = log_dirs(&mut client, 5, Some(asked)).await;
        assert_eq!(held(&results[0]), [("a", 0, 0), ("a", 3, 0)]);
        let none = log_dirs(&mut client, 5, Some(&[])).await;
        assert_eq!((none[0].error_code, held(&none[0])), (0, vec![]));
    });
}
