//! The promise of the product: what breaks is alone. Actors are crashed one after another while all
//! partitions of a topic are written to.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use kabuki_client::{Admin, Client, NewRecord, NewTopic, Producer, ProducerOptions};
use support::{DEADLINE, NodeHome, read_records, text};
use tokio::sync::watch;

const PARTITIONS: i32 = 8;

/// Writes to one partition, record after record, until told to stop; returns how many were
/// acknowledged. Every record must be.
async fn write_until(client: Client, partition: i32, stop: watch::Receiver<bool>) -> usize {
    let producer = Producer::new(client, ProducerOptions::default());
    let mut acknowledged = 0;
    while !*stop.borrow() {
        let record = NewRecord::to("orders")
            .partition(partition)
            .value(acknowledged.to_string());
        let delivery = producer.send(record).await.expect("buffered");
        producer.flush().await.expect("flushed");
        delivery.await.expect("delivered");
        acknowledged += 1;
    }
    acknowledged
}

/// Restarts of each partition so far, by the name of its actor.
async fn restarts(admin: &Admin) -> BTreeMap<String, u64> {
    let actors = admin.describe_actors("/replicas").await.expect("described");
    let partitions = actors
        .into_iter()
        .filter(|actor| actor.path.contains("/orders-"));
    partitions
        .map(|actor| (actor.path, actor.restarts))
        .collect()
}

#[tokio::test]
async fn a_crashed_partition_comes_back_alone_and_loses_nothing() {
    let home = NodeHome::new().with("kabuki.chaos.enable=true");
    let node = home.start();
    let admin = Admin::new(node.client().await);
    admin
        .create_topic(&NewTopic::named("orders").partitions(PARTITIONS))
        .await
        .expect("created");

    let (stop, stopped) = watch::channel(false);
    let mut writers = Vec::new();
    for partition in 0..PARTITIONS {
        writers.push(tokio::spawn(write_until(
            node.client().await,
            partition,
            stopped.clone(),
        )));
    }
    for _ in 0..3 {
        let before = restarts(&admin).await;
        admin
            .crash_actor("/replicas/orders-3")
            .await
            .expect("crashed");
        let come_back = async {
            loop {
                let after = restarts(&admin).await;
                if after["/replicas/orders-3"] > before["/replicas/orders-3"] {
                    return after;
                }
            }
        };
        let after = tokio::time::timeout(DEADLINE, come_back)
            .await
            .expect("it is restarted");
        for (actor, count) in &after {
            let expected = before[actor] + u64::from(actor == "/replicas/orders-3");
            assert_eq!(*count, expected, "{actor}");
        }
    }
    stop.send(true).expect("writers listen");

    for (partition, writer) in (0..PARTITIONS).zip(writers) {
        let acknowledged = writer.await.expect("no record was refused");
        assert!(acknowledged > 0);
        let client = node.client().await;
        let records = read_records(&client, "orders", partition, acknowledged).await;
        let values: Vec<String> = records.iter().map(text).collect();
        let expected: Vec<String> = (0..acknowledged).map(|number| number.to_string()).collect();
        assert_eq!(
            values, expected,
            "partition {partition}: once each and in order"
        );
    }
    let log = admin
        .supervision_log("/replicas/orders-3", 0, 100, Duration::ZERO)
        .await
        .expect("read");
    let kinds: Vec<String> = log.events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "restarted").count(),
        3,
        "{kinds:?}"
    );
}

#[tokio::test]
async fn every_actor_of_a_node_can_crash_and_the_node_serves_on() {
    let home = NodeHome::new().with("kabuki.chaos.enable=true");
    let node = home.start();
    let admin = Admin::new(node.client().await);
    admin
        .create_topic(&NewTopic::named("orders").partitions(2))
        .await
        .expect("created");
    for path in [
        "/replicas/orders-0",
        "/replicas/orders-1",
        "/replicas/keeper",
        "/replicas/dirs/0",
        "/controller",
        "/edge/listener-plaintext",
    ] {
        admin
            .crash_actor(path)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let producer = Producer::new(node.client().await, ProducerOptions::default());
        for partition in 0..2 {
            let record = NewRecord::to("orders").partition(partition).value(path);
            let delivery = producer.send(record).await.expect("buffered");
            producer.flush().await.expect("flushed");
            delivery
                .await
                .unwrap_or_else(|error| panic!("after {path}: {error}"));
        }
    }
    // The cast is whole again: what is created now works as before.
    admin
        .create_topic(&NewTopic::named("later"))
        .await
        .expect("created");
    let producer = Producer::new(node.client().await, ProducerOptions::default());
    let delivery = producer
        .send(NewRecord::to("later").value("x"))
        .await
        .expect("buffered");
    producer.flush().await.expect("flushed");
    delivery.await.expect("delivered");
}
