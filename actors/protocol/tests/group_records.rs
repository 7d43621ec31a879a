//! Group records against bytes that Kafka's own classes wrote: no other oracle has them.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use bytes::Bytes;
use kabuki_protocol::codec::Malformed;
use kabuki_protocol::group_records::*;
use kabuki_protocol::ids::TopicId;

use golden::{TOPIC, golden_record, hex};

mod golden;

const OTHER: TopicId = TopicId([
    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
]);
const THEN_MS: i64 = 1_700_000_000_123;

fn read(name: &str) -> GroupRecord {
    let (key, value) = golden_record(name);
    let read = GroupRecord::decode(&key, value.as_ref());
    read.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn group_id() -> String {
    "group".to_owned()
}

fn member_id() -> String {
    "member".to_owned()
}

fn offset_key() -> OffsetCommitKey {
    OffsetCommitKey {
        group: group_id(),
        topic: "topic".to_owned(),
        partition: 3,
    }
}

fn offset_value() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: 42,
        leader_epoch: 7,
        metadata: "meta".to_owned(),
        commit_timestamp: THEN_MS,
        expire_timestamp: -1,
        topic_id: TOPIC,
    }
}

fn classic_key() -> GroupMetadataKey {
    GroupMetadataKey { group: group_id() }
}

fn classic_member(number: u8) -> MemberMetadata {
    MemberMetadata {
        member_id: format!("member-{number}"),
        group_instance_id: (number == 1).then(|| "instance".to_owned()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: 300_000,
        session_timeout: 45_000,
        subscription: Bytes::from(vec![1, 2, number]),
        assignment: Bytes::from(vec![9, 8, 7, number]),
    }
}

fn classic_value(members: Vec<MemberMetadata>) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 5,
        protocol: Some("range".to_owned()),
        leader: Some("member-1".to_owned()),
        current_state_timestamp: THEN_MS,
        members,
    }
}

fn offset_records() -> Vec<(&'static str, GroupRecord)> {
    let bare_key = OffsetCommitKey {
        group: String::new(),
        partition: 0,
        ..offset_key()
    };
    let bare = OffsetCommitValue {
        commit_timestamp: THEN_MS,
        ..OffsetCommitValue::default()
    };
    vec![
        (
            "offset",
            GroupRecord::OffsetCommit(offset_key(), Some(offset_value())),
        ),
        (
            "offset-bare",
            GroupRecord::OffsetCommit(bare_key, Some(bare)),
        ),
        ("offset-gone", GroupRecord::OffsetCommit(offset_key(), None)),
    ]
}

fn classic_records() -> Vec<(&'static str, GroupRecord)> {
    let members = vec![classic_member(1), classic_member(2)];
    let empty = GroupMetadataValue::default();
    vec![
        (
            "classic",
            GroupRecord::GroupMetadata(classic_key(), Some(classic_value(members))),
        ),
        (
            "classic-empty",
            GroupRecord::GroupMetadata(classic_key(), Some(empty)),
        ),
        (
            "classic-gone",
            GroupRecord::GroupMetadata(classic_key(), None),
        ),
    ]
}

