//! The supervision tree of a running node is the one that `src/tree.rs` and ARCHITECTURE.md show.

mod support;

#[path = "../src/tree.rs"]
#[allow(dead_code)]
mod tree;

use kabuki_client::{Admin, Connection, ConnectionOptions, NewTopic};
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use support::NodeHome;
use tree::{PLACES, Place};

/// The place of an actor: the one without a star if there is one.
fn place_of(path: &str) -> Option<&'static Place> {
    let exact = PLACES.iter().find(|place| place.path == path);
    let (parent, _) = path.rsplit_once('/')?;
    exact.or_else(|| {
        PLACES
            .iter()
            .find(|place| place.path == format!("{parent}/*"))
    })
}

#[tokio::test]
async fn every_actor_of_a_node_stands_in_a_known_place_and_every_place_is_taken() {
    let home = NodeHome::new();
    let node = home.start();
    let admin = Admin::new(node.client().await);
    admin
        .create_topic(&NewTopic::named("orders"))
        .await
        .expect("created");
    commit_an_offset(&node.address().to_string()).await;
    let actors = admin.describe_actors("/").await.expect("described");
    let mut taken: Vec<&str> = Vec::new();
    for actor in &actors {
        let place = place_of(&actor.path);
        taken.push(
            place
                .unwrap_or_else(|| panic!("{} has no place", actor.path))
                .path,
        );
    }
    for place in PLACES {
        assert!(
            taken.contains(&place.path),
            "nobody stands at {}",
            place.path
        );
    }
}

/// Commits as a consumer without a group does, until the group's shard has been read.
async fn commit_an_offset(address: &str) {
    let connection = Connection::open(address, &ConnectionOptions::default()).await;
    let connection = connection.expect("the node takes connections");
    let topic = OffsetCommitRequestTopic {
        name: "orders".to_owned(),
        partitions: vec![OffsetCommitRequestPartition {
            committed_offset: 1,
            ..OffsetCommitRequestPartition::default()
        }],
        ..OffsetCommitRequestTopic::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "readers".to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while std::time::Instant::now() < deadline {
        let answer = connection
            .call_in(9, &commit, std::time::Duration::ZERO)
            .await
            .expect("answered");
        if answer.topics[0].partitions[0].error_code == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no offset was committed");
}

#[test]
fn the_architecture_names_every_place() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("it exists");
    for place in PLACES {
        let shown = place.path.trim_end_matches('*');
        assert!(
            text.contains(shown),
            "ARCHITECTURE.md does not show {}",
            place.path
        );
    }
}
