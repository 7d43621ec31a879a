//! Counts connections of the node and of each client address, and says when to accept no more.
//! Source: KIP-402, KIP-612.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// `max.connections` and `max.connection.creation.rate`, of all listeners together or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerLimits {
    /// Open connections.
    pub(crate) connections_max: usize,
    /// New connections in a second.
    pub(crate) rate_max: u32,
}

impl ListenerLimits {
    pub(crate) const NONE: Self = Self {
        connections_max: usize::MAX,
        rate_max: u32::MAX,
    };
}

/// Kafka's `max.connections`, `max.connection.creation.rate`, `max.connections.per.ip` and
/// `max.connections.per.ip.overrides`.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// Of the whole node.
    pub(crate) node: ListenerLimits,
    /// Of single listeners, by name.
    pub(crate) by_listener: HashMap<String, ListenerLimits>,
    /// Open connections of one address.
    pub(crate) connections_per_ip_max: usize,
    /// Addresses with a limit of their own.
    pub(crate) per_ip_overrides: HashMap<IpAddr, usize>,
}

impl ConnectionLimits {
    fn of_listener(&self, listener: &str) -> ListenerLimits {
        let own = self.by_listener.get(listener).copied();
        own.unwrap_or(ListenerLimits::NONE)
    }
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ConnectionRefused {
    #[error("{address} has {connections_max} connections, the most one address may have")]
    TooManyFromAddress {
        address: IpAddr,
        connections_max: usize,
    },
}

/// The open connections of all listeners.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    limits: ConnectionLimits,
    count: usize,
    by_listener: HashMap<Arc<str>, usize>,
    /// New connections of the node, and of each listener.
    pace: Pace,
    listener_paces: HashMap<Arc<str>, Pace>,
    by_address: HashMap<IpAddr, usize>,
    /// Listeners that stopped accepting.
    waiting: Vec<Waker>,
}

/// Whether a listener may accept now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It may.
    Free,
    /// When one has closed: the waker is called.
    AfterClose,
    /// After this time.
    After(Duration),
}

/// Counts the new connections of the second that runs: so many are taken at once, as in Kafka after a pause.
#[derive(Debug, Default)]
struct Pace {
    second_began: Option<Instant>,
    count: u32,
}

