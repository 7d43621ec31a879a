//! A node without its edge: the real controller, keeper, log directories and partitions on a simulated
//! disk, in virtual time. Every test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of the scene")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::{DirectoryId, MetadataImage, PartitionImage};
use kabuki_controller::messages::{CreateTopics, DeleteTopics, NewTopic, RegisterBroker, TopicRef};
use kabuki_controller::{BrokerConfig, Controller, ControllerSpec, ImageWatch};
use kabuki_partition::{
    AppendRecords, AppendRefused, DescribePartition, Partition, PartitionDescription,
    RecordsAppended, RequiredAcks,
};
use kabuki_protocol::ids::{NodeId, TopicId};
use kabuki_protocol::records::{AppendRules, BatchBuilder, CheckedBatch, Compression, check_batch};
use kabuki_replica::{
    DescribeLogDir, LogDirDescription, LogDirSpec, LogDirUnusable, ReplicaSpec, Replicas,
};
use kabuki_runtime::{ActorPath, ActorState, Addr, AskError, EventKind, Stage};
use kabuki_storage::{Disk, FileSystem, SimFs};

/// Longer than anything takes in virtual time, but for pauses between tries.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Wall clock of the tests, in milliseconds.
const NOW_MS: i64 = 1_700_000_000_000;

const NODE: NodeId = NodeId(1);

/// One node.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) fs: SimFs,
    pub(crate) image: ImageWatch,
    controller: Addr<Controller>,
    replicas: Replicas,
}

/// Root of a log directory.
pub(crate) fn root(directory: usize) -> PathBuf {
    PathBuf::from(format!("/d{directory}"))
}

/// Directory of a partition.
pub(crate) fn dir(directory: usize, partition: &str) -> PathBuf {
    root(directory).join(partition)
}

/// Identity of a log directory.
pub(crate) fn dir_id(directory: usize) -> DirectoryId {
    DirectoryId([1 + directory as u8; 16])
}

impl Scene {
    /// A new node with that many log directories.
    pub(crate) async fn new(stage: &Stage, directory_count: usize) -> Self {
        Self::on(stage, SimFs::new(), directory_count, &[]).await
    }

