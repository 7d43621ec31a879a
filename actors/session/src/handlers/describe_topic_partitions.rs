//! DescribeTopicPartitions (key 75): names the partitions of topics, a page at a time. Version 0.
//!
//! A page holds the topics by name, at most as many partitions as the client or
//! `max.request.partition.size.limit` says, and the place where the next one starts. The replicas that
//! are eligible to lead (KIP-966) are none, as there is no replication between nodes yet.
//!
//! Source: KIP-966.

use std::collections::BTreeSet;

use kabuki_controller::image::{MetadataImage, TopicImage, is_internal_topic};
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicName;
use kabuki_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kabuki_protocol::messages::metadata::MetadataResponsePartition;

use super::Started;
use super::metadata::{TOPIC_OPERATIONS, partition_row};
use crate::request::RequestContext;

pub(super) fn answer(
    request: &DescribeTopicPartitionsRequest,
    context: &RequestContext,
) -> Started {
    let image = context.services.image();
    let is_of_all = request.topics.is_empty();
    let start = Start::of(request.cursor.as_ref());
    let names: BTreeSet<&str> = match is_of_all {
        true => image.topics().map(|topic| &*topic.name).collect(),
        false => request.topics.iter().map(|topic| &*topic.name).collect(),
    };
    let Some(start) = start.filter(|start| is_of_all || start.is_among(&names)) else {
        return refusal(request, ErrorCode::InvalidRequest, context);
    };
    if start.topic.is_empty() && names.contains("") {
        // Kafka fails on it as a whole, unless the cursor lies behind it.
        return refusal(request, ErrorCode::UnknownServerError, context);
    }
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let most = context
        .services
        .config
        .number("max.request.partition.size.limit");
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut page = Page {
        left: asked.min(most).max(1),
        topics: Vec::new(),
        next: None,
    };
    for name in names.range(start.topic..) {
        let from = if *name == start.topic {
            start.partition
        } else {
            0
        };
        match image.topic(name) {
            _ if page.left == 0 => page.ends_before(name, 0),
            Some(topic) => page.add(topic, from, &image, context),
            None if is_of_all => {}
            None => page.topics.push(unknown(name)),
        }
        if page.next.is_some() {
            break;
        }
    }
    Started::Answered(context.reply(&DescribeTopicPartitionsResponse {
        topics: page.topics,
        next_cursor: page.next,
        ..DescribeTopicPartitionsResponse::default()
    }))
}

/// Where a page starts.
struct Start<'a> {
    /// The empty name comes before all.
    topic: &'a str,
    partition: usize,
    is_named: bool,
}

impl<'a> Start<'a> {
    /// `None` for a partition that nobody has.
    fn of(cursor: Option<&'a Cursor>) -> Option<Self> {
        Some(Self {
            topic: cursor.map_or("", |cursor| &cursor.topic_name),
            partition: usize::try_from(cursor.map_or(0, |cursor| cursor.partition_index)).ok()?,
            is_named: cursor.is_some(),
        })
    }

    /// A cursor belongs to the topics that it came with.
    fn is_among(&self, names: &BTreeSet<&str>) -> bool {
        !self.is_named || names.contains(self.topic)
    }
}

/// What is answered so far.
struct Page {
    /// Partitions that there is room for.
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page {
    fn ends_before(&mut self, topic: &str, partition: usize) {
        self.next = Some(Cursor {
            topic_name: topic.to_owned(),
            partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
        });
    }

    fn add(
        &mut self,
        topic: &TopicImage,
        from: usize,
        image: &MetadataImage,
        context: &RequestContext,
    ) {
        let version = ApiKey::Metadata.spec().max;
        let shown = (0..).zip(&topic.partitions).skip(from).take(self.left);
        let partitions: Vec<_> = shown
            .map(|(index, partition)| {
                row(partition_row(
                    index,
                    partition,
                    image,
                    &context.listener,
                    version,
                ))
            })
            .collect();
        let end = from.saturating_add(partitions.len());
        self.left -= partitions.len();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: topic.is_internal(),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        if end < topic.partitions.len() {
            self.ends_before(&topic.name, end);
        }
    }
}

/// A partition as Metadata shows it, but for the error: one without a leader has the leader -1 here.
fn row(shown: MetadataResponsePartition) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        partition_index: shown.partition_index,
        leader_id: shown.leader_id,
        leader_epoch: shown.leader_epoch,
        replica_nodes: shown.replica_nodes,
        isr_nodes: shown.isr_nodes,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: shown.offline_replicas,
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        is_internal: is_internal_topic(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

/// The whole request is wrong: told for each topic that was named, in the order of the request.
fn refusal(
    request: &DescribeTopicPartitionsRequest,
    code: ErrorCode,
    context: &RequestContext,
) -> Started {
    let topics = request.topics.iter();
    let topics = topics.map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(topic.name.clone()),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    Started::Answered(context.reply(&DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..DescribeTopicPartitionsResponse::default()
    }))
}
