//! DescribeQuorum (key 55): the quorum of the metadata log. Versions 0 to 2.
//!
//! There is one voter, in this node, and nobody follows it; what it has written is committed. Its
//! directory is not told: voters that cannot be changed are told apart by their nodes alone, in Kafka
//! as here. A request that asks for anything but partition 0 of `__cluster_metadata` is answered with
//! 3 for all that it asks for.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | times at which a voter fetched; that of a leader is now |
//! | 2 | texts for errors; how voters are reached |
//!
//! Source: KIP-595, KIP-836, KIP-853.

use kabuki_controller::image::{BrokerImage, MetadataImage};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, DescribedTopic, METADATA_TOPIC, QuorumListener,
    QuorumNode, QuorumPartition, QuorumTopic, ReplicaState,
};

use super::Started;
use crate::request::RequestContext;

/// First version with nodes.
const VERSION_WITH_NODES: i16 = 2;

pub(super) fn answer(request: &DescribeQuorumRequest, context: &RequestContext) -> Started {
    let response = if is_about_the_metadata(request) {
        let image = context.services.image();
        described(&image, (context.services.clock)(), context.version)
    } else {
        DescribeQuorumResponse {
            error_message: no_text(),
            topics: request.topics.iter().map(unknown).collect(),
            ..DescribeQuorumResponse::default()
        }
    };
    Started::Answered(context.reply(&response))
}

fn is_about_the_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &*request.topics else {
        return false;
    };
    let [partition] = &*topic.partitions else {
        return false;
    };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

/// Where there is nothing to tell, Kafka tells an empty text and not null.
fn no_text() -> Option<String> {
    Some(String::new())
}

fn unknown(topic: &DescribedTopic) -> QuorumTopic {
    let code = ErrorCode::UnknownTopicOrPartition;
    let partitions = topic.partitions.iter().map(|partition| QuorumPartition {
        partition_index: partition.partition_index,
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..QuorumPartition::default()
    });
    QuorumTopic {
        topic_name: topic.topic_name.clone(),
        partitions: partitions.collect(),
    }
}

fn described(image: &MetadataImage, now_ms: i64, version: i16) -> DescribeQuorumResponse {
    let (leader, leader_epoch) = image.quorum_leader();
    let log_end_offset = image.offset() + 1;
    let voter = ReplicaState {
        replica_id: leader.get(),
        replica_directory_id: TopicId::default(),
        log_end_offset,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
    };
    let partition = QuorumPartition {
        error_message: no_text(),
        leader_id: leader.get(),
        leader_epoch: leader_epoch.get(),
        high_watermark: log_end_offset,
        current_voters: vec![voter],
        ..QuorumPartition::default()
    };
    let nodes = match version {
        VERSION_WITH_NODES.. => image.broker(leader).map(|broker| node(broker)),
        _ => None,
    };
    DescribeQuorumResponse {
        error_message: no_text(),
        topics: vec![QuorumTopic {
            topic_name: METADATA_TOPIC.to_owned(),
            partitions: vec![partition],
        }],
        nodes: nodes.into_iter().collect(),
        ..DescribeQuorumResponse::default()
    }
}

/// The voter has no listener of its own: it is reached like its broker.
fn node(broker: &BrokerImage) -> QuorumNode {
    let listeners = broker.endpoints.iter().map(|endpoint| QuorumListener {
        name: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    });
    QuorumNode {
        node_id: broker.id.get(),
        listeners: listeners.collect(),
    }
}
