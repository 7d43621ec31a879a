//! The consumer protocol against bytes that Kafka's own classes wrote.

use bytes::Bytes;
use kabuki_protocol::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};

use golden::golden_bytes;

mod golden;

fn subscribed(topic: &str, partitions: &[i32]) -> consumer_protocol::TopicPartition {
    consumer_protocol::TopicPartition {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    }
}

#[test]
fn subscriptions_are_those_of_kafkas_consumer() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["other".to_owned(), "topic".to_owned()],
        user_data: Some(Bytes::from_static(&[1, 2, 3])),
        owned_partitions: vec![subscribed("other", &[5]), subscribed("topic", &[0, 2])],
        generation_id: 4,
        rack_id: Some("rack".to_owned()),
    };
    for version in 0..=3 {
        let golden = golden_bytes(&format!("subscription-v{version}"));
        assert_eq!(subscription.to_bytes(version).unwrap(), golden);
        let read = ConsumerProtocolSubscription::from_bytes(&golden).unwrap();
        assert_eq!(read.topics, subscription.topics);
        assert_eq!(read.owned_partitions.is_empty(), version < 1);
        assert_eq!(read.generation_id, if version < 2 { -1 } else { 4 });
        assert_eq!(read.rack_id.is_none(), version < 3);
        assert_eq!(read == subscription, version == 3);
    }
    let bare = ConsumerProtocolSubscription::default();
    let golden = golden_bytes("subscription-bare");
    assert_eq!(bare.to_bytes(3).unwrap(), golden);
    assert_eq!(
        ConsumerProtocolSubscription::from_bytes(&golden).unwrap(),
        bare
    );
}

#[test]
fn assignments_are_those_of_kafkas_consumer() {
    for version in 0..=3 {
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: vec![subscribed("topic", &[0, 2]), subscribed("other", &[5])],
            user_data: (version > 0).then(|| Bytes::from_static(&[7])),
        };
        let golden = golden_bytes(&format!("assignment-v{version}"));
        assert_eq!(assignment.to_bytes(version).unwrap(), golden);
        let read = ConsumerProtocolAssignment::from_bytes(&golden).unwrap();
        assert_eq!(read, assignment);
    }
}
