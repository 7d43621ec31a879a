//! Fetch: reading, waiting, fetch sessions, and what a consumer is told when partitions fail.

mod kit;

use std::time::Duration;

use kabuki_partition::{NotServed, ReadRefused};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, TopicId};
use kabuki_protocol::messages::api_versions::ApiVersionsRequest;
use kabuki_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use kabuki_runtime::testing;
use tokio::time::Instant;

use kit::Node;
use kit::client::{Client, batch, produce};

/// A fetch without session, by topic name.
fn fetch(max_wait_ms: i32, partitions: &[(&str, i32, i64)]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (name, partition, fetch_offset) in partitions {
        let asked = FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|topic| topic.topic == *name) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(FetchTopic {
                topic: (*name).to_owned(),
                partitions: vec![asked],
                ..FetchTopic::default()
            }),
        }
    }
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics,
        ..FetchRequest::default()
    }
}

fn rows(response: &FetchResponse) -> Vec<(String, &PartitionData)> {
    let topics = response.responses.iter();
    topics
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|data| (topic.topic.clone(), data))
        })
        .collect()
}

fn only(response: &FetchResponse) -> &PartitionData {
    let rows = rows(response);
    assert_eq!(rows.len(), 1, "{response:?}");
    rows[0].1
}

fn record_bytes(data: &PartitionData) -> usize {
    data.records.as_ref().expect("records are never null").len()
}

async fn fill(client: &mut Client, topic: &str, partition: i32, batches: usize) {
    for _ in 0..batches {
        let answer = client
            .produce(9, &produce(1, &[(topic, partition, batch(1))]))
            .await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

#[test]
fn records_are_read_in_every_version() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        fill(&mut client, "orders", 0, 3).await;
        for version in 4..=18 {
            let mut request = fetch(0, &[("orders", 0, 1)]);
            request.topics[0].topic_id = node.topic_id("orders");
            let answer = client.call(version, &request).await;
            let data = only(&answer);
            assert_eq!(data.error_code, 0, "version {version}");
            assert_eq!((data.high_watermark, data.last_stable_offset), (3, 3));
            assert_eq!(record_bytes(data), 2 * batch(1).len());
            assert_eq!(
                data.aborted_transactions, None,
                "read_uncommitted lists none"
            );
            let topic = &answer.responses[0];
            assert_eq!(topic.topic_id.is_zero(), version < 13);
        }
        let mut committed = fetch(0, &[("orders", 0, 3)]);
        committed.isolation_level = 1;
        let answer = client.call(11, &committed).await;
        assert_eq!(only(&answer).aborted_transactions, Some(Vec::new()));
    });
}

#[test]
fn an_answer_is_no_larger_than_the_node_allows() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[("fetch.max.bytes", "1024")]).await;
        node.topic("orders", 2).await;
        let mut client = node.connect().await;
        for partition in 0..2 {
            fill(&mut client, "orders", partition, 30).await;
        }
        let answer = client
            .call(11, &fetch(0, &[("orders", 0, 0), ("orders", 1, 0)]))
            .await;
        let rows = rows(&answer);
        let bytes: usize = rows.iter().map(|(_, data)| record_bytes(data)).sum();
        assert!((batch(1).len()..=1024).contains(&bytes), "{bytes} bytes");
    });
}

#[test]
fn a_fetch_waits_for_data_and_is_answered_when_it_comes() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 2).await;
        let mut consumer = node.connect().await;
        let mut producer = node.connect().await;
        let started = Instant::now();
        consumer
            .send(11, &fetch(60_000, &[("orders", 0, 0), ("orders", 1, 0)]))
            .await;
        kit::until(|| !logs[1].lock().watchers.is_empty()).await;
        fill(&mut producer, "orders", 1, 1).await;
        let (_, answer) = consumer.receive::<FetchRequest>(11).await;
        let sizes: Vec<usize> = rows(&answer)
            .iter()
            .map(|(_, data)| record_bytes(data))
            .collect();
        assert_eq!(sizes, [0, batch(1).len()]);
        assert!(started.elapsed() < Duration::from_secs(60));
    });
}