    /// A node as it is on `fs`.
    pub(crate) async fn on(
        stage: &Stage,
        fs: SimFs,
        directory_count: usize,
        settings: &[(&str, &str)],
    ) -> Self {
        for path in (0..directory_count)
            .map(root)
            .chain([PathBuf::from("/meta")])
        {
            fs.create_dir_all(&path).unwrap();
        }
        fs.sync_dir(Path::new("/")).unwrap();
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        let values: BTreeMap<String, String> = settings.collect();
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
            directories: (0..directory_count).map(dir_id).collect(),
            reply,
        };
        let registered = controller.ask_with(DEADLINE, register).await;
        registered.unwrap().unwrap();
        let directories = (0..directory_count).map(|at| {
            let disk = Disk::simulated(root(at), fs.clone());
            (
                LogDirSpec {
                    id: dir_id(at),
                    disk,
                },
                stage.system_arbiter(),
            )
        });
        let replicas = kabuki_replica::start(
            stage,
            ReplicaSpec {
                directories: directories.collect(),
                arbiter: stage.system_arbiter(),
                image: image.clone(),
                controller: controller.clone(),
                config,
                clock: Arc::new(|| NOW_MS),
            },
        );
        Self {
            stage: stage.clone(),
            fs,
            image,
            controller,
            replicas,
        }
    }

    /// How much room a log directory says that it has.
    pub(crate) async fn room(
        &self,
        directory: usize,
    ) -> Result<Result<LogDirDescription, LogDirUnusable>, AskError> {
        let actor = &self.replicas.log_dirs()[directory];
        actor
            .ask_with(Duration::from_secs(5), |reply| DescribeLogDir { reply })
            .await
    }

    /// Stops in order; returns the disk and what could not be closed.
    pub(crate) async fn stop(self) -> (SimFs, Vec<String>) {
        let trouble = self.replicas.stop(DEADLINE).await;
        self.stage.root().stop_child("controller", DEADLINE).await;
        (self.fs, trouble)
    }

    /// Ends as a killed process does; returns the disk.
    pub(crate) async fn kill(self) -> SimFs {
        let root = self.stage.root();
        root.stop_child("replicas", Duration::ZERO).await;
        root.stop_child("controller", Duration::ZERO).await;
        self.fs.kill();
        self.fs
    }

    /// Creates a topic; returns its id.
    pub(crate) async fn create(&self, name: &str, partition_count: i32) -> TopicId {
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
        created.swap_remove(0).unwrap().id
    }

    /// Creates a topic and waits until its partitions serve.
    pub(crate) async fn serve(&self, name: &str, partition_count: i32) -> TopicId {
        let id = self.create(name, partition_count).await;
        for partition in 0..partition_count {
            self.until_serving(&format!("{name}-{partition}")).await;
        }
        id
    }

    /// Deletes a topic.
    pub(crate) async fn delete(&self, name: &str) {
        let topics = vec![TopicRef::Name(name.to_owned())];
        let delete = |reply| DeleteTopics { topics, reply };
        let mut deleted = self.controller.ask_with(DEADLINE, delete).await.unwrap();
        deleted.swap_remove(0).unwrap();
    }

    /// The partition's actor, if there is one.
    pub(crate) fn find(&self, partition: &str) -> Option<Addr<Partition>> {
        self.stage.registry().find(&path(partition))
    }

    /// What the controller shows of a partition.
    pub(crate) fn shown(&self, partition: &str) -> Option<PartitionImage> {
        let image: Arc<MetadataImage> = self.image.borrow().clone();
        let (topic, index) = partition.rsplit_once('-').unwrap();
        image.partition(topic, index.parse().unwrap()).cloned()
    }

    /// Its leader: 1, or -1 when it is offline.
    pub(crate) fn leader(&self, partition: &str) -> i32 {
        self.shown(partition).unwrap().leader.get()
    }

    /// Numbers of a partition.
    pub(crate) async fn describe(&self, partition: &str) -> PartitionDescription {
        let actor = self.find(partition).unwrap();
        actor
            .ask_with(DEADLINE, |reply| DescribePartition { reply })
            .await
            .unwrap()
    }

    /// Appends one record of `bytes` bytes.
    pub(crate) async fn append(
        &self,
        partition: &str,
        bytes: usize,
    ) -> Result<Result<RecordsAppended, AppendRefused>, AskError> {
        let topic_id = self.topic_id(partition);
        let actor = self.find(partition).unwrap();
        let append = |reply| AppendRecords {
            topic_id,
            batch: batch(bytes),
            required_acks: RequiredAcks::All,
            reply,
        };
        actor.ask_with(DEADLINE, append).await
    }

    /// True when an append is taken.
    pub(crate) async fn serves(&self, partition: &str) -> bool {
        self.find(partition).is_some() && matches!(self.append(partition, 10).await, Ok(Ok(_)))
    }

    /// Waits until the partition takes appends.
    pub(crate) async fn until_serving(&self, partition: &str) {
        for _ in 0..30_000 {
            if self.serves(partition).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{partition} does not serve after 300 s");
    }

    /// Waits, in virtual time, until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..30_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("after 300 s still not: {what}");
    }

    /// Panics an actor below `/replicas`, as `kabuki actors crash` does.
    pub(crate) fn crash(&self, name: &str) {
        self.stage.registry().crash(&path(name)).unwrap();
    }

    /// As `crash`, where there is something running.
    pub(crate) fn try_crash(&self, name: &str) {
        // Refused when it is down already, which is as good.
        let _ = self.stage.registry().crash(&path(name));
    }

    /// Crashes a partition until it is parked.
    pub(crate) async fn park(&self, partition: &str) {
        for _ in 0..1_000 {
            match self.state(partition) {
                ActorState::Parked => return,
                ActorState::Running => self.crash(partition),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{partition} is never parked");
    }

    /// State of an actor below `/replicas`.
    pub(crate) fn state(&self, name: &str) -> ActorState {
        self.stage.registry().describe(&path(name))[0].state
    }

    /// Events of an actor below `/replicas` in the supervision log.
    pub(crate) fn event_count(&self, name: &str, kind: EventKind) -> usize {
        let events = self.stage.supervision_log().recent();
        let of = |event: &&kabuki_runtime::SupervisionEvent| {
            event.actor == path(name) && event.kind == kind
        };
        events.iter().filter(of).count()
    }

    /// Names of the directories in a log directory, in order.
    pub(crate) fn dirs(&self, directory: usize) -> Vec<String> {
        let entries = self.fs.list(&root(directory)).unwrap();
        let mut names: Vec<String> = (entries.into_iter().filter(|entry| entry.is_dir))
            .map(|entry| entry.name)
            .collect();
        names.sort();
        names
    }

    /// Id of the topic of a partition.
    pub(crate) fn topic_id(&self, partition: &str) -> TopicId {
        let image = self.image.borrow();
        let (topic, _) = partition.rsplit_once('-').unwrap();
        image.topic(topic).unwrap().id
    }
}

/// Names of directories, with what is random in them left out.
pub(crate) fn plain(names: &[String]) -> Vec<String> {
    let plain = names.iter().map(|name| match name.split_once('.') {
        Some((stem, rest)) => format!("{stem}.*-{}", rest.rsplit_once('-').unwrap().1),
        None => name.clone(),
    });
    plain.collect()
}

/// Whether a directory bears the marker of a clean shutdown.
pub(crate) fn is_marked(fs: &SimFs, directory: usize) -> bool {
    fs.exists(&root(directory).join(".kafka_cleanshutdown"))
        .unwrap()
}

fn path(name: &str) -> ActorPath {
    ActorPath::new(&format!("/replicas/{name}"))
}

fn batch(bytes: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(NOW_MS, None, Some(&vec![b'x'; bytes]), &[]);
    let rules = AppendRules {
        max_message_bytes: 64 << 20,
        ..AppendRules::default()
    };
    check_batch(Some(builder.build().unwrap()), &rules, NOW_MS).unwrap()
}
