//! What a kill of the process may and may not cost: nothing that was acknowledged, and nothing twice
//! for an idempotent producer. (What a crash of the machine may cost is tested on the simulated disk,
//! in `actors/partition/tests`.)

mod support;

use kabuki_client::{Admin, NewRecord, NewTopic, Producer, ProducerOptions};
use support::{DEADLINE, NodeHome, read_records, text};
use tokio::sync::watch;

const PARTITIONS: i32 = 4;
const KILLS: usize = 10;

/// Acknowledged records that a round waits for before the kill, so that each kill meets a node at work.
const RECORDS_BETWEEN_KILLS: usize = 2_000;

#[tokio::test]
async fn ten_kills_under_load_lose_and_repeat_nothing() {
    let home = NodeHome::new();
    let mut node = home.start();
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    admin
        .create_topic(&NewTopic::named("orders").partitions(PARTITIONS))
        .await
        .expect("created");

    let (progress, mut seen) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let producer = Producer::new(client, ProducerOptions::default());
    let writer = tokio::spawn(async move {
        let mut acknowledged = 0;
        while !*stopped.borrow() {
            // A window of records is in flight when the kill comes, spread over the partitions.
            let mut window = Vec::new();
            for number in acknowledged..acknowledged + 200 {
                let partition = (number % PARTITIONS as usize) as i32;
                let value = number.to_string();
                let record = NewRecord::to("orders").partition(partition).value(value);
                window.push(producer.send(record).await.expect("buffered"));
            }
            producer.flush().await.expect("flushed");
            for delivery in window {
                delivery.await.expect("delivered, however often it is sent");
                acknowledged += 1;
            }
            progress.send_replace(acknowledged);
        }
        acknowledged
    });

    for kill in 1..=KILLS {
        let enough = seen.wait_for(|acknowledged| *acknowledged >= kill * RECORDS_BETWEEN_KILLS);
        let waited = tokio::time::timeout(DEADLINE, enough).await;
        assert!(
            waited.is_ok(),
            "no progress before kill {kill}: {}",
            home.log()
        );
        node.kill();
        node = home.start();
    }
    stop.send(true).expect("the writer listens");
    let acknowledged = tokio::time::timeout(DEADLINE, writer)
        .await
        .expect("it ends");
    let acknowledged = acknowledged.expect("every record was delivered");
    assert!(acknowledged >= KILLS * RECORDS_BETWEEN_KILLS);

    let client = node.client().await;
    let per_partition = acknowledged / PARTITIONS as usize;
    for partition in 0..PARTITIONS {
        let records = read_records(&client, "orders", partition, per_partition).await;
        assert_eq!(
            records.len(),
            per_partition,
            "partition {partition} holds no record twice"
        );
        for (at, record) in records.iter().enumerate() {
            let expected = at * PARTITIONS as usize + partition as usize;
            assert_eq!(
                text(record),
                expected.to_string(),
                "partition {partition} at {at}"
            );
        }
    }
}
