//! Request frames as a client might send them, and the same bytes as answers.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::codec::{Decoder, Encoder, Message};
use kabuki_protocol::header::{Request, RequestHeader};
use kabuki_protocol::messages::*;
use kabuki_protocol::private::{
    CrashActor, DescribeActors, ReadSupervisionLog, decode_private_answer, decode_private_request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let mut decoder = Decoder::new(Bytes::copy_from_slice(frame));
    let Ok(header) = RequestHeader::decode(&mut decoder) else {
        return;
    };
    let body = decoder.rest();
    let version = header.api_version;
    match header.api() {
        Some(ApiKey::Produce) => exchange::<ProduceRequest>(body, version),
        Some(ApiKey::Fetch) => exchange::<FetchRequest>(body, version),
        Some(ApiKey::ListOffsets) => exchange::<ListOffsetsRequest>(body, version),
        Some(ApiKey::Metadata) => exchange::<MetadataRequest>(body, version),
        Some(ApiKey::FindCoordinator) => exchange::<FindCoordinatorRequest>(body, version),
        Some(ApiKey::ApiVersions) => exchange::<ApiVersionsRequest>(body, version),
        Some(ApiKey::CreateTopics) => exchange::<CreateTopicsRequest>(body, version),
        Some(ApiKey::DeleteTopics) => exchange::<DeleteTopicsRequest>(body, version),
        Some(ApiKey::DeleteRecords) => exchange::<DeleteRecordsRequest>(body, version),
        Some(ApiKey::InitProducerId) => exchange::<InitProducerIdRequest>(body, version),
        Some(ApiKey::OffsetForLeaderEpoch) => {
            exchange::<OffsetForLeaderEpochRequest>(body, version)
        }
        Some(ApiKey::DescribeConfigs) => exchange::<DescribeConfigsRequest>(body, version),
        Some(ApiKey::AlterConfigs) => exchange::<AlterConfigsRequest>(body, version),
        Some(ApiKey::CreatePartitions) => exchange::<CreatePartitionsRequest>(body, version),
        Some(ApiKey::IncrementalAlterConfigs) => {
            exchange::<IncrementalAlterConfigsRequest>(body, version)
        }
        Some(ApiKey::DescribeQuorum) => exchange::<DescribeQuorumRequest>(body, version),
        Some(ApiKey::UpdateFeatures) => exchange::<UpdateFeaturesRequest>(body, version),
        Some(ApiKey::DescribeCluster) => exchange::<DescribeClusterRequest>(body, version),
        Some(ApiKey::OffsetCommit) => exchange::<OffsetCommitRequest>(body, version),
        Some(ApiKey::OffsetFetch) => exchange::<OffsetFetchRequest>(body, version),
        Some(ApiKey::JoinGroup) => exchange::<JoinGroupRequest>(body, version),
        Some(ApiKey::Heartbeat) => exchange::<HeartbeatRequest>(body, version),
        Some(ApiKey::LeaveGroup) => exchange::<LeaveGroupRequest>(body, version),
        Some(ApiKey::SyncGroup) => exchange::<SyncGroupRequest>(body, version),
        Some(ApiKey::DescribeGroups) => exchange::<DescribeGroupsRequest>(body, version),
        Some(ApiKey::ListGroups) => exchange::<ListGroupsRequest>(body, version),
        Some(ApiKey::DeleteGroups) => exchange::<DeleteGroupsRequest>(body, version),
        Some(ApiKey::OffsetDelete) => exchange::<OffsetDeleteRequest>(body, version),
        Some(ApiKey::ConsumerGroupHeartbeat) => {
            exchange::<ConsumerGroupHeartbeatRequest>(body, version)
        }
        Some(ApiKey::ConsumerGroupDescribe) => {
            exchange::<ConsumerGroupDescribeRequest>(body, version)
        }
        Some(ApiKey::ListConfigResources) => {
            exchange::<ListConfigResourcesRequest>(body, version)
        }
        Some(ApiKey::DescribeLogDirs) => exchange::<DescribeLogDirsRequest>(body, version),
        Some(ApiKey::DescribeProducers) => exchange::<DescribeProducersRequest>(body, version),
        Some(ApiKey::DescribeTopicPartitions) => {
            exchange::<DescribeTopicPartitionsRequest>(body, version)
        }
        None => private(&decoder),
    }
});

fn exchange<R: Request + PartialEq + Debug>(body: Bytes, version: i16)
where
    R::Response: PartialEq + Debug,
{
    round_trip::<R>(body.clone(), version);
    round_trip::<R::Response>(body, version);
}

/// What decodes says the same after an encode. A text may have grown past the limit on the way:
/// each bad byte becomes the three of U+FFFD.
fn round_trip<T: Message + PartialEq + Debug>(body: Bytes, version: i16) {
    let Ok(message) = T::decode(&mut Decoder::new(body), version) else {
        return;
    };
    let mut encoder = Encoder::new();
    if message.encode(&mut encoder, version).is_ok() {
        let bytes = encoder.finish().to_bytes();
        let again = T::decode(&mut Decoder::new(bytes), version).expect("own bytes decode");
        assert_eq!(again, message);
    }
}

fn private(decoder: &Decoder) {
    let _ = decode_private_request::<DescribeActors>(decoder);
    let _ = decode_private_request::<CrashActor>(decoder);
    let _ = decode_private_request::<ReadSupervisionLog>(decoder);
    let _ = decode_private_answer::<DescribeActors>(decoder.rest());
    let _ = decode_private_answer::<ReadSupervisionLog>(decoder.rest());
}
