//! What describes partitions, producers and log directories, against bytes that Kafka's own classes wrote.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use bytes::Bytes;
use kabuki_protocol::codec::{Decoder, Encoder, Message};
use kabuki_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kabuki_protocol::messages::describe_producers::{
    PartitionResponse, ProducerState, TopicRequest as ProducersOf, TopicResponse,
};
use kabuki_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    TopicRequest,
};
use kabuki_protocol::messages::{
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};

use golden::{TOPIC, golden_bytes};

mod golden;

fn encode<T: Message>(message: &T, version: i16) -> Bytes {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version).unwrap();
    encoder.finish().to_bytes()
}

fn decode<T: Message>(bytes: Bytes, version: i16) -> T {
    let mut decoder = Decoder::new(bytes);
    let message = T::decode(&mut decoder, version).unwrap();
    assert!(decoder.is_empty());
    message
}

/// Both ways.
fn agrees<T: Message + PartialEq + std::fmt::Debug>(name: &str, version: i16, message: &T) {
    let golden = golden_bytes(name);
    assert_eq!(encode(message, version), golden, "{name}");
    assert_eq!(&decode::<T>(golden, version), message, "{name}");
}

#[test]
fn log_dirs_are_asked_for_as_kafka_asks() {
    let topic = DescribableLogDirTopic {
        topic: "topic".to_owned(),
        partitions: vec![0, 3],
    };
    let request = DescribeLogDirsRequest {
        topics: Some(vec![topic]),
    };
    for version in 1..=5 {
        let name = format!("DescribeLogDirsRequest-v{version}");
        agrees(&name, version, &request);
        let all = DescribeLogDirsRequest { topics: None };
        agrees(&format!("{name}-all"), version, &all);
    }
}

#[test]
fn log_dirs_are_described_as_kafka_describes_them() {
    let partition = DescribeLogDirsPartition {
        partition_index: 3,
        partition_size: 69,
        offset_lag: 2,
        is_future_key: true,
    };
    let topic = DescribeLogDirsTopic {
        name: "topic".to_owned(),
        partitions: vec![partition],
    };
    let used = DescribeLogDirsResult {
        log_dir: "/a".to_owned(),
        topics: vec![topic],
        total_bytes: 1_000,
        usable_bytes: 400,
        is_cordoned: true,
        ..DescribeLogDirsResult::default()
    };
    let offline = DescribeLogDirsResult {
        error_code: 56,
        log_dir: "/b".to_owned(),
        ..DescribeLogDirsResult::default()
    };
    let response = DescribeLogDirsResponse {
        throttle_time_ms: 6,
        error_code: 31,
        results: vec![used, offline],
    };
    for version in 1..=5 {
        let golden = golden_bytes(&format!("DescribeLogDirsResponse-v{version}"));
        assert_eq!(encode(&response, version), golden);
        let mut expected = response.clone();
        if version < 3 {
            expected.error_code = 0;
        }
        if version < 4 {
            expected.results[0].total_bytes = -1;
            expected.results[0].usable_bytes = -1;
        }
        expected.results[0].is_cordoned = version >= 5;
        assert_eq!(decode::<DescribeLogDirsResponse>(golden, version), expected);
    }
}

#[test]
fn producers_are_asked_for_and_described_as_by_kafka() {
    let topic = ProducersOf {
        name: "topic".to_owned(),
        partition_indexes: vec![0, 3],
    };
    let request = DescribeProducersRequest {
        topics: vec![topic],
    };
    agrees("DescribeProducersRequest-v0", 0, &request);
    let busy = ProducerState {
        producer_id: 4_000,
        producer_epoch: 2,
        last_sequence: 41,
        last_timestamp: 1_700_000_000_123,
        coordinator_epoch: 9,
        current_txn_start_offset: 77,
    };
    let bare = ProducerState {
        producer_id: 4_001,
        coordinator_epoch: -1,
        ..ProducerState::default()
    };
    assert_eq!((bare.last_sequence, bare.last_timestamp), (-1, -1));
    let partitions = vec![
        PartitionResponse {
            partition_index: 3,
            active_producers: vec![busy, bare],
            ..PartitionResponse::default()
        },
        PartitionResponse {
            partition_index: 9,
            error_code: 3,
            error_message: Some("no".to_owned()),
            ..PartitionResponse::default()
        },
    ];
    let topic = TopicResponse {
        name: "topic".to_owned(),
        partitions,
    };
    let response = DescribeProducersResponse {
        throttle_time_ms: 6,
        topics: vec![topic],
    };
    agrees("DescribeProducersResponse-v0", 0, &response);
}

#[test]
fn topic_partitions_are_asked_for_as_kafka_asks() {
    let topic = TopicRequest {
        name: "topic".to_owned(),
    };
    let cursor = Cursor {
        topic_name: "topic".to_owned(),
        partition_index: 3,
    };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![topic],
        response_partition_limit: 7,
        cursor: Some(cursor),
    };
    agrees("DescribeTopicPartitionsRequest-v0", 0, &request);
    let bare = DescribeTopicPartitionsRequest::default();
    assert_eq!(
        (bare.response_partition_limit, &bare.cursor),
        (2_000, &None)
    );
    agrees("DescribeTopicPartitionsRequest-v0-bare", 0, &bare);
}

#[test]
fn topic_partitions_are_described_as_kafka_describes_them() {
    let led = DescribeTopicPartitionsResponsePartition {
        partition_index: 3,
        leader_id: 1,
        leader_epoch: 4,
        replica_nodes: vec![1, 2],
        isr_nodes: vec![1],
        eligible_leader_replicas: Some(vec![2]),
        last_known_elr: Some(Vec::new()),
        offline_replicas: vec![2],
        ..DescribeTopicPartitionsResponsePartition::default()
    };
    let bare = DescribeTopicPartitionsResponsePartition {
        error_code: 5,
        partition_index: 4,
        leader_id: -1,
        ..DescribeTopicPartitionsResponsePartition::default()
    };
    let known = DescribeTopicPartitionsResponseTopic {
        name: Some("topic".to_owned()),
        topic_id: TOPIC,
        is_internal: true,
        partitions: vec![led, bare],
        topic_authorized_operations: 3_576,
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    let unknown = DescribeTopicPartitionsResponseTopic {
        error_code: 3,
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    let cursor = Cursor {
        topic_name: "topic".to_owned(),
        partition_index: 5,
    };
    let response = DescribeTopicPartitionsResponse {
        throttle_time_ms: 6,
        topics: vec![known, unknown],
        next_cursor: Some(cursor),
    };
    agrees("DescribeTopicPartitionsResponse-v0", 0, &response);
    let last = DescribeTopicPartitionsResponse::default();
    agrees("DescribeTopicPartitionsResponse-v0-last", 0, &last);
}
