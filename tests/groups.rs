//! Consumer groups through the front door of a node: members of both protocols, commits that outlive a
//! kill, and what an operator sees and sets.

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use kabuki_client::{
    Admin, Client, ConfigChange, ConfigResource, ConfigSource, ConsumedRecord, GroupConsumer,
    GroupOptions, NewRecord, NewTopic, OffsetSpec, Producer, ProducerOptions, StartAt,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::messages::heartbeat::HeartbeatRequest;
use kabuki_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use kabuki_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kabuki_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use support::{DEADLINE, Node, NodeHome, text};

/// A node whose groups do not wait for more members, and hear of each other often.
fn home() -> NodeHome {
    NodeHome::new()
        .with("group.consumer.heartbeat.interval.ms=200")
        .with("group.consumer.assignment.interval.ms=50")
        .with("group.initial.rebalance.delay.ms=0")
        .with("offsets.topic.num.partitions=4")
}

async fn with_topic(node: &Node, partitions: i32) -> (Client, Admin) {
    let client = node.client().await;
    let admin = Admin::new(client.clone());
    let topic = NewTopic::named("orders").partitions(partitions);
    admin.create_topic(&topic).await.expect("created");
    (client, admin)
}

/// Writes the numbers of a range to the partitions in turn.
async fn produce(client: &Client, partitions: i32, numbers: std::ops::Range<i32>) {
    let producer = Producer::new(client.clone(), ProducerOptions::default());
    for number in numbers {
        let record = NewRecord::to("orders")
            .partition(number % partitions)
            .value(number.to_string());
        producer.send(record).await.expect("buffered");
    }
    producer.flush().await.expect("delivered");
}

fn member_of(client: &Client, group: &str) -> GroupConsumer {
    let options = GroupOptions {
        when_uncommitted: StartAt::Beginning,
        ..GroupOptions::new(group, &["orders"])
    };
    GroupConsumer::new(client.clone(), options)
}

/// How often each number was read.
#[derive(Default)]
struct Seen(BTreeMap<i32, usize>);

impl Seen {
    fn take(&mut self, records: &[ConsumedRecord]) {
        for record in records {
            let number = text(record).parse().expect("the test wrote numbers");
            *self.0.entry(number).or_default() += 1;
        }
    }

    fn has_each_once(&self, count: usize) -> bool {
        self.0.len() == count && self.0.values().all(|times| *times == 1)
    }
}

const POLL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn members_share_the_partitions_and_read_each_record_once() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node, 4).await;
    produce(&client, 4, 0..200).await;

    let mut seen = Seen::default();
    let mut first = member_of(&client, "billing");
    let mut second = member_of(&client, "billing");
    let sharing = async {
        while first.assignment().len() != 2 || second.assignment().len() != 2 {
            seen.take(&first.poll(POLL).await.expect("a member"));
            seen.take(&second.poll(POLL).await.expect("a member"));
            let (one, other) = (first.assignment(), second.assignment());
            assert!(one.is_disjoint(&other), "a partition has two owners");
        }
        produce(&client, 4, 200..300).await;
        while seen.0.len() < 300 {
            seen.take(&first.poll(POLL).await.expect("a member"));
            seen.take(&second.poll(POLL).await.expect("a member"));
        }
        let described = admin.describe_group("billing").await.expect("described");
        let owned = described.members.iter().map(|member| &member.partitions);
        assert!(
            owned.clone().all(|of| of["orders"].len() == 2),
            "{described:?}"
        );
        assert_eq!(described.group_type, "consumer");

        first.leave().await.expect("left");
        while second.assignment().len() != 4 {
            seen.take(&second.poll(POLL).await.expect("a member"));
        }
        produce(&client, 4, 300..400).await;
        while seen.0.len() < 400 {
            seen.take(&second.poll(POLL).await.expect("a member"));
        }
        second.leave().await.expect("left");
    };
    let outcome = tokio::time::timeout(DEADLINE, sharing).await;
    assert!(outcome.is_ok(), "{} of 400 records", seen.0.len());
    assert!(seen.has_each_once(400), "{:?}", seen.0);

    let committed = admin.group_offsets("billing").await.expect("fetched");
    let offsets: Vec<i64> = committed.values().map(|of| of.offset.get()).collect();
    assert_eq!(offsets, [100; 4]);
    let listed = admin.list_groups().await.expect("listed");
    assert_eq!((&*listed[0].group, &*listed[0].state), ("billing", "Empty"));
    admin.delete_group("billing").await.expect("deleted");
    let gone = admin.describe_group("billing").await;
    let code = gone.expect_err("deleted").code();
    assert_eq!(code, Some(ErrorCode::GroupIdNotFound));
}

