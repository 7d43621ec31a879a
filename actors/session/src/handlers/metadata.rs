//! Metadata (key 3): names brokers, topics, partitions and leaders. Versions 0 to 13.
//!
//! Answered from the metadata image without asking anybody, unless a named topic is to be created:
//! then the controller is asked, and the answer holds the topic if it was committed in time, else 3.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | null asks for all topics (in 0 the empty list), rack, controller, internal topics |
//! | 4 | the client may forbid automatic creation |
//! | 5 | offline replicas |
//! | 6 | 72 for a leader without this listener (before: 5) |
//! | 7 | leader epoch |
//! | 8 | authorized operations, if asked: all, there is no authorizer |
//! | 10 | topic ids |
//! | 12 | topics asked for by id |
//!
//! Source: KIP-516, KIP-204.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::{MetadataImage, PartitionImage, TopicImage};
use kabuki_controller::messages::{CreateTopicRefused, CreateTopics, NewTopic};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, TopicId, TopicName};
use kabuki_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

pub(super) use kabuki_protocol::messages::OPERATIONS_NOT_ASKED;

use super::Started;
use super::hosting;
use crate::ports::ask;
use crate::refusals::code_of;
use crate::request::{Answer, RequestContext};

/// Every operation Kafka knows for a cluster: create 5, alter 7, describe 8, cluster action 9,
/// describe configs 10, alter configs 11, idempotent write 12. One bit each (KIP-430).
pub(super) const CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// Every operation Kafka knows for a topic: read 3, write 4, create 5, delete 6, alter 7, describe 8,
/// describe configs 10, alter configs 11.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// How long an answer waits for an automatic creation. Clients ask again after about 100 ms, so a
/// longer wait would only hold up the connection.
const CREATE_WAIT: Duration = Duration::from_secs(2);

/// The log of the cluster itself, which is no topic that could be created: unknown, as in Kafka.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// First version in which topics may be asked for by their ids.
const VERSION_WITH_IDS: i16 = 12;

/// Answers from the image, or creates what is missing first.
pub(super) fn start(mut request: MetadataRequest, context: RequestContext) -> Started {
    if context.version >= VERSION_WITH_IDS {
        keep_ids_alone(&mut request);
    }
    if let Some(code) = refused_as_a_whole(&request, context.version) {
        return Started::Answered(refusal(&request, code, &context));
    }
    let image = context.services.image();
    let missing = missing_topics(&request, &image, &context);
    if missing.is_empty() {
        return Started::Answered(answer(&request, &image, &[], &context));
    }
    Started::job(create_and_answer(request, missing, context))
}

/// Topics named in a way the version does not have; what Kafka makes of no name at all is -1.
fn refused_as_a_whole(request: &MetadataRequest, version: i16) -> Option<ErrorCode> {
    let mut topics = request.topics.iter().flatten();
    if version < VERSION_WITH_IDS {
        let is_strange =
            |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
        return topics.any(is_strange).then_some(ErrorCode::InvalidRequest);
    }
    let is_nameless =
        |topic: &MetadataRequestTopic| topic.name.is_none() && topic.topic_id.is_zero();
    topics
        .any(is_nameless)
        .then_some(ErrorCode::UnknownServerError)
}

/// A request that names one topic by its id is answered for its ids alone, as by Kafka.
fn keep_ids_alone(request: &mut MetadataRequest) {
    let Some(topics) = &mut request.topics else {
        return;
    };
    if topics.iter().any(|topic| !topic.topic_id.is_zero()) {
        topics.retain(|topic| !topic.topic_id.is_zero());
    }
}

fn refusal(request: &MetadataRequest, code: ErrorCode, context: &RequestContext) -> Answer {
    let row = |topic: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: code.code(),
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    };
    let topics = request.topics.iter().flatten().map(row).collect();
    // Version 13 has a place for it beside the topics, too.
    context.reply(&MetadataResponse {
        topics,
        error_code: code.code(),
        ..MetadataResponse::default()
    })
}

