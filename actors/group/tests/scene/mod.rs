//! A node without its edge: the real controller, partitions and group coordinators on a simulated disk, in
//! virtual time, which the wall clock follows. Every test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of the scene")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::{DirectoryId, ImageWatch};
use kabuki_controller::messages::{
    AlterConfigs, ConfigAlteration, ConfigChange, ConfigResource, CreateTopics, DeleteTopics,
    MarkPartitionOffline, NewTopic, PartitionRef, RegisterBroker, TopicRef,
};
use kabuki_controller::{BrokerConfig, Controller, ControllerSpec};
use kabuki_group::messages::{
    Answer, Client, CommitOffsets, ConsumerHeartbeat, FetchOffsets, HeartbeatAnswer,
    OffsetToCommit, Request,
};
use kabuki_group::names::{GroupId, MemberId};
use kabuki_group::partitions::TopicPartitions;
use kabuki_group::records::OffsetKey;
use kabuki_group::refusal::GroupRefused;
use kabuki_group::{
    CoordinatorRefused, Coordinators, CoordinatorsSpec, GroupCoordinators, OFFSETS_TOPIC,
    OffsetsLog,
};
use kabuki_partition::{AppendRecords, Partition, RequiredAcks};
use kabuki_protocol::ids::{NodeId, Offset, TopicId};
use kabuki_protocol::records::{AppendRules, BatchBuilder, Compression, check_batch};
use kabuki_replica::{LogDirSpec, ReplicaSpec, Replicas};
use kabuki_runtime::{ActorDescription, ActorPath, Addr, Stage, reply_channel};
use kabuki_storage::{Disk, FileSystem, SimFs};
use tokio::time::Instant;

/// Longer than anything takes in virtual time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Wall clock at the start of a scene, in milliseconds.
const NOW_MS: i64 = 1_700_000_000_000;

const NODE: NodeId = NodeId(1);

/// One node.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) fs: SimFs,
    pub(crate) image: ImageWatch,
    pub(crate) groups: Coordinators,
    controller: Addr<Controller>,
    replicas: Replicas,
}

/// Why a request was not done: on the way to the group, or by the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotDone {
    Coordinator(CoordinatorRefused),
    Group(GroupRefused),
}

impl Scene {
    /// A new node with a topic `orders` of three partitions.
    pub(crate) async fn new(stage: &Stage) -> Self {
        Self::with(stage, &[]).await
    }

    /// The same, with settings.
    pub(crate) async fn with(stage: &Stage, settings: &[(&str, &str)]) -> Self {
        let scene = Self::on(stage, SimFs::new(), settings).await;
        scene.create("orders", 3).await;
        scene
    }

    /// A node as it is on `fs`.
    pub(crate) async fn on(stage: &Stage, fs: SimFs, settings: &[(&str, &str)]) -> Self {
        for path in ["/d", "/meta"] {
            fs.create_dir_all(Path::new(path)).unwrap();
        }
        fs.sync_dir(Path::new("/")).unwrap();
        let mut values = BTreeMap::from([("offsets.topic.num.partitions".into(), "3".into())]);
        for (key, value) in settings {
            values.insert((*key).to_owned(), (*value).to_owned());
        }
        let config = Arc::new(BrokerConfig::parse(values).unwrap().0);
        let (child, image) = kabuki_controller::spec(ControllerSpec {
            cluster_id: "test-cluster".to_owned(),
            disk: Disk::simulated("/meta", fs.clone()),
            may_format: !fs.exists(Path::new("/meta/__cluster_metadata-0")).unwrap(),
            config: config.clone(),
            fail_stop: Arc::new(|stop| panic!("{stop}")),
        });
        let controller = stage.root().start(child);
        let register = |reply| RegisterBroker {
            node: NODE,
            incarnation: TopicId::random().0,
            endpoints: Vec::new(),
            rack: None,
            directories: vec![DirectoryId([1; 16])],
            reply,
        };
        let registered = controller.ask_with(DEADLINE, register).await;
        registered.unwrap().unwrap();
        let began = Instant::now();
        let clock = Arc::new(move || NOW_MS + began.elapsed().as_millis() as i64);
        let directory = LogDirSpec {
            id: DirectoryId([1; 16]),
            disk: Disk::simulated(PathBuf::from("/d"), fs.clone()),
        };
        let replicas = kabuki_replica::start(
            stage,
            ReplicaSpec {
                directories: vec![(directory, stage.system_arbiter())],
                arbiter: stage.system_arbiter(),
                image: image.clone(),
                controller: controller.clone(),
                config: config.clone(),
                clock: clock.clone(),
            },
        );
        let registry = stage.registry().clone();
        let groups = kabuki_group::start(
            stage,
            CoordinatorsSpec {
                config,
                image: image.clone(),
                controller: controller.clone(),
                logs: Arc::new(move |partition| {
                    let path = ActorPath::new(&format!("/replicas/{partition}"));
                    Some(OffsetsLog::of(&registry.find::<Partition>(&path)?))
                }),
                arbiter: stage.system_arbiter(),
                clock,
            },
        );
        Self {
            stage: stage.clone(),
            fs,
            image,
            groups,
            controller,
            replicas,
        }
    }

