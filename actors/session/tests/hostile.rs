//! Requests that are right in form and wrong in intent: what they ask for again and again, what takes
//! long to check, and what grows when it is read. The others are served meanwhile.

mod kit;

use bytes::Bytes;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::api_versions::ApiVersionsRequest;
use kabuki_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use kabuki_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, resource,
};
use kabuki_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use kabuki_protocol::messages::produce::ProduceRequest;
use kabuki_protocol::records::{BatchBuilder, Compression};
use kabuki_runtime::testing;

use kit::Node;
use kit::client::{batch, produce};

/// A batch whose one record is so many zeros.
fn zeros(compression: Compression, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.push(kit::NOW_MS, None, Some(&vec![0; value_bytes]), &[]);
    builder.build().expect("a sound batch")
}

#[test]
fn a_batch_that_takes_long_to_check_keeps_its_place() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 2).await;
        let mut client = node.connect().await;
        for compression in &Compression::ALL[1..] {
            let costly = zeros(*compression, 4 << 20);
            let requests = [
                produce(1, &[("orders", 0, batch(1)), ("orders", 1, costly.clone())]),
                produce(1, &[("orders", 1, batch(1)), ("orders", 0, costly)]),
                produce(1, &[("orders", 0, batch(1)), ("orders", 1, batch(1))]),
            ];
            for request in &requests {
                client.send(9, request).await;
            }
            let mut next = [None; 2];
            for _ in &requests {
                let (_, answer) = client.receive::<ProduceRequest>(9).await;
                for outcome in &answer.responses[0].partition_responses {
                    assert_eq!(outcome.error_code, 0, "{compression}");
                    let next = &mut next[outcome.index as usize];
                    if let Some(next) = next {
                        assert_eq!(outcome.base_offset, *next, "{compression}");
                    }
                    *next = Some(outcome.base_offset + 1);
                }
            }
        }
    });
}

#[test]
fn bombs_are_refused_while_others_are_served() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 3).await;
        // Beyond what any batch may expand to.
        let bomb = zeros(Compression::Zstd, 300 << 20);
        assert!(bomb.len() < 100_000);
        let parts = [0, 1, 2].map(|partition| ("orders", partition, bomb.clone()));
        let mut bombers = Vec::new();
        for _ in 0..3 {
            let mut bomber = node.connect().await;
            bomber.send(9, &produce(-1, &parts)).await;
            bombers.push(bomber);
        }
        let mut good = node.connect().await;
        for _ in 0..20 {
            let answer = good
                .produce(9, &produce(1, &[("orders", 0, batch(1))]))
                .await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        for bomber in &mut bombers {
            let (_, answer) = bomber.receive::<ProduceRequest>(9).await;
            for outcome in &answer.responses[0].partition_responses {
                assert_eq!(outcome.error_code, ErrorCode::InvalidRecord.code());
            }
        }
    });
}

#[test]
fn a_request_names_no_more_partitions_than_there_can_be() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 3).await;
        let naming = |count: i32| {
            let parts: Vec<_> = (0..count).map(|at| ("orders", at, Bytes::new())).collect();
            produce(1, &parts)
        };
        let mut client = node.connect().await;
        let answer = client.produce(9, &naming(9_000)).await;
        assert_eq!(answer.responses[0].partition_responses.len(), 9_000);
        client.send(9, &naming(10_100)).await;
        client.assert_closed().await;
    });
}

#[test]
fn what_is_named_again_and_again_is_answered_once() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 3).await;
        let mut client = node.connect().await;
        let named = |name: &str| MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..MetadataRequestTopic::default()
        };
        let mut topics = vec![named("orders"); 1_000];
        topics.push(named("nobody"));
        let request = MetadataRequest {
            topics: Some(topics),
            ..MetadataRequest::default()
        };
        let answer = client.call(12, &request).await;
        let names: Vec<_> = answer.topics.iter().map(|topic| &topic.name).collect();
        assert_eq!(
            names,
            [&Some("orders".to_owned()), &Some("nobody".to_owned())]
        );

        let asked = DescribeConfigsResource {
            resource_type: resource::TOPIC,
            resource_name: "orders".to_owned(),
            configuration_keys: None,
        };
        let one_key = DescribeConfigsResource {
            configuration_keys: Some(vec!["retention.ms".to_owned()]),
            ..asked.clone()
        };
        let mut resources = vec![asked; 1_000];
        resources.push(one_key);
        let request = DescribeConfigsRequest {
            resources,
            include_synonyms: true,
            include_documentation: true,
        };
        let answer = client.call(4, &request).await;
        let counts: Vec<_> = answer
            .results
            .iter()
            .map(|result| result.configs.len())
            .collect();
        assert!(counts[0] > 10, "all keys of the topic: {counts:?}");
        assert_eq!(counts[1..], [1], "another question about the same");
    });
}

#[test]
fn requests_that_grow_when_they_are_read_wait_for_their_turn() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("kabuki.memory.max", "16777216")]).await;
        node.topic("orders", 1).await;
        // Each may take more than there is: 32 times its 600 KiB.
        let topic = |number: usize| CreatableTopic {
            name: format!("{number:0>200}"),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let large = CreateTopicsRequest {
            topics: (0..3_000).map(topic).collect(),
            timeout_ms: 1_000,
            validate_only: true,
        };
        let mut askers = Vec::new();
        for _ in 0..8 {
            let mut asker = node.connect().await;
            asker.send(5, &large).await;
            askers.push(asker);
        }
        let mut good = node.connect().await;
        for _ in 0..20 {
            good.call(0, &ApiVersionsRequest::default()).await;
            let answer = good
                .produce(9, &produce(1, &[("orders", 0, batch(1))]))
                .await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        for asker in &mut askers {
            let (_, answer) = asker.receive::<CreateTopicsRequest>(5).await;
            assert_eq!(answer.topics.len(), 3_000, "each in its turn");
        }
        kit::until(|| node.services.memory_used_bytes() == 0).await;
    });
}
