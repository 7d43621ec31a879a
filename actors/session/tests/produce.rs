//! Produce: order under pipelining, and what a client is told when partitions refuse, crash, stop
//! or stay silent.

mod kit;

use bytes::Bytes;
use kabuki_partition::AppendRefused;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId, TopicId};
use kabuki_protocol::messages::api_versions::ApiVersionsRequest;
use kabuki_protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse,
};
use kabuki_protocol::records::{BatchBuilder, Compression};
use kabuki_runtime::testing;

use kit::Node;
use kit::client::{Client, batch, batch_from, produce};
use kit::stub_partition::ReleaseAppends;

/// The outcome of the only partition of an answer.
fn only(response: &ProduceResponse) -> &PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1, "{response:?}");
    let partitions = &response.responses[0].partition_responses;
    assert_eq!(partitions.len(), 1, "{response:?}");
    &partitions[0]
}

fn code(response: &ProduceResponse) -> i16 {
    only(response).error_code
}

#[test]
fn a_batch_is_appended_and_its_offset_answered_in_every_version() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let id = node.topic_id("orders");
        let mut client = node.connect().await;
        for (round, version) in (3..=13).enumerate() {
            let mut request = produce(-1, &[("orders", 0, batch(2))]);
            request.topic_data[0].topic_id = id;
            let answer = client.produce(version, &request).await;
            let outcome = only(&answer);
            assert_eq!(
                (outcome.error_code, outcome.index),
                (0, 0),
                "version {version}"
            );
            assert_eq!(outcome.base_offset, 2 * round as i64);
            assert_eq!(outcome.log_append_time_ms, -1);
            let topic = &answer.responses[0];
            let expected = if version < 13 {
                ("orders", TopicId::ZERO)
            } else {
                ("", id)
            };
            assert_eq!((topic.name.as_str(), topic.topic_id), expected);
        }
        let stored = &logs[0].lock().batches[3];
        assert_eq!(stored.0, 6);
        assert_eq!(
            stored.1[0..8],
            6_i64.to_be_bytes(),
            "base offset is patched"
        );
        assert_eq!(stored.1[61..], batch(2)[61..], "records are as they came");
    });
}

#[test]
fn pipelined_batches_reach_their_partition_in_order_and_are_answered_in_order() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 2).await;
        logs[0].lock().holds_appends = true;
        let mut client = node.connect().await;
        let producer = ProducerId(9);
        let mut frames = Vec::new();
        for round in 0..20 {
            let partition = round % 2;
            let records = batch_from(producer, round / 2, 1);
            let request = produce(-1, &[("orders", partition, records)]);
            frames.push(client.send(9, &request).await);
        }
        kit::until(|| logs[0].lock().sequences.len() == 10).await;
        kit::until(|| logs[1].lock().log_end == 10).await;
        let expected: Vec<i32> = (0..10).collect();
        assert_eq!(logs[0].lock().sequences, expected);
        assert_eq!(logs[1].lock().sequences, expected);

        // The last of the held batches is answered first; answers leave in order all the same.
        node.partition("orders", 0)
            .tell(ReleaseAppends)
            .await
            .unwrap();
        for sent in frames {
            let (id, answer) = client.receive::<ProduceRequest>(9).await;
            assert_eq!((id, code(&answer)), (sent, 0));
        }
    });
}

#[test]
fn nothing_but_produce_overtakes_a_batch_that_waits() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().holds_appends = true;
        let mut client = node.connect().await;
        let waiting = client
            .send(9, &produce(-1, &[("orders", 0, batch(1))]))
            .await;
        let other = client.send(0, &ApiVersionsRequest::default()).await;
        let behind = client
            .send(9, &produce(-1, &[("orders", 0, batch(1))]))
            .await;
        kit::until(|| logs[0].lock().sequences.len() == 1).await;
        assert_eq!(
            logs[0].lock().sequences.len(),
            1,
            "the second waits for ApiVersions"
        );
        logs[0].lock().holds_appends = false;
        node.partition("orders", 0)
            .tell(ReleaseAppends)
            .await
            .unwrap();
        assert_eq!(client.receive::<ProduceRequest>(9).await.0, waiting);
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, other);
        assert_eq!(client.receive::<ProduceRequest>(9).await.0, behind);
    });
}

