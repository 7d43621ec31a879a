//! A node for tests: the real controller on a simulated disk, partitions that keep their log in
//! memory and do as they are told, and a listener on a loopback port; all on one thread.

#![allow(dead_code, reason = "each test file uses its own part of the kit")]

pub(crate) mod client;
pub(crate) mod stub_groups;
pub(crate) mod stub_log_dir;
pub(crate) mod stub_partition;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::image::{Endpoint, ImageWatch};
use kabuki_controller::messages::{CreateTopics, DeleteTopics, NewTopic, RegisterBroker, TopicRef};
use kabuki_controller::{Controller, ControllerSpec};
use kabuki_protocol::ids::{LeaderEpoch, NodeId, PartitionId, TopicId};
use kabuki_runtime::{
    ActorPath, Addr, ChildSpec, GroupOptions, Policy, Stage, Standstill, Supervisor,
};
use kabuki_session::{
    BoundListener, ControllerPort, LogDirPort, PartitionPort, ServicesSpec, SessionServices,
    SessionStage, SocketSizes,
};
use kabuki_storage::{Disk, SimFs};
use tokio::time::Instant;

use client::Client;
use stub_groups::StubGroups;
use stub_log_dir::StubLogDir;
use stub_partition::{StubLog, StubPartition};

/// What a test may wait for a controller that never disappoints.
const SOON: Duration = Duration::from_secs(10);

/// The wall clock of the tests, in milliseconds.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) struct Node {
    pub(crate) stage: Stage,
    pub(crate) services: Arc<SessionServices>,
    pub(crate) controller: Addr<Controller>,
    pub(crate) image: ImageWatch,
    pub(crate) port: u16,
    replicas: Supervisor,
    /// By the name of the partition: the thread that serves it, as its session sees it.
    threads: Arc<Mutex<BTreeMap<String, Standstill>>>,
}