#[test]
fn a_fetch_without_data_is_answered_empty_after_its_wait() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        for wait_ms in [0, 500, 30_000] {
            let started = Instant::now();
            let answer = client.call(11, &fetch(wait_ms, &[("orders", 0, 0)])).await;
            assert_eq!(started.elapsed().as_millis(), wait_ms as u128);
            assert_eq!(
                (only(&answer).error_code, record_bytes(only(&answer))),
                (0, 0)
            );
        }
        let started = Instant::now();
        client.call(11, &fetch(30_000, &[])).await;
        assert_eq!(
            started.elapsed(),
            Duration::ZERO,
            "no partitions are answered at once"
        );
    });
}

#[test]
fn min_bytes_are_collected_over_several_appends() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut consumer = node.connect().await;
        let mut producer = node.connect().await;
        let mut request = fetch(60_000, &[("orders", 0, 0)]);
        request.min_bytes = 3 * batch(1).len() as i32;
        consumer.send(11, &request).await;
        for round in 1..=3 {
            kit::until(|| logs[0].lock().watches_seen == round).await;
            fill(&mut producer, "orders", 0, 1).await;
        }
        let (_, answer) = consumer.receive::<FetchRequest>(11).await;
        assert_eq!(record_bytes(only(&answer)), 3 * batch(1).len());
    });
}

#[test]
fn nothing_starts_behind_a_fetch_that_waits() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        client.send(11, &fetch(5_000, &[("orders", 0, 0)])).await;
        client
            .send(9, &produce(1, &[("orders", 0, batch(1))]))
            .await;
        client.send(0, &ApiVersionsRequest::default()).await;
        let started = Instant::now();
        let (id, answer) = client.receive::<FetchRequest>(11).await;
        assert_eq!(
            (id, record_bytes(only(&answer))),
            (1, 0),
            "not fed by the batch behind it"
        );
        assert_eq!(started.elapsed().as_secs(), 5);
        assert_eq!(client.next_frame().await.unwrap()[..4], 2_i32.to_be_bytes());
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, 3);
        assert_eq!(logs[0].lock().log_end, 1);
    });
}

#[test]
fn a_client_that_leaves_is_not_watched_for() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        client.send(11, &fetch(600_000, &[("orders", 0, 0)])).await;
        client
            .send(9, &produce(1, &[("orders", 0, batch(1))]))
            .await;
        kit::until(|| logs[0].lock().watchers.len() == 1).await;
        drop(client);
        kit::until(|| logs[0].lock().watchers.is_empty()).await;
        kit::until(|| node.services.connection_count() == 0).await;
        assert_eq!(logs[0].lock().log_end, 0, "what had not started is dropped");
    });
}

#[test]
fn a_watcher_that_has_not_fired_serves_the_next_fetch() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        for _ in 0..5 {
            client.call(11, &fetch(500, &[("orders", 0, 0)])).await;
        }
        assert_eq!(logs[0].lock().watches_seen, 1);
    });
}

#[test]
fn only_the_first_batch_may_exceed_the_limits() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 3).await;
        let mut client = node.connect().await;
        for partition in 1..3 {
            fill(&mut client, "orders", partition, 3).await;
        }
        let one = batch(1).len();
        let mut request = fetch(0, &[("orders", 0, 0), ("orders", 1, 0), ("orders", 2, 0)]);
        request.max_bytes = 1;
        let answer = client.call(11, &request).await;
        let sizes = |answer: &FetchResponse| -> Vec<usize> {
            rows(answer)
                .iter()
                .map(|(_, data)| record_bytes(data))
                .collect()
        };
        assert_eq!(sizes(&answer), [0, one, 0]);
        request.max_bytes = 4 * one as i32;
        assert_eq!(sizes(&client.call(11, &request).await), [0, 3 * one, one]);
    });
}

