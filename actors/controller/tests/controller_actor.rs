//! The controller through its mailbox, in virtual time, on a simulated disk.
#![allow(clippy::unwrap_used)] // a test that can not go on fails

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kabuki_controller::image::DirectoryId;
use kabuki_controller::messages::{
    AllocateProducerId, CreateTopicRefused, CreateTopics, MarkPartitionOffline, NewTopic,
    NotCommitted, PartitionRef, RegisterBroker, TopicCreated,
};
use kabuki_controller::{BrokerConfig, Controller, ControllerSpec, FailStop, ImageWatch};
use kabuki_protocol::ids::NodeId;
use kabuki_runtime::{Addr, AskError, Stage, testing};
use kabuki_storage::sim_fs::{FaultRule, Operation};
use kabuki_storage::{Disk, FaultClass, FileSystem, SimFs};

const WAIT: Duration = Duration::from_secs(60);
const ROOT: &str = "/data";

/// A controller on stage, and what it told the node.
struct Node {
    stage: Stage,
    fs: SimFs,
    controller: Addr<Controller>,
    image: ImageWatch,
    fail_stops: Arc<Mutex<Vec<FailStop>>>,
}

type Outcome = Result<TopicCreated, CreateTopicRefused>;

impl Node {
    fn start(stage: Stage, fs: SimFs, settings: &[(&str, &str)]) -> Self {
        fs.create_dir_all(Path::new(ROOT)).unwrap();
        let values: BTreeMap<String, String> = settings
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let fail_stops = Arc::new(Mutex::new(Vec::new()));
        let told = fail_stops.clone();
        let (child, image) = kabuki_controller::spec(ControllerSpec {
            cluster_id: "test-cluster".to_owned(),
            disk: Disk::simulated(ROOT, fs.clone()),
            may_format: true,
            config: Arc::new(BrokerConfig::parse(values).unwrap().0),
            fail_stop: Arc::new(move |stop| told.lock().unwrap().push(stop)),
        });
        let controller = stage.root().start(child);
        Self {
            stage,
            fs,
            controller,
            image,
            fail_stops,
        }
    }

    async fn loaded(&mut self) {
        self.image
            .wait_for(|image| image.is_loaded())
            .await
            .unwrap();
    }

    async fn register(&mut self, incarnation: u8) {
        let command = |reply| RegisterBroker {
            node: NodeId(1),
            incarnation: [incarnation; 16],
            endpoints: Vec::new(),
            rack: None,
            directories: vec![DirectoryId([1; 16])],
            reply,
        };
        let registered = self
            .controller
            .ask_with(WAIT, command)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(self.image.borrow().offset(), registered.image_offset);
    }

    fn create(&self, name: &str) -> impl Future<Output = Result<Outcome, AskError>> + 'static {
        let controller = self.controller.clone();
        let name = name.to_owned();
        async move {
            let topic = NewTopic {
                name,
                partition_count: 1,
                replication_factor: 1,
                ..NewTopic::default()
            };
            let topics = vec![topic];
            let asked = controller.ask_with(WAIT, |reply| CreateTopics {
                topics,
                validate_only: false,
                reply,
            });
            asked.await.map(|mut outcomes| outcomes.swap_remove(0))
        }
    }

    fn has_topic(&self, name: &str) -> bool {
        self.image.borrow().topic(name).is_some()
    }

    fn crash(&self) {
        self.stage.registry().crash(self.controller.path()).unwrap();
    }
}

fn on_stage<F: Future<Output = ()>>(body: impl FnOnce(Stage, SimFs) -> F) {
    testing::run(|stage| body(stage, SimFs::new()));
}

