//! Reads `kafka-4.3.txt` and `kafka-4.3-embedded.txt`, the layout of Kafka's messages, for the tests that
//! hold our codec against it.

// Each test binary uses its own part of this module; what cannot be parsed fails the test.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

use std::ops::RangeInclusive;

pub(crate) use generator::{Fill, Generated, LengthAt, Random, generate};

mod generator;

/// Calls `$check::<Ours>()` for each message of the API table; with `and oracle`, and the message of
/// the same name there, `$check::<Ours, Theirs>()`.
macro_rules! for_each_message {
    ($check:ident $(and $oracle:ident)?) => {
        for_each_message!(@each $check $($oracle)?:
            ProduceRequest ProduceResponse FetchRequest FetchResponse
            ListOffsetsRequest ListOffsetsResponse MetadataRequest MetadataResponse
            FindCoordinatorRequest FindCoordinatorResponse ApiVersionsRequest ApiVersionsResponse
            CreateTopicsRequest CreateTopicsResponse DeleteTopicsRequest DeleteTopicsResponse
            DeleteRecordsRequest DeleteRecordsResponse
            InitProducerIdRequest InitProducerIdResponse
            OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse
            DescribeConfigsRequest DescribeConfigsResponse
            CreatePartitionsRequest CreatePartitionsResponse
            AlterConfigsRequest AlterConfigsResponse
            ListConfigResourcesRequest ListConfigResourcesResponse
            IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
            DescribeQuorumRequest DescribeQuorumResponse
            UpdateFeaturesRequest UpdateFeaturesResponse
            DescribeClusterRequest DescribeClusterResponse
            OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest OffsetFetchResponse
            JoinGroupRequest JoinGroupResponse HeartbeatRequest HeartbeatResponse
            LeaveGroupRequest LeaveGroupResponse SyncGroupRequest SyncGroupResponse
            DescribeGroupsRequest DescribeGroupsResponse ListGroupsRequest ListGroupsResponse
            DeleteGroupsRequest DeleteGroupsResponse OffsetDeleteRequest OffsetDeleteResponse
            ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse
            ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse
            DescribeLogDirsRequest DescribeLogDirsResponse
            DescribeProducersRequest DescribeProducersResponse
            DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse)
    };
    (@each $check:ident: $($name:ident)*) => {
        $($check::<kabuki_protocol::messages::$name>();)*
    };
    (@each $check:ident $oracle:ident: $($name:ident)*) => {
        $($check::<kabuki_protocol::messages::$name, $oracle::$name>();)*
    };
}
pub(crate) use for_each_message;

/// Calls `$check::<Ours>()` for each message that is embedded in a field or a record.
macro_rules! for_each_embedded {
    ($check:ident) => {
        for_each_embedded!(@each $check consumer_protocol:
            ConsumerProtocolSubscription ConsumerProtocolAssignment);
        for_each_embedded!(@each $check group_records:
            OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue
            ConsumerGroupMetadataKey ConsumerGroupMetadataValue
            ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue
            ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue
            ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue
            ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue
            ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue
            ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue)
    };
    (@each $check:ident $module:ident: $($name:ident)*) => {
        $($check::<kabuki_protocol::$module::$name>();)*
    };
}
pub(crate) use for_each_embedded;

pub(crate) type Range = RangeInclusive<i16>;

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) versions: Range,
    pub(crate) flexible: Range,
    fields: Vec<FieldSchema>,
}

#[derive(Debug, Clone)]
struct FieldSchema {
    name: String,
    kind: String,
    is_array: bool,
    versions: Range,
    nullable: Option<Range>,
    tag: Option<u32>,
    fields: Vec<FieldSchema>,
}

pub(crate) struct Api {
    pub(crate) name: String,
    pub(crate) key: i16,
    pub(crate) advertised: Range,
}

const TEXT: &str = include_str!("kafka-4.3.txt");
const EMBEDDED: &str = include_str!("kafka-4.3-embedded.txt");
const NO_VERSION: Range = RangeInclusive::new(1, 0);

/// The schema of one message.
pub(crate) fn schema(name: &str) -> Schema {
    let is_head = |line: &&str| line.split(' ').next() == Some(name);
    let text = TEXT.lines().chain(EMBEDDED.lines());
    let mut lines = text.skip_while(|line| !is_head(line));
    let words: Vec<_> = lines
        .next()
        .expect("a message of the file")
        .split(' ')
        .collect();
    assert_eq!((words[1], words[3]), ("versions", "flexible"));
    let body: Vec<&str> = lines.take_while(|line| line.starts_with(' ')).collect();
    Schema {
        name: name.to_owned(),
        versions: range(words[2]),
        flexible: range(words[4]),
        fields: fields(&mut body.into_iter().peekable(), 2),
    }
}

/// The APIs of the file.
pub(crate) fn apis() -> Vec<Api> {
    let lines = TEXT.lines().filter(|line| line.starts_with("api "));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let (name, key) = (words[1].to_owned(), words[2].parse().unwrap());
            Api {
                name,
                key,
                advertised: range(words[4]),
            }
        })
        .collect()
}

fn range(text: &str) -> Range {
    if text == "none" {
        return NO_VERSION;
    }
    if let Some(min) = text.strip_suffix('+') {
        return min.parse().unwrap()..=i16::MAX;
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    min.parse().unwrap()..=max.parse().unwrap()
}

fn fields<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    indent: usize,
) -> Vec<FieldSchema> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut fields: Vec<FieldSchema> = Vec::new();
    while let Some(line) = lines.peek() {
        match depth(line) {
            deeper if deeper > indent => {
                let inner = self::fields(lines, deeper);
                fields
                    .last_mut()
                    .expect("a struct stands before its fields")
                    .fields = inner;
            }
            same if same == indent => {
                fields.push(field(line.trim()));
                lines.next();
            }
            _ => break,
        }
    }
    fields
}

fn field(line: &str) -> FieldSchema {
    let (name, rest) = line.split_once(": ").unwrap();
    let mut words = rest.split(' ').peekable();
    let kind = words.next().unwrap();
    let mut field = FieldSchema {
        name: name.to_owned(),
        kind: kind.trim_start_matches("[]").to_owned(),
        is_array: kind.starts_with("[]"),
        versions: 0..=i16::MAX,
        nullable: None,
        tag: None,
        fields: Vec::new(),
    };
    let is_range = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    if let Some(versions) = words.next_if(is_range) {
        field.versions = range(versions);
    }
    while let Some(word) = words.next() {
        match word {
            "null" => field.nullable = Some(words.next_if(is_range).map_or(0..=i16::MAX, range)),
            "tag" => field.tag = Some(words.next().unwrap().parse().unwrap()),
            other => panic!("unknown word {other} in {line}"),
        }
    }
    field
}