/// Names to create: asked for by name, legal, unknown, and creation allowed by client and node.
fn missing_topics(
    request: &MetadataRequest,
    image: &MetadataImage,
    context: &RequestContext,
) -> Vec<String> {
    let is_allowed = context.version < 4 || request.allow_auto_topic_creation;
    if !is_allowed || !context.services.config.is_on("auto.create.topics.enable") {
        return Vec::new();
    }
    let asked = request
        .topics
        .iter()
        .flatten()
        .filter(|topic| topic.topic_id.is_zero());
    let mut missing: Vec<String> = asked
        .filter_map(|topic| topic.name.as_ref())
        .filter(|name| image.topic(name).is_none() && TopicName::new(name).is_ok())
        // The broker's own topics come with their own settings, from those who use them.
        .filter(|name| !kabuki_controller::image::is_internal_topic(name))
        .filter(|name| *name != METADATA_TOPIC)
        .cloned()
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

async fn create_and_answer(
    request: MetadataRequest,
    missing: Vec<String>,
    context: RequestContext,
) -> Answer {
    let services = context.services.clone();
    let new_topic = |name: &String| NewTopic {
        name: name.clone(),
        partition_count: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let topics: Vec<NewTopic> = missing.iter().map(new_topic).collect();
    let created = ask(&services.controller.create_topics, CREATE_WAIT, |reply| {
        CreateTopics {
            topics,
            validate_only: false,
            reply,
        }
    })
    .await;
    let outcomes = created.unwrap_or_default();
    let made: Vec<TopicId> = outcomes.iter().flatten().map(|topic| topic.id).collect();
    hosting::wait_until_serving(&services, &made, CREATE_WAIT).await;
    let mut refused = Vec::new();
    for (name, outcome) in missing.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) => {}
            Err(CreateTopicRefused::Exists { .. } | CreateTopicRefused::NotCommitted(_)) => {}
            Err(cause) => refused.push((name, code_of(&cause))),
        }
    }
    answer(&request, &services.image(), &refused, &context)
}

fn answer(
    request: &MetadataRequest,
    image: &Arc<MetadataImage>,
    refused: &[(String, ErrorCode)],
    context: &RequestContext,
) -> Answer {
    let listener = &*context.listener;
    let version = context.version;
    let operations = match request.include_topic_authorized_operations {
        true => TOPIC_OPERATIONS,
        false => OPERATIONS_NOT_ASKED,
    };
    let row = |topic: &TopicImage| topic_row(topic, image, listener, version, operations);
    let topics = match &request.topics {
        None => image
            .topics_by_name()
            .into_iter()
            .map(|topic| row(topic))
            .collect(),
        Some(asked) if asked.is_empty() && version == 0 => image
            .topics_by_name()
            .into_iter()
            .map(|topic| row(topic))
            .collect(),
        Some(asked) => each_once(asked)
            .map(|asked| match find(asked, image) {
                Ok(topic) => row(topic),
                Err(code) => {
                    let of_asked = |(name, _): &&(String, _)| Some(name) == asked.name.as_ref();
                    let code = refused
                        .iter()
                        .find(of_asked)
                        .map_or(code, |(_, code)| *code);
                    unknown_row(asked, code, operations)
                }
            })
            .collect(),
    };
    let brokers = image
        .brokers()
        .filter(|broker| !broker.is_fenced)
        .filter_map(|broker| {
            let endpoint = broker.endpoint(listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.get(),
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            })
        })
        .collect();
    context.reply(&MetadataResponse {
        brokers,
        cluster_id: Some(image.cluster_id().to_owned()),
        controller_id: controller_id(image, context.services.node()),
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED,
        },
        ..MetadataResponse::default()
    })
}

/// A topic that is named again and again is answered once, as by Kafka; else a small request would
/// have an answer of any size.
fn each_once(asked: &[MetadataRequestTopic]) -> impl Iterator<Item = &MetadataRequestTopic> {
    let mut seen = HashSet::new();
    asked
        .iter()
        .filter(move |asked| match asked.topic_id.is_zero() {
            true => seen.insert((asked.name.as_ref(), asked.topic_id)),
            false => seen.insert((None, asked.topic_id)),
        })
}