fn consumer_group_records() -> Vec<(&'static str, GroupRecord)> {
    let group_id = group_id();
    let key = ConsumerGroupMetadataKey {
        group_id: group_id.clone(),
    };
    let epoch = |metadata_hash| {
        let value = ConsumerGroupMetadataValue {
            epoch: 12,
            metadata_hash,
        };
        GroupRecord::ConsumerGroupMetadata(key.clone(), Some(value))
    };
    let topics_key = ConsumerGroupPartitionMetadataKey {
        group_id: group_id.clone(),
    };
    let partition = |partition, racks: &[&str]| PartitionMetadata {
        partition,
        racks: racks.iter().map(|rack| (*rack).to_owned()).collect(),
    };
    let topics = ConsumerGroupPartitionMetadataValue {
        topics: vec![
            TopicMetadata {
                topic_id: TOPIC,
                topic_name: "topic".to_owned(),
                num_partitions: 2,
                partition_metadata: vec![partition(0, &["r1", "r2"]), partition(1, &[])],
            },
            TopicMetadata {
                topic_id: OTHER,
                topic_name: "other".to_owned(),
                num_partitions: 1,
                partition_metadata: vec![],
            },
        ],
    };
    let target_key = ConsumerGroupTargetAssignmentMetadataKey {
        group_id: group_id.clone(),
    };
    let target_epoch = |assignment_timestamp| {
        let value = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: 11,
            assignment_timestamp,
        };
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(target_key.clone(), Some(value))
    };
    let regex_key = ConsumerGroupRegularExpressionKey {
        group_id,
        regular_expression: "t.*".to_owned(),
    };
    let regex = ConsumerGroupRegularExpressionValue {
        topics: vec!["tea".to_owned(), "topic".to_owned()],
        version: 77,
        timestamp: THEN_MS,
    };
    vec![
        ("epoch", epoch(0x0123_4567_89ab_cdef)),
        ("epoch-bare", epoch(0)),
        (
            "epoch-gone",
            GroupRecord::ConsumerGroupMetadata(key.clone(), None),
        ),
        (
            "topics",
            GroupRecord::ConsumerGroupPartitionMetadata(topics_key.clone(), Some(topics)),
        ),
        (
            "topics-gone",
            GroupRecord::ConsumerGroupPartitionMetadata(topics_key, None),
        ),
        ("target-epoch", target_epoch(THEN_MS)),
        ("target-epoch-bare", target_epoch(0)),
        (
            "target-epoch-gone",
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(target_key.clone(), None),
        ),
        (
            "regex",
            GroupRecord::ConsumerGroupRegularExpression(regex_key.clone(), Some(regex)),
        ),
        (
            "regex-gone",
            GroupRecord::ConsumerGroupRegularExpression(regex_key, None),
        ),
    ]
}

fn member_records() -> Vec<(&'static str, GroupRecord)> {
    let record = |value| {
        let (group_id, member_id) = (group_id(), member_id());
        let key = ConsumerGroupMemberMetadataKey {
            group_id,
            member_id,
        };
        GroupRecord::ConsumerGroupMemberMetadata(key, value)
    };
    let bare = ConsumerGroupMemberMetadataValue {
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        subscribed_topic_regex: Some(String::new()),
        classic_member_metadata: None,
        ..ConsumerGroupMemberMetadataValue::default()
    };
    let full = ConsumerGroupMemberMetadataValue {
        instance_id: Some("instance".to_owned()),
        rack_id: Some("rack".to_owned()),
        subscribed_topic_names: vec!["other".to_owned(), "topic".to_owned()],
        subscribed_topic_regex: Some("t.*".to_owned()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("uniform".to_owned()),
        ..bare.clone()
    };
    let protocol = |name: &str, metadata: &'static [u8]| ClassicProtocol {
        name: name.to_owned(),
        metadata: Bytes::from_static(metadata),
    };
    let classic = ConsumerGroupMemberMetadataValue {
        subscribed_topic_names: vec!["topic".to_owned()],
        rebalance_timeout_ms: 300_000,
        classic_member_metadata: Some(ClassicMemberMetadata {
            session_timeout_ms: 45_000,
            supported_protocols: vec![protocol("range", &[1, 2, 3]), protocol("sticky", &[])],
        }),
        ..bare.clone()
    };
    vec![
        ("member", record(Some(full))),
        ("member-bare", record(Some(bare))),
        ("member-classic", record(Some(classic))),
        ("member-gone", record(None)),
    ]
}

