//! A producer against a broker that makes mistakes: what is written, in which order, how often.

#![allow(clippy::unwrap_used)]

mod fake_broker;

use std::time::Duration;

use fake_broker::{FakeBroker, Mishap, TOPIC};
use kabuki_client::{
    Acks, Client, ClientError, ClientOptions, Delivery, NewRecord, Producer, ProducerOptions,
};
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{Compression, records};

const NOT_LEADER: Mishap = Mishap::Refuse(ErrorCode::NotLeaderOrFollower.code());
const TOO_LARGE: Mishap = Mishap::Refuse(ErrorCode::MessageTooLarge.code());

async fn client(broker: &FakeBroker) -> Client {
    Client::connect(ClientOptions::at(&broker.address))
        .await
        .unwrap()
}

async fn producer(broker: &FakeBroker, options: ProducerOptions) -> Producer {
    Producer::new(client(broker).await, options)
}

async fn send(producer: &Producer, value: String) -> Delivery {
    let record = NewRecord::to(TOPIC)
        .partition(0)
        .value(value)
        .header("h", "1")
        .header("h", "2");
    producer.send(record).await.unwrap()
}

/// The values of partition 0, in order.
fn stored(broker: &FakeBroker) -> Vec<String> {
    let state = broker.state();
    let batches = state.logs.get(&0).into_iter().flatten();
    let records = batches.flat_map(|batch| records(batch).unwrap().map(Result::unwrap));
    records
        .map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
        .collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn records_arrive_once_and_in_order_with_every_codec() {
    for compression in Compression::ALL {
        let broker = FakeBroker::start(1).await;
        let options = ProducerOptions {
            compression,
            batch_bytes: 1_000,
            ..ProducerOptions::default()
        };
        let producer = producer(&broker, options).await;
        let mut deliveries = Vec::new();
        for value in numbers(200) {
            deliveries.push(send(&producer, value).await);
        }
        producer.flush().await.unwrap();
        for (at, delivery) in (0..).zip(deliveries) {
            assert_eq!(
                delivery.await.unwrap().offset,
                Some(Offset(at)),
                "{compression}"
            );
        }
        assert_eq!(stored(&broker), numbers(200));
        assert!(
            broker.state().arrivals.len() > 5,
            "everything went in one batch"
        );
    }
}

#[tokio::test]
async fn mishaps_neither_lose_nor_double_nor_reorder_records() {
    let broker = FakeBroker::start(1).await;
    broker.prepare(
        ApiKey::Produce,
        &[
            NOT_LEADER,
            Mishap::CloseAfter,
            Mishap::Close,
            NOT_LEADER,
            Mishap::CloseAfter,
        ],
    );
    let options = ProducerOptions {
        batch_bytes: 500,
        ..ProducerOptions::default()
    };
    let producer = producer(&broker, options).await;
    for value in numbers(100) {
        drop(send(&producer, value).await);
    }
    producer.flush().await.unwrap();
    assert_eq!(stored(&broker), numbers(100));
    let arrivals = broker.state().arrivals.clone();
    assert!(
        arrivals
            .iter()
            .all(|it| it.producer_id == arrivals[0].producer_id)
    );
    assert_eq!(arrivals[0], arrivals[1], "the resend is not the same batch");
}

#[tokio::test]
async fn a_refused_batch_fails_alone_and_the_next_counts_from_0() {
    let broker = FakeBroker::start(1).await;
    broker.prepare(ApiKey::Produce, &[TOO_LARGE]);
    let producer = producer(&broker, ProducerOptions::default()).await;
    let refused = send(&producer, "refused".to_owned()).await;
    producer.flush().await.unwrap();
    let error = refused.await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
    assert!(error.to_string().contains("orders-0"), "{error}");

    let next = send(&producer, "next".to_owned()).await;
    producer.flush().await.unwrap();
    assert_eq!(next.await.unwrap().offset, Some(Offset(0)));
    let arrivals = broker.state().arrivals.clone();
    assert_ne!(arrivals[0].producer_id, arrivals[1].producer_id);
    assert_eq!(arrivals[1].base_sequence, 0);
}

#[tokio::test]
async fn a_batch_that_cannot_be_written_in_time_fails() {
    let broker = FakeBroker::start(1).await;
    broker.prepare(ApiKey::Produce, &[NOT_LEADER; 50]);
    let options = ProducerOptions {
        delivery_timeout: Duration::from_millis(1),
        linger: Duration::ZERO,
        ..ProducerOptions::default()
    };
    let producer = producer(&broker, options).await;
    let late = send(&producer, "late".to_owned()).await;
    let error = late.await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn without_an_identity_nothing_is_sent_and_it_is_asked_for_again() {
    let broker = FakeBroker::start(1).await;
    let loading = Mishap::Refuse(ErrorCode::CoordinatorLoadInProgress.code());
    broker.prepare(ApiKey::InitProducerId, &[loading, Mishap::Close]);
    let producer = producer(&broker, ProducerOptions::default()).await;
    let delivery = send(&producer, "patient".to_owned()).await;
    producer.flush().await.unwrap();
    delivery.await.unwrap();
    assert_eq!(broker.state().asked[&ApiKey::InitProducerId], 3);
    assert_eq!(stored(&broker), ["patient"]);
}

#[tokio::test]
async fn acks_0_and_1_need_no_identity_and_acks_0_no_answer() {
    for acks in [Acks::None, Acks::Leader] {
        let broker = FakeBroker::start(1).await;
        let producer = producer(
            &broker,
            ProducerOptions {
                acks,
                ..Default::default()
            },
        )
        .await;
        let delivery = send(&producer, "quick".to_owned()).await;
        let offset = delivery.await.unwrap().offset;
        assert_eq!(offset, (acks == Acks::Leader).then_some(Offset(0)));
        // A second one proves that the connection is still in order.
        send(&producer, "next".to_owned()).await.await.unwrap();
        let asked = broker.state().asked.get(&ApiKey::InitProducerId).copied();
        assert_eq!(asked, None);
    }
}

#[tokio::test]
async fn keys_decide_the_partition_and_records_without_one_fill_batches() {
    let broker = FakeBroker::start(6).await;
    let linger = Duration::from_secs(3600);
    let producer = producer(
        &broker,
        ProducerOptions {
            linger,
            ..Default::default()
        },
    )
    .await;
    let mut with_key = Vec::new();
    for key in ["a", "b", "a", "b"] {
        with_key.push(
            producer
                .send(NewRecord::to(TOPIC).key(key).value("x"))
                .await
                .unwrap(),
        );
    }
    let mut without_key = Vec::new();
    for _ in 0..50 {
        without_key.push(
            producer
                .send(NewRecord::to(TOPIC).value("x"))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap();
    let mut partitions = Vec::new();
    for delivery in with_key {
        partitions.push(delivery.await.unwrap().partition);
    }
    let expected = |key: &str| kabuki_client::partition_for_key(key.as_bytes(), 6);
    assert_eq!(
        partitions,
        [expected("a"), expected("b"), expected("a"), expected("b")]
    );
    let first = without_key.remove(0).await.unwrap().partition;
    for delivery in without_key {
        assert_eq!(
            delivery.await.unwrap().partition,
            first,
            "one batch had room for all"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let broker = FakeBroker::start(2).await;
    let producer = producer(&broker, ProducerOptions::default()).await;
    let huge = producer
        .send(NewRecord::to(TOPIC).value(vec![0; 2 << 20]))
        .await;
    assert!(matches!(huge, Err(ClientError::RecordTooLarge { .. })));
    let nowhere = producer
        .send(NewRecord::to(TOPIC).partition(2).value("x"))
        .await
        .unwrap();
    assert!(matches!(
        nowhere.await,
        Err(ClientError::NoSuchPartition { .. })
    ));
}
