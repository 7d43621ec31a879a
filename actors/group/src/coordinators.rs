//! What sessions see of the groups of this node: one call a request, and where a group is to be found.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

use crate::messages::{Answer, GroupListing, Request};
use crate::names::GroupId;

/// A future that a session waits for as a job of its own; it borrows nothing and may be dropped.
pub type Asked<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The groups of a node, as sessions ask them. Tests of sessions put a stand-in here.
pub trait GroupCoordinators: Send + Sync {
    /// Asks one group. The request is on its way when this returns, so requests of one connection
    /// reach the group in the order of the calls; dropping the future drops the answer alone.
    ///
    /// Join and Sync may wait as long as a rebalance takes; everything else is answered within
    /// `offsets.commit.timeout.ms` and a second.
    fn ask(&self, group: GroupId, request: Request) -> Asked<Result<Answer, CoordinatorRefused>>;

    /// All groups of this node (ListGroups).
    fn list(&self) -> Asked<GroupsListed>;

    /// Creates `__consumer_offsets` if it is missing; the number of its partitions.
    fn ensure_topic(&self) -> Asked<Result<i32, CoordinatorRefused>>;

    /// Partition of `__consumer_offsets` that holds the group; `None` before there is such a topic.
    fn partition_of(&self, group: &str) -> Option<i32>;
}

/// Name of the topic that groups are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The groups of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupsListed {
    /// Groups that exist, in no order.
    pub groups: Vec<(GroupId, GroupListing)>,
    /// Some partition of `__consumer_offsets` that this node leads is still being read: code 14.
    pub is_loading: bool,
}

/// Why no group could be asked. Nothing was done, but for [`CoordinatorRefused::Loading`], after which
/// the outcome is unknown.
///
/// A session answers Loading to a classic Heartbeat with 0, to Sync with 27, to all others with 14: what
/// clients take without ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CoordinatorRefused {
    /// Another node, or none, leads the group's partition. Code 16.
    #[error("this node does not coordinate the group")]
    NotCoordinator,
    /// The group is being read, rebuilt after a crash, or has more to do than it can take. Code 14.
    #[error("the group is being loaded, ask again")]
    Loading,
    /// There is no `__consumer_offsets` and it could not be created. Code 15.
    #[error("the groups of this node are not available")]
    NotAvailable,
}
