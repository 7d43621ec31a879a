//! Commits that overlap on one connection: which may, what never changes its order, and what they may hold
//! together.

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kabuki_group::CoordinatorRefused;
use kabuki_group::messages::{Answer, CommittedPartition, Request};
use kabuki_group::names::GroupId;
use kabuki_group::records::OffsetKey;
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kabuki_protocol::messages::offset_fetch::OffsetFetchRequest;
use kabuki_runtime::testing;
use kit::Node;
use kit::stub_groups::{StubGroups, Told};

fn commit(group: &str, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

fn committed() -> Told {
    Ok(Answer::CommitOffsets(Ok(vec![CommittedPartition {
        key: OffsetKey::new("t", 0),
        result: Ok(()),
    }])))
}

/// Group and offset of each commit; commits of different groups are asked in any order.
fn commits(asked: Vec<(GroupId, Request)>) -> Vec<(String, i64)> {
    let commits = asked.into_iter().filter_map(|(group, request)| {
        let Request::CommitOffsets(commit) = request else {
            return None;
        };
        Some((group.to_string(), commit.offsets[0].offset))
    });
    commits.collect()
}

fn named(commits: &[(&str, i64)]) -> Vec<(String, i64)> {
    let commits = commits.iter();
    commits
        .map(|(group, offset)| ((*group).to_owned(), *offset))
        .collect()
}

#[test]
fn commits_of_different_groups_overlap_and_are_answered_in_their_order() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|group, _| match &**group {
            // Answered before the one in front of it.
            "quick" => Some(committed()),
            _ => None,
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 1, &[]).await;
        let mut client = node.connect().await;
        for version in [2, 7, 8, 9] {
            let mut sent = Vec::new();
            for group in ["a", "quick", "b"] {
                sent.push(client.send(version, &commit(group, 1)).await);
            }
            kit::until(|| groups.parked_count() == 2).await;
            let mut asked = commits(groups.asked());
            asked.sort();
            assert_eq!(asked, named(&[("a", 1), ("b", 1), ("quick", 1)]));
            groups.release(&committed());
            for sent in sent {
                let (id, answer) = client.receive::<OffsetCommitRequest>(version).await;
                assert_eq!(id, sent);
                assert_eq!(answer.topics[0].partitions[0].error_code, 0);
            }
        }
    });
}

#[test]
fn two_commits_of_a_group_never_change_their_order() {
    testing::run(|stage| async move {
        let is_rebuilt = Arc::new(AtomicBool::new(false));
        let groups = StubGroups::that({
            let is_rebuilt = is_rebuilt.clone();
            move |group, _| match &**group {
                // Refused once: the first commit is asked again while the second one waits.
                "rebuilt" if !is_rebuilt.swap(true, Ordering::Relaxed) => {
                    Some(Err(CoordinatorRefused::Loading))
                }
                _ => Some(committed()),
            }
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 1, &[]).await;
        let mut client = node.connect().await;
        for (group, offset) in [("other", 5), ("rebuilt", 1), ("rebuilt", 2), ("other", 6)] {
            client.send(9, &commit(group, offset)).await;
        }
        for _ in 0..4 {
            let (_, answer) = client.receive::<OffsetCommitRequest>(9).await;
            assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        }
        let asked = commits(groups.asked());
        let (rebuilt, other): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|(group, _)| group == "rebuilt");
        let refused_first = [("rebuilt", 1), ("rebuilt", 1), ("rebuilt", 2)];
        assert_eq!(rebuilt, named(&refused_first));
        assert_eq!(other, named(&[("other", 5), ("other", 6)]));
    });
}

#[test]
fn who_reads_offsets_behind_commits_sees_them() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, request| match request {
            Request::FetchOffsets(_) => Some(Ok(Answer::FetchOffsets(Ok(Vec::new())))),
            _ => None,
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 1, &[]).await;
        let mut client = node.connect().await;
        client.send(7, &commit("a", 1)).await;
        client.send(7, &commit("b", 1)).await;
        let fetch = OffsetFetchRequest {
            group_id: "a".to_owned(),
            topics: None,
            ..OffsetFetchRequest::default()
        };
        client.send(7, &fetch).await;
        kit::until(|| groups.parked_count() == 2).await;
        assert_eq!(commits(groups.asked()).len(), 2);
        groups.release(&committed());
        for _ in 0..2 {
            client.receive::<OffsetCommitRequest>(7).await;
        }
        client.receive::<OffsetFetchRequest>(7).await;
        assert_eq!(groups.asked().len(), 1, "asked after both were answered");
    });
}

#[test]
fn commits_overlap_as_far_as_the_memory_allows() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| None);
        // A commit of 150 KB is taken to need 32 times that: three fit into the least that may be set.
        let overrides = [("kabuki.memory.max", "16777216")];
        let node = Node::start_as(&stage, &overrides, &groups).await;
        node.create_topic("t", 5, &[]).await;
        let mut client = node.connect().await;
        let large = |group: &str| {
            let mut commit = commit(group, 1);
            let partition = |partition_index| OffsetCommitRequestPartition {
                partition_index,
                committed_metadata: Some("m".repeat(30_000)),
                ..OffsetCommitRequestPartition::default()
            };
            commit.topics[0].partitions = (0..5).map(partition).collect();
            commit
        };
        let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
        for name in &names {
            client.send(9, &large(name)).await;
        }
        let mut answered = 0;
        while answered < names.len() {
            kit::until(|| groups.parked_count() > 0).await;
            let at_once = groups.parked_count();
            assert!((1..=3).contains(&at_once), "{at_once} commits at a time");
            groups.release(&committed());
            for _ in 0..at_once {
                client.receive::<OffsetCommitRequest>(9).await;
            }
            answered += at_once;
        }
        assert_eq!(commits(groups.asked()).len(), names.len());
        kit::until(|| node.services.memory_used_bytes() == 0).await;
    });
}