fn assignment_records() -> Vec<(&'static str, GroupRecord)> {
    let target = |topic_partitions: Option<Vec<TopicPartition>>| {
        let key = ConsumerGroupTargetAssignmentMemberKey {
            group_id: group_id(),
            member_id: member_id(),
        };
        let value = topic_partitions
            .map(|topic_partitions| ConsumerGroupTargetAssignmentMemberValue { topic_partitions });
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, value)
    };
    let current = |value| {
        let key = ConsumerGroupCurrentMemberAssignmentKey {
            group_id: group_id(),
            member_id: member_id(),
        };
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value)
    };
    let owned = |topic_id, partitions: &[i32], epochs: &[i32]| TopicPartitions {
        topic_id,
        partitions: partitions.to_vec(),
        assignment_epochs: Some(epochs.to_vec()),
    };
    let full = ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 11,
        previous_member_epoch: 10,
        state: member_state::UNREVOKED_PARTITIONS,
        assigned_partitions: vec![owned(TOPIC, &[0, 2], &[9, 11])],
        partitions_pending_revocation: vec![owned(OTHER, &[5], &[4])],
    };
    let without_epochs = ConsumerGroupCurrentMemberAssignmentValue {
        state: member_state::UNRELEASED_PARTITIONS,
        assigned_partitions: vec![owned(TOPIC, &[0, 2], &[])],
        partitions_pending_revocation: vec![],
        ..full.clone()
    };
    let bare = ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 1,
        state: member_state::STABLE,
        ..ConsumerGroupCurrentMemberAssignmentValue::default()
    };
    let wanted = TopicPartition {
        topic_id: TOPIC,
        partitions: vec![0, 2],
    };
    vec![
        ("target", target(Some(vec![wanted]))),
        ("target-bare", target(Some(vec![]))),
        ("target-gone", target(None)),
        ("current", current(Some(full))),
        ("current-bare", current(Some(bare))),
        ("current-without-epochs", current(Some(without_epochs))),
        ("current-gone", current(None)),
    ]
}

#[test]
fn records_are_written_and_read_as_kafka_does() {
    let written = [
        offset_records(),
        classic_records(),
        consumer_group_records(),
        member_records(),
        assignment_records(),
    ]
    .concat();
    // What Kafka writes: all but the one record that loses fields on the way.
    let names = golden::TEXT
        .lines()
        .skip_while(|line| !line.starts_with("# Records as Kafka writes"));
    let names = names.skip(1).take_while(|line| line.starts_with("record "));
    assert_eq!(names.count(), written.len() + 1);
    for (name, record) in written {
        let (key, value) = golden_record(name);
        assert_eq!(record.encode_key().unwrap(), key, "{name}");
        assert_eq!(record.encode_value().unwrap(), value, "{name}");
        assert_eq!(read(name), record);
        assert_eq!(record.record_type().to_be_bytes()[..], key[..2]);
        assert_eq!(record.is_tombstone(), value.is_none());
        let is_simple_group = name == "offset-bare";
        assert_eq!(
            record.group_id(),
            if is_simple_group { "" } else { "group" }
        );
    }
}

#[test]
fn an_offset_that_expires_is_written_in_the_version_that_says_when() {
    let expiring = OffsetCommitValue {
        expire_timestamp: THEN_MS + 60_000,
        ..offset_value()
    };
    let record = GroupRecord::OffsetCommit(offset_key(), Some(expiring.clone()));
    let (key, value) = golden_record("offset-expires");
    assert_eq!(record.encode_key().unwrap(), key);
    assert_eq!(record.encode_value().unwrap(), value);
    let kept = OffsetCommitValue {
        leader_epoch: -1,
        topic_id: TopicId::ZERO,
        ..expiring
    };
    let kept = GroupRecord::OffsetCommit(offset_key(), Some(kept));
    assert_eq!(read("offset-expires"), kept);
}