#[test]
fn who_gets_an_answer_finds_it_in_the_image() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        assert!(!node.image.borrow().is_loaded());
        node.register(1).await;
        let created = node.create("orders").await.unwrap().unwrap();
        let image = node.image.borrow().clone();
        let topic = image.topic_by_id(created.id).unwrap();
        assert_eq!((&*topic.name, topic.partitions.len()), ("orders", 1));
        assert_eq!(topic.partitions[0].leader, NodeId(1));
        assert!(!created.id.to_string().starts_with('-'));
    });
}

#[test]
fn commands_sent_while_the_log_is_read_wait_for_it() {
    on_stage(|stage, fs| async {
        fs.inject(FaultRule::delay(
            ROOT,
            &[Operation::List],
            Duration::from_secs(2),
        ));
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        assert!(node.create("orders").await.unwrap().is_ok());
    });
}

#[test]
fn a_hundred_commands_share_two_syncs() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let sync = Duration::from_millis(50);
        node.fs
            .inject(FaultRule::delay(ROOT, &[Operation::SyncData], sync));
        let before = tokio::time::Instant::now();
        let asked = (0..100).map(|n| tokio::task::spawn_local(node.create(&format!("t{n}"))));
        for answer in asked.collect::<Vec<_>>() {
            answer.await.unwrap().unwrap().unwrap();
        }
        assert!(before.elapsed() <= sync * 3, "{:?}", before.elapsed());
        assert_eq!(node.image.borrow().topic_count(), 100);
    });
}

#[test]
fn nothing_is_answered_or_shown_before_the_sync() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let rule = FaultRule::delay(ROOT, &[Operation::SyncData], Duration::from_secs(5));
        node.fs.inject(rule);
        let first = tokio::task::spawn_local(node.create("orders"));
        // It rests on what is not committed yet, so it waits too.
        let second = tokio::task::spawn_local(node.create("orders"));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!node.has_topic("orders") && !first.is_finished() && !second.is_finished());
        assert!(first.await.unwrap().unwrap().is_ok());
        let refused = second.await.unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, CreateTopicRefused::Exists { .. }));
    });
}

#[test]
fn a_crash_loses_nothing_that_was_answered() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let before = node.create("before").await.unwrap().unwrap();
        node.crash();
        // The image stays visible while the log is read again.
        assert!(node.has_topic("before"));
        let again = node.create("before").await.unwrap().unwrap_err();
        assert!(matches!(again, CreateTopicRefused::Exists { .. }));
        assert!(node.create("after").await.unwrap().is_ok());
        assert_eq!(node.image.borrow().topic("before").unwrap().id, before.id);
    });
}

#[test]
fn a_crash_with_a_batch_out_is_told_as_unknown_and_the_batch_is_whole_or_not_there() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        node.fs.inject(FaultRule::delay(
            ROOT,
            &[Operation::SyncData],
            Duration::from_secs(1),
        ));
        let asked = tokio::task::spawn_local(node.create("orders"));
        while node
            .fs
            .read_whole(
                Path::new("/data/__cluster_metadata-0/00000000000000000000.log"),
                1 << 20,
            )
            .unwrap()
            .len()
            < 150
        {
            tokio::task::yield_now().await;
        }
        node.crash();
        assert_eq!(asked.await.unwrap().unwrap_err(), AskError::Lost);
        let topic = node.create("orders").await.unwrap();
        assert!(
            matches!(topic, Err(CreateTopicRefused::Exists { .. })),
            "{topic:?}"
        );
        assert!(node.fail_stops.lock().unwrap().is_empty());
    });
}

#[test]
fn a_full_disk_refuses_changes_and_the_node_lives_on() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let rule = FaultRule::fail(ROOT, &[Operation::Write], FaultClass::Full);
        let full = node.fs.inject(rule);
        let asked = [node.create("a"), node.create("b")].map(tokio::task::spawn_local);
        for answer in asked {
            let refused = answer.await.unwrap().unwrap().unwrap_err();
            assert_eq!(
                refused,
                CreateTopicRefused::NotCommitted(NotCommitted::LogFull)
            );
        }
        assert!(!node.has_topic("a"));
        node.fs.heal(full);
        // Nothing is left of the refused change: the same name can be created.
        assert!(node.create("a").await.unwrap().is_ok());
        assert!(node.fail_stops.lock().unwrap().is_empty());
    });
}