#[test]
fn acks_0_is_not_answered_and_closes_when_it_fails() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        client
            .send(9, &produce(0, &[("orders", 0, batch(1))]))
            .await;
        let next = client.send(0, &ApiVersionsRequest::default()).await;
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, next);
        assert_eq!(logs[0].lock().log_end, 1);

        client
            .send(9, &produce(0, &[("nowhere", 0, batch(1))]))
            .await;
        client.assert_closed().await;
    });
}

#[test]
fn batches_of_a_client_that_wrote_and_left_are_appended() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        for _ in 0..5 {
            client
                .send(9, &produce(0, &[("orders", 0, batch(1))]))
                .await;
        }
        drop(client);
        kit::until(|| logs[0].lock().log_end == 5).await;
    });
}

#[test]
fn requests_that_cannot_be_appended_are_refused_by_code() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        node.topic_with("small", 1, &[("max.message.bytes", "100")])
            .await;
        node.topic_with("compacted", 1, &[("cleanup.policy", "compact")])
            .await;
        let mut client = node.connect().await;
        let mut corrupt = batch(1).to_vec();
        corrupt[70] ^= 1;
        let mut cases: Vec<(&str, ProduceRequest, ErrorCode)> = vec![
            (
                "unknown topic",
                produce(-1, &[("nowhere", 0, batch(1))]),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                "unknown partition",
                produce(-1, &[("orders", 1, batch(1))]),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                "negative partition",
                produce(-1, &[("orders", -1, batch(1))]),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                "acks 2",
                produce(2, &[("orders", 0, batch(1))]),
                ErrorCode::InvalidRequiredAcks,
            ),
            (
                "acks -2",
                produce(-2, &[("orders", 0, batch(1))]),
                ErrorCode::InvalidRequiredAcks,
            ),
            (
                "a flipped bit",
                produce(-1, &[("orders", 0, corrupt.into())]),
                ErrorCode::CorruptMessage,
            ),
            (
                "no batch",
                produce(-1, &[("orders", 0, Bytes::new())]),
                ErrorCode::InvalidRecord,
            ),
            (
                "two batches",
                produce(-1, &[("orders", 0, [batch(1), batch(1)].concat().into())]),
                ErrorCode::InvalidRecord,
            ),
            (
                "too large",
                produce(-1, &[("small", 0, batch(50))]),
                ErrorCode::MessageTooLarge,
            ),
        ];
        let mut null = produce(-1, &[("orders", 0, batch(1))]);
        null.topic_data[0].partition_data[0].records = None;
        cases.push(("null records", null, ErrorCode::InvalidRecord));
        for (what, request, expected) in cases {
            let answer = client.produce(9, &request).await;
            let outcome = only(&answer);
            assert_eq!(outcome.error_code, expected.code(), "{what}");
            let offsets = (outcome.base_offset, outcome.log_start_offset);
            assert_eq!(offsets, (-1, -1), "{what}");
        }
        let mut transactional = BatchBuilder::new(Compression::None)
            .producer(ProducerId(1), 0, 0)
            .transactional(true);
        transactional.push(kit::NOW_MS, Some(b"k"), Some(b"v"), &[]);
        let mixed = produce(
            -1,
            &[
                ("orders", 0, batch(1)),
                ("small", 0, transactional.build().unwrap()),
            ],
        );
        let answer = client.produce(9, &mixed).await;
        for topic in &answer.responses {
            let code = topic.partition_responses[0].error_code;
            assert_eq!(code, ErrorCode::TransactionalIdAuthorizationFailed.code());
        }
        let by_id = produce(-1, &[("", 0, batch(1))]);
        let answer = client.produce(13, &by_id).await;
        assert_eq!(code(&answer), ErrorCode::UnknownTopicId.code());
    });
}

#[test]
fn records_without_key_on_a_compacted_topic_are_named_and_the_log_start_is_told() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node
            .topic_with("compacted", 1, &[("cleanup.policy", "compact")])
            .await;
        logs[0].lock().log_start = 7;
        logs[0].lock().log_end = 7;
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(kit::NOW_MS, Some(b"k"), Some(b"v"), &[]);
        builder.push(kit::NOW_MS, None, Some(b"v"), &[]);
        let mut client = node.connect().await;
        let request = produce(-1, &[("compacted", 0, builder.build().unwrap())]);
        let answer = client.produce(9, &request).await;
        let outcome = only(&answer);
        assert_eq!(outcome.error_code, ErrorCode::InvalidRecord.code());
        assert_eq!(outcome.log_start_offset, 7);
        assert_eq!(outcome.record_errors.len(), 1);
        assert_eq!(outcome.record_errors[0].batch_index, 1);
        assert!(outcome.error_message.is_some());
    });
}