/// The broker to send changes to: this one forwards them itself. -1 before it is registered.
pub(super) fn controller_id(image: &MetadataImage, node: NodeId) -> i32 {
    let is_alive = image.broker(node).is_some_and(|broker| !broker.is_fenced);
    if is_alive {
        node.get()
    } else {
        NodeId::NONE.get()
    }
}

fn find<'a>(
    asked: &MetadataRequestTopic,
    image: &'a MetadataImage,
) -> Result<&'a Arc<TopicImage>, ErrorCode> {
    if !asked.topic_id.is_zero() {
        return image
            .topic_by_id(asked.topic_id)
            .ok_or(ErrorCode::UnknownTopicId);
    }
    let Some(name) = &asked.name else {
        return Err(ErrorCode::InvalidRequest);
    };
    let unknown = match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    image.topic(name).ok_or(unknown)
}

fn unknown_row(
    asked: &MetadataRequestTopic,
    code: ErrorCode,
    operations: i32,
) -> MetadataResponseTopic {
    let is_by_id = code == ErrorCode::UnknownTopicId;
    MetadataResponseTopic {
        error_code: code.code(),
        name: if is_by_id {
            None
        } else {
            Some(asked.name.clone().unwrap_or_default())
        },
        topic_id: if is_by_id {
            asked.topic_id
        } else {
            TopicId::ZERO
        },
        topic_authorized_operations: if is_by_id {
            OPERATIONS_NOT_ASKED
        } else {
            operations
        },
        ..MetadataResponseTopic::default()
    }
}

fn topic_row(
    topic: &TopicImage,
    image: &MetadataImage,
    listener: &str,
    version: i16,
    operations: i32,
) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: partitions
            .map(|(index, partition)| partition_row(index, partition, image, listener, version))
            .collect(),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

/// One partition as `version` shows it.
pub(super) fn partition_row(
    partition_index: i32,
    partition: &PartitionImage,
    image: &MetadataImage,
    listener: &str,
    version: i16,
) -> MetadataResponsePartition {
    let is_reachable = |node: NodeId| {
        let broker = image.broker(node).filter(|broker| !broker.is_fenced);
        broker.is_some_and(|broker| broker.endpoint(listener).is_some())
    };
    let is_offline = |node: &&NodeId| {
        let Some(broker) = image.broker(**node).filter(|broker| !broker.is_fenced) else {
            return true;
        };
        let directory = partition.directory_of(**node);
        directory.is_some_and(|id| id.is_assigned() && !broker.directories.contains(&id))
    };
    let code = if !partition.is_online() {
        ErrorCode::LeaderNotAvailable
    } else if is_reachable(partition.leader) {
        ErrorCode::None
    } else if version >= 6 {
        ErrorCode::ListenerNotFound
    } else {
        ErrorCode::LeaderNotAvailable
    };
    let has_leader = code == ErrorCode::None;
    // Version 0 leaves out replicas that cannot be reached, and says so.
    let replicas: Vec<i32> = partition
        .replicas
        .iter()
        .filter(|node| version > 0 || is_reachable(**node))
        .map(|node| node.get())
        .collect();
    let is_short = replicas.len() < partition.replicas.len();
    let code = if has_leader && is_short {
        ErrorCode::ReplicaNotAvailable
    } else {
        code
    };
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index,
        leader_id: if has_leader {
            partition.leader.get()
        } else {
            NodeId::NONE.get()
        },
        leader_epoch: partition.leader_epoch.get(),
        replica_nodes: replicas,
        isr_nodes: partition.isr.iter().map(|node| node.get()).collect(),
        offline_replicas: partition
            .replicas
            .iter()
            .filter(is_offline)
            .map(|id| id.get())
            .collect(),
    }
}
