//! Several log directories: one that fails takes down its own partitions, and nothing is made in
//! their place.

mod support;

use std::fs;

use kabuki_client::{Admin, Client, NewRecord, NewTopic, Producer, ProducerOptions};
use support::{NodeHome, read_records};

const PARTITIONS: i32 = 6;

async fn write_one(client: &Client, partition: i32) {
    let producer = Producer::new(client.clone(), ProducerOptions::default());
    let record = NewRecord::to("orders").partition(partition).value("x");
    let delivery = producer.send(record).await.expect("buffered");
    producer.flush().await.expect("flushed");
    delivery
        .await
        .unwrap_or_else(|error| panic!("partition {partition}: {error}"));
}

#[tokio::test]
async fn a_lost_log_directory_takes_its_own_partitions_offline_until_it_is_back() {
    let disks = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = ["first", "second"].map(|name| disks.path().join(name));
    let home = NodeHome::new().with(&format!(
        "log.dirs={},{}",
        first.display(),
        second.display()
    ));
    let node = home.start();
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    admin
        .create_topic(&NewTopic::named("orders").partitions(PARTITIONS))
        .await
        .expect("created");
    for partition in 0..PARTITIONS {
        write_one(&client, partition).await;
    }
    assert!(node.stop().success(), "{}", home.log());
    let lies_in_second = |partition: i32| second.join(format!("orders-{partition}")).exists();
    let lost: Vec<i32> = (0..PARTITIONS).filter(|one| lies_in_second(*one)).collect();
    assert_eq!(lost.len(), 3, "partitions are spread evenly");

    // The mount point is there, the disk is not.
    let away = disks.path().join("away");
    fs::rename(&second, &away).expect("renamed");
    fs::create_dir(&second).expect("an empty mount point");
    let node = home.start();
    let client = node.client().await;
    let topic = Admin::new(client.clone())
        .describe_topic("orders")
        .await
        .expect("described");
    for partition in 0..PARTITIONS {
        let leader = topic.partition(partition).expect("it is listed").leader;
        assert_eq!(
            leader.is_none(),
            lost.contains(&partition),
            "partition {partition}"
        );
        if !lost.contains(&partition) {
            write_one(&client, partition).await;
        }
    }
    assert!(node.stop().success(), "{}", home.log());
    assert!(!second.join("orders-0").exists() && !second.join("meta.properties").exists());

    fs::remove_dir_all(&second).expect("removed");
    fs::rename(&away, &second).expect("mounted again");
    let node = home.start();
    let client = node.client().await;
    for partition in 0..PARTITIONS {
        write_one(&client, partition).await;
        let count = if lost.contains(&partition) { 2 } else { 3 };
        read_records(&client, "orders", partition, count).await;
    }
}