#[test]
fn errors_of_one_partition_answer_the_whole_fetch_at_once() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 2).await;
        let mut client = node.connect().await;
        let started = Instant::now();
        for (refusal, expected) in [
            (
                NotServed::NotLeader {
                    leader_epoch: LeaderEpoch(0),
                },
                ErrorCode::NotLeaderOrFollower,
            ),
            (
                NotServed::FencedLeaderEpoch {
                    sent: LeaderEpoch(1),
                    current: LeaderEpoch(2),
                },
                ErrorCode::FencedLeaderEpoch,
            ),
            (
                NotServed::UnknownLeaderEpoch {
                    sent: LeaderEpoch(3),
                    current: LeaderEpoch(2),
                },
                ErrorCode::UnknownLeaderEpoch,
            ),
        ] {
            logs[1].lock().read_refusal = Some(refusal.into());
            let request = fetch(60_000, &[("orders", 0, 0), ("orders", 1, 0)]);
            let answer = client.call(11, &request).await;
            let rows = rows(&answer);
            assert_eq!((rows[0].1.error_code, rows[0].1.high_watermark), (0, 0));
            let failed = rows[1].1;
            assert_eq!(failed.error_code, expected.code());
            assert_eq!((failed.high_watermark, failed.log_start_offset), (-1, -1));
            assert_eq!(record_bytes(failed), 0);
        }
        logs[1].lock().read_refusal = None;
        for (topic, partition, offset, expected) in [
            ("orders", 1, 5, ErrorCode::OffsetOutOfRange),
            ("orders", 1, -1, ErrorCode::OffsetOutOfRange),
            ("orders", 2, 0, ErrorCode::UnknownTopicOrPartition),
            ("nowhere", 0, 0, ErrorCode::UnknownTopicOrPartition),
        ] {
            let answer = client
                .call(11, &fetch(60_000, &[(topic, partition, offset)]))
                .await;
            assert_eq!(only(&answer).error_code, expected.code());
        }
        let mut by_id = fetch(60_000, &[("", 0, 0)]);
        by_id.topics[0].topic_id = TopicId([9; 16]);
        let answer = client.call(13, &by_id).await;
        assert_eq!(only(&answer).error_code, ErrorCode::UnknownTopicId.code());
        assert_eq!(started.elapsed(), Duration::ZERO, "none of them waited");
    });
}

#[test]
fn a_storage_error_is_56_and_6_before_version_6() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().read_refusal = Some(ReadRefused::Storage {
            fetch_offset: kabuki_protocol::ids::Offset(0),
            cause: "bad sector".to_owned(),
        });
        let mut client = node.connect().await;
        for (version, code) in [(4, 6), (5, 6), (6, 56), (12, 56)] {
            let answer = client.call(version, &fetch(0, &[("orders", 0, 0)])).await;
            assert_eq!(only(&answer).error_code, code, "version {version}");
        }
    });
}

#[test]
fn a_damaged_batch_is_2_so_that_clients_do_not_ask_for_ever() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().read_refusal = Some(ReadRefused::Corrupt {
            fetch_offset: kabuki_protocol::ids::Offset(0),
            cause: "magic 3 is not 2".to_owned(),
        });
        let mut client = node.connect().await;
        let answer = client.call(12, &fetch(0, &[("orders", 0, 0)])).await;
        assert_eq!(only(&answer).error_code, ErrorCode::CorruptMessage.code());
    });
}

#[test]
fn a_silent_partition_does_not_hold_a_fetch_for_ever() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().swallows_reads = true;
        let mut client = node.connect().await;
        let started = Instant::now();
        let answer = client.call(11, &fetch(500, &[("orders", 0, 0)])).await;
        assert_eq!(
            only(&answer).error_code,
            ErrorCode::KafkaStorageError.code()
        );
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{:?}",
            started.elapsed()
        );
    });
}

