//! One node: casts its actors in the order in which they need each other, and takes them off in the
//! reverse order. What each of them does is its own crate's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::image::{Endpoint, MetadataImage, PartitionImage};
use kabuki_controller::messages::RegisterBroker;
use kabuki_controller::{Controller, ControllerSpec, FailStop};
use kabuki_group::{Coordinators, CoordinatorsSpec, OffsetsLog, OffsetsLogFinder};
use kabuki_partition::Partition;
use kabuki_protocol::ids::NodeId;
use kabuki_replica::{LogDirSpec, ReplicaSpec, Replicas};
use kabuki_runtime::{ActorPath, Addr, Arbiter, GroupOptions, Stage, Supervisor};
use kabuki_session::{
    BindRefused, BoundListener, ControllerPort, LogDirPort, PartitionPort, ServicesSpec,
    SessionServices, SessionStage, SocketSizes,
};
use kabuki_storage::dir_scan::METADATA_LOG_PREFIX;
use kabuki_storage::{Disk, DiskOptions, FileSystem, RealFs};

use crate::descriptors::{self, Descriptors, TooFewDescriptors};
use crate::identity::{self, Identity, IdentityRefused};
use crate::{memory, tree};

/// How long reading the metadata log and the first commit may take. A log of 100,000 topics is read
/// in a few seconds; a disk that needs more than this is broken.
const REGISTER_WAIT: Duration = Duration::from_secs(120);

/// How long connections may take to end at a stop: their answers are on the way or never will be.
const EDGE_STOP_WAIT: Duration = Duration::from_secs(3);

/// How long the groups may take to answer all that wait.
const GROUP_STOP_WAIT: Duration = Duration::from_secs(3);

/// How long the partitions may take to flush and close.
const REPLICA_STOP_WAIT: Duration = Duration::from_secs(25);

/// Threads of the metadata log's own pool: one that writes, one that snapshots meanwhile.
const METADATA_THREADS: usize = 2;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartRefused {
    /// The data directories are not this node's, or cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityRefused),
    /// The process may not open enough files.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] BindRefused),
    /// The system gave no thread for a disk.
    #[error("cannot start the threads of {}: {source}", path.display())]
    Disk {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The controller did not register this broker.
    #[error("the controller did not register this node: {0}")]
    NotRegistered(String),
}

/// A node that serves.
pub(crate) struct Node {
    identity: Identity,
    edge: Supervisor,
    coordinators: Coordinators,
    replicas: Replicas,
    addresses: Vec<(String, std::net::SocketAddr)>,
    edge_arbiter: Arbiter,
}

impl Node {
    /// Brings a node on stage. Returns when clients are answered; partitions that still recover
    /// answer as soon as each of them is ready.
    pub(crate) async fn start(
        stage: &Stage,
        config: Arc<BrokerConfig>,
    ) -> Result<Self, StartRefused> {
        // Sockets first: a port in use is the most frequent mistake, and nothing is touched before.
        let sizes = SocketSizes::of(&config);
        let listeners = config.listeners().iter();
        let bound = listeners.map(|listener| BoundListener::bind(listener, sizes));
        let bound: Vec<BoundListener> = bound.collect::<Result<_, _>>()?;
        let identity = identity::take(&RealFs, config.node_id(), &config.log_dirs())?;
        for (path, reason) in &identity.offline {
            slog::error!(stage.logger(), "log directory is offline";
                "path" => %path.display(), "reason" => reason);
        }
        let (controller, image) = start_controller(stage, &config, &identity)?;
        register(&controller, &config, &identity, endpoints(&config, &bound)).await?;
        let partitions = hosted_count(&image.borrow(), config.node_id());
        let descriptors = share_descriptors(stage, &config, partitions)?;

        let data = data_arbiters(stage, &config, identity.directories.len());
        let mut directories = Vec::new();
        for (at, owned) in identity.directories.iter().enumerate() {
            let disk = open_disk(
                &config,
                &owned.path,
                &format!("disk{at}"),
                disk_threads(&config),
            )?;
            directories.push((
                LogDirSpec { id: owned.id, disk },
                data[at % data.len()].clone(),
            ));
        }
        let arbiters = session_arbiters(stage, &directories);
        let edge_arbiter = arbiters[0].clone();
        let replicas = kabuki_replica::start(
            stage,
            ReplicaSpec {
                directories,
                arbiter: stage.system_arbiter(),
                image: image.clone(),
                controller: controller.clone(),
                config: config.clone(),
                clock: Arc::new(wall_clock_ms),
            },
        );

        let coordinators = kabuki_group::start(
            stage,
            CoordinatorsSpec {
                config: config.clone(),
                image: image.clone(),
                controller: controller.clone(),
                logs: offsets_log_finder(stage),
                arbiter: edge_arbiter.clone(),
                clock: Arc::new(wall_clock_ms),
            },
        );

        let services = SessionServices::new(ServicesSpec {
            config: config.clone(),
            image,
            controller: ControllerPort::of(&controller),
            partitions: partition_finder(stage),
            log_dirs: log_dir_ports(&config, &identity, &replicas),
            groups: Arc::new(coordinators.clone()),
            stage: stage.clone(),
            memory_bytes_default: memory::in_flight_bytes_default(),
            connections_max: usize::try_from(descriptors.connections_max).unwrap_or(usize::MAX),
            clock: Arc::new(wall_clock_ms),
        });
        let edge = stage.root().group(tree::EDGE, GroupOptions::default());
        let sessions = edge.group(tree::SESSIONS, GroupOptions::default());
        let session_stage = SessionStage { sessions, arbiters };
        let addresses = bound
            .iter()
            .map(|one| (one.name().to_owned(), one.address()))
            .collect();
        for listener in bound {
            edge.start(kabuki_session::spec(
                listener,
                services.clone(),
                session_stage.clone(),
            ));
        }
        Ok(Self {
            identity,
            edge,
            coordinators,
            replicas,
            addresses,
            edge_arbiter,
        })
    }

    /// Where clients connect: listener name and bound address.
    pub(crate) fn addresses(&self) -> &[(String, std::net::SocketAddr)] {
        &self.addresses
    }

    /// The cluster this node belongs to.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    /// Log directories that were left out at start.
    pub(crate) fn offline_directory_count(&self) -> usize {
        self.identity.offline.len()
    }

    /// The thread that answers clients.
    pub(crate) fn edge_arbiter(&self) -> Arbiter {
        self.edge_arbiter.clone()
    }

    /// Stops accepting, ends the sessions, closes every log and marks the directories as clean.
    /// Returns what could not be closed in order.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.edge.stop(EDGE_STOP_WAIT).await;
        self.coordinators.stop(GROUP_STOP_WAIT).await;
        let trouble = self.replicas.stop(REPLICA_STOP_WAIT).await;
        // The directories stay locked until nothing writes to them any more.
        drop(self.identity);
        trouble
    }
}