#[test]
fn a_failed_sync_ends_the_node() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        node.fs.inject(FaultRule::fail(
            ROOT,
            &[Operation::SyncData],
            FaultClass::Io,
        ));
        assert_eq!(node.create("orders").await.unwrap_err(), AskError::Lost);
        let stops = node.fail_stops.lock().unwrap().clone();
        assert_eq!(
            stops.iter().map(|stop| stop.code).collect::<Vec<_>>(),
            [FailStop::LOG_UNCERTAIN]
        );
        assert!(!node.has_topic("orders"));
    });
}

#[test]
fn an_unreadable_log_ends_the_node_before_anything_is_shown() {
    on_stage(|stage, fs| async {
        fs.inject(FaultRule::fail(
            "/data/__cluster_metadata-0",
            &[Operation::List],
            FaultClass::Io,
        ));
        let node = Node::start(stage, fs, &[]);
        while node.fail_stops.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            node.fail_stops.lock().unwrap()[0].code,
            FailStop::LOG_UNREADABLE
        );
        assert!(!node.image.borrow().is_loaded());
    });
}

#[test]
fn producer_ids_are_given_once_whatever_happens() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let mut given = BTreeSet::new();
        for n in 0..1500 {
            match n {
                400 => node.crash(),
                // The block that these come from is refused, so they are not given.
                600 => {
                    let rule = FaultRule::fail(ROOT, &[Operation::Write], FaultClass::Full);
                    node.fs.inject(rule.times(1));
                    node.crash();
                }
                _ => {}
            }
            let asked = node
                .controller
                .ask_with(WAIT, |reply| AllocateProducerId { reply });
            match asked.await.unwrap() {
                Ok(id) => assert!(given.insert(id), "{id} was given twice"),
                Err(refused) => assert_eq!(refused, NotCommitted::LogFull),
            }
        }
        assert_eq!(given.len(), 1499);
    });
}

#[test]
fn a_snapshot_is_written_when_the_log_has_grown() {
    on_stage(|stage, fs| async {
        let every = [("metadata.log.max.record.bytes.between.snapshots", "2000")];
        let mut node = Node::start(stage, fs, &every);
        node.register(1).await;
        for n in 0..100 {
            node.create(&format!("t{n}")).await.unwrap().unwrap();
        }
        let entries = node
            .fs
            .list(Path::new("/data/__cluster_metadata-0"))
            .unwrap();
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[1].ends_with(".snapshot"), "{names:?}");
        node.crash();
        assert!(node.create("more").await.unwrap().is_ok());
        node.loaded().await;
        assert_eq!(node.image.borrow().topic_count(), 101);
    });
}

#[test]
fn a_partition_that_is_marked_offline_has_no_leader_until_its_broker_is_back() {
    on_stage(|stage, fs| async {
        let mut node = Node::start(stage, fs, &[]);
        node.register(1).await;
        let created = node.create("orders").await.unwrap().unwrap();
        let partition = PartitionRef {
            topic: created.id,
            partition: 0,
        };
        let marked = node
            .controller
            .ask_with(WAIT, |reply| MarkPartitionOffline {
                node: NodeId(1),
                partition,
                reply,
            });
        marked.await.unwrap().unwrap();
        let seen = node.image.borrow().partition("orders", 0).unwrap().clone();
        assert_eq!((seen.leader, seen.leader_epoch.get()), (NodeId::NONE, 1));
        node.register(2).await;
        let seen = node.image.borrow().partition("orders", 0).unwrap().clone();
        assert_eq!((seen.leader, seen.leader_epoch.get()), (NodeId(1), 2));
    });
}
