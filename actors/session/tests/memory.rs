//! Clients that take much and give nothing back do not starve the others.

mod kit;

use std::time::Duration;

use kabuki_protocol::messages::api_versions::ApiVersionsRequest;
use kabuki_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kabuki_protocol::records::{BatchBuilder, Compression};
use kabuki_runtime::testing;

use kit::Node;
use kit::client::{Client, batch, produce};

/// The least that `kabuki.memory.max` can be set to: 16 MiB.
const MEMORY: (&str, &str) = ("kabuki.memory.max", "16777216");

fn fetch_all(bytes_max: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: "orders".to_owned(),
            partitions: vec![FetchPartition {
                partition_max_bytes: bytes_max,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

async fn fill(client: &mut Client, batches: usize) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(kit::NOW_MS, None, Some(&vec![7; 900_000]), &[]);
    let large = produce(1, &[("orders", 0, builder.build().expect("a sound batch"))]);
    for _ in 0..batches {
        client.produce(9, &large).await;
    }
}

#[test]
fn readers_that_never_read_do_not_starve_one_that_does() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[MEMORY]).await;
        node.topic("orders", 1).await;
        let mut good = node.connect().await;
        fill(&mut good, 20).await;
        let mut slow = Vec::new();
        for _ in 0..100 {
            let mut client = node.connect().await;
            client.send(11, &fetch_all(50 << 20)).await;
            slow.push(client);
        }
        for _ in 0..20 {
            let answer = good.call(11, &fetch_all(1)).await;
            let records = answer.responses[0].partitions[0].records.as_ref();
            assert!(records.is_some_and(|records| records.len() > 900_000));
            let answer = good
                .produce(9, &produce(1, &[("orders", 0, batch(1))]))
                .await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        // In time those that do not move are closed, and what they held is free again.
        kit::later(Duration::from_secs(60)).await;
        kit::until(|| node.services.memory_used_bytes() < 12 << 20).await;
        good.call(0, &ApiVersionsRequest::default()).await;
    });
}

#[test]
fn kafkas_key_for_queued_requests_bounds_answers_too() {
    testing::run(|stage| async move {
        let bound = ("queued.max.request.bytes", "2097152");
        let node = Node::start_with(&stage, &[bound]).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        fill(&mut client, 10).await;
        let answer = client.call(11, &fetch_all(50 << 20)).await;
        let records = answer.responses[0].partitions[0].records.as_ref();
        let bytes = records.expect("records are never null").len();
        assert!((900_000..=2 << 20).contains(&bytes), "{bytes} bytes");
    });
}

#[test]
fn frames_that_never_end_do_not_starve_small_requests() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[MEMORY]).await;
        let mut half_sent = Vec::new();
        for _ in 0..20 {
            let mut client = node.connect().await;
            // 64 MiB announced, and as much of it as the node takes.
            client.send_bytes(&(64_i32 << 20).to_be_bytes()).await;
            let piece = vec![0; 1 << 20];
            for _ in 0..2 {
                // What the sockets' buffers do not take is not sent: that is the point.
                let _ = client.stream.try_write(&piece);
                tokio::task::yield_now().await;
            }
            half_sent.push(client);
        }
        let mut good = node.connect().await;
        for _ in 0..10 {
            good.call(0, &ApiVersionsRequest::default()).await;
        }
        let used = node.services.memory_used_bytes();
        assert!(used <= (16 << 20) + (64 << 20), "{used} bytes are held");
        kit::later(Duration::from_secs(120)).await;
        good.call(0, &ApiVersionsRequest::default()).await;
    });
}

#[test]
fn clients_that_left_within_a_frame_are_let_go_though_nothing_is_read() {
    testing::run(|stage| async move {
        let node = Node::start_with(&stage, &[MEMORY]).await;
        let piece = vec![0; 4 << 20];
        for _ in 0..20 {
            let mut client = node.connect().await;
            client.send_bytes(&(64_i32 << 20).to_be_bytes()).await;
            let _ = client.stream.try_write(&piece);
            tokio::task::yield_now().await;
        }
        let is_empty = || node.services.connection_count() == 0;
        for _ in 0..3 {
            kit::later(Duration::from_secs(11)).await;
        }
        kit::until(is_empty).await;
        assert_eq!(node.services.memory_used_bytes(), 0);
    });
}