/// Partitions with a replica on `node`.
fn hosted_count(image: &MetadataImage, node: NodeId) -> u64 {
    let hosted = |partition: &&PartitionImage| partition.replicas.contains(&node);
    let counts = image
        .topics()
        .map(|topic| topic.partitions.iter().filter(hosted).count() as u64);
    counts.sum()
}

/// Checks that the process may open what it has to, and says how many connections that leaves.
fn share_descriptors(
    stage: &Stage,
    config: &BrokerConfig,
    partitions: u64,
) -> Result<Descriptors, TooFewDescriptors> {
    /// The default of `max.connections`: as many as there may be.
    const UNBOUNDED: u64 = i32::MAX as u64;
    let wanted = config.number("max.connections").unsigned_abs();
    let wanted = Some(wanted).filter(|wanted| *wanted < UNBOUNDED);
    let descriptors = Descriptors::share(descriptors::raise_limit(), partitions, wanted)?;
    let Descriptors {
        limit,
        needed,
        connections_max,
    } = descriptors;
    if descriptors.are_scarce() {
        slog::warn!(stage.logger(), "fewer file descriptors than the node may need";
            "limit" => limit, "needed" => needed, "partitions" => partitions,
            "connections_max" => connections_max,
            "remedy" => format!("LimitNOFILE={needed} (systemd) or ulimit -n {needed}"));
    } else {
        slog::info!(stage.logger(), "file descriptors";
            "limit" => limit, "needed" => needed, "partitions" => partitions,
            "connections_max" => connections_max);
    }
    Ok(descriptors)
}

fn start_controller(
    stage: &Stage,
    config: &Arc<BrokerConfig>,
    identity: &Identity,
) -> Result<(Addr<Controller>, kabuki_controller::ImageWatch), StartRefused> {
    let disk = open_disk(config, &config.metadata_dir(), "metadata", METADATA_THREADS)?;
    let metadata_log = config
        .metadata_dir()
        .join(format!("{METADATA_LOG_PREFIX}-0"));
    let exiting = stage.clone();
    let (child, image) = kabuki_controller::spec(ControllerSpec {
        cluster_id: identity.cluster_id.clone(),
        // The scan is long where there are many partitions, and only asked for where it can matter.
        may_format: !RealFs.exists(&metadata_log).unwrap_or(true)
            && identity.holds_no_partition(&RealFs),
        disk,
        config: config.clone(),
        fail_stop: Arc::new(move |stop: FailStop| {
            slog::crit!(exiting.logger(), "the node stops"; "cause" => %stop, "code" => stop.code);
            exiting.exit(stop.code);
        }),
    });
    Ok((stage.root().start(child), image))
}

