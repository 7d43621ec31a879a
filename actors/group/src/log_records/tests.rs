//! Every sort of change comes back from its bytes as it went in.

use std::collections::BTreeSet;
use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, TopicId};

use super::*;
use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;
use crate::records::{
    ClassicGroupValue, ClassicMemberValue, ClassicProtocols, CommittedOffset, CurrentValue,
    GroupEpochValue, JoinProtocol, MemberState, MemberValue, OffsetKey, RegexValue,
    TargetEpochValue,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn every_change() -> Vec<Change> {
    let topic = TopicId([7; 16]);
    let member = MemberId::new("m-1");
    let committed = CommittedOffset {
        offset: Offset(42),
        leader_epoch: LeaderEpoch(3),
        metadata: Arc::from("where I was"),
        commit_ms: NOW_MS,
        expire_ms: -1,
        topic_id: topic,
    };
    let classic_member = ClassicMemberValue {
        member_id: member.clone(),
        instance_id: Some(InstanceId::new("static")),
        client_id: Arc::from("client"),
        client_host: Arc::from("/127.0.0.1"),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(b"wants"),
        assignment: Bytes::from_static(b"gets"),
    };
    let classic = ClassicGroupValue {
        protocol_type: Arc::from("consumer"),
        generation: 5,
        protocol: Some(Arc::from("range")),
        leader: Some(member.clone()),
        state_ms: NOW_MS,
        members: vec![classic_member],
    };
    let wanting = MemberValue {
        instance_id: None,
        rack_id: Some(Arc::from("r1")),
        client_id: Arc::from("client"),
        client_host: Arc::from("/127.0.0.1"),
        topic_names: BTreeSet::from([Arc::from("a"), Arc::from("b")]),
        topic_regex: Some(Arc::from("a.*")),
        rebalance_timeout_ms: 1_000,
        server_assignor: Some(Arc::from("uniform")),
        classic: Some(ClassicProtocols {
            session_timeout_ms: 10_000,
            protocols: vec![JoinProtocol {
                name: Arc::from("range"),
                metadata: Bytes::from_static(b"x"),
            }],
        }),
    };
    let target: TopicPartitions = [(topic, 0), (topic, 4)].into_iter().collect();
    let current = CurrentValue {
        epoch: 9,
        previous_epoch: 8,
        state: MemberState::UnrevokedPartitions,
        assigned: [(topic, 0, 7), (topic, 1, 9)].into_iter().collect(),
        revoking: [(topic, 4, 2)].into_iter().collect(),
    };
    let regex = RegexValue {
        topics: BTreeSet::from([Arc::from("a"), Arc::from("ab")]),
        version: 17,
        resolved_ms: NOW_MS,
    };
    let epoch = GroupEpochValue {
        epoch: 12,
        metadata_hash: -5,
    };
    let target_epoch = TargetEpochValue {
        epoch: 11,
        computed_ms: NOW_MS,
    };
    let aside = OffsetKey::new("b", 1);
    vec![
        Change::Offset(OffsetKey::new("a", 0), Some(committed)),
        Change::Offset(aside, None),
        Change::ClassicGroup(Some(Arc::new(classic))),
        Change::GroupEpoch(Some(epoch)),
        Change::Member(member.clone(), Some(Arc::new(wanting))),
        Change::Member(MemberId::new("m-2"), Some(Arc::new(MemberValue::default()))),
        Change::TargetEpoch(Some(target_epoch)),
        Change::Target(member.clone(), Some(Arc::new(target))),
        Change::Current(member.clone(), Some(Arc::new(current))),
        Change::Regex(Arc::from("a.*"), Some(Arc::new(regex))),
        Change::ClassicGroup(None),
        Change::GroupEpoch(None),
        Change::Member(member.clone(), None),
        Change::TargetEpoch(None),
        Change::Target(member.clone(), None),
        Change::Current(member, None),
        Change::Regex(Arc::from("a.*"), None),
    ]
}

#[test]
fn every_change_comes_back_as_it_was() {
    let group = GroupId::new("readers");
    let changes = every_change();
    let batch = batch_of(&group, &changes, NOW_MS, Compression::None).unwrap();
    assert_eq!(batch.record_count as usize, changes.len());
    let read = read_range(&batch.bytes, Offset::ZERO);
    assert_eq!((read.bad_count, read.first_bad), (0, None));
    assert_eq!(read.end, Some(Offset(changes.len() as i64)));
    for (at, (read, written)) in read.changes.iter().zip(&changes).enumerate() {
        assert_eq!(read.offset, Offset(at as i64));
        assert_eq!(read.group, group);
        assert_eq!(&read.change, written);
    }
    assert_eq!(read.changes.len(), changes.len());
}

#[test]
fn records_before_the_wanted_offset_are_passed_over() {
    let group = GroupId::new("readers");
    let batch = batch_of(&group, &every_change(), NOW_MS, Compression::Lz4).unwrap();
    let read = read_range(&batch.bytes, Offset(15));
    let offsets: Vec<i64> = read.changes.iter().map(|read| read.offset.0).collect();
    assert_eq!(offsets, [15, 16]);
}

#[test]
fn a_record_that_is_none_of_a_group_costs_no_other_record() {
    let group = GroupId::new("readers");
    let mut bytes = Vec::new();
    let mut foreign = BatchBuilder::new(Compression::None);
    // Unknown type, a key that is cut, a value of a version that does not exist, no key at all.
    foreign.push(NOW_MS, Some(&[0, 99, 1]), Some(&[1]), &[]);
    foreign.push(NOW_MS, Some(&[0, 1, 0]), Some(&[1]), &[]);
    foreign.push(NOW_MS, Some(&[0, 2, 0, 1, b'g']), Some(&[0, 99]), &[]);
    foreign.push(NOW_MS, None, Some(&[1]), &[]);
    bytes.extend(foreign.build().unwrap());
    let ours = Change::GroupEpoch(None);
    let batch = batch_of(
        &group,
        std::slice::from_ref(&ours),
        NOW_MS,
        Compression::None,
    )
    .unwrap();
    for part in batch.stamped(Offset(4), LeaderEpoch(0)) {
        bytes.extend(part);
    }
    let read = read_range(&Bytes::from(bytes), Offset::ZERO);
    assert_eq!(read.bad_count, 2);
    assert_eq!(read.changes.len(), 1);
    assert_eq!(
        (read.changes[0].offset, &read.changes[0].change),
        (Offset(4), &ours)
    );
    assert_eq!(read.end, Some(Offset(5)));
}

#[test]
fn a_text_that_the_format_can_not_hold_is_refused() {
    let group = GroupId::new(&"g".repeat(40_000));
    let refused = batch_of(
        &group,
        &[Change::GroupEpoch(None)],
        NOW_MS,
        Compression::None,
    );
    assert!(refused.is_err());
}
