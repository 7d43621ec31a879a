//! File descriptors: the process takes as many as it may have, and they are shared out between the
//! files of partitions and the connections of clients, so that neither can take the other's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files of a partition in use: log and two indexes of the segment that is written, and one older
/// segment that is read or flushed. A partition that nobody used for a minute or two has none.
const FILES_PER_PARTITION: u64 = 4;

/// Standard streams, event loops, listeners, locks and the metadata log; some two dozen are used.
const OWN_FILES: u64 = 64;

/// A node with fewer would refuse its first clients or partitions.
const LIMIT_MIN: u64 = 256;

/// Connections that a node is expected to have where `max.connections` does not say.
const CONNECTIONS_EXPECTED: u64 = 1_000;

/// Least and most share of the limit that is kept for files: partitions are made later, too, and a
/// node without room for clients serves nobody.
const FILES_PARTS_LEAST: u64 = 4;
const FILES_PARTS_MOST: u64 = 2;

/// The limit does not allow a node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file-descriptor limit is {limit}, a node needs at least {LIMIT_MIN} \
     and this one some {needed}: set LimitNOFILE={needed} (systemd) or ulimit -n {needed}"
)]
pub(crate) struct TooFewDescriptors {
    limit: u64,
    needed: u64,
}

/// How the descriptors of a process are shared out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Files and sockets that the process may have open.
    pub(crate) limit: u64,
    /// What it may need with every partition in use.
    pub(crate) needed: u64,
    /// Most connections that leave the partitions their files.
    pub(crate) connections_max: u64,
}

impl Descriptors {
    /// Shares out `limit`; `connections_wanted` is what `max.connections` asks for, if it does.
    pub(crate) fn share(
        limit: u64,
        partitions: u64,
        connections_wanted: Option<u64>,
    ) -> Result<Self, TooFewDescriptors> {
        let files = partitions.saturating_mul(FILES_PER_PARTITION);
        let connections = connections_wanted.unwrap_or(CONNECTIONS_EXPECTED);
        let needed = OWN_FILES
            .saturating_add(files)
            .saturating_add(connections)
            .max(LIMIT_MIN);
        if limit < LIMIT_MIN {
            return Err(TooFewDescriptors { limit, needed });
        }
        let rest = limit - OWN_FILES;
        let kept = files.clamp(rest / FILES_PARTS_LEAST, rest / FILES_PARTS_MOST);
        Ok(Self {
            limit,
            needed,
            connections_max: rest - kept,
        })
    }

    /// Whether the process may run out of them.
    pub(crate) fn are_scarce(&self) -> bool {
        self.limit < self.needed
    }
}

/// Raises the limit of this process as far as it may without privileges; returns what it is then.
pub(crate) fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // Refused where the system allows less than it says; the old limit stays.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    // No number means no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(limit: u64, partitions: u64, wanted: Option<u64>) -> Descriptors {
        Descriptors::share(limit, partitions, wanted).unwrap()
    }

    #[test]
    fn clients_get_what_the_partitions_leave() {
        let ample = share(65_536, 3_000, None);
        assert_eq!(ample.connections_max, 65_536 - 64 - 65_472 / 4);
        assert!(!ample.are_scarce());
        let many = share(65_536, 8_000, None);
        assert_eq!(many.connections_max, 65_536 - 64 - 32_000);
    }

    #[test]
    fn neither_side_takes_all() {
        let few = share(1_024, 0, None);
        assert_eq!(few.connections_max, 720);
        let many = share(1_024, 100_000, None);
        assert_eq!(many.connections_max, 480);
        assert!(many.are_scarce());
        assert_eq!(many.needed, 64 + 400_000 + 1_000);
    }

    #[test]
    fn connections_that_are_asked_for_count() {
        assert!(!share(20_000, 100, Some(5_000)).are_scarce());
        assert!(share(20_000, 100, Some(50_000)).are_scarce());
    }

    #[test]
    fn no_limit_is_enough_for_everything() {
        let endless = share(u64::MAX, u64::MAX, Some(u64::MAX));
        assert!(!endless.are_scarce());
        assert!(endless.connections_max > 1 << 62);
    }

    #[test]
    fn a_limit_that_allows_no_node_is_refused_with_what_to_set() {
        let refused = Descriptors::share(100, 1_000, Some(2_000)).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("limit is 100"), "{text}");
        assert!(text.contains("LimitNOFILE=6064"), "{text}");
    }

    #[test]
    fn raising_twice_changes_nothing_more() {
        let raised = raise_limit();
        assert_eq!(raise_limit(), raised);
        assert!(raised > 0);
    }
}
