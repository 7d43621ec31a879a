//! Registrations, leader epochs, directories, producer ids.

use kabuki_protocol::ids::{LeaderEpoch, NodeId, ProducerId};

use super::Bench;
use crate::image::DirectoryId;
use crate::messages::PartitionRef;
use crate::refusal::ChangeRefused;
use crate::state::Metadata;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

#[test]
fn leader_epochs_rise_at_every_start_and_at_no_repeated_registration() {
    let mut bench = Bench::with_brokers(1);
    bench.topic("orders", 2, 1);
    assert_eq!(bench.leaders("orders"), "1@0 1@0");
    bench.register(1, 2, &[1]);
    assert_eq!(bench.leaders("orders"), "1@1 1@1");
    let epoch = bench.metadata.image.broker(ONE).unwrap().epoch;
    bench.register(1, 2, &[1]);
    assert_eq!(bench.leaders("orders"), "1@1 1@1");
    bench.register(1, 3, &[1]);
    assert_eq!(bench.leaders("orders"), "1@2 1@2");
    assert!(bench.metadata.image.broker(ONE).unwrap().epoch > epoch);
}

#[test]
fn a_directory_that_does_not_come_back_takes_its_leaders_away() {
    let mut bench = Bench::with_brokers(1);
    let topic = bench.topic("orders", 2, 1);
    let at = |partition| PartitionRef { topic, partition };
    let directories = [(at(0), DirectoryId([1; 16])), (at(1), DirectoryId([7; 16]))];
    let decision = bench.metadata.assign_directories(ONE, &directories);
    bench.take(decision).unwrap();

    bench.register(1, 2, &[1]);
    assert_eq!(bench.leaders("orders"), "1@1 -1@1");
    // It stays in sync, so it leads again, in a new epoch, once its directory is mounted.
    bench.register(1, 3, &[1, 7]);
    assert_eq!(bench.leaders("orders"), "1@2 1@2");
}

#[test]
fn an_offline_partition_keeps_its_epoch_and_comes_back_in_a_new_one() {
    let mut bench = Bench::with_brokers(1);
    let topic = bench.topic("orders", 1, 1);
    let at = PartitionRef {
        topic,
        partition: 0,
    };
    for expected in ["-1@1", "-1@1"] {
        let decision = bench.metadata.mark_offline(ONE, at);
        assert_eq!(bench.take(decision), Ok(()));
        assert_eq!(bench.leaders("orders"), expected);
    }
    let raised = bench.metadata.raise_leader_epoch(ONE, at).answer;
    assert_eq!(
        raised,
        Err(ChangeRefused::NotLeader {
            node: ONE,
            leader: NodeId::NONE
        })
    );
    for _ in 0..2 {
        let decision = bench.metadata.mark_online(ONE, at);
        assert_eq!(bench.take(decision), Ok(LeaderEpoch(2)));
    }
    let decision = bench.metadata.raise_leader_epoch(ONE, at);
    assert_eq!(bench.take(decision), Ok(LeaderEpoch(3)));
    assert_eq!(bench.leaders("orders"), "1@3");
}

#[test]
fn another_in_sync_replica_takes_over() {
    let mut bench = Bench::with_brokers(2);
    let topic = bench.topic("orders", 1, 2);
    let at = PartitionRef {
        topic,
        partition: 0,
    };
    let decision = bench.metadata.mark_offline(ONE, at);
    bench.take(decision).unwrap();
    assert_eq!(bench.leaders("orders"), "2@1");
    let back = bench.metadata.mark_online(ONE, at).answer;
    assert_eq!(
        back,
        Err(ChangeRefused::NotLeader {
            node: ONE,
            leader: TWO
        })
    );
}

#[test]
fn reports_about_what_is_not_there_change_nothing() {
    let mut bench = Bench::with_brokers(2);
    let topic = bench.topic("orders", 1, 1);
    let here = PartitionRef {
        topic,
        partition: 0,
    };
    let gone = PartitionRef {
        topic,
        partition: 5,
    };
    let judge = |metadata: &Metadata, node, at| metadata.mark_offline(node, at).answer;
    let metadata = &bench.metadata;
    assert_eq!(
        judge(metadata, ONE, gone),
        Err(ChangeRefused::UnknownPartition)
    );
    assert_eq!(
        judge(metadata, TWO, here),
        Err(ChangeRefused::NotAReplica { node: TWO })
    );
    let three = NodeId(3);
    assert_eq!(
        judge(metadata, three, here),
        Err(ChangeRefused::UnknownBroker { node: three })
    );

    let directory = DirectoryId([1; 16]);
    let decision = metadata.assign_directories(ONE, &[(gone, directory), (here, directory)]);
    assert_eq!(decision.records.len(), 1, "the unknown one is passed over");
    bench.take(decision).unwrap();
    let again = bench.metadata.assign_directories(ONE, &[(here, directory)]);
    assert!(again.records.is_empty());
}

#[test]
fn producer_ids_come_from_a_block_that_is_reserved_first() {
    let mut bench = Bench::with_brokers(1);
    let mut reservations = Vec::new();
    for expected in 0..2001 {
        let decision = bench.metadata.allocate_producer_id();
        if !decision.records.is_empty() {
            reservations.push(expected);
        }
        assert_eq!(bench.take(decision), ProducerId(expected));
        assert!(bench.metadata.image.next_producer_id() > ProducerId(expected));
    }
    assert_eq!(reservations, [0, 1000, 2000]);

    // A restart knows only what is reserved: it goes on behind it.
    let image = bench.metadata.image.clone();
    let mut restarted = Metadata::new(image, bench.metadata.settings);
    assert_eq!(restarted.allocate_producer_id().answer, ProducerId(3000));
}
