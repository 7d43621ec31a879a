//! Every message in every version against Kafka's schemas and the crate kafka-protocol, both ways;
//! those embedded in records against the schemas only, since the crate has none of them.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kabuki_protocol::api::{APIS, ApiKey};
use kabuki_protocol::codec::{Decoder, Encoder, Message};
use kabuki_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use kabuki_protocol::header::{self, Request, RequestHeader, Response};
use kabuki_protocol::messages;
use kafka_protocol::messages as oracle;
use kafka_protocol::protocol::{Decodable, Encodable, Message as OracleMessage};

use schema::{Fill, Random, for_each_embedded, for_each_message, generate};

mod schema;

const SEEDS: u64 = 25;

fn decode<T: Message>(bytes: &[u8], version: i16) -> T {
    let mut decoder = Decoder::new(Bytes::copy_from_slice(bytes));
    let message =
        T::decode(&mut decoder, version).unwrap_or_else(|e| panic!("{} {version}: {e}", T::NAME));
    assert!(decoder.is_empty(), "{} {version} leaves bytes", T::NAME);
    message
}

fn encode<T: Message>(message: &T, version: i16) -> Bytes {
    let mut encoder = Encoder::new();
    message
        .encode(&mut encoder, version)
        .unwrap_or_else(|e| panic!("{} {version}: {e}", T::NAME));
    encoder.finish().to_bytes()
}

/// Bytes written from Kafka's schema decode to the same values under the same names, and encode to
/// the same bytes.
fn agrees_with_schema<T: Message + PartialEq + Debug>() {
    let schema = schema::schema(T::NAME);
    for version in T::VERSIONS {
        for seed in 0..SEEDS {
            let mut random = Random(seed << 16 | version as u64);
            let fill = if seed == 0 { Fill::Least } else { Fill::Random };
            let generated = generate(&schema, version, fill, &mut random);
            let message: T = decode(&generated.bytes, version);
            generated.assert_shown_by(&message);
            assert_eq!(
                encode(&message, version)[..],
                generated.bytes[..],
                "{} {version}",
                T::NAME
            );
            let bytes_min = T::bytes_min(T::form(version));
            assert!(generated.bytes.len() >= bytes_min);
            assert!(fill == Fill::Random || generated.bytes.len() == bytes_min);
        }
    }
}

#[test]
fn messages_agree_with_kafkas_schemas() {
    for_each_message!(agrees_with_schema);
    for_each_embedded!(agrees_with_schema);
}

/// The oracle reads what we write, and we read what it writes.
fn agrees_with_oracle<T, O>()
where
    T: Message + PartialEq + Debug,
    O: OracleMessage + Encodable + Decodable,
{
    let schema = schema::schema(T::NAME);
    for version in T::VERSIONS.filter(|v| (O::VERSIONS.min..=O::VERSIONS.max).contains(v)) {
        for seed in 0..SEEDS {
            let mut random = Random(seed << 24 | version as u64);
            let generated = generate(&schema, version, Fill::Random, &mut random);
            let ours: T = decode(&generated.bytes, version);
            let mut written = encode(&ours, version);
            let theirs = O::decode(&mut written, version)
                .unwrap_or_else(|e| panic!("{} {version}: {e}", T::NAME));
            assert!(
                written.is_empty(),
                "{} {version}: the oracle leaves bytes",
                T::NAME
            );
            let mut theirs_written = BytesMut::new();
            theirs.encode(&mut theirs_written, version).unwrap();
            assert_eq!(
                decode::<T>(&theirs_written, version),
                ours,
                "{} {version}",
                T::NAME
            );
            assert_eq!(
                theirs_written[..],
                generated.bytes[..],
                "{} {version}",
                T::NAME
            );
        }
    }
}

#[test]
fn messages_agree_with_the_oracle_both_ways() {
    for_each_message!(agrees_with_oracle and oracle);
    agrees_with_oracle::<ConsumerProtocolSubscription, oracle::ConsumerProtocolSubscription>();
    agrees_with_oracle::<ConsumerProtocolAssignment, oracle::ConsumerProtocolAssignment>();
}

fn skips_unknown_tags<T: Message + PartialEq + Debug>() {
    let schema = schema::schema(T::NAME);
    for version in T::VERSIONS.filter(|version| *version >= T::FLEXIBLE_SINCE) {
        for seed in 0..SEEDS {
            let mut random = Random(seed << 32 | version as u64);
            let generated = generate(&schema, version, Fill::UnknownTags, &mut random);
            let message: T = decode(&generated.bytes, version);
            generated.assert_shown_by(&message);
            assert_eq!(decode::<T>(&encode(&message, version), version), message);
        }
    }
}