#[test]
fn internal_topics_are_closed_to_all_but_the_admin_client() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("__consumer_offsets", 1).await;
        let mut client = node.connect().await;
        let request = produce(-1, &[("__consumer_offsets", 0, batch(1))]);
        let answer = client.produce(9, &request).await;
        assert_eq!(code(&answer), ErrorCode::InvalidTopicException.code());

        let frame = kabuki_protocol::header::encode_request(9, 1, Some("__admin_client"), &request);
        client.send_bytes(&frame.unwrap().to_bytes()).await;
        let (_, answer) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(code(&answer), 0);
    });
}

#[test]
fn one_request_over_many_partitions_has_an_outcome_for_each_in_order() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let orders = node.topic("orders", 3).await;
        node.topic("bills", 1).await;
        orders[1].lock().refusal = Some(AppendRefused::OutOfOrderSequence {
            producer_id: ProducerId(1),
            sent: 5,
            expected: 3,
            log_start: Offset(2),
        });
        let mut client = node.connect().await;
        let request = produce(
            1,
            &[
                ("orders", 2, batch(1)),
                ("orders", 1, batch(1)),
                ("bills", 0, batch(1)),
                ("nowhere", 4, batch(1)),
            ],
        );
        let answer = client.produce(8, &request).await;
        let rows: Vec<(String, i32, i16, i64)> = answer
            .responses
            .iter()
            .flat_map(|topic| {
                let row = |p: &PartitionProduceResponse| {
                    (
                        topic.name.clone(),
                        p.index,
                        p.error_code,
                        p.log_start_offset,
                    )
                };
                topic
                    .partition_responses
                    .iter()
                    .map(row)
                    .collect::<Vec<_>>()
            })
            .collect();
        let row = |name: &str, index, code: ErrorCode, start| {
            (name.to_owned(), index, code.code(), start)
        };
        assert_eq!(
            rows,
            [
                row("orders", 2, ErrorCode::None, 0),
                row("orders", 1, ErrorCode::OutOfOrderSequenceNumber, 2),
                row("bills", 0, ErrorCode::None, 0),
                row("nowhere", 4, ErrorCode::UnknownTopicOrPartition, -1),
            ]
        );
    });
}

#[test]
fn a_batch_that_cannot_be_measured_fails_its_whole_request() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 2).await;
        let mut client = node.connect().await;
        let mut bad = batch(1).to_vec();
        bad[8..12].copy_from_slice(&0_i32.to_be_bytes());
        let request = produce(
            -1,
            &[
                ("orders", 0, batch(1)),
                ("orders", 1, bad.into()),
                ("gone", 0, batch(1)),
            ],
        );
        let answer = client.produce(9, &request).await;
        let outcomes = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        let told: Vec<_> = outcomes
            .map(|outcome| (outcome.error_code, outcome.error_message.is_some()))
            .collect();
        assert_eq!(told, [(ErrorCode::CorruptMessage.code(), true); 3]);
        assert_eq!(logs[0].lock().log_end, 0);
    });
}

#[test]
fn of_a_partition_twice_in_one_request_the_last_batch_counts() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let request = produce(
            -1,
            &[
                ("orders", 0, batch(1)),
                ("other", 0, batch(1)),
                ("orders", 0, batch(5)),
            ],
        );
        let answer = client.produce(9, &request).await;
        assert_eq!(answer.responses.len(), 2);
        assert_eq!(logs[0].lock().log_end, 5);
    });
}

#[test]
fn a_crash_with_the_batch_in_hand_is_7_and_the_next_batch_goes_on() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().panics_on_append = true;
        let mut client = node.connect().await;
        let request = produce(-1, &[("orders", 0, batch(1))]);
        let answer = client.produce(9, &request).await;
        assert_eq!(code(&answer), ErrorCode::RequestTimedOut.code());
        let answer = client.produce(9, &request).await;
        assert_eq!(code(&answer), 0, "the next instance takes it");
    });
}

