//! Metadata, offsets and administration: what clients ask outside of producing and consuming.

mod kit;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kabuki_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kabuki_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kabuki_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use kabuki_protocol::messages::describe_cluster::DescribeClusterRequest;
use kabuki_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, resource,
};
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, operation,
};
use kabuki_protocol::messages::init_producer_id::InitProducerIdRequest;
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kabuki_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse,
};
use kabuki_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kabuki_runtime::testing;

use kit::Node;
use kit::client::{batch, produce};

fn named(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

fn rows(response: &MetadataResponse) -> Vec<(&str, i16, usize)> {
    let topics = response.topics.iter();
    topics
        .map(|topic| {
            (
                topic.name.as_deref().unwrap_or("-"),
                topic.error_code,
                topic.partitions.len(),
            )
        })
        .collect()
}

#[test]
fn metadata_names_brokers_topics_and_leaders_in_every_version() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 3).await;
        let mut client = node.connect().await;
        for version in 0..=13 {
            let mut request = named(&["orders"]);
            request.allow_auto_topic_creation = version < 4;
            let answer = client.call(version, &request).await;
            assert_eq!(answer.brokers.len(), 1, "version {version}");
            let broker = &answer.brokers[0];
            assert_eq!((broker.node_id, broker.host.as_str()), (1, "127.0.0.1"));
            assert_eq!(broker.port, i32::from(node.port));
            assert_eq!(rows(&answer), [("orders", 0, 3)]);
            let topic = &answer.topics[0];
            assert_eq!(topic.topic_id == node.topic_id("orders"), version >= 10);
            for (index, partition) in (0..).zip(&topic.partitions) {
                assert_eq!((partition.partition_index, partition.leader_id), (index, 1));
                assert_eq!(
                    (partition.error_code, &partition.isr_nodes[..]),
                    (0, &[1][..])
                );
                assert_eq!(partition.leader_epoch >= 0, version >= 7);
            }
            if version >= 2 {
                assert_eq!(answer.cluster_id.as_deref(), Some("cluster-of-tests"));
            }
            if version >= 1 {
                assert_eq!(answer.controller_id, 1);
            }
        }
    });
}

#[test]
fn metadata_of_all_topics_of_none_and_of_unknown_ones() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("auto.create.topics.enable", "false")]).await;
        node.topic("b", 1).await;
        node.topic("a", 1).await;
        let mut client = node.connect().await;
        // Versions below 4 cannot forbid creation; this node does.
        let allowing = || MetadataRequest {
            allow_auto_topic_creation: true,
            ..named(&[])
        };
        let none = MetadataRequest {
            topics: Some(Vec::new()),
            ..allowing()
        };
        let all = MetadataRequest {
            topics: None,
            ..allowing()
        };
        assert_eq!(
            rows(&client.call(0, &none).await),
            [("a", 0, 1), ("b", 0, 1)]
        );
        assert_eq!(rows(&client.call(1, &none).await), []);
        assert_eq!(
            rows(&client.call(9, &all).await),
            [("a", 0, 1), ("b", 0, 1)]
        );
        let strange = named(&["a", "nowhere", "b/c", ""]);
        assert_eq!(
            rows(&client.call(9, &strange).await),
            [("a", 0, 1), ("nowhere", 3, 0), ("b/c", 17, 0), ("", 17, 0)]
        );

        let by_id = |topic_id, name| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { topic_id, name }]),
            ..named(&[])
        };
        let known = by_id(node.topic_id("a"), None);
        assert_eq!(rows(&client.call(12, &known).await), [("a", 0, 1)]);
        let unknown = by_id(TopicId([3; 16]), None);
        assert_eq!(rows(&client.call(12, &unknown).await), [("-", 100, 0)]);
        let too_early = by_id(node.topic_id("a"), None);
        assert_eq!(client.call(11, &too_early).await.topics[0].error_code, 42);
        assert_eq!(node.image.borrow().topic_count(), 2, "nothing was created");
    });
}