#[test]
fn tagged_fields_that_nobody_knows_are_skipped() {
    for_each_message!(skips_unknown_tags);
    for_each_embedded!(skips_unknown_tags);
}

/// One line of the API table against the messages that stand for it.
fn table_line<R: Request>() -> ApiKey {
    let spec = R::KEY.spec();
    assert_eq!(<R::Response as Response>::KEY, R::KEY);
    assert_eq!(R::NAME, format!("{}Request", spec.key.name()));
    assert_eq!(
        <R::Response as Message>::NAME,
        format!("{}Response", spec.key.name())
    );
    for versions in [R::VERSIONS, <R::Response as Message>::VERSIONS] {
        assert_eq!(versions, spec.decode_min..=spec.max, "{}", spec.key);
    }
    assert_eq!(R::FLEXIBLE_SINCE, spec.flexible_since, "{}", spec.key);
    assert_eq!(
        <R::Response as Message>::FLEXIBLE_SINCE,
        spec.flexible_since,
        "{}",
        spec.key
    );
    spec.key
}

#[test]
fn the_table_names_exactly_the_versions_that_decode() {
    let lines = [
        table_line::<messages::ProduceRequest>(),
        table_line::<messages::FetchRequest>(),
        table_line::<messages::ListOffsetsRequest>(),
        table_line::<messages::MetadataRequest>(),
        table_line::<messages::OffsetCommitRequest>(),
        table_line::<messages::OffsetFetchRequest>(),
        table_line::<messages::FindCoordinatorRequest>(),
        table_line::<messages::JoinGroupRequest>(),
        table_line::<messages::HeartbeatRequest>(),
        table_line::<messages::LeaveGroupRequest>(),
        table_line::<messages::SyncGroupRequest>(),
        table_line::<messages::DescribeGroupsRequest>(),
        table_line::<messages::ListGroupsRequest>(),
        table_line::<messages::ApiVersionsRequest>(),
        table_line::<messages::CreateTopicsRequest>(),
        table_line::<messages::DeleteTopicsRequest>(),
        table_line::<messages::DeleteRecordsRequest>(),
        table_line::<messages::InitProducerIdRequest>(),
        table_line::<messages::OffsetForLeaderEpochRequest>(),
        table_line::<messages::DescribeConfigsRequest>(),
        table_line::<messages::AlterConfigsRequest>(),
        table_line::<messages::DescribeLogDirsRequest>(),
        table_line::<messages::CreatePartitionsRequest>(),
        table_line::<messages::DeleteGroupsRequest>(),
        table_line::<messages::IncrementalAlterConfigsRequest>(),
        table_line::<messages::OffsetDeleteRequest>(),
        table_line::<messages::DescribeQuorumRequest>(),
        table_line::<messages::UpdateFeaturesRequest>(),
        table_line::<messages::DescribeClusterRequest>(),
        table_line::<messages::DescribeProducersRequest>(),
        table_line::<messages::ConsumerGroupHeartbeatRequest>(),
        table_line::<messages::ConsumerGroupDescribeRequest>(),
        table_line::<messages::ListConfigResourcesRequest>(),
        table_line::<messages::DescribeTopicPartitionsRequest>(),
    ];
    let table: Vec<_> = APIS.iter().map(|spec| spec.key).collect();
    assert_eq!(lines[..], table[..]);
}

#[test]
fn the_table_advertises_what_kafka_4_3_advertises() {
    let kafka = schema::apis();
    assert_eq!(kafka.len(), APIS.len());
    for api in kafka {
        let key = ApiKey::from_code(api.key).unwrap();
        assert_eq!(key.name(), api.name);
        assert_eq!(key.spec().min..=key.spec().max, api.advertised, "{key}");
        let request = schema::schema(&format!("{}Request", api.name));
        for version in request.versions {
            assert_eq!(
                key.is_flexible(version),
                request.flexible.contains(&version),
                "{key}"
            );
        }
    }
}

