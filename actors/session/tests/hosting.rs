//! A topic that was answered as created serves: the answer waits for its partitions.

mod kit;

use std::time::Duration;

use kabuki_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kabuki_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use kabuki_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use kabuki_runtime::testing;
use tokio::time::Instant;

use kit::Node;
use kit::stub_partition::TakeLead;

fn create(name: &str, num_partitions: i32) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    }
}

/// Lets the node work on what it has, without time to pass.
async fn idle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_created_topic_is_answered_when_its_last_partition_leads() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        client.send(7, &create("orders", 2)).await;
        kit::until(|| node.image.borrow().topic("orders").is_some()).await;
        node.host("orders", 0);
        let late = node.host("orders", 1);
        late.lock().does_not_lead = true;
        idle().await;
        let answer = client.receive::<CreateTopicsRequest>(7);
        tokio::pin!(answer);
        let waiting = tokio::time::timeout(Duration::from_millis(500), &mut answer);
        assert!(waiting.await.is_err(), "answered before it leads");

        node.partition("orders", 1).tell(TakeLead).await.unwrap();
        let started = Instant::now();
        let (_, answer) = answer.await;
        assert_eq!(answer.topics[0].error_code, 0);
        assert!(started.elapsed() < Duration::from_millis(100));
    });
}

#[test]
fn a_partition_that_crashes_before_it_leads_is_waited_for_again() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        client.send(7, &create("orders", 1)).await;
        kit::until(|| node.image.borrow().topic("orders").is_some()).await;
        let log = node.host("orders", 0);
        log.lock().does_not_lead = true;
        idle().await;
        let path = node.partition("orders", 0).path().clone();
        log.lock().does_not_lead = false;
        stage.registry().crash(&path).unwrap();
        let started = Instant::now();
        let (_, answer) = client.receive::<CreateTopicsRequest>(7).await;
        assert_eq!(answer.topics[0].error_code, 0);
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn partitions_that_never_come_hold_an_answer_for_a_bounded_time() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        let started = Instant::now();
        let answer = client.call(7, &create("orders", 3)).await;
        assert_eq!(answer.topics[0].error_code, 0);
        assert!(started.elapsed() <= Duration::from_secs(11));
        let grow = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "orders".to_owned(),
                count: 5,
                assignments: None,
            }],
            timeout_ms: 1_000,
            validate_only: false,
        };
        let started = Instant::now();
        assert_eq!(client.call(3, &grow).await.results[0].error_code, 0);
        assert!(
            started.elapsed() <= Duration::from_secs(2),
            "its own time-out"
        );
    });
}

#[test]
fn a_deleted_topic_is_answered_when_its_partition_has_left() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        node.topic("orders", 1).await;
        let mut client = node.connect().await;
        let delete = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some("orders".to_owned()),
                ..DeleteTopicState::default()
            }],
            timeout_ms: 30_000,
            ..DeleteTopicsRequest::default()
        };
        client.send(6, &delete).await;
        kit::until(|| node.image.borrow().topic("orders").is_none()).await;
        let started = Instant::now();
        node.unhost("orders", 0).await;
        let (_, answer) = client.receive::<DeleteTopicsRequest>(6).await;
        assert_eq!(answer.responses[0].error_code, 0);
        assert!(started.elapsed() < Duration::from_millis(100));
    });
}