#[test]
fn a_topic_asked_for_by_name_is_created_where_client_and_node_allow() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("num.partitions", "4")]).await;
        let mut client = node.connect().await;
        assert_eq!(
            rows(&client.call(4, &named(&["fresh"])).await),
            [("fresh", 3, 0)]
        );
        let mut request = named(&["fresh", "bad name"]);
        request.allow_auto_topic_creation = true;
        let answer = client.call(4, &request).await;
        assert_eq!(rows(&answer), [("fresh", 0, 4), ("bad name", 17, 0)]);
        let internal = MetadataRequest {
            allow_auto_topic_creation: true,
            ..named(&["__consumer_offsets"])
        };
        assert_eq!(
            rows(&client.call(4, &internal).await),
            [("__consumer_offsets", 3, 0)]
        );
    });
}

#[test]
fn topics_are_created_described_grown_and_deleted() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let topic = |name: &str, num_partitions, replication_factor| CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor,
            ..CreatableTopic::default()
        };
        let mut orders = topic("orders", 2, 1);
        orders.configs = vec![CreatableTopicConfig {
            name: "retention.ms".to_owned(),
            value: Some("1000".to_owned()),
        }];
        let request = CreateTopicsRequest {
            topics: vec![
                orders,
                topic("no/name", 1, 1),
                topic("wide", 1, 3),
                topic("none", 0, 1),
            ],
            timeout_ms: 1_000,
            validate_only: false,
        };
        for validate_only in [true, false] {
            let request = CreateTopicsRequest {
                validate_only,
                ..request.clone()
            };
            let answer = client.call(7, &request).await;
            let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!(codes, [0, 17, 38, 37]);
            let created = &answer.topics[0];
            assert_eq!((created.num_partitions, created.replication_factor), (2, 1));
            assert!(!created.topic_id.is_zero());
            let configs = created.configs.as_ref().unwrap();
            let retention = configs
                .iter()
                .find(|config| config.name == "retention.ms")
                .unwrap();
            assert_eq!(
                (retention.value.as_deref(), retention.config_source),
                (Some("1000"), 1)
            );
        }
        let again = client.call(7, &request).await;
        assert_eq!(
            again.topics[0].error_code,
            ErrorCode::TopicAlreadyExists.code()
        );

        let grow = |count| CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "orders".to_owned(),
                count,
                assignments: None,
            }],
            timeout_ms: 1_000,
            validate_only: false,
        };
        assert_eq!(client.call(3, &grow(5)).await.results[0].error_code, 0);
        assert_eq!(client.call(3, &grow(5)).await.results[0].error_code, 37);
        assert_eq!(
            rows(&client.call(9, &named(&["orders"])).await),
            [("orders", 0, 5)]
        );

        let states = |states: &[(Option<&str>, TopicId)]| DeleteTopicsRequest {
            topics: states
                .iter()
                .map(|(name, topic_id)| DeleteTopicState {
                    name: name.map(str::to_owned),
                    topic_id: *topic_id,
                })
                .collect(),
            timeout_ms: 1_000,
            ..DeleteTopicsRequest::default()
        };
        let id = node.topic_id("orders");
        let request = states(&[
            (Some("orders"), id),
            (None, TopicId::ZERO),
            (None, TopicId([1; 16])),
            (Some("nowhere"), TopicId::ZERO),
            (None, id),
        ]);
        let answer = client.call(6, &request).await;
        let codes: Vec<i16> = answer
            .responses
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(codes, [42, 42, 100, 3, 0]);
        assert_eq!(answer.responses[4].name.as_deref(), Some("orders"));
        assert_eq!(
            rows(&client.call(9, &named(&["orders"])).await),
            [("orders", 3, 0)]
        );
    });
}