    /// Stops in order; returns the disk.
    pub(crate) async fn stop(self) -> SimFs {
        self.groups.stop(DEADLINE).await;
        let trouble = self.replicas.stop(DEADLINE).await;
        assert!(trouble.is_empty(), "{trouble:?}");
        self.stage.root().stop_child("controller", DEADLINE).await;
        self.fs
    }

    /// Ends as a killed process does; returns the disk.
    pub(crate) async fn kill(self) -> SimFs {
        let root = self.stage.root();
        for child in ["coordinators", "replicas", "controller"] {
            root.stop_child(child, Duration::ZERO).await;
        }
        self.fs.kill();
        self.fs
    }

    pub(crate) async fn create(&self, name: &str, partition_count: i32) {
        let topics = vec![NewTopic {
            name: name.to_owned(),
            partition_count,
            replication_factor: 1,
            ..NewTopic::default()
        }];
        let create = |reply| CreateTopics {
            topics,
            validate_only: false,
            reply,
        };
        let mut created = self.controller.ask_with(DEADLINE, create).await.unwrap();
        created.swap_remove(0).unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        let topics = vec![TopicRef::Name(name.to_owned())];
        let delete = |reply| DeleteTopics { topics, reply };
        let mut deleted = self.controller.ask_with(DEADLINE, delete).await.unwrap();
        deleted.swap_remove(0).unwrap();
    }

    /// Replaces the configuration of a group, or of all brokers where `group` is empty.
    pub(crate) async fn configure(&self, group: &str, configs: &[(&str, &str)]) {
        let resource = match group {
            "" => ConfigResource::DefaultBroker,
            group => ConfigResource::Group(group.to_owned()),
        };
        let pairs = configs.iter();
        let pairs = pairs.map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let resources = vec![ConfigAlteration {
            resource,
            change: ConfigChange::Replacement(pairs.collect()),
        }];
        let alter = |reply| AlterConfigs {
            resources,
            validate_only: false,
            reply,
        };
        let mut altered = self.controller.ask_with(DEADLINE, alter).await.unwrap();
        altered.swap_remove(0).unwrap();
    }

    /// Commits as a consumer that is no member; answered or refused, never silent for longer than this.
    pub(crate) async fn try_commit(&self, group: &str, offset: i64) -> Result<(), NotDone> {
        self.try_commit_of(group, "orders", offset).await
    }

    pub(crate) async fn try_commit_of(
        &self,
        group: &str,
        topic: &str,
        offset: i64,
    ) -> Result<(), NotDone> {
        let request = Request::CommitOffsets(CommitOffsets {
            generation: -1,
            member_id: MemberId::default(),
            instance_id: None,
            version: 9,
            retention_ms: -1,
            offsets: vec![OffsetToCommit {
                key: OffsetKey::new(topic, 0),
                topic_id: TopicId::ZERO,
                offset,
                leader_epoch: -1,
                metadata: None,
            }],
        });
        match self.ask(group, request).await? {
            Answer::CommitOffsets(Ok(partitions)) => {
                assert_eq!(partitions[0].result, Ok(()));
                Ok(())
            }
            Answer::CommitOffsets(Err(refused)) => Err(NotDone::Group(refused)),
            other => panic!("{other:?}"),
        }
    }

    /// Asks, and demands an answer within the bound that sessions rely on.
    pub(crate) async fn ask(&self, group: &str, request: Request) -> Result<Answer, NotDone> {
        let asked = self.groups.ask(GroupId::new(group), request);
        let limit = Duration::from_secs(60);
        let answer = tokio::time::timeout(limit, asked).await;
        answer
            .expect("a request is always answered")
            .map_err(NotDone::Coordinator)
    }

    /// Commits, as often as it takes.
    pub(crate) async fn commit(&self, group: &str, offset: i64) {
        self.until("committed", async || {
            self.try_commit(group, offset).await.is_ok()
        })
        .await;
    }

    pub(crate) async fn try_committed(&self, group: &str) -> Result<Option<i64>, NotDone> {
        self.try_committed_of(group, "orders").await
    }

