//! What all sessions of a node share: metadata image, controller, partitions, limits, caches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kabuki_controller::broker_config::{BrokerConfig, Listener};
use kabuki_controller::catalogue::ConfigLayers;
use kabuki_controller::image::{ConfigOverrides, ImageWatch, MetadataImage};
use kabuki_group::GroupCoordinators;
use kabuki_protocol::ids::{NodeId, PartitionId};
use kabuki_runtime::Stage;
use tokio::sync::Semaphore;

use crate::closing_log::ClosingLog;
use crate::connections::{ConnectionLimits, Connections, ListenerLimits};
use crate::memory::MemoryBudget;
use crate::ports::{ControllerPort, LogDirPort, PartitionFinder, PartitionPort};
use crate::state::fetch_sessions::FetchSessions;

/// Milliseconds since 1970 as records are stamped with them; the wall clock outside of tests.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Upper bound of the memory for requests and answers in flight where none is configured.
const MEMORY_BYTES_DEFAULT: usize = 1 << 30;

/// What the node hands to its sessions.
pub struct ServicesSpec {
    /// The node's configuration.
    pub config: Arc<BrokerConfig>,
    /// Where the newest metadata image is seen.
    pub image: ImageWatch,
    /// Who decides about topics, configurations and producer ids.
    pub controller: ControllerPort,
    /// Finds the partitions of this node.
    pub partitions: PartitionFinder,
    /// The log directories, in the order of the configuration.
    pub log_dirs: Vec<LogDirPort>,
    /// The consumer groups of this node.
    pub groups: Arc<dyn GroupCoordinators>,
    /// The runtime of the node: private requests read its registry and its supervision log.
    pub stage: Stage,
    /// Bytes of requests and answers in flight where `kabuki.memory.max` and
    /// `queued.max.request.bytes` are not set; 0 stands for 1 GiB.
    pub memory_bytes_default: usize,
    /// Connections that the process has file descriptors for; `max.connections` may say less.
    pub connections_max: usize,
    /// Time for record timestamps.
    pub clock: WallClock,
}

/// Shared by all listeners and sessions of a node.
pub struct SessionServices {
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) image: ImageWatch,
    pub(crate) controller: ControllerPort,
    pub(crate) stage: Stage,
    pub(crate) log_dirs: Vec<LogDirPort>,
    pub(crate) limits: SessionLimits,
    pub(crate) memory: Arc<MemoryBudget>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) closings: ClosingLog,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) clock: WallClock,
    /// Turns to check a costly batch on a thread: half the cores, the others go on serving.
    pub(crate) costly_checks: Arc<Semaphore>,
    partitions: PartitionFinder,
    groups: Arc<dyn GroupCoordinators>,
    connections_seen: AtomicU64,
    /// Connections that the process has file descriptors for.
    connections_max: usize,
    /// What was set on this broker and on all when the limits of connections were taken from it.
    limited_by: Mutex<[Arc<ConfigOverrides>; 2]>,
}

impl SessionServices {
    /// Reads the limits from the configuration and opens empty caches.
    pub fn new(spec: ServicesSpec) -> Arc<Self> {
        let config = spec.config;
        let slots_max = config.number("max.incremental.fetch.session.cache.slots");
        let memory_bytes = memory_bytes_max(&config, spec.memory_bytes_default);
        Arc::new(Self {
            limits: SessionLimits::of(&config),
            memory: Arc::new(MemoryBudget::new(memory_bytes)),
            connections: Arc::new(Connections::new(connection_limits(
                &ConfigLayers::of_broker(&MetadataImage::empty(""), &config),
                config.listeners(),
                spec.connections_max,
            ))),
            connections_max: spec.connections_max,
            limited_by: Mutex::default(),
            closings: ClosingLog::default(),
            fetch_sessions: FetchSessions::new(usize::try_from(slots_max).unwrap_or(0)),
            image: spec.image,
            controller: spec.controller,
            stage: spec.stage,
            log_dirs: spec.log_dirs,
            clock: spec.clock,
            costly_checks: Arc::new(Semaphore::new(costly_checks_max())),
            partitions: spec.partitions,
            groups: spec.groups,
            connections_seen: AtomicU64::new(0),
            config,
        })
    }