#[test]
fn configurations_are_described_with_their_sources_and_changed_key_by_key() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("log.retention.ms", "7000")]).await;
        node.topic_with("orders", 1, &[("segment.bytes", "2000000")])
            .await;
        let mut client = node.connect().await;
        let describe = |resource_type, name: &str, keys: &[&str]| DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configuration_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
            }],
            include_synonyms: true,
            include_documentation: false,
        };
        let keys = ["segment.bytes", "retention.ms", "nonsense"];
        let answer = client
            .call(4, &describe(resource::TOPIC, "orders", &keys))
            .await;
        let result = &answer.results[0];
        assert_eq!(result.error_code, 0);
        let rows: Vec<(&str, Option<&str>, i8)> = result
            .configs
            .iter()
            .map(|config| {
                (
                    config.name.as_str(),
                    config.value.as_deref(),
                    config.config_source,
                )
            })
            .collect();
        let expected = [
            ("retention.ms", Some("7000"), 4),
            ("segment.bytes", Some("2000000"), 1),
        ];
        assert_eq!(rows, expected);
        assert!(
            result.configs[1].synonyms.len() >= 2,
            "{:?}",
            result.configs[1]
        );

        let set =
            |resource_type, name: &str, key: &str, value: &str| IncrementalAlterConfigsRequest {
                resources: vec![AlterConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    configs: vec![AlterableConfig {
                        name: key.to_owned(),
                        config_operation: operation::SET,
                        value: Some(value.to_owned()),
                    }],
                }],
                validate_only: false,
            };
        for (resource_type, name, key, value, expected) in [
            (resource::TOPIC, "orders", "retention.ms", "5000", 0),
            (resource::TOPIC, "orders", "nonsense", "1", 40),
            (resource::TOPIC, "nowhere", "retention.ms", "1", 3),
            (resource::BROKER, "7", "log.retention.ms", "1", 42),
            (resource::GROUP, "g", "x", "1", 40),
            (
                resource::GROUP,
                "",
                "consumer.session.timeout.ms",
                "50000",
                42,
            ),
        ] {
            let answer = client.call(1, &set(resource_type, name, key, value)).await;
            assert_eq!(answer.responses[0].error_code, expected, "{name} {key}");
        }
        let answer = client
            .call(1, &describe(resource::TOPIC, "orders", &["retention.ms"]))
            .await;
        assert_eq!(answer.results[0].configs[0].value.as_deref(), Some("5000"));
        for (resource_type, name, expected) in [
            (resource::TOPIC, "nowhere", 3),
            (resource::BROKER, "1", 0),
            (resource::BROKER, "2", 42),
            (resource::CLIENT_METRICS, "x", 42),
        ] {
            let answer = client.call(4, &describe(resource_type, name, &[])).await;
            assert_eq!(
                answer.results[0].error_code, expected,
                "{resource_type} {name}"
            );
        }
    });
}

#[test]
fn offsets_are_listed_and_special_cases_refused() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 2).await;
        let mut client = node.connect().await;
        client
            .produce(9, &produce(1, &[("orders", 0, batch(5))]))
            .await;
        logs[0].lock().log_start = 2;
        let list = |asked: &[(&str, i32, i64)]| ListOffsetsRequest {
            replica_id: -1,
            topics: asked
                .iter()
                .map(|(name, partition_index, timestamp)| ListOffsetsTopic {
                    name: (*name).to_owned(),
                    partitions: vec![ListOffsetsPartition {
                        partition_index: *partition_index,
                        timestamp: *timestamp,
                        ..ListOffsetsPartition::default()
                    }],
                })
                .collect(),
            ..ListOffsetsRequest::default()
        };
        for version in 1..=11 {
            let request = list(&[
                ("orders", 0, -1),
                ("orders", 1, -2),
                ("orders", 7, -1),
                ("nowhere", 0, -1),
                ("orders", 1, -7),
            ]);
            let answer = client.call(version, &request).await;
            let rows: Vec<(i16, i64)> = answer
                .topics
                .iter()
                .map(|topic| (topic.partitions[0].error_code, topic.partitions[0].offset))
                .collect();
            // The second and the last name the same partition: both are one refused answer.
            let expected = [(0, 5), (42, -1), (3, -1), (3, -1)];
            assert_eq!(rows, expected, "version {version}");
        }
        let answer = client.call(7, &list(&[("orders", 0, -2)])).await;
        assert_eq!(answer.topics[0].partitions[0].offset, 2);

        node.unhost("orders", 0).await;
        let answer = client.call(7, &list(&[("orders", 0, -2)])).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::NotLeaderOrFollower.code());
    });
}