#[test]
fn headers_agree_with_the_oracle() {
    for spec in APIS {
        let their_key = oracle::ApiKey::try_from(spec.key.code()).unwrap();
        for version in spec.decode_min..=spec.max {
            let header_version = spec.key.request_header_version(version);
            assert_eq!(
                header_version,
                their_key.request_header_version(version),
                "{}",
                spec.key
            );
            assert_eq!(
                spec.key.response_header_version(version),
                their_key.response_header_version(version),
                "{}",
                spec.key
            );
            for client_id in [None, Some("é client".to_owned())] {
                let ours = RequestHeader {
                    api_key: spec.key.code(),
                    api_version: version,
                    correlation_id: 77,
                    client_id: client_id.clone(),
                };
                let mut encoder = Encoder::new();
                ours.encode(&mut encoder).unwrap();
                let mut bytes = encoder.finish().to_bytes();
                assert_eq!(
                    RequestHeader::decode(&mut Decoder::new(bytes.clone())).unwrap(),
                    ours
                );
                let theirs = oracle::RequestHeader::decode(&mut bytes, header_version).unwrap();
                assert!(bytes.is_empty());
                assert_eq!(theirs.correlation_id, 77);
                assert_eq!(
                    theirs.client_id.as_ref().map(ToString::to_string),
                    client_id
                );
            }
        }
    }
}

#[test]
fn a_list_offsets_frame_of_version_11_has_its_golden_bytes() {
    // The oracle stops at version 10.
    use messages::list_offsets as list;
    let request = messages::ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![list::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![list::ListOffsetsPartition {
                partition_index: 3,
                current_leader_epoch: 5,
                timestamp: list::TIMESTAMP_EARLIEST_PENDING_UPLOAD,
            }],
        }],
        timeout_ms: 1_000,
    };
    let frame = header::encode_request(11, 7, Some("c"), &request)
        .unwrap()
        .to_bytes();
    let golden: &[u8] = b"\0\0\0\x2c\0\x02\0\x0b\0\0\0\x07\0\x01c\0\
        \xff\xff\xff\xff\x01\x02\x02t\x02\0\0\0\x03\0\0\0\x05\
        \xff\xff\xff\xff\xff\xff\xff\xfa\0\0\0\0\x03\xe8\0";
    assert_eq!(frame[..], *golden);
}

#[test]
fn an_unknown_version_of_api_versions_gets_its_golden_answer() {
    let answer = messages::ApiVersionsResponse::unsupported_version();
    let frame = header::encode_response(0, 9, &answer).unwrap().to_bytes();
    assert_eq!(
        frame[..],
        *b"\0\0\0\x10\0\0\0\x09\0\x23\0\0\0\x01\0\x12\0\0\0\x04"
    );
}

#[test]
fn produce_records_are_shared_with_the_frame_they_came_in() {
    use messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
    let records = Bytes::from(vec![7; 1 << 20]);
    let partition_data = vec![PartitionProduceData {
        index: 0,
        records: Some(records),
    }];
    let topic_data = vec![TopicProduceData {
        partition_data,
        ..Default::default()
    }];
    let request = ProduceRequest {
        acks: -1,
        topic_data,
        ..Default::default()
    };
    for version in ProduceRequest::VERSIONS {
        let bytes = encode(&request, version);
        let decoded = ProduceRequest::decode(&mut Decoder::new(bytes.clone()), version).unwrap();
        let records = decoded.topic_data[0].partition_data[0]
            .records
            .clone()
            .unwrap();
        let frame = bytes.as_ptr_range();
        assert!(
            frame.contains(&records.as_ptr()),
            "version {version} copies the records"
        );
    }
}

#[test]
fn fetch_records_are_chunks_of_their_own() {
    use messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    let records = Bytes::from(vec![7; 4096]);
    let partition = PartitionData {
        records: Some(records.clone()),
        ..Default::default()
    };
    let partitions = vec![partition.clone(), partition];
    let responses = vec![FetchableTopicResponse {
        partitions,
        ..Default::default()
    }];
    let response = FetchResponse {
        responses,
        ..Default::default()
    };
    for version in FetchResponse::VERSIONS {
        let frame = header::encode_response(version, 1, &response).unwrap();
        let shared = frame
            .chunks()
            .iter()
            .filter(|c| c.as_ptr() == records.as_ptr())
            .count();
        assert_eq!(shared, 2, "version {version} copies the records");
        let bytes = frame.to_bytes();
        assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
        let (_, decoded) =
            header::decode_response::<FetchResponse>(bytes.slice(4..), version).unwrap();
        assert_eq!(decoded, response);
    }
}