impl Node {
    /// A registered broker without topics.
    pub(crate) async fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[]).await
    }

    /// As [`Node::start`], with configuration keys of the test's own.
    pub(crate) async fn start_with(stage: &Stage, overrides: &[(&str, &str)]) -> Self {
        Self::start_as(stage, overrides, &StubGroups::default()).await
    }

    /// As [`Node::start_with`], with groups that do as they are told.
    pub(crate) async fn start_as(
        stage: &Stage,
        overrides: &[(&str, &str)],
        groups: &StubGroups,
    ) -> Self {
        let mut values = BTreeMap::from([
            ("node.id".to_owned(), "1".to_owned()),
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            (
                "offsets.topic.replication.factor".to_owned(),
                "1".to_owned(),
            ),
        ]);
        for (key, value) in overrides {
            values.insert((*key).to_owned(), (*value).to_owned());
        }
        let (config, _) = BrokerConfig::parse(values).expect("the test's configuration is sound");
        let config = Arc::new(config);
        let bound = BoundListener::bind(&config.listeners()[0], SocketSizes::default())
            .expect("loopback has ports");
        let port = bound.address().port();

        let fs = SimFs::new();
        let (spec, image) = kabuki_controller::spec::spec(ControllerSpec {
            cluster_id: "cluster-of-tests".to_owned(),
            disk: Disk::simulated("/data", fs),
            config: config.clone(),
            may_format: true,
            fail_stop: Arc::new(|cause| panic!("fail-stop: {cause}")),
        });
        let controller = stage.root().start(spec);
        let endpoint = Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
        };
        controller
            .ask_with(SOON, |reply| RegisterBroker {
                node: NodeId(1),
                incarnation: [7; 16],
                endpoints: vec![endpoint],
                rack: None,
                directories: Vec::new(),
                reply,
            })
            .await
            .expect("the controller answers")
            .expect("the broker is registered");

        let replicas = stage.root().group("replicas", GroupOptions::default());
        let finder_stage = stage.clone();
        let threads = Arc::new(Mutex::new(BTreeMap::<String, Standstill>::new()));
        let known_threads = threads.clone();
        let partitions = move |id: &PartitionId| {
            let path = ActorPath::new(&format!("/replicas/{id}"));
            let found = finder_stage.registry().find::<StubPartition>(&path)?;
            let port = PartitionPort::of(&found);
            let threads = known_threads.lock().expect("no test panics with it");
            Some(match threads.get(&id.to_string()) {
                Some(standstill) => port.with_standstill(standstill.clone()),
                None => port,
            })
        };
        let dir = stage.root().start(ChildSpec::new("dir", || StubLogDir));
        let log_dirs = vec![
            LogDirPort::of(Path::new("/data"), Some(&dir)),
            LogDirPort::of::<StubLogDir>(Path::new("/gone"), None),
        ];
        let services = SessionServices::new(ServicesSpec {
            config,
            image: image.clone(),
            controller: ControllerPort::of(&controller),
            partitions: Arc::new(partitions),
            log_dirs,
            groups: Arc::new(groups.clone()),
            stage: stage.clone(),
            memory_bytes_default: 0,
            connections_max: usize::MAX,
            clock: Arc::new(|| NOW_MS),
        });
        let edge = stage.root().group("edge", GroupOptions::default());
        let session_stage = SessionStage {
            sessions: edge.group("sessions", GroupOptions::default()),
            arbiters: vec![stage.new_arbiter("data-0")],
        };
        edge.start(kabuki_session::spec(bound, services.clone(), session_stage));
        let stage = stage.clone();
        Self {
            stage,
            services,
            controller,
            image,
            port,
            replicas,
            threads,
        }
    }

    /// Has a partition served by a thread of its own, as its session sees it. Before its first use.
    pub(crate) fn on_thread(&self, partition: &str, standstill: &Standstill) {
        let mut threads = self.threads.lock().expect("no test panics with it");
        threads.insert(partition.to_owned(), standstill.clone());
    }

    /// Creates a topic and puts its partitions on stage.
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> Vec<StubLog> {
        self.topic_with(name, partitions, &[]).await
    }

    pub(crate) async fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Vec<StubLog> {
        self.create_topic(name, partitions, configs).await;
        (0..partitions)
            .map(|index| self.host(name, index))
            .collect()
    }

    /// Creates a topic in the image only.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())));
        let topic = NewTopic {
            name: name.to_owned(),
            partition_count: partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: configs.collect(),
        };
        self.controller
            .ask_with(SOON, |reply| CreateTopics {
                topics: vec![topic],
                validate_only: false,
                reply,
            })
            .await
            .expect("the controller answers")
            .remove(0)
            .expect("the topic is created");
    }

    /// Puts a partition on stage that the image knows.
    pub(crate) fn host(&self, topic: &str, index: i32) -> StubLog {
        let log = StubLog::default();
        let shared = log.clone();
        let topic_id = self.topic_id(topic);
        let name = format!("{topic}-{index}");
        let partition: PartitionId = name.parse().expect("a partition's name");
        let child = ChildSpec::new(name, move || {
            StubPartition::new(partition.clone(), topic_id, shared.clone(), LeaderEpoch(0))
        });
        self.replicas.start(child.policy(Policy::default()));
        log
    }

    /// Deletes a topic from the image; its partitions stay until [`Node::unhost`].
    pub(crate) async fn delete_topic(&self, name: &str) {
        self.controller
            .ask_with(SOON, |reply| DeleteTopics {
                topics: vec![TopicRef::Name(name.to_owned())],
                reply,
            })
            .await
            .expect("the controller answers")
            .remove(0)
            .expect("the topic is deleted");
    }

    /// Takes a partition off the stage.
    pub(crate) async fn unhost(&self, topic: &str, index: i32) {
        self.replicas
            .stop_child(&format!("{topic}-{index}"), SOON)
            .await;
    }

    pub(crate) fn topic_id(&self, name: &str) -> TopicId {
        self.image
            .borrow()
            .topic(name)
            .expect("the topic is there")
            .id
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> Addr<StubPartition> {
        let path = ActorPath::new(&format!("/replicas/{topic}-{index}"));
        self.stage
            .registry()
            .find(&path)
            .expect("the partition is on stage")
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.port).await
    }
}

/// Lets all actors run until `is_so`; virtual time passes only when nothing else can happen.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "what the test waits for does not come"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
    }
}

/// Lets `duration` of virtual time pass in small steps, so that everybody acts in between.
pub(crate) async fn later(duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        tokio::time::advance(Duration::from_millis(250)).await;
        tokio::task::yield_now().await;
    }
}