#[test]
fn a_topic_deleted_under_a_waiting_fetch_ends_it_with_its_code() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut by_name = node.connect().await;
        let mut by_id = node.connect().await;
        let mut request = fetch(600_000, &[("orders", 0, 0)]);
        by_name.send(12, &request).await;
        request.topics[0].topic_id = node.topic_id("orders");
        by_id.send(13, &request).await;
        kit::until(|| logs[0].lock().watchers.len() == 2).await;
        let started = Instant::now();
        node.delete_topic("orders").await;
        node.unhost("orders", 0).await;
        let (_, answer) = by_name.receive::<FetchRequest>(12).await;
        assert_eq!(
            only(&answer).error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
        let (_, answer) = by_id.receive::<FetchRequest>(13).await;
        assert_eq!(only(&answer).error_code, ErrorCode::UnknownTopicId.code());
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_fetch_session_tells_only_what_moved() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 2).await;
        let mut client = node.connect().await;
        let mut open = fetch(0, &[("orders", 0, 0), ("orders", 1, 0)]);
        open.session_epoch = 0;
        let answer = client.call(12, &open).await;
        let id = answer.session_id;
        assert!(id > 0);
        assert_eq!(rows(&answer).len(), 2);

        let next = |epoch| FetchRequest {
            session_id: id,
            session_epoch: epoch,
            ..fetch(0, &[])
        };
        let answer = client.call(12, &next(1)).await;
        assert_eq!((answer.session_id, rows(&answer).len()), (id, 0));
        fill(&mut client, "orders", 1, 1).await;
        let answer = client.call(12, &next(2)).await;
        assert_eq!(
            (
                only(&answer).partition_index,
                record_bytes(only(&answer)) > 0
            ),
            (1, true)
        );

        // A session goes on over another connection.
        let mut other = node.connect().await;
        let answer = other.call(12, &next(3)).await;
        assert_eq!(answer.error_code, 0);
        let repeated = client.call(12, &next(3)).await;
        assert_eq!(
            repeated.error_code,
            ErrorCode::InvalidFetchSessionEpoch.code()
        );
        let by_id = client.call(13, &next(4)).await;
        assert_eq!(by_id.error_code, ErrorCode::FetchSessionTopicIdError.code());

        let mut forget = next(4);
        forget.forgotten_topics_data = vec![ForgottenTopic {
            topic: "orders".to_owned(),
            partitions: vec![0, 1],
            ..ForgottenTopic::default()
        }];
        let answer = client.call(12, &forget).await;
        assert_eq!((answer.session_id, answer.error_code), (0, 0));
        let gone = client.call(12, &next(5)).await;
        assert_eq!(gone.error_code, ErrorCode::FetchSessionIdNotFound.code());
    });
}

#[test]
fn a_fetch_by_a_replica_or_of_an_unknown_isolation_is_refused() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let mut follower = fetch(0, &[("orders", 0, 0)]);
        follower.replica_id = 5;
        let answer = client.call(11, &follower).await;
        assert_eq!(
            only(&answer).error_code,
            ErrorCode::NotLeaderOrFollower.code()
        );
        let mut strange = fetch(0, &[("orders", 0, 0)]);
        strange.isolation_level = 2;
        let answer = client.call(11, &strange).await;
        assert_eq!((answer.error_code, only(&answer).error_code), (-1, -1));
    });
}

#[test]
fn a_slow_reader_is_sent_everything_without_holding_others() {
    testing::run(|stage| async move {
        use kabuki_protocol::records::{BatchBuilder, Compression};
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(kit::NOW_MS, None, Some(&vec![7; 900_000]), &[]);
        let large = produce(1, &[("orders", 0, builder.build().unwrap())]);
        for _ in 0..20 {
            client.produce(9, &large).await;
        }
        let mut slow = node.connect().await;
        let mut request = fetch(0, &[("orders", 0, 0)]);
        request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
        for _ in 0..3 {
            slow.send(11, &request).await;
        }
        // Others are served while the slow one has not read a byte.
        let answer = client.call(11, &fetch(0, &[("orders", 0, 20)])).await;
        assert_eq!(only(&answer).error_code, 0);
        for _ in 0..3 {
            let (_, answer) = slow.receive::<FetchRequest>(11).await;
            assert!(record_bytes(only(&answer)) > 18_000_000);
        }
        let small = fetch(0, &[("orders", 0, 20)]);
        slow.call(11, &small).await;
        assert!(node.services.memory_used_bytes() < 1 << 20);
    });
}
