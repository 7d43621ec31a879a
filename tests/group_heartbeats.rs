//! A member of the Rust client whose program works longer than a session lasts, and one that has lost its
//! partitions: what the group sees, and what the program is told.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use kabuki_client::{
    Admin, AssignmentChange, Client, GroupConsumer, GroupOptions, LossCause, NewTopic,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, EPOCH_JOIN, EPOCH_LEAVE,
};
use support::{DEADLINE, Node, NodeHome};

const POLL: Duration = Duration::from_millis(50);

/// A node that gives a member up after a second.
fn home() -> NodeHome {
    NodeHome::new()
        .with("group.consumer.heartbeat.interval.ms=200")
        .with("group.consumer.min.session.timeout.ms=500")
        .with("group.consumer.session.timeout.ms=1000")
        .with("group.consumer.assignment.interval.ms=50")
        .with("offsets.topic.num.partitions=1")
}

async fn with_topic(node: &Node) -> (Client, Admin) {
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    let topic = NewTopic::named("orders").partitions(2);
    admin.create_topic(&topic).await.expect("created");
    (client, admin)
}

fn both() -> BTreeSet<(String, i32)> {
    BTreeSet::from([("orders".to_owned(), 0), ("orders".to_owned(), 1)])
}

async fn read_both(member: &mut GroupConsumer) {
    while member.assignment() != both() {
        member.poll(POLL).await.expect("a member");
    }
}

async fn members(admin: &Admin) -> Vec<String> {
    let described = admin.describe_group("billing").await.expect("described");
    let members = described.members.into_iter();
    members.map(|member| member.member_id).collect()
}

/// Says something to the group by hand.
async fn beat(client: &Client, member_id: &str, epoch: i32) {
    let broker = client.coordinator("billing").await.expect("found");
    let connection = client.connection_to(broker.id).await.expect("connected");
    let is_join = epoch == EPOCH_JOIN;
    let beat = ConsumerGroupHeartbeatRequest {
        group_id: "billing".to_owned(),
        member_id: member_id.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: if is_join { 60_000 } else { -1 },
        subscribed_topic_names: is_join.then(|| vec!["orders".to_owned()]),
        topic_partitions: is_join.then(Vec::new),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let told = connection.call(&beat).await.expect("answered");
    assert_eq!(told.error_code, 0, "{told:?}");
}

#[tokio::test]
async fn a_member_stays_in_its_group_while_its_program_works() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node).await;
    let mut member = GroupConsumer::new(client.clone(), GroupOptions::new("billing", &["orders"]));
    let working = async {
        read_both(&mut member).await;
        let own = members(&admin).await;
        // It joins after the last poll, says nothing more, and is given up: by then a session has passed.
        beat(&client, "silent", EPOCH_JOIN).await;
        while members(&admin).await != own {}
        member.commit().await.expect("it is a member");
        member.poll(POLL).await.expect("a member");
        let is_loss = |change: &AssignmentChange| matches!(change, AssignmentChange::Lost { .. });
        assert!(!member.changes().iter().any(is_loss));
        read_both(&mut member).await;
        assert_eq!(members(&admin).await, own);
    };
    let outcome = tokio::time::timeout(DEADLINE, working).await;
    assert!(outcome.is_ok(), "the silent member is not given up");
}

#[tokio::test]
async fn a_program_that_polls_too_rarely_leaves_and_is_told() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node).await;
    let options = GroupOptions {
        poll_interval_max: Duration::from_secs(2),
        ..GroupOptions::new("billing", &["orders"])
    };
    let mut member = GroupConsumer::new(client, options);
    let working = async {
        read_both(&mut member).await;
        while !members(&admin).await.is_empty() {}
        let refused = member.commit().await.expect_err("others may read on");
        assert_eq!(refused.code(), Some(ErrorCode::UnknownMemberId));

        assert_eq!(member.poll(POLL).await.expect("told").len(), 0);
        let lost = AssignmentChange::Lost {
            partitions: both(),
            cause: LossCause::PollOverdue,
        };
        assert_eq!(member.changes(), [lost]);
        assert_eq!(member.assignment(), BTreeSet::new());
        read_both(&mut member).await;
        assert_eq!(members(&admin).await.len(), 1);
        member.leave().await.expect("left");
        assert_eq!(members(&admin).await.len(), 0);
    };
    let outcome = tokio::time::timeout(DEADLINE, working).await;
    assert!(outcome.is_ok(), "it does not leave, or does not come back");
}

#[tokio::test]
async fn a_member_that_was_removed_is_told_and_joins_again() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node).await;
    let mut member = GroupConsumer::new(client.clone(), GroupOptions::new("billing", &["orders"]));
    let working = async {
        read_both(&mut member).await;
        let own = members(&admin).await;
        beat(&client, &own[0], EPOCH_LEAVE).await;
        let lost = AssignmentChange::Lost {
            partitions: both(),
            cause: LossCause::Fenced,
        };
        while !member.changes().contains(&lost) {
            member.poll(POLL).await.expect("told");
        }
        read_both(&mut member).await;
        assert_eq!(members(&admin).await.len(), 1);
    };
    let outcome = tokio::time::timeout(DEADLINE, working).await;
    assert!(
        outcome.is_ok(),
        "it does not hear of it, or does not come back"
    );
}
