//! Counts connections of the node and of each client address, and says when to accept no more.
//! Source: rules F11 and V4; KIP-402, KIP-612.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use thiserror::Error;

/// Kafka's `max.connections`, `max.connections.per.ip` and `max.connections.per.ip.overrides`.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// Open connections of the node.
    pub(crate) connections_max: usize,
    /// Open connections of one address.
    pub(crate) connections_per_ip_max: usize,
    /// Addresses with a limit of their own.
    pub(crate) per_ip_overrides: HashMap<IpAddr, usize>,
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
    by_address: HashMap<IpAddr, usize>,
    /// Listeners that stopped accepting.
    waiting: Vec<Waker>,
}

/// One open connection. Counted until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            open: Mutex::new(Open {
                limits,
                count: 0,
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

    /// Whether another connection may be accepted. If not, `waker` is called when one has closed:
    /// the acceptor stops, so that clients hang in connecting instead of being cut off (V4).
    pub(crate) fn has_room(&self, waker: &Waker) -> bool {
        let mut open = self.lock();
        if open.count < open.limits.connections_max {
            return true;
        }
        if !open.waiting.iter().any(|other| other.will_wake(waker)) {
            open.waiting.push(waker.clone());
        }
        false
    }

    /// Counts an accepted connection.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<ConnectionPermit, ConnectionRefused> {
        let address = address.to_canonical();
        let mut open = self.lock();
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
        Ok(ConnectionPermit {
            connections: self.clone(),
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

    fn connections(connections_max: usize, per_ip: usize) -> Arc<Connections> {
        let special = "10.0.0.9".parse().unwrap();
        Arc::new(Connections::new(ConnectionLimits {
            connections_max,
            connections_per_ip_max: per_ip,
            per_ip_overrides: HashMap::from([(special, 0)]),
        }))
    }

    #[test]
    fn room_ends_at_the_limit_and_comes_back_with_a_close() {
        let connections = connections(2, 10);
        let address = "10.0.0.1".parse().unwrap();
        let waker = Waker::noop();
        let first = connections.admit(address).unwrap();
        assert!(connections.has_room(waker));
        let _second = connections.admit(address).unwrap();
        assert!(!connections.has_room(waker));
        drop(first);
        assert!(connections.has_room(waker));
    }

    #[test]
    fn a_wider_limit_wakes_those_who_wait_for_room() {
        let connections = connections(1, 10);
        let _open = connections.admit("10.0.0.1".parse().unwrap()).unwrap();
        assert!(!connections.has_room(Waker::noop()));
        connections.set_limits(ConnectionLimits {
            connections_max: 2,
            connections_per_ip_max: 1,
            per_ip_overrides: HashMap::new(),
        });
        assert!(connections.lock().waiting.is_empty());
        assert!(connections.has_room(Waker::noop()));
        let refused = connections.admit("10.0.0.1".parse().unwrap());
        refused.expect_err("the limit of an address holds, too");
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let connections = connections(10, 1);
        let first = connections.admit("10.0.0.1".parse().unwrap()).unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(
            connections.admit(mapped).is_err(),
            "the same machine over IPv6"
        );
        assert!(connections.admit("10.0.0.2".parse().unwrap()).is_ok());
        assert!(
            connections.admit("10.0.0.9".parse().unwrap()).is_err(),
            "an override of 0"
        );
        drop(first);
        assert!(connections.admit(mapped).is_ok());
        assert_eq!(
            connections.count(),
            0,
            "refused and dropped connections do not count"
        );
    }
}
