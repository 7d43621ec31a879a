//! One node through its front door: start, write, read, stop, start again.

mod support;

use kabuki_client::{Admin, NewRecord, NewTopic, Producer, ProducerOptions};
use support::{NodeHome, read_records, text};

#[tokio::test]
async fn records_written_before_an_ordered_stop_are_read_after_it() {
    let home = NodeHome::new();
    let node = home.start();
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    admin
        .create_topic(&NewTopic::named("orders").partitions(3))
        .await
        .expect("created");
    let producer = Producer::new(client.clone(), ProducerOptions::default());
    for number in 0..3_000 {
        let record = NewRecord::to("orders")
            .partition(number % 3)
            .value(number.to_string());
        producer.send(record).await.expect("buffered");
    }
    producer.flush().await.expect("delivered");
    drop((producer, admin, client));

    assert!(node.stop().success(), "{}", home.log());
    assert!(
        home.data().join(".kafka_cleanshutdown").exists(),
        "{}",
        home.log()
    );

    let node = home.start();
    let client = node.client().await;
    for partition in 0..3 {
        let records = read_records(&client, "orders", partition, 1_000).await;
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record.offset.get(), at as i64);
            assert_eq!(text(record), (at as i32 * 3 + partition).to_string());
        }
    }
}

#[tokio::test]
async fn topics_and_their_configuration_survive_a_kill() {
    let home = NodeHome::new();
    let node = home.start();
    let admin = Admin::new(node.client().await);
    let topic = NewTopic::named("orders")
        .partitions(2)
        .config("retention.ms", "4711");
    let created = admin.create_topic(&topic).await.expect("created");
    admin
        .create_topic(&NewTopic::named("gone"))
        .await
        .expect("created");
    admin.delete_topic("gone").await.expect("deleted");
    node.kill();

    let node = home.start();
    let admin = Admin::new(node.client().await);
    let topics = admin.list_topics().await.expect("listed");
    let names: Vec<_> = topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["orders"]);
    assert_eq!(topics[0].id, created.id);
    assert_eq!(topics[0].partitions.len(), 2);
}

#[tokio::test]
async fn a_topic_that_is_created_again_starts_empty() {
    let home = NodeHome::new();
    let node = home.start();
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    for round in 0..3 {
        admin
            .create_topic(&NewTopic::named("orders"))
            .await
            .expect("created");
        let producer = Producer::new(client.clone(), ProducerOptions::default());
        let record = NewRecord::to("orders")
            .partition(0)
            .value(round.to_string());
        let delivery = producer.send(record).await.expect("buffered");
        producer.flush().await.expect("flushed");
        let delivered = delivery.await.expect("delivered");
        assert_eq!(
            delivered.offset.map(|offset| offset.get()),
            Some(0),
            "round {round}"
        );
        admin.delete_topic("orders").await.expect("deleted");
    }
}

#[test]
fn a_second_node_on_the_same_directory_is_refused() {
    let home = NodeHome::new();
    let node = home.start();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kabuki"))
        .args([
            "start",
            "--override",
            "listeners=PLAINTEXT://127.0.0.1:0",
            "--override",
        ])
        .arg(format!("log.dirs={}", home.data().display()))
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("held by another process"), "{message}");
    drop(node);
}

#[test]
fn a_node_without_a_free_port_says_so() {
    let home = NodeHome::new();
    let node = home.start();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kabuki"))
        .args(["start", "--override"])
        .arg(format!("listeners=PLAINTEXT://{}", node.address()))
        .args(["--override", "log.dirs=/nonexistent/kabuki"])
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("cannot listen on"), "{message}");
}