#[test]
fn records_of_older_releases_are_read() {
    for version in 0..=3 {
        let value = OffsetCommitValue {
            leader_epoch: if version == 3 { 7 } else { -1 },
            expire_timestamp: if version == 1 { THEN_MS + 60_000 } else { -1 },
            topic_id: TopicId::ZERO,
            ..offset_value()
        };
        let record = GroupRecord::OffsetCommit(offset_key(), Some(value));
        assert_eq!(read(&format!("offset-v{version}")), record);
    }
    for version in [0, 1, 2, 4] {
        let member = MemberMetadata {
            group_instance_id: (version >= 3).then(|| "instance".to_owned()),
            rebalance_timeout: if version >= 1 { 300_000 } else { -1 },
            ..classic_member(1)
        };
        let value = GroupMetadataValue {
            current_state_timestamp: if version >= 2 { THEN_MS } else { -1 },
            ..classic_value(vec![member])
        };
        let record = GroupRecord::GroupMetadata(classic_key(), Some(value));
        assert_eq!(read(&format!("classic-v{version}")), record);
    }
}

#[test]
fn offsets_under_the_oldest_key_are_read_as_any_other() {
    assert_eq!(read("offset-legacy"), read("offset-v0"));
    assert_eq!(read("offset-legacy").record_type(), 1);
    assert_eq!(read("offset-legacy-gone"), read("offset-gone"));
    let (key, _) = golden_record("offset-legacy");
    let (_, newer) = golden_record("offset-v1");
    let refused = GroupRecord::decode(&key, newer.as_ref()).unwrap_err();
    let version = Malformed::Version { version: 1 };
    assert!(matches!(refused, GroupRecordError::Value(error) if error.kind == version));
}

/// The outcomes were seen on Kafka's serde.
#[test]
fn what_kafka_refuses_is_refused() {
    let decode = |key: &str, value: &str| {
        let value = (value != "-").then(|| hex(value));
        GroupRecord::decode(&hex(key), value.as_ref())
    };
    // 9 belongs to nobody, 10 to share groups, 17 to streams groups.
    for (key, record_type) in [("0009", 9), ("000a", 10), ("0011", 17), ("ffff", -1)] {
        let refused = decode(&format!("{key}000567726f7570"), "-");
        assert_eq!(refused, Err(GroupRecordError::UnknownType { record_type }));
    }
    for key in [
        "",
        "00",
        "0001",
        "0001000567726f75700005746f7069630000",
        "0002ffff",
    ] {
        let refused = decode(key, "-");
        assert!(matches!(refused, Err(GroupRecordError::Key(_))), "{key}");
    }
    for value in ["", "00", "0005", "ffff", "0003", "0004ff"] {
        let refused = decode("0002000567726f7570", value);
        assert!(
            matches!(refused, Err(GroupRecordError::Value(_))),
            "{value}"
        );
    }
    let behind = decode("0002000567726f757000", "-");
    assert_eq!(behind, Ok(read("classic-gone")));
}

#[test]
fn records_cut_anywhere_are_refused() {
    let names = golden::TEXT
        .lines()
        .filter_map(|line| line.strip_prefix("record "));
    for name in names.map(|line| line.split(' ').next().unwrap()) {
        let (key, value) = golden_record(name);
        for end in 0..key.len() {
            let refused = GroupRecord::decode(&key.slice(..end), None);
            assert!(matches!(refused, Err(GroupRecordError::Key(_))), "{name}");
        }
        if let Some(value) = value {
            for end in 0..value.len() {
                let refused = GroupRecord::decode(&key, Some(&value.slice(..end)));
                assert!(matches!(refused, Err(GroupRecordError::Value(_))), "{name}");
            }
        }
    }
}

#[test]
fn groups_are_in_the_partition_that_kafka_looks_them_up_in() {
    let lines = golden::TEXT
        .lines()
        .filter_map(|line| line.strip_prefix("partition "));
    let mut count = 0;
    for line in lines {
        let mut words = line.splitn(4, ' ').skip(1);
        let mut number = || words.next().unwrap().parse::<i32>().unwrap();
        let (of_50, of_7) = (number(), number());
        let group_id = words.next().unwrap_or_default();
        assert_eq!(partition_of(group_id, 50), of_50, "{group_id:?}");
        assert_eq!(partition_of(group_id, 7), of_7, "{group_id:?}");
        assert_eq!(partition_of(group_id, 1), 0);
        count += 1;
    }
    assert_eq!(count, 10);
}
