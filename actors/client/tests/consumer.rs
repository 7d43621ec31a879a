//! A consumer against a broker that makes mistakes: what is read, from where, and what is never
//! stepped over.

#![allow(clippy::unwrap_used)]

mod fake_broker;

use std::time::Duration;

use bytes::BytesMut;
use fake_broker::{FakeBroker, Mishap, TOPIC};
use kabuki_client::{Client, ClientError, ClientOptions, Consumer, ConsumerOptions, StartAt};
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchBuilder, Compression};

/// Longer than any test: a test ends by what it reads.
const WAIT: Duration = Duration::from_secs(60);

async fn consumer(broker: &FakeBroker, options: ConsumerOptions) -> Consumer {
    let options = ConsumerOptions {
        fetch_wait: Duration::ZERO,
        ..options
    };
    let client_options = ClientOptions {
        patience: Duration::ZERO,
        ..ClientOptions::at(&broker.address)
    };
    Consumer::new(Client::connect(client_options).await.unwrap(), options)
}

/// Batches of three records each, whose values are their offsets.
fn fill(broker: &FakeBroker, partition: i32, batches: usize, compression: Compression) {
    for first in (0..batches * 3).step_by(3) {
        let mut batch = BatchBuilder::new(compression);
        for offset in first..first + 3 {
            let value = offset.to_string();
            batch.push(
                1_000,
                Some(b"k"),
                Some(value.as_bytes()),
                &[("h", None), ("h", Some(b"2"))],
            );
        }
        broker.append(partition, &batch.build().unwrap());
    }
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.len() < count {
        for record in consumer.poll(WAIT).await.unwrap() {
            assert_eq!(
                record.value.as_deref(),
                Some(record.offset.to_string().as_bytes())
            );
            assert_eq!(
                record.headers.len(),
                2,
                "a header with the same name was lost"
            );
            offsets.push(record.offset.get());
        }
    }
    offsets
}

#[tokio::test]
async fn every_record_comes_once_and_in_order_with_every_codec() {
    for compression in Compression::ALL {
        let broker = FakeBroker::start(1).await;
        fill(&broker, 0, 10, compression);
        let mut consumer = consumer(&broker, ConsumerOptions::default()).await;
        consumer.assign(TOPIC, 0, StartAt::Beginning);
        assert_eq!(read(&mut consumer, 30).await, (0..30).collect::<Vec<_>>());
        let position = consumer.position(TOPIC, 0).unwrap();
        assert_eq!(
            (position.next, position.high_watermark),
            (Offset(30), Offset(30))
        );
    }
}

#[tokio::test]
async fn reading_begins_in_the_middle_of_a_batch() {
    let broker = FakeBroker::start(2).await;
    fill(&broker, 0, 4, Compression::Zstd);
    let mut consumer = consumer(&broker, ConsumerOptions::default()).await;
    consumer.assign(TOPIC, 0, StartAt::Offset(Offset(4)));
    assert_eq!(read(&mut consumer, 8).await, (4..12).collect::<Vec<_>>());
    // Back, while the consumer stands at the end.
    consumer.assign(TOPIC, 0, StartAt::Offset(Offset(11)));
    assert_eq!(read(&mut consumer, 1).await, [11]);
    consumer.unassign(TOPIC, 0);
    assert!(consumer.position(TOPIC, 0).is_none());
}

#[tokio::test]
async fn at_the_end_only_new_records_are_read() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, 0, 1, Compression::None);
    let mut consumer = consumer(&broker, ConsumerOptions::default()).await;
    consumer.assign(TOPIC, 0, StartAt::End);
    while consumer.position(TOPIC, 0).is_none() {
        assert!(
            consumer
                .poll(Duration::from_millis(1))
                .await
                .unwrap()
                .is_empty()
        );
    }
    let mut batch = BatchBuilder::new(Compression::None);
    batch.push(0, None, Some(b"3"), &[("h", None), ("h", None)]);
    broker.append(0, &batch.build().unwrap());
    assert_eq!(read(&mut consumer, 1).await, [3]);
}