#[test]
fn a_partition_that_stays_silent_is_answered_7_after_the_time_asked_for() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        logs[0].lock().holds_appends = true;
        let mut client = node.connect().await;
        let mut request = produce(-1, &[("orders", 0, batch(1))]);
        client.send(9, &request).await;
        request.timeout_ms = 3_000;
        client.send(9, &request).await;
        let started = tokio::time::Instant::now();
        let (_, first) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(code(&first), ErrorCode::RequestTimedOut.code());
        assert_eq!(
            started.elapsed().as_secs(),
            30,
            "the first holds up the second's answer"
        );
        let (_, second) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(code(&second), ErrorCode::RequestTimedOut.code());

        // Late answers to requests that are over are dropped.
        node.partition("orders", 0)
            .tell(ReleaseAppends)
            .await
            .unwrap();
        logs[0].lock().holds_appends = false;
        assert_eq!(code(&client.produce(9, &request).await), 0);
    });
}

#[test]
fn a_partition_off_stage_is_6_until_it_is_back() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let request = produce(-1, &[("orders", 0, batch(1))]);
        assert_eq!(code(&client.produce(9, &request).await), 0);
        node.unhost("orders", 0).await;
        for _ in 0..2 {
            let answer = client.produce(9, &request).await;
            assert_eq!(code(&answer), ErrorCode::NotLeaderOrFollower.code());
        }
        node.host("orders", 0);
        assert_eq!(code(&client.produce(9, &request).await), 0);
    });
}

#[test]
fn a_topic_created_again_is_served_by_its_own_partition() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let old = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let request = produce(-1, &[("orders", 0, batch(1))]);
        assert_eq!(code(&client.produce(9, &request).await), 0);
        node.delete_topic("orders").await;
        let answer = client.produce(9, &request).await;
        assert_eq!(code(&answer), ErrorCode::UnknownTopicOrPartition.code());
        node.unhost("orders", 0).await;
        let new = node.topic("orders", 1).await;
        assert_eq!(code(&client.produce(9, &request).await), 0);
        assert_eq!((old[0].lock().log_end, new[0].lock().log_end), (1, 1));
    });
}

#[test]
fn refusals_of_a_partition_have_their_codes() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let log_start = Offset(3);
        let poisonous = |state_suspect| AppendRefused::Poisonous {
            state_suspect,
            log_start,
        };
        let stale = AppendRefused::InvalidProducerEpoch {
            producer_id: ProducerId(1),
            sent: 1,
            current: 2,
            log_start,
        };
        let storage = AppendRefused::Storage {
            cause: "disk full".to_owned(),
        };
        let not_leader = AppendRefused::NotLeader {
            leader_epoch: LeaderEpoch(4),
        };
        for (refusal, expected, start) in [
            (not_leader, ErrorCode::NotLeaderOrFollower, -1),
            (stale, ErrorCode::InvalidProducerEpoch, 3),
            (poisonous(true), ErrorCode::KafkaStorageError, -1),
            (poisonous(false), ErrorCode::InvalidRecord, 3),
            (storage, ErrorCode::KafkaStorageError, -1),
        ] {
            logs[0].lock().refusal = Some(refusal);
            let answer = client
                .produce(9, &produce(-1, &[("orders", 0, batch(1))]))
                .await;
            let outcome = only(&answer);
            let seen = (outcome.error_code, outcome.log_start_offset);
            assert_eq!(seen, (expected.code(), start), "{expected:?}");
        }
    });
}

#[test]
fn a_hundred_batches_of_a_mebibyte_go_through_one_connection() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let logs = node.topic("orders", 1).await;
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(kit::NOW_MS, None, Some(&vec![7; 1_000_000]), &[]);
        let request = produce(1, &[("orders", 0, builder.build().unwrap())]);
        let mut client = node.connect().await;
        let Client { stream, .. } = &mut client;
        let frame = kabuki_protocol::header::encode_request(9, 1, None, &request)
            .unwrap()
            .to_bytes();
        let (mut reading, mut writing) = stream.split();
        let write = async {
            for _ in 0..100 {
                tokio::io::AsyncWriteExt::write_all(&mut writing, &frame)
                    .await
                    .unwrap();
            }
        };
        let read = async {
            for _ in 0..100 {
                let size = tokio::io::AsyncReadExt::read_i32(&mut reading)
                    .await
                    .unwrap();
                let mut answer = vec![0; size as usize];
                tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer)
                    .await
                    .unwrap();
            }
        };
        tokio::join!(write, read);
        assert_eq!(logs[0].lock().log_end, 100);
        assert!(
            node.services.memory_used_bytes() < 4 << 20,
            "answered requests are given back"
        );
    });
}
