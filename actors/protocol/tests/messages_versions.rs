//! What encoding does with fields that a version lacks, and what a missing field decodes to.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use bytes::Bytes;
use kabuki_protocol::codec::{Decoder, EncodeError, Encoder, Form, Message};
use kabuki_protocol::messages::{
    DescribeClusterRequest, FetchRequest, FindCoordinatorRequest, MetadataRequest, ProduceResponse,
    metadata, produce,
};

fn encode<T: Message>(message: &T, version: i16) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version)?;
    Ok(encoder.finish().to_bytes())
}

fn decode<T: Message>(bytes: Bytes, version: i16) -> T {
    T::decode(&mut Decoder::new(bytes), version).unwrap()
}

#[test]
fn a_field_that_matters_is_not_dropped_in_silence() {
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    assert!(encode(&request, 4).is_ok());
    let field = "MetadataRequest.allow_auto_topic_creation";
    assert_eq!(
        encode(&request, 3),
        Err(EncodeError::NotInVersion { field, version: 3 })
    );

    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    let field = "FindCoordinatorRequest.coordinator_keys";
    assert_eq!(
        encode(&request, 3),
        Err(EncodeError::NotInVersion { field, version: 3 })
    );
}

#[test]
fn a_tagged_field_that_matters_is_not_dropped_in_silence() {
    let mut request = FetchRequest::default();
    request.replica_state.replica_id = 4;
    assert!(encode(&request, 15).is_ok());
    let field = "FetchRequest.replica_state";
    assert_eq!(
        encode(&request, 14),
        Err(EncodeError::NotInVersion { field, version: 14 })
    );
}

#[test]
fn an_ignorable_field_vanishes_below_its_version() {
    let partition = produce::PartitionProduceResponse {
        base_offset: 5,
        log_start_offset: 3,
        error_message: Some("no".into()),
        current_leader: produce::LeaderIdAndEpoch {
            leader_id: 1,
            leader_epoch: 2,
        },
        ..Default::default()
    };
    let topic = produce::TopicProduceResponse {
        name: "t".into(),
        partition_responses: vec![partition],
        ..Default::default()
    };
    let response = ProduceResponse {
        responses: vec![topic],
        ..Default::default()
    };
    let old: ProduceResponse = decode(encode(&response, 4).unwrap(), 4);
    let partition = &old.responses[0].partition_responses[0];
    assert_eq!((partition.base_offset, partition.log_start_offset), (5, -1));
    assert_eq!(partition.error_message, None);
    assert_eq!(
        partition.current_leader,
        produce::LeaderIdAndEpoch::default()
    );
    assert_eq!(
        decode::<ProduceResponse>(encode(&response, 12).unwrap(), 12),
        response
    );
}

#[test]
fn null_is_refused_where_the_version_cannot_say_it() {
    let everything = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert_eq!(
        encode(&everything, 0),
        Err(EncodeError::Null {
            field: "MetadataRequest.topics"
        })
    );
    assert!(encode(&everything, 1).is_ok());

    let by_id = metadata::MetadataRequestTopic {
        name: None,
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![by_id]),
        ..Default::default()
    };
    let field = "MetadataRequestTopic.name";
    assert_eq!(encode(&request, 9), Err(EncodeError::Null { field }));
    assert!(encode(&request, 12).is_ok());
}

#[test]
fn fields_that_are_missing_have_kafkas_defaults() {
    let request: MetadataRequest = decode(Bytes::from_static(&[0; 4]), 0);
    assert!(request.allow_auto_topic_creation);
    let request: DescribeClusterRequest = decode(Bytes::from_static(&[1, 0]), 0);
    assert_eq!(
        (request.endpoint_type, request.include_fenced_brokers),
        (1, false)
    );
    let fetch = FetchRequest::default();
    assert_eq!(
        (fetch.max_bytes, fetch.session_epoch, fetch.replica_id),
        (i32::MAX, -1, -1)
    );
}

#[test]
fn a_text_too_long_for_its_length_is_refused() {
    let request = FindCoordinatorRequest {
        key: "k".repeat(32_768),
        ..Default::default()
    };
    let field = "FindCoordinatorRequest.key";
    for version in [0, 3] {
        let refused = EncodeError::TooLong {
            field,
            length: 32_768,
        };
        assert_eq!(encode(&request, version), Err(refused));
    }
    let request = FindCoordinatorRequest {
        key: "k".repeat(32_767),
        ..Default::default()
    };
    for version in [0, 3] {
        assert_eq!(
            decode::<FindCoordinatorRequest>(encode(&request, version).unwrap(), version),
            request
        );
    }
}

#[test]
fn versions_outside_the_range_are_refused_before_a_byte_is_written() {
    let mut encoder = Encoder::new();
    for version in [-1, 2, 14] {
        let error = ProduceResponse::default()
            .encode(&mut encoder, version)
            .unwrap_err();
        assert_eq!(
            error,
            EncodeError::Version {
                message: "ProduceResponse",
                version
            }
        );
    }
    assert!(encoder.is_empty());
    assert_eq!(
        ProduceResponse::form(8),
        Form {
            version: 8,
            is_flexible: false
        }
    );
    assert_eq!(
        ProduceResponse::form(9),
        Form {
            version: 9,
            is_flexible: true
        }
    );
}