#[test]
fn the_end_of_an_epoch_is_found() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        client
            .produce(9, &produce(1, &[("orders", 0, batch(5))]))
            .await;
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic: "orders".to_owned(),
                partitions: vec![
                    OffsetForLeaderPartition {
                        partition: 0,
                        ..Default::default()
                    },
                    OffsetForLeaderPartition {
                        partition: 9,
                        ..Default::default()
                    },
                ],
            }],
        };
        for version in 2..=4 {
            let answer = client.call(version, &request).await;
            let ends = &answer.topics[0].partitions;
            assert_eq!((ends[0].error_code, ends[0].end_offset), (0, 5));
            assert_eq!((ends[1].error_code, ends[1].end_offset), (3, -1));
        }
    });
}

#[test]
fn records_are_deleted_where_the_topic_allows() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        node.topic_with("compacted", 1, &[("cleanup.policy", "compact")])
            .await;
        node.topic("__consumer_offsets", 1).await;
        let mut client = node.connect().await;
        client
            .produce(9, &produce(1, &[("orders", 0, batch(5))]))
            .await;
        for (name, offset, code, low_watermark) in [
            ("orders", 2, 0, 2),
            ("orders", 6, 1, -1),
            ("orders", -2, 1, -1),
            ("orders", -1, 0, 5),
            ("compacted", 0, 44, -1),
            ("__consumer_offsets", 0, 17, -1),
            ("nowhere", 0, 3, -1),
        ] {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: name.to_owned(),
                    partitions: vec![DeleteRecordsPartition {
                        partition_index: 0,
                        offset,
                    }],
                }],
                timeout_ms: 1_000,
            };
            let answer = client.call(2, &request).await;
            let result = &answer.topics[0].partitions[0];
            assert_eq!(
                (result.error_code, result.low_watermark),
                (code, low_watermark),
                "{name}"
            );
        }
    });
}

#[test]
fn a_node_that_deletes_no_topics_says_so() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("delete.topic.enable", "false")]).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let by_name = DeleteTopicsRequest {
            topic_names: vec!["orders".to_owned()],
            timeout_ms: 1_000,
            ..DeleteTopicsRequest::default()
        };
        let by_state = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some("orders".to_owned()),
                topic_id: TopicId::ZERO,
            }],
            timeout_ms: 1_000,
            ..DeleteTopicsRequest::default()
        };
        for (version, request, expected) in
            [(2, &by_name, 42), (3, &by_name, 73), (6, &by_state, 73)]
        {
            let answer = client.call(version, request).await;
            assert_eq!(answer.responses[0].error_code, expected);
        }
    });
}

#[test]
fn producer_ids_are_unique_and_transactions_are_not_there() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let request =
            |transactional_id: Option<&str>, producer_id, producer_epoch| InitProducerIdRequest {
                transactional_id: transactional_id.map(str::to_owned),
                transaction_timeout_ms: 1_000,
                producer_id,
                producer_epoch,
            };
        let mut seen = Vec::new();
        for version in 0..=5 {
            let answer = client.call(version, &request(None, -1, -1)).await;
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
            seen.push(answer.producer_id);
        }
        let renewed = client.call(3, &request(None, seen[0], 0)).await;
        seen.push(renewed.producer_id);
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "an id was given twice");
        for (asked, code) in [
            (request(Some("t"), -1, -1), ErrorCode::UnsupportedVersion),
            (request(Some(""), -1, -1), ErrorCode::InvalidRequest),
            (request(None, 5, -1), ErrorCode::InvalidRequest),
        ] {
            let answer = client.call(3, &asked).await;
            assert_eq!((answer.error_code, answer.producer_id), (code.code(), -1));
        }
    });
}

#[test]
fn the_cluster_is_described_to_brokers_clients_only() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for version in 0..=2 {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                endpoint_type: 1,
                ..DescribeClusterRequest::default()
            };
            let answer = client.call(version, &request).await;
            assert_eq!(answer.error_code, 0);
            assert_eq!(
                (answer.cluster_id.as_str(), answer.controller_id),
                ("cluster-of-tests", 1)
            );
            assert_eq!(answer.brokers.len(), 1);
            assert_eq!(answer.cluster_authorized_operations, 8096);
        }
        for (endpoint_type, code) in [(2, 114), (3, 115)] {
            let request = DescribeClusterRequest {
                endpoint_type,
                ..DescribeClusterRequest::default()
            };
            assert_eq!(client.call(1, &request).await.error_code, code);
        }
    });
}
