//! What a connection is told of partitions whose thread stands still, and that the partitions of
//! other threads are served on it meanwhile.

mod kit;

use std::time::Duration;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kabuki_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use kabuki_runtime::{Stage, Standstill, testing};
use tokio::time::Instant;

use kit::Node;
use kit::client::{batch, produce};
use kit::stub_partition::{ReleaseAppends, StubLog};

const STORAGE: i16 = ErrorCode::KafkaStorageError.code();
const TIMED_OUT: i16 = ErrorCode::RequestTimedOut.code();

/// Partition 0 on a thread of its own that takes requests and answers none, partition 1 elsewhere.
async fn hung(stage: &Stage) -> (Node, Vec<StubLog>, Standstill) {
    let node = Node::start(stage).await;
    let logs = node.topic("orders", 2).await;
    let thread = Standstill::new(77);
    node.on_thread("orders-0", &thread);
    logs[0].lock().holds_appends = true;
    logs[0].lock().swallows_reads = true;
    (node, logs, thread)
}

fn codes(response: &ProduceResponse) -> Vec<i16> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|it| &it.partition_responses);
    partitions.map(|it| it.error_code).collect()
}

fn to(partitions: &[i32]) -> ProduceRequest {
    let batches: Vec<_> = partitions
        .iter()
        .map(|partition| ("orders", *partition, batch(1)))
        .collect();
    produce(-1, &batches)
}

fn fetch(max_wait_ms: i32, partitions: &[i32]) -> FetchRequest {
    let asked = |partition: &i32| FetchPartition {
        partition: *partition,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: "orders".to_owned(),
            partitions: partitions.iter().map(asked).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn rows(response: &FetchResponse) -> Vec<&PartitionData> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| &topic.partitions).collect()
}

#[test]
fn requests_behind_a_standstill_flow_on() {
    testing::run(|stage| async move {
        let (node, logs, thread) = hung(&stage).await;
        let mut client = node.connect().await;
        let began = Instant::now();
        for request in [to(&[0]), to(&[0, 1]), to(&[1])] {
            client.send(9, &request).await;
        }
        kit::until(|| logs[0].lock().sequences.len() == 2 && logs[1].lock().log_end == 2).await;
        thread.set(true);
        // What was in hand may be written later, or not: 7 says so, and every client retries it.
        for expected in [vec![TIMED_OUT], vec![TIMED_OUT, 0], vec![0]] {
            let (_, answer) = client.receive::<ProduceRequest>(9).await;
            assert_eq!(codes(&answer), expected);
        }
        // What comes now does not reach the partition: 56 says so.
        assert_eq!(codes(&client.produce(9, &to(&[0, 1])).await), [STORAGE, 0]);
        assert_eq!(logs[0].lock().sequences.len(), 2);
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "nothing waited for a deadline"
        );

        // The late answers are for nobody, and the partition serves again.
        logs[0].lock().holds_appends = false;
        thread.set(false);
        let partition = node.partition("orders", 0);
        partition.tell(ReleaseAppends).await.unwrap();
        assert_eq!(codes(&client.produce(9, &to(&[0, 1])).await), [0, 0]);
        assert_eq!(logs[0].lock().log_end, 3);
    });
}

#[test]
fn a_second_standstill_is_seen_as_the_first() {
    testing::run(|stage| async move {
        let (node, logs, thread) = hung(&stage).await;
        let mut client = node.connect().await;
        for round in 1..=3 {
            client.send(9, &to(&[0])).await;
            kit::until(|| logs[0].lock().sequences.len() == round).await;
            thread.set(true);
            let (_, answer) = client.receive::<ProduceRequest>(9).await;
            assert_eq!(codes(&answer), [TIMED_OUT]);
            thread.set(false);
        }
    });
}

#[test]
fn a_standstill_of_another_thread_changes_nothing() {
    testing::run(|stage| async move {
        let (node, logs, _thread) = hung(&stage).await;
        let other = Standstill::new(78);
        node.on_thread("orders-1", &other);
        let mut client = node.connect().await;
        assert_eq!(codes(&client.produce(9, &to(&[1])).await), [0]);
        let sent = client.send(9, &to(&[0])).await;
        kit::until(|| logs[0].lock().sequences.len() == 1).await;
        other.set(true);
        node.partition("orders", 0)
            .tell(ReleaseAppends)
            .await
            .unwrap();
        let (id, answer) = client.receive::<ProduceRequest>(9).await;
        assert_eq!((id, codes(&answer)), (sent, vec![0]));
    });
}

#[test]
fn a_fetch_waits_for_the_partitions_that_move_and_tells_of_the_one_that_does_not() {
    testing::run(|stage| async move {
        let (node, logs, thread) = hung(&stage).await;
        let mut client = node.connect().await;
        assert_eq!(codes(&client.produce(9, &to(&[1])).await), [0]);
        // Its read is out when the thread stops: what the other has is answered.
        client.send(11, &fetch(60_000, &[0, 1])).await;
        kit::until(|| logs[0].lock().reads_seen == 1).await;
        thread.set(true);
        let (_, answer) = client.receive::<FetchRequest>(11).await;
        let told = rows(&answer)
            .iter()
            .map(|row| row.error_code)
            .collect::<Vec<_>>();
        assert_eq!(told, [STORAGE, 0]);
        assert!(!rows(&answer)[1].records.as_ref().unwrap().is_empty());

        // Alone it is not asked at all, and not told before the time of the fetch is over: a client
        // would ask again at once.
        let began = Instant::now();
        let answer = client.call(11, &fetch(500, &[0])).await;
        assert_eq!(rows(&answer)[0].error_code, STORAGE);
        assert!(began.elapsed() >= Duration::from_millis(500));
        assert_eq!(logs[0].lock().reads_seen, 1);

        thread.set(false);
        logs[0].lock().swallows_reads = false;
        let answer = client.call(11, &fetch(0, &[0])).await;
        assert_eq!(rows(&answer)[0].error_code, 0);
    });
}

#[test]
fn a_look_up_does_not_wait_for_a_standstill() {
    testing::run(|stage| async move {
        let (node, _logs, thread) = hung(&stage).await;
        let mut client = node.connect().await;
        thread.set(true);
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "orders".to_owned(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: 0,
                    timestamp: -1,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = client.call(5, &request).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, STORAGE);
    });
}