impl Pace {
    /// How long the next one has to wait.
    fn wait(&self, rate_max: u32, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.second_began?);
        let is_full = passed < SECOND && self.count >= rate_max;
        is_full.then(|| SECOND - passed)
    }

    fn count(&mut self, now: Instant) {
        let began = *self.second_began.get_or_insert(now);
        if now.saturating_duration_since(began) >= SECOND {
            self.second_began = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// One open connection. Counted until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    connections: Arc<Connections>,
    listener: Arc<str>,
    address: IpAddr,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            open: Mutex::new(Open {
                limits,
                count: 0,
                by_listener: HashMap::new(),
                pace: Pace::default(),
                listener_paces: HashMap::new(),
                by_address: HashMap::new(),
                waiting: Vec::new(),
            }),
        }
    }

    /// Other limits from now on; connections that are open stay.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        let mut open = self.lock();
        open.limits = limits;
        let waiting = std::mem::take(&mut open.waiting);
        drop(open);
        for waker in waiting {
            waker.wake();
        }
    }

    /// Open connections.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    /// Whether another connection of a listener may be accepted. If not, the acceptor stops, so that
    /// clients hang in connecting instead of being cut off; `waker` is called when one has closed.
    pub(crate) fn room(&self, listener: &str, now: Instant, waker: &Waker) -> Room {
        let mut open = self.lock();
        let node = open.limits.node;
        let own = open.limits.of_listener(listener);
        let of_listener = open.by_listener.get(listener).copied().unwrap_or_default();
        if open.count >= node.connections_max || of_listener >= own.connections_max {
            if !open.waiting.iter().any(|other| other.will_wake(waker)) {
                open.waiting.push(waker.clone());
            }
            return Room::AfterClose;
        }
        let own_pace = open.listener_paces.get(listener);
        let own_wait = own_pace.and_then(|pace| pace.wait(own.rate_max, now));
        match open.pace.wait(node.rate_max, now).max(own_wait) {
            Some(wait) => Room::After(wait),
            None => Room::Free,
        }
    }

    /// Counts an accepted connection.
    pub(crate) fn admit(
        self: &Arc<Self>,
        listener: &Arc<str>,
        address: IpAddr,
        now: Instant,
    ) -> Result<ConnectionPermit, ConnectionRefused> {
        let address = address.to_canonical();
        let mut open = self.lock();
        open.pace.count(now);
        let own_pace = open.listener_paces.entry(listener.clone()).or_default();
        own_pace.count(now);
        let limits = &open.limits;
        let connections_max = *limits
            .per_ip_overrides
            .get(&address)
            .unwrap_or(&limits.connections_per_ip_max);
        let from_address = open.by_address.entry(address).or_default();
        if *from_address >= connections_max {
            if *from_address == 0 {
                open.by_address.remove(&address);
            }
            return Err(ConnectionRefused::TooManyFromAddress {
                address,
                connections_max,
            });
        }
        *from_address += 1;
        open.count += 1;
        *open.by_listener.entry(listener.clone()).or_default() += 1;
        Ok(ConnectionPermit {
            connections: self.clone(),
            listener: listener.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.count -= 1;
        if let Some(of_listener) = open.by_listener.get_mut(&self.listener) {
            *of_listener -= 1;
        }
        if let Some(from_address) = open.by_address.get_mut(&self.address) {
            *from_address -= 1;
            if *from_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
        let waiting = std::mem::take(&mut open.waiting);
        drop(open);
        for waker in waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections_max: usize, per_ip: usize) -> ConnectionLimits {
        ConnectionLimits {
            node: ListenerLimits {
                connections_max,
                rate_max: u32::MAX,
            },
            by_listener: HashMap::new(),
            connections_per_ip_max: per_ip,
            per_ip_overrides: HashMap::from([("10.0.0.9".parse().unwrap(), 0)]),
        }
    }

    /// One listener's connections, with a clock that stands still.
    struct Bench {
        connections: Arc<Connections>,
        now: Instant,
    }

    impl Bench {
        fn new(limits: ConnectionLimits) -> Self {
            Self {
                connections: Arc::new(Connections::new(limits)),
                now: Instant::now(),
            }
        }

        fn room(&self, listener: &str) -> Room {
            self.connections.room(listener, self.now, Waker::noop())
        }

        fn admit_at(
            &self,
            listener: &str,
            address: &str,
        ) -> Result<ConnectionPermit, ConnectionRefused> {
            let listener = Arc::from(listener);
            let address = address.parse().unwrap();
            self.connections.admit(&listener, address, self.now)
        }

        fn admit(&self, address: &str) -> Result<ConnectionPermit, ConnectionRefused> {
            self.admit_at("PLAINTEXT", address)
        }
    }

    #[test]
    fn room_ends_at_the_limit_and_comes_back_with_a_close() {
        let bench = Bench::new(limits(2, 10));
        let first = bench.admit("10.0.0.1").unwrap();
        assert_eq!(bench.room("PLAINTEXT"), Room::Free);
        let _second = bench.admit("10.0.0.1").unwrap();
        assert_eq!(bench.room("PLAINTEXT"), Room::AfterClose);
        drop(first);
        assert_eq!(bench.room("PLAINTEXT"), Room::Free);
    }

    #[test]
    fn a_listener_has_its_own_limit() {
        let own = ListenerLimits {
            connections_max: 1,
            ..ListenerLimits::NONE
        };
        let by_listener = HashMap::from([("INNER".to_owned(), own)]);
        let bench = Bench::new(ConnectionLimits {
            by_listener,
            ..limits(3, 10)
        });
        let inner = bench.admit_at("INNER", "10.0.0.1").unwrap();
        assert_eq!(bench.room("INNER"), Room::AfterClose);
        assert_eq!(bench.room("PLAINTEXT"), Room::Free);
        drop(inner);
        assert_eq!(bench.room("INNER"), Room::Free);
    }

    #[test]
    fn new_connections_wait_for_the_next_second_when_the_rate_is_reached() {
        let paced = |rate_max| ListenerLimits {
            rate_max,
            ..ListenerLimits::NONE
        };
        let mut bench = Bench::new(ConnectionLimits {
            node: paced(3),
            by_listener: HashMap::from([("INNER".to_owned(), paced(1))]),
            ..limits(9, 9)
        });
        drop(bench.admit_at("INNER", "10.0.0.1").unwrap());
        bench.now += Duration::from_millis(400);
        let wait = Room::After(Duration::from_millis(600));
        assert_eq!(
            (bench.room("INNER"), bench.room("OUTER")),
            (wait, Room::Free)
        );
        drop(bench.admit_at("OUTER", "10.0.0.1").unwrap());
        drop(bench.admit_at("OUTER", "10.0.0.1").unwrap());
        assert_eq!(bench.room("OUTER"), wait, "closed ones were new, too");
        bench.now += Duration::from_millis(600);
        assert_eq!(
            (bench.room("INNER"), bench.room("OUTER")),
            (Room::Free, Room::Free)
        );
    }

    #[test]
    fn a_wider_limit_wakes_those_who_wait_for_room() {
        let bench = Bench::new(limits(1, 10));
        let _open = bench.admit("10.0.0.1").unwrap();
        assert_eq!(bench.room("PLAINTEXT"), Room::AfterClose);
        bench.connections.set_limits(limits(2, 1));
        assert!(bench.connections.lock().waiting.is_empty());
        assert_eq!(bench.room("PLAINTEXT"), Room::Free);
        let refused = bench.admit("10.0.0.1");
        refused.expect_err("the limit of an address holds, too");
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let bench = Bench::new(limits(10, 1));
        let first = bench.admit("10.0.0.1").unwrap();
        let mapped = "::ffff:10.0.0.1";
        assert!(bench.admit(mapped).is_err(), "the same machine over IPv6");
        assert!(bench.admit("10.0.0.2").is_ok());
        assert!(bench.admit("10.0.0.9").is_err(), "an override of 0");
        drop(first);
        assert!(bench.admit(mapped).is_ok());
        let open = bench.connections.count();
        assert_eq!(open, 0, "refused and dropped connections do not count");
    }
}