async fn register(
    controller: &Addr<Controller>,
    config: &BrokerConfig,
    identity: &Identity,
    endpoints: Vec<Endpoint>,
) -> Result<(), StartRefused> {
    let registration = |reply| RegisterBroker {
        node: config.node_id(),
        incarnation: *uuid::Uuid::new_v4().as_bytes(),
        endpoints,
        rack: config.rack().map(str::to_owned),
        directories: identity.directories.iter().map(|one| one.id).collect(),
        reply,
    };
    match controller.ask_with(REGISTER_WAIT, registration).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refused)) => Err(StartRefused::NotRegistered(refused.to_string())),
        Err(error) => Err(StartRefused::NotRegistered(error.to_string())),
    }
}

/// What clients are told to connect to; port 0 stands for the port that was bound.
fn endpoints(config: &BrokerConfig, bound: &[BoundListener]) -> Vec<Endpoint> {
    let listeners = config.listeners().iter().zip(bound);
    listeners
        .map(|(listener, bound)| {
            let mut endpoint = listener.advertised.clone();
            if endpoint.port == 0 {
                endpoint.port = bound.address().port();
            }
            endpoint
        })
        .collect()
}

fn open_disk(
    config: &BrokerConfig,
    path: &std::path::Path,
    name: &str,
    threads: usize,
) -> Result<Disk, StartRefused> {
    let deadline_ms = config
        .number("kabuki.disk.deadline.ms")
        .max(1)
        .unsigned_abs();
    let deadline = Duration::from_millis(deadline_ms);
    let options = DiskOptions {
        name: name.to_owned(),
        threads,
        deadline,
        ..Default::default()
    };
    Disk::real(path, options).map_err(|source| StartRefused::Disk {
        path: path.to_owned(),
        source,
    })
}

fn disk_threads(config: &BrokerConfig) -> usize {
    usize::try_from(config.number("kabuki.disk.threads"))
        .unwrap_or(1)
        .max(1)
}

/// The arbiters that partitions run on: one for each log directory, so that a disk that hangs holds up
/// its own and no other, or as few as `kabuki.data.arbiters` allows.
fn data_arbiters(stage: &Stage, config: &BrokerConfig, directory_count: usize) -> Vec<Arbiter> {
    let most = config.number_if_set("kabuki.data.arbiters");
    let most = most
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX);
    let count = directory_count.min(most).max(1);
    (0..count)
        .map(|at| stage.new_arbiter(&format!("data{at}")))
        .collect()
}

/// Where sessions run. With one directory: next to its partitions, as a send that crosses no core is
/// ten times cheaper. With several: apart, so that the hang of one disk does not stop the clients of
/// the others.
fn session_arbiters(stage: &Stage, directories: &[(LogDirSpec, Arbiter)]) -> Vec<Arbiter> {
    match directories {
        [(_, arbiter)] => vec![arbiter.clone()],
        _ => vec![stage.new_arbiter("edge")],
    }
}

fn partition_finder(stage: &Stage) -> kabuki_session::PartitionFinder {
    let registry = stage.registry().clone();
    let group = ActorPath::new(tree::REPLICAS);
    Arc::new(move |partition| {
        let address = registry.find::<Partition>(&group.child(&partition.to_string()))?;
        Some(PartitionPort::of(&address))
    })
}

/// The log directories of the configuration; those that were left out at the start have nobody.
fn log_dir_ports(
    config: &BrokerConfig,
    identity: &Identity,
    replicas: &Replicas,
) -> Vec<LogDirPort> {
    let used: Vec<_> = identity
        .directories
        .iter()
        .zip(replicas.log_dirs())
        .collect();
    let port = |path: &PathBuf| {
        let found = used.iter().find(|(owned, _)| owned.path == *path);
        LogDirPort::of(path, found.map(|(_, actor)| *actor))
    };
    config.log_dirs().iter().map(port).collect()
}

fn offsets_log_finder(stage: &Stage) -> OffsetsLogFinder {
    let registry = stage.registry().clone();
    let group = ActorPath::new(tree::REPLICAS);
    Arc::new(move |partition| {
        let address = registry.find::<Partition>(&group.child(&partition.to_string()))?;
        Some(OffsetsLog::of(&address))
    })
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