    pub(crate) async fn try_committed_of(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<Option<i64>, NotDone> {
        let request = Request::FetchOffsets(FetchOffsets {
            member_id: None,
            member_epoch: -1,
            keys: Some(vec![OffsetKey::new(topic, 0)]),
        });
        match self.ask(group, request).await? {
            Answer::FetchOffsets(Ok(found)) => Ok(found[0].offset.as_ref().map(|at| at.offset.0)),
            Answer::FetchOffsets(Err(refused)) => Err(NotDone::Group(refused)),
            other => panic!("{other:?}"),
        }
    }

    /// What the group has committed, once it can be asked.
    pub(crate) async fn committed(&self, group: &str) -> Option<i64> {
        for _ in 0..3_000 {
            if let Ok(committed) = self.try_committed(group).await {
                return committed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{group} answers nobody");
    }

    /// A heartbeat of the new protocol for `orders`, which says everything.
    pub(crate) async fn try_heartbeat(
        &self,
        group: &str,
        member: &str,
        epoch: i32,
        owned: Option<TopicPartitions>,
    ) -> Result<HeartbeatAnswer, NotDone> {
        let request = Request::ConsumerHeartbeat(ConsumerHeartbeat {
            client: Client {
                id: Arc::from("test"),
                host: Arc::from("/127.0.0.1"),
            },
            member_id: MemberId::new(member),
            member_epoch: epoch,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: 60_000,
            topic_names: Some(BTreeSet::from([Arc::from("orders")])),
            topic_regex: None,
            server_assignor: None,
            owned: owned.or_else(|| Some(TopicPartitions::new())),
        });
        match self.ask(group, request).await? {
            Answer::ConsumerHeartbeat(Ok(answer)) => Ok(answer),
            Answer::ConsumerHeartbeat(Err(refused)) => Err(NotDone::Group(refused)),
            other => panic!("{other:?}"),
        }
    }

    /// Writes a record that is none of a group into the partition of a group, as a producer may.
    pub(crate) async fn append_junk(&self, group: &str) -> Offset {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(NOW_MS, Some(&[0, 2, 0, 1, b'g']), Some(&[0, 99]), &[]);
        let rules = AppendRules::default();
        let batch = check_batch(Some(builder.build().unwrap()), &rules, NOW_MS).unwrap();
        let path = ActorPath::new(&self.partition_of(group));
        let partition = self.stage.registry().find::<Partition>(&path).unwrap();
        let topic_id = self.image.borrow().topic(OFFSETS_TOPIC).unwrap().id;
        let append = |reply| AppendRecords {
            topic_id,
            batch,
            required_acks: RequiredAcks::All,
            reply,
        };
        let appended = partition.ask_with(DEADLINE, append).await.unwrap();
        appended.unwrap().base_offset
    }

    /// Waits, in virtual time, until something is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..30_000 {
            if is_so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("after 300 s still not: {what}");
    }

    /// Panics an actor, as `kabuki actors crash` does. False when it is down already.
    pub(crate) fn crash(&self, path: &str) -> bool {
        self.stage.registry().crash(&ActorPath::new(path)).is_ok()
    }

    /// Takes the leadership of a group's partition away; the keeper of the replicas wants it back.
    pub(crate) fn depose(&self, group: &str) {
        let (port, _nobody_waits) = reply_channel();
        let order = MarkPartitionOffline {
            node: NODE,
            partition: PartitionRef {
                topic: self.image.borrow().topic(OFFSETS_TOPIC).unwrap().id,
                partition: self.groups.partition_of(group).unwrap(),
            },
            reply: port,
        };
        self.controller.try_tell(order).unwrap();
    }

    /// Path of the shard of a group.
    pub(crate) fn shard_of(&self, group: &str) -> String {
        let number = self.groups.partition_of(group).unwrap();
        format!("/coordinators/shards/{number}")
    }

    /// Path of the partition of a group.
    pub(crate) fn partition_of(&self, group: &str) -> String {
        let number = self.groups.partition_of(group).unwrap();
        format!("/replicas/__consumer_offsets-{number}")
    }

    /// Directory of the partition of a group.
    pub(crate) fn dir_of(&self, group: &str) -> PathBuf {
        let number = self.groups.partition_of(group).unwrap();
        PathBuf::from(format!("/d/__consumer_offsets-{number}"))
    }

    /// Actors below a path.
    pub(crate) fn actors(&self, path: &str) -> Vec<ActorDescription> {
        let path = ActorPath::new(path);
        let mut actors = self.stage.registry().describe(&path);
        actors.retain(|actor| actor.path != path);
        actors
    }

    /// Groups on stage.
    pub(crate) fn on_stage(&self) -> Vec<String> {
        let actors = self.actors("/coordinators/groups");
        actors
            .iter()
            .map(|actor| actor.path.name().to_owned())
            .collect()
    }
}