    /// The newest metadata image.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.borrow().clone()
    }

    pub(crate) fn node(&self) -> NodeId {
        self.config.node_id()
    }

    /// The actor that hosts a partition here.
    pub(crate) fn partition(&self, id: &PartitionId) -> Option<PartitionPort> {
        (self.partitions)(id)
    }

    /// The consumer groups of this node.
    pub(crate) fn groups(&self) -> &dyn GroupCoordinators {
        &*self.groups
    }

    /// Takes up limits of connections that were changed while the node runs.
    pub(crate) fn follow_connection_limits(&self) {
        let image = self.image();
        let configs = [
            image.broker_configs(self.node()),
            image.default_broker_configs().clone(),
        ];
        let mut limited_by = self
            .limited_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *limited_by != configs {
            let layers = ConfigLayers::of_broker(&image, &self.config);
            let limits = connection_limits(&layers, self.config.listeners(), self.connections_max);
            self.connections.set_limits(limits);
            *limited_by = configs;
        }
    }

    /// Numbers a new connection; counts from 1.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections_seen.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Bytes of requests and answers in flight over all connections.
    pub fn memory_used_bytes(&self) -> usize {
        self.memory.used_bytes()
    }

    /// Open client connections.
    pub fn connection_count(&self) -> usize {
        self.connections.count()
    }
}

/// What bounds one connection.
#[derive(Debug, Clone)]
pub(crate) struct SessionLimits {
    /// `socket.request.max.bytes`.
    pub(crate) request_bytes_max: usize,
    /// `connections.max.idle.ms`; `None` when negative: never.
    pub(crate) idle_max: Option<Duration>,
    /// `fetch.max.bytes`.
    pub(crate) fetch_bytes_max: usize,
    /// `message.max.bytes`: the largest batch, but for topics that allow larger ones.
    pub(crate) batch_bytes_max: usize,
    /// `request.timeout.ms`: the longest a request waits inside the node when it names no time.
    pub(crate) request_timeout: Duration,
}

impl SessionLimits {
    fn of(config: &BrokerConfig) -> Self {
        let count = |key: &str| usize::try_from(config.number(key)).unwrap_or(0);
        let request_timeout_ms = config.number("request.timeout.ms").max(1);
        Self {
            request_bytes_max: count("socket.request.max.bytes"),
            idle_max: u64::try_from(config.number("connections.max.idle.ms"))
                .ok()
                .map(Duration::from_millis),
            fetch_bytes_max: count("fetch.max.bytes"),
            batch_bytes_max: count("message.max.bytes"),
            request_timeout: Duration::from_millis(request_timeout_ms.unsigned_abs()),
        }
    }
}

fn connection_limits(
    config: &ConfigLayers<'_>,
    listeners: &[Listener],
    connections_max: usize,
) -> ConnectionLimits {
    let count = |key: &str| usize::try_from(config.broker_i64(key)).unwrap_or(0);
    let overrides = config
        .broker_text("max.connections.per.ip.overrides")
        .unwrap_or_default();
    let rate = |text: i64| u32::try_from(text).unwrap_or(u32::MAX);
    ConnectionLimits {
        node: ListenerLimits {
            connections_max: count("max.connections").min(connections_max),
            rate_max: rate(config.broker_i64("max.connection.creation.rate")),
        },
        by_listener: listeners
            .iter()
            .map(|listener| {
                let own = |key: &str| config.listener_i64(&listener.name, key);
                let connections = own("max.connections").and_then(|max| usize::try_from(max).ok());
                let limits = ListenerLimits {
                    connections_max: connections.unwrap_or(usize::MAX),
                    rate_max: own("max.connection.creation.rate").map_or(u32::MAX, rate),
                };
                (listener.name.clone(), limits)
            })
            .collect(),
        connections_per_ip_max: count("max.connections.per.ip"),
        per_ip_overrides: parse_overrides(overrides),
    }
}

/// Reads `address:count,address:count`. Names of hosts are not looked up: an entry that is no
/// address has no effect.
fn parse_overrides(text: &str) -> HashMap<IpAddr, usize> {
    text.split(',')
        .filter_map(|entry| {
            let (address, count) = entry.trim().rsplit_once(':')?;
            let address = address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
            Some((address.to_canonical(), count.trim().parse().ok()?))
        })
        .collect()
}

fn costly_checks_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).max(1)
}

fn memory_bytes_max(config: &BrokerConfig, default: usize) -> usize {
    let set = |key: &str| {
        let bytes = config.number_if_set(key)?;
        usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
    };
    let fallback = if default == 0 {
        MEMORY_BYTES_DEFAULT
    } else {
        default
    };
    set("queued.max.request.bytes")
        .or_else(|| set("kabuki.memory.max"))
        .unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_read_for_both_kinds_of_address() {
        let overrides = parse_overrides("10.0.0.1:5, [::1]:7,host:3,10.0.0.2:x,");
        assert_eq!(overrides.len(), 2);
        assert_eq!(overrides[&"10.0.0.1".parse::<IpAddr>().unwrap()], 5);
        assert_eq!(overrides[&"::1".parse::<IpAddr>().unwrap()], 7);
    }
}
