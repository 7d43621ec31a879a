//! A topic that was deleted and created again under its name, while the partition of the old one is
//! still on stage: nothing that is meant for the one reaches the other.

mod kit;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kabuki_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kabuki_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kabuki_protocol::messages::produce::ProduceResponse;
use kabuki_runtime::testing;

use kit::Node;
use kit::client::{Client, batch, produce};

const FOREIGN_BY_NAME: i16 = ErrorCode::UnknownTopicOrPartition.code();

fn produced(response: &ProduceResponse) -> i16 {
    response.responses[0].partition_responses[0].error_code
}

fn fetched(response: &FetchResponse) -> i16 {
    response.responses[0].partitions[0].error_code
}

/// The codes of ListOffsets, OffsetForLeaderEpoch and DeleteRecords for `orders-0`.
async fn codes_by_name(client: &mut Client) -> [i16; 3] {
    let list = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "orders".to_owned(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                current_leader_epoch: -1,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let listed = client.call(7, &list).await;
    let find = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "orders".to_owned(),
            partitions: vec![OffsetForLeaderPartition {
                current_leader_epoch: -1,
                ..OffsetForLeaderPartition::default()
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let found = client.call(4, &find).await;
    let delete = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "orders".to_owned(),
            partitions: vec![DeleteRecordsPartition {
                offset: 0,
                ..DeleteRecordsPartition::default()
            }],
        }],
        timeout_ms: 1_000,
    };
    let deleted = client.call(2, &delete).await;
    [
        listed.topics[0].partitions[0].error_code,
        found.topics[0].partitions[0].error_code,
        deleted.topics[0].partitions[0].error_code,
    ]
}

#[test]
fn the_partition_of_a_deleted_topic_serves_nobody_who_means_the_new_one() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let old = node.topic("orders", 1).await;
        let mut client = node.connect().await;
        node.delete_topic("orders").await;
        node.create_topic("orders", 1, &[]).await;
        let id = node.topic_id("orders");

        let mut write = produce(-1, &[("orders", 0, batch(1))]);
        assert_eq!(produced(&client.produce(9, &write).await), FOREIGN_BY_NAME);
        write.topic_data[0].topic_id = id;
        let by_id = produced(&client.produce(13, &write).await);
        assert_eq!(by_id, ErrorCode::UnknownTopicId.code());
        let read = FetchRequest {
            max_bytes: 1_000_000,
            max_wait_ms: 60_000,
            min_bytes: 1,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: "orders".to_owned(),
                topic_id: id,
                partitions: vec![FetchPartition {
                    current_leader_epoch: -1,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: 1_000_000,
                    ..FetchPartition::default()
                }],
            }],
            ..FetchRequest::default()
        };
        assert_eq!(fetched(&client.call(12, &read).await), FOREIGN_BY_NAME);
        let by_id = fetched(&client.call(13, &read).await);
        assert_eq!(by_id, ErrorCode::InconsistentTopicId.code());
        assert_eq!(codes_by_name(&mut client).await, [FOREIGN_BY_NAME; 3]);
        assert_eq!(old[0].lock().log_end, 0);

        // The same connection finds the successor as soon as it is there.
        node.unhost("orders", 0).await;
        let new = node.host("orders", 0);
        assert_eq!(produced(&client.produce(9, &write).await), 0);
        assert_eq!(fetched(&client.call(13, &read).await), 0);
        assert_eq!(codes_by_name(&mut client).await, [0; 3]);
        assert_eq!((old[0].lock().log_end, new.lock().log_end), (0, 1));
    });
}