#[tokio::test]
async fn a_group_goes_on_where_it_was_after_the_node_was_killed() {
    let home = home();
    let node = home.start();
    let (client, _) = with_topic(&node, 2).await;
    produce(&client, 2, 0..100).await;
    let mut seen = Seen::default();
    let mut member = member_of(&client, "billing");
    let reading = async {
        while seen.0.len() < 100 {
            seen.take(&member.poll(POLL).await.expect("a member"));
        }
        member.commit().await.expect("committed");
    };
    let outcome = tokio::time::timeout(DEADLINE, reading).await;
    assert!(outcome.is_ok(), "{} of 100 records", seen.0.len());
    node.kill();

    let node = home.start();
    let admin = Admin::new(node.client().await);
    let committed = admin.group_offsets("billing").await.expect("fetched");
    let offsets: Vec<i64> = committed.values().map(|of| of.offset.get()).collect();
    assert_eq!(offsets, [50; 2]);
    produce(&node.client().await, 2, 100..120).await;
    // The same member, on the same connection's successor: nothing comes twice, nothing is left out.
    let reading = async {
        while seen.0.len() < 120 {
            seen.take(&member.poll(POLL).await.expect("a member"));
        }
        member.leave().await.expect("left");
    };
    let outcome = tokio::time::timeout(DEADLINE, reading).await;
    assert!(outcome.is_ok(), "{} of 120 records", seen.0.len());
    assert!(seen.has_each_once(120), "{:?}", seen.0);
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node, 4).await;
    let static_member = |name: &str| {
        let options = GroupOptions {
            instance_id: Some(name.to_owned()),
            ..GroupOptions::new("billing", &["orders"])
        };
        GroupConsumer::new(client.clone(), options)
    };
    let mut first = static_member("a");
    let mut second = static_member("b");
    let coming_back = async {
        while first.assignment().len() != 2 || second.assignment().len() != 2 {
            first.poll(POLL).await.expect("a member");
            second.poll(POLL).await.expect("a member");
        }
        let owned = first.assignment();
        let epoch = admin.describe_group("billing").await.expect("there").epoch;
        first.leave().await.expect("left for a while");
        let mut first = static_member("a");
        while first.assignment().len() != 2 {
            first.poll(POLL).await.expect("a member");
            second.poll(POLL).await.expect("a member");
            assert_eq!(second.assignment().len(), 2, "nobody else is moved");
        }
        assert_eq!(first.assignment(), owned);
        let described = admin.describe_group("billing").await.expect("there");
        assert_eq!(described.epoch, epoch, "no rebalance");
    };
    let outcome = tokio::time::timeout(DEADLINE, coming_back).await;
    assert!(outcome.is_ok(), "the member does not come back");
}