#[tokio::test]
async fn a_partition_whose_leader_moves_is_read_on() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, 0, 2, Compression::None);
    let codes = [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch];
    let mishaps: Vec<_> = codes
        .iter()
        .map(|code| Mishap::Refuse(code.code()))
        .collect();
    broker.prepare(ApiKey::Fetch, &mishaps);
    broker.prepare(ApiKey::Fetch, &[Mishap::Close]);
    let options = ClientOptions::at(&broker.address);
    let client = Client::connect(options).await.unwrap();
    let asked_before = broker.state().asked[&ApiKey::Metadata];
    let mut consumer = Consumer::new(
        client,
        ConsumerOptions {
            fetch_wait: Duration::ZERO,
            ..ConsumerOptions::default()
        },
    );
    consumer.assign(TOPIC, 0, StartAt::Beginning);
    assert_eq!(read(&mut consumer, 6).await, (0..6).collect::<Vec<_>>());
    let asked = broker.state().asked[&ApiKey::Metadata] - asked_before;
    assert!(asked >= 3, "metadata was asked for {asked} times");
}

#[tokio::test]
async fn an_offset_out_of_range_is_an_error_unless_told_where_to_go_on() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, 0, 2, Compression::None);
    broker.state().log_start = 3;
    let mut strict = consumer(&broker, ConsumerOptions::default()).await;
    strict.assign(TOPIC, 0, StartAt::Offset(Offset(1)));
    let error = strict.poll(WAIT).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));

    for (start, at) in [(StartAt::Beginning, 100), (StartAt::Offset(Offset(3)), 0)] {
        let options = ConsumerOptions {
            when_out_of_range: Some(start),
            ..ConsumerOptions::default()
        };
        let mut lenient = consumer(&broker, options).await;
        lenient.assign(TOPIC, 0, StartAt::Offset(Offset(at)));
        assert_eq!(read(&mut lenient, 3).await, [3, 4, 5]);
    }
}

#[tokio::test]
async fn a_broken_batch_is_not_stepped_over_and_read_when_it_is_whole() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, 0, 3, Compression::None);
    let whole = broker.state().logs[&0][1].clone();
    let mut broken = BytesMut::from(&whole[..]);
    *broken.last_mut().unwrap() ^= 1;
    broker.state().logs.get_mut(&0).unwrap()[1] = broken.freeze();

    let mut consumer = consumer(&broker, ConsumerOptions::default()).await;
    consumer.assign(TOPIC, 0, StartAt::Beginning);
    assert_eq!(read(&mut consumer, 3).await, [0, 1, 2]);
    for _ in 0..2 {
        let error = consumer.poll(WAIT).await.unwrap_err();
        assert!(matches!(error, ClientError::Records { .. }), "{error}");
        assert!(error.to_string().contains("offset 3"), "{error}");
    }
    broker.state().logs.get_mut(&0).unwrap()[1] = whole;
    assert_eq!(read(&mut consumer, 6).await, [3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn one_partition_that_fails_does_not_keep_the_others_from_being_read() {
    let broker = FakeBroker::start(2).await;
    fill(&broker, 1, 2, Compression::None);
    let mut consumer = consumer(&broker, ConsumerOptions::default()).await;
    consumer.assign(TOPIC, 0, StartAt::Offset(Offset(100)));
    consumer.assign(TOPIC, 1, StartAt::Beginning);
    let (mut offsets, mut errors) = (Vec::new(), 0);
    while offsets.len() < 6 {
        match consumer.poll(WAIT).await {
            Ok(records) => offsets.extend(records.iter().map(|record| record.offset.get())),
            Err(error) => {
                assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
                errors += 1;
            }
        }
    }
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    assert!(errors > 0);
}
