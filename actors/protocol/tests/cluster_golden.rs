//! The messages about the quorum and the features of a cluster against bytes that Kafka's own classes wrote.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use std::fmt::Debug;

use bytes::Bytes;
use kabuki_protocol::codec::{Decoder, Encoder, Message};
use kabuki_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, DescribedPartition, DescribedTopic,
    METADATA_TOPIC, QuorumListener, QuorumNode, QuorumPartition, QuorumTopic, ReplicaState,
};
use kabuki_protocol::messages::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
    upgrade_type,
};

use golden::{TOPIC, golden_bytes};

mod golden;

/// Written and read as Kafka does.
fn assert_golden<T: Message + PartialEq + Debug>(name: &str, message: &T, version: i16) {
    let golden: Bytes = golden_bytes(&format!("{name}-v{version}"));
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version).unwrap();
    assert_eq!(encoder.finish().to_bytes(), golden, "{name} {version}");
    let mut decoder = Decoder::new(golden);
    assert_eq!(&T::decode(&mut decoder, version).unwrap(), message);
    assert!(decoder.is_empty(), "{name} {version}");
}

#[test]
fn requests_about_the_quorum_are_those_of_kafka() {
    let request = DescribeQuorumRequest {
        topics: vec![DescribedTopic {
            topic_name: METADATA_TOPIC.to_owned(),
            partitions: vec![DescribedPartition { partition_index: 0 }],
        }],
    };
    for version in 0..=2 {
        assert_golden("describe-quorum-request", &request, version);
    }
}

#[test]
fn the_quorum_is_described_as_kafka_does() {
    for version in 0..=2 {
        let has_directories = version >= 2;
        let mut voter = ReplicaState {
            replica_id: 1,
            log_end_offset: 70,
            ..ReplicaState::default()
        };
        if version >= 1 {
            voter.last_fetch_timestamp = 1_700_000_000_123;
            voter.last_caught_up_timestamp = 1_700_000_000_122;
        }
        let node = QuorumNode {
            node_id: 1,
            listeners: vec![QuorumListener {
                name: "CONTROLLER".to_owned(),
                host: "localhost".to_owned(),
                port: 61_234,
            }],
        };
        if has_directories {
            voter.replica_directory_id = TOPIC;
        }
        let partition = QuorumPartition {
            error_message: has_directories.then(|| "text".to_owned()),
            leader_id: 1,
            leader_epoch: 3,
            high_watermark: 70,
            current_voters: vec![voter],
            observers: vec![ReplicaState {
                replica_id: 2,
                log_end_offset: 69,
                ..ReplicaState::default()
            }],
            ..QuorumPartition::default()
        };
        let response = DescribeQuorumResponse {
            topics: vec![QuorumTopic {
                topic_name: METADATA_TOPIC.to_owned(),
                partitions: vec![partition],
            }],
            nodes: has_directories.then_some(node).into_iter().collect(),
            ..DescribeQuorumResponse::default()
        };
        assert_golden("describe-quorum-response", &response, version);
    }
}

#[test]
fn changes_of_features_are_those_of_kafka() {
    for version in 0..=2 {
        let update = FeatureUpdateKey {
            feature: "group.version".to_owned(),
            max_version_level: 1,
            allow_downgrade: version == 0,
            upgrade_type: match version {
                0 => upgrade_type::UPGRADE,
                _ => upgrade_type::SAFE_DOWNGRADE,
            },
        };
        let request = UpdateFeaturesRequest {
            timeout_ms: 5_000,
            feature_updates: vec![update],
            validate_only: version >= 1,
        };
        assert_golden("update-features-request", &request, version);

        let result = UpdatableFeatureResult {
            feature: "group.version".to_owned(),
            error_code: 95,
            error_message: Some("text".to_owned()),
        };
        let response = UpdateFeaturesResponse {
            throttle_time_ms: 7,
            results: (version < 2).then_some(result).into_iter().collect(),
            ..UpdateFeaturesResponse::default()
        };
        assert_golden("update-features-response", &response, version);
    }
}