#[tokio::test]
async fn a_classic_member_joins_syncs_commits_and_leaves() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node, 1).await;
    let broker = client.coordinator("audit").await.expect("found");
    assert_eq!(broker.address(), node.address().to_string());
    let connection = client.connection_to(broker.id).await.expect("connected");

    let mut join = JoinGroupRequest {
        group_id: "audit".to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "audit".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "plain".to_owned(),
            metadata: Bytes::from_static(b"about me"),
        }],
        ..JoinGroupRequest::default()
    };
    let told = loop {
        let told = connection.call(&join).await.expect("answered");
        // The partition of the group has only just been made.
        if told.error_code != ErrorCode::CoordinatorLoadInProgress.code() {
            break told;
        }
    };
    assert_eq!(told.error_code, ErrorCode::MemberIdRequired.code());
    join.member_id = told.member_id;
    let joined = connection.call(&join).await.expect("answered");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.members[0].metadata, "about me");

    let member_id = || joined.member_id.clone();
    let sync = SyncGroupRequest {
        group_id: "audit".to_owned(),
        generation_id: 1,
        member_id: member_id(),
        protocol_type: Some("audit".to_owned()),
        protocol_name: Some("plain".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member_id(),
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = connection.call(&sync).await.expect("answered");
    assert_eq!(
        (synced.error_code, &*synced.assignment),
        (0, &b"all of it"[..])
    );
    let beat = |generation_id| HeartbeatRequest {
        group_id: "audit".to_owned(),
        generation_id,
        member_id: member_id(),
        ..HeartbeatRequest::default()
    };
    for (generation, code) in [(1, ErrorCode::None), (2, ErrorCode::IllegalGeneration)] {
        let told = connection.call(&beat(generation)).await.expect("answered");
        assert_eq!(told.error_code, code.code());
    }
    let commit = OffsetCommitRequest {
        group_id: "audit".to_owned(),
        generation_id_or_member_epoch: 1,
        member_id: member_id(),
        topics: vec![OffsetCommitRequestTopic {
            topic_id: client.topic("orders").await.expect("there").id,
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 7,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let committed = connection.call(&commit).await.expect("answered");
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    let offsets = admin.group_offsets("audit").await.expect("fetched");
    assert_eq!(offsets[&("orders".to_owned(), 0)].offset, Offset(7));
    let described = admin.describe_group("audit").await.expect("described");
    assert_eq!(
        (&*described.state, &*described.group_type),
        ("Stable", "classic")
    );
    assert_eq!(described.members[0].host, "/127.0.0.1");

    let refused = admin
        .delete_group("audit")
        .await
        .expect_err("it has members");
    assert_eq!(refused.code(), Some(ErrorCode::NonEmptyGroup));
    let leave = LeaveGroupRequest {
        group_id: "audit".to_owned(),
        members: vec![MemberIdentity {
            member_id: member_id(),
            ..MemberIdentity::default()
        }],
        ..LeaveGroupRequest::default()
    };
    let left = connection.call(&leave).await.expect("answered");
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    admin.delete_group("audit").await.expect("deleted");
}

/// Runs a command of the `kabuki` binary against the node.
async fn kabuki(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabuki"));
    command.args(arguments);
    command.args(["--bootstrap", &node.address().to_string()]);
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await.expect("waited for").expect("it runs")
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[tokio::test]
async fn an_operator_reads_in_a_group_sees_its_lag_and_sets_it_back() {
    let home = home();
    let node = home.start();
    let (client, admin) = with_topic(&node, 1).await;
    produce(&client, 1, 0..10).await;
    let consume = ["consume", "orders", "--group", "billing", "-b", "-n", "4"];
    let read = stdout(&kabuki(&node, &consume).await);
    assert_eq!(read.lines().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let described = stdout(&kabuki(&node, &["groups", "describe", "billing"]).await);
    assert!(described.contains("lag 6"), "{described}");

    // What is not executed is not done.
    let reset = [
        "groups",
        "reset",
        "billing",
        "--all-topics",
        "--shift-by",
        "-2",
    ];
    let shown = stdout(&kabuki(&node, &reset).await);
    assert!(shown.contains("nothing is changed"), "{shown}");
    let consume = ["consume", "orders", "--group", "billing", "-n", "2"];
    let read = stdout(&kabuki(&node, &consume).await);
    assert_eq!(read.lines().collect::<Vec<_>>(), ["4", "5"]);
    stdout(&kabuki(&node, &[&reset[..], &["--execute"]].concat()).await);
    let offsets = admin.group_offsets("billing").await.expect("fetched");
    assert_eq!(offsets[&("orders".to_owned(), 0)].offset, Offset(4));
    let until_end = ["consume", "orders", "--group", "billing", "--until-end"];
    let read = stdout(&kabuki(&node, &until_end).await);
    assert_eq!(read.lines().count(), 6, "{read}");

    let listed = stdout(&kabuki(&node, &["groups", "list", "--json"]).await);
    assert!(listed.contains(r#""group":"billing""#), "{listed}");
    stdout(&kabuki(&node, &["groups", "delete", "billing"]).await);
    let again = kabuki(&node, &["groups", "delete", "billing"]).await;
    assert_eq!(again.status.code(), Some(1));
    let ends = admin.list_offsets("orders", &[0], OffsetSpec::Latest).await;
    assert_eq!(ends.expect("found")[&0].offset, Some(Offset(10)));
}

#[tokio::test]
async fn what_is_set_of_a_group_is_shown_as_the_groups_own() {
    let home = home();
    let node = home.start();
    let admin = Admin::new(node.client().await);
    let readers = ConfigResource::Group("readers".to_owned());
    let key = "consumer.session.timeout.ms";
    let change = ConfigChange::Set(key.to_owned(), "50000".to_owned());
    admin.alter_configs(&readers, &[change]).await.expect("set");
    let shown = admin
        .describe_configs(&readers, &[key])
        .await
        .expect("shown");
    assert_eq!(shown[0].value.as_deref(), Some("50000"));
    assert_eq!(shown[0].source, ConfigSource::Group);
    let others = ConfigResource::Group("others".to_owned());
    let shown = admin
        .describe_configs(&others, &[key])
        .await
        .expect("shown");
    assert_ne!(shown[0].source, ConfigSource::Group);
}
